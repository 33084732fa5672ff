"""One plugin's names: a trie of them, changed by deltas, replaced by snapshots, and what of it Python may look at."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdlib cimport free
from libc.string cimport memcpy

import os

from fastdns.errors import TableError

from fastdns._packet cimport AA, KEY_ROOM, LABELS_MAX, NAME_MAX, RA, copy_key
from fastdns._rrset cimport (
    BROKEN,
    ENTRY,
    NO_MEMORY,
    OK,
    NameData,
    Status,
    data_size,
    is_whole_name,
    octets_of,
    read_data,
    sets_of,
)
from fastdns._trie cimport (
    Match,
    Node,
    Table,
    Zone,
    find_child,
    find_name,
    free_all,
    free_data,
    free_some,
    label_of,
    new_table,
    path_to,
    prune,
    zone_at,
)
from fastdns._wire cimport Reader, read_octets, read_u8, read_u16, read_u32, reader_over

cdef enum:
    LABEL_MAX = 63
    LABELS_KEPT = 64        # octets of an SOA's name before its zone


# --- deltas ---------------------------------------------------------------------------------------------------------

cdef const uint8_t* _read_name(Reader* reader, uint16_t* name_len) noexcept nogil:
    """A canonical name, where it stands; NULL if it is none."""
    cdef const uint8_t* name = reader.data + reader.pos
    cdef size_t start = reader.pos
    cdef uint8_t size
    cdef size_t at
    while True:
        size = read_u8(reader)
        if reader.failed or size > LABEL_MAX or reader.pos - start + size > NAME_MAX:
            return NULL
        if size == 0:
            name_len[0] = <uint16_t>(reader.pos - start)
            return name
        if read_octets(reader, size) == NULL:
            return NULL
        for at in range(reader.pos - size, reader.pos):
            if <uint8_t>(reader.data[at] - 65) < 26:
                return NULL


cdef Status _put(Table* table, Reader* reader) noexcept nogil:
    cdef Node* path[LABELS_MAX]
    cdef uint8_t depth
    cdef uint16_t name_len
    cdef uint32_t size
    cdef const uint8_t* octets
    cdef NameData* data = NULL
    cdef Status status
    cdef Node* node
    cdef const uint8_t* name = _read_name(reader, &name_len)
    if name == NULL:
        return BROKEN
    size = read_u32(reader)
    octets = read_octets(reader, size)
    if octets == NULL:
        return BROKEN
    status = read_data(octets, size, &data)
    if status != OK:
        return status
    node = path_to(table, name, path, &depth, True)
    if node == NULL:
        free(data)
        return NO_MEMORY
    free_data(table, node)
    node.data = data
    table.names += 1
    table.octets += data_size(data)
    return OK


cdef Status _remove(Table* table, Reader* reader) noexcept nogil:
    cdef Node* path[LABELS_MAX]
    cdef uint8_t depth
    cdef uint16_t name_len
    cdef Node* node
    cdef const uint8_t* name = _read_name(reader, &name_len)
    if name == NULL:
        return BROKEN
    node = path_to(table, name, path, &depth, False)
    if node != NULL:
        free_data(table, node)
        prune(table, node, path, depth)
    return OK


cdef bint _read_prefix(Reader* reader, uint8_t* labels, uint8_t* labels_len) noexcept nogil:
    """The labels of an SOA's name before its zone."""
    cdef uint8_t size = read_u8(reader)
    cdef const uint8_t* octets = read_octets(reader, size)
    if reader.failed or size > LABELS_KEPT or not is_whole_name(octets, size, False):
        return False
    memcpy(labels, octets, size)
    labels_len[0] = size
    return True


cdef Status _put_zone(Table* table, Reader* reader) noexcept nogil:
    cdef Node* path[LABELS_MAX]
    cdef uint8_t depth
    cdef Zone zone
    cdef Zone* kept
    cdef Node* node
    cdef Reader soa
    cdef const uint8_t* tail
    cdef uint16_t size
    cdef const uint8_t* name = _read_name(reader, &zone.name_len)
    if name == NULL:
        return BROKEN
    memcpy(zone.name, name, zone.name_len)
    zone.flags = read_u16(reader)
    zone.positive = read_u16(reader)
    zone.nodata = read_u16(reader)
    zone.nxdomain = read_u16(reader)
    if (zone.positive | zone.nodata | zone.nxdomain) & <uint16_t>~(AA | RA):
        return BROKEN
    zone.soa_ttl = read_u32(reader)
    size = read_u16(reader)
    tail = read_octets(reader, size)
    if tail == NULL:
        return BROKEN
    soa = reader_over(tail, size)
    if not _read_prefix(&soa, zone.mname, &zone.mname_len) or not _read_prefix(&soa, zone.rname, &zone.rname_len):
        return BROKEN
    tail = read_octets(&soa, sizeof(zone.soa_tail))
    if tail == NULL or soa.pos != size:
        return BROKEN
    memcpy(zone.soa_tail, tail, sizeof(zone.soa_tail))
    node = path_to(table, name, path, &depth, True)
    kept = zone_at(table, node) if node != NULL else NULL
    if kept == NULL:
        return NO_MEMORY
    kept[0] = zone
    return OK


cdef Status _put_primary(Table* table, Reader* reader) noexcept nogil:
    cdef uint16_t name_len
    cdef const uint8_t* name = _read_name(reader, &name_len)
    if name == NULL:
        return BROKEN
    memcpy(table.primary, name, name_len)
    table.primary_len = name_len
    return OK


cdef Status _apply_one(Table* table, Reader* reader) noexcept nogil:
    cdef uint8_t operation = read_u8(reader)
    if operation == PUT:
        return _put(table, reader)
    if operation == REMOVE:
        return _remove(table, reader)
    if operation == ZONE:
        return _put_zone(table, reader)
    if operation == PRIMARY:
        return _put_primary(table, reader)
    if operation == SERIAL:
        table.serial = read_u32(reader)
    elif operation == SYNCED:
        table.is_synced = read_u8(reader) != 0
    else:
        return BROKEN
    return BROKEN if reader.failed else OK


cdef Status _apply_all(Table* table, Reader* reader, size_t* good) noexcept nogil:
    """Apply operations to the end; `good` becomes the position of the one that failed."""
    cdef Status status
    while reader.pos < reader.size:
        good[0] = reader.pos
        status = _apply_one(table, reader)
        if status != OK:
            return status
    return OK


# --- entries of kube-dns's tree ---------------------------------------------------------------------------------------

cdef inline bint _is_entry(const Node* node) noexcept nogil:
    return node.data != NULL and (node.data.flags & ENTRY) != 0


cdef inline bint _is_star(const uint8_t* label) noexcept nogil:
    return label[0] == 1 and label[1] == 42


cdef list _describe_sets(const NameData* data):
    """[(type, form, ttl, count, octets)] of what a name holds."""
    cdef uint8_t index
    return [
        (sets_of(data)[index].rtype, sets_of(data)[index].form, sets_of(data)[index].ttl, sets_of(data)[index].count,
         octets_of(data, &sets_of(data)[index])[:sets_of(data)[index].size])
        for index in range(data.set_count)
    ]


cdef class _EntrySearch:
    """A bounded walk over the nodes that a name with stars means."""

    cdef const Table* table
    cdef uint8_t name_key[KEY_ROOM]
    cdef uint8_t label_at[LABELS_MAX]
    cdef uint32_t budget        # names that may still be looked at
    cdef list found

    cdef bint _spend(self):
        if self.budget == 0:
            return False
        self.budget -= 1
        return True

    cdef void _take_entry(self, const Node* node, bytes above):
        self.found.append((label_of(node)[:node.label_len + 1] + above, _describe_sets(node.data)))

    cdef void _take_entries(self, const Node* node, bytes above):
        """All entries right below a node, whose name is `above`."""
        cdef uint32_t slot
        cdef const Node* child
        for slot in range(node.child_capacity):
            child = node.children[slot].node
            if child != NULL and self._spend() and _is_entry(child):
                self._take_entry(child, above)

    cdef void _step(self, const Node* node, bytes above, uint8_t left):
        """Go on below a node with `left` labels of the name left of its own."""
        cdef const uint8_t* label = self.name_key + self.label_at[left - 1]
        cdef const Node* child
        cdef uint32_t slot
        if left == 1 and _is_star(label):
            self._take_entries(node, above)
        elif _is_star(label):
            for slot in range(node.child_capacity):
                child = node.children[slot].node
                if child == NULL or label_of(child)[1] == 95 or _is_entry(child):      # `_`
                    continue
                if not self._spend():
                    return
                self._step(child, label_of(child)[:child.label_len + 1] + above, left - 1)
        else:
            child = find_child(self.table, node, label)
            if child == NULL or not self._spend():
                return
            if left > 1:
                if not _is_entry(child):
                    self._step(child, label_of(child)[:child.label_len + 1] + above, left - 1)
            elif _is_entry(child):
                self._take_entry(child, above)
            else:
                self._take_entries(child, label_of(child)[:child.label_len + 1] + above)


# --- for Python -----------------------------------------------------------------------------------------------------

cdef class NameTable:
    """One plugin's names: the live table, and beside it, while a snapshot comes in, the next one."""

    def __cinit__(self):
        self.live = new_table(int.from_bytes(os.urandom(8), "big"))
        self.fresh = self.retired = NULL
        if self.live == NULL:
            raise MemoryError

    def __dealloc__(self):
        free_all(self.live)
        free_all(self.fresh)
        free_all(self.retired)

    def begin_snapshot(self):
        """What apply() gets from now on fills a new table beside the live one."""
        free_all(self.fresh)
        self.fresh = new_table(int.from_bytes(os.urandom(8), "big"))
        if self.fresh == NULL:
            raise MemoryError

    def end_snapshot(self):
        """Swap the new table in. The replaced one is freed by reclaim(), in steps."""
        if self.fresh == NULL:
            raise TableError("end of a snapshot that was not begun")
        free_all(self.retired)
        self.retired = self.live
        self.live = self.fresh
        self.fresh = NULL

    def reclaim(self, uint32_t budget):
        """Free up to `budget` names of a replaced table. True: there is more to free."""
        if self.retired != NULL and free_some(self.retired, budget):
            self.retired = NULL
        return self.retired != NULL

    def apply(self, delta not None):
        """Apply a delta. Raises TableError with the operation's offset; what stands before it has been applied."""
        cdef bytearray copy = bytearray(delta)      # also: a Service's block gets its bits of repetition here
        cdef Reader reader = reader_over(<const uint8_t*>copy, <size_t>len(copy))
        cdef Table* table = self.live if self.fresh == NULL else self.fresh
        cdef size_t good = 0
        cdef Status status
        with nogil:
            status = _apply_all(table, &reader, &good)
        if status == NO_MEMORY:
            raise MemoryError
        if status != OK:
            raise TableError(f"operation {copy[good]} at octet {good} of a delta of {len(copy)} is broken")

    def stats(self):
        """{names, nodes, octets, serial, synced} of the live table."""
        return {
            "names": self.live.names,
            "nodes": self.live.nodes,
            "octets": self.live.octets,
            "serial": self.live.serial,
            "synced": bool(self.live.is_synced),
        }

    def find(self, bytes name not None):
        """Look a canonical wire name up: None outside every zone, else (zone, labels not found, holds data, set
        types)."""
        cdef Match match
        cdef uint8_t name_key[KEY_ROOM]
        cdef uint8_t label_at[LABELS_MAX]
        cdef uint8_t count
        cdef const NameData* data
        if not is_whole_name(<const uint8_t*>name, <size_t>len(name), True):
            raise ValueError("not a canonical name on the wire")
        count = copy_key(<const uint8_t*>name, name_key, label_at)
        find_name(self.live, name_key, label_at, count, &match)
        if match.zone == NULL:
            return None
        data = match.node.data
        types = [] if data == NULL else [sets_of(data)[i].rtype for i in range(data.set_count)]
        return match.zone.name[:match.zone.name_len], match.remaining, data != NULL, types

    def entries(self, bytes name not None, uint32_t limit):
        """The entries that a name of kube-dns's tree means: itself if it is an ENTRY, those below it if it is a node.

        A label `*` stands for each node that doesn't begin with `_`; as the first label for all entries. At most
        `limit` names are looked at.
        """
        cdef _EntrySearch search = _EntrySearch()
        cdef uint8_t count
        if not is_whole_name(<const uint8_t*>name, <size_t>len(name), True):
            raise ValueError("not a canonical name on the wire")
        count = copy_key(<const uint8_t*>name, search.name_key, search.label_at)
        search.table = self.live
        search.budget = limit
        search.found = []
        if count:
            search._step(self.live.root, b"\0", count)
        return search.found

    def holds(self, bytes name not None):
        """What a canonical wire name holds: (flags, sets as in `entries`); None: nothing."""
        cdef Node* path[LABELS_MAX]
        cdef uint8_t depth
        cdef const Node* node
        if not is_whole_name(<const uint8_t*>name, <size_t>len(name), True):
            raise ValueError("not a canonical name on the wire")
        node = path_to(self.live, <const uint8_t*>name, path, &depth, False)
        return None if node == NULL or node.data == NULL else (node.data.flags, _describe_sets(node.data))
