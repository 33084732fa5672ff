"""The name table: a trie over labels from the root down; every node's children in a small hash table.

A look-up walks the question's labels from the right, one probe each, and so finds the zone, the name, or the deepest
node on the way to it in one pass. Growing touches one node's children only: no pause grows with the table.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memset

import os

from fastdns.errors import TableError

from fastdns._packet cimport AA, KEY_ROOM, LABELS_MAX, NAME_MAX, RA, copy_key
from fastdns._prefetch cimport CACHE_LINE, fetch_ahead
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
from fastdns._wire cimport (
    Reader,
    read_octets,
    read_u8,
    read_u16,
    read_u32,
    reader_over,
)

cdef enum:
    LABEL_MAX = 63
    LABELS_KEPT = 64        # octets of an SOA's name before its zone


# --- hashing --------------------------------------------------------------------------------------------------------

cdef extern from * nogil:
    """
    static inline uint64_t fastdns_fold(uint64_t left, uint64_t right) {
        __uint128_t product = (__uint128_t)left * right;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    """
    uint64_t _fold "fastdns_fold" (uint64_t left, uint64_t right)       # both halves of the product, one over the other


cdef inline uint64_t _load_eight(const uint8_t* octets) noexcept nogil:
    cdef uint64_t word
    memcpy(&word, octets, 8)
    return word


cdef inline uint64_t _load_word(const uint8_t* octets, size_t size) noexcept nogil:
    """The first of `size` octets (at least one) as a word, zeros behind them. Eight are read however few they are."""
    return _load_eight(octets) & (<uint64_t>-1 >> (64 - 8 * min(size, <size_t>8)))


cdef inline uint64_t _head_of(const uint8_t* label) noexcept nogil:
    """A label's first word, its length octet in it: all of a short label."""
    return _load_word(label, <size_t>label[0] + 1)


cdef inline uint32_t _hash_label(uint64_t seed, const uint8_t* label, uint64_t head) noexcept nogil:
    """Hash a label, a word a step; seeded, so that nobody can choose colliding names."""
    cdef uint64_t value = _fold(head ^ seed, 0x9E3779B97F4A7C15u)
    cdef size_t size = <size_t>label[0] + 1
    cdef size_t at = 8
    while at < size:
        value = _fold(value ^ _load_word(label + at, size - at), 0xC4CEB9FE1A85EC53u)
        at += 8
    return <uint32_t>value


# --- nodes ----------------------------------------------------------------------------------------------------------

cdef inline uint8_t* _label_of(const Node* node) noexcept nogil:
    """The node's label, with its length octet."""
    return <uint8_t*>&node.label_len


cdef inline size_t _size_of(uint8_t label_len) noexcept nogil:
    """Octets of a node: its label is kept in whole words, with zeros behind it."""
    return sizeof(Node) + ((<size_t>label_len + 8) & ~<size_t>7)


cdef inline bint _has_label(const Node* node, const uint8_t* label, uint64_t head) noexcept nogil:
    cdef const uint8_t* own = _label_of(node)
    cdef size_t size = <size_t>label[0] + 1
    cdef size_t at = 8
    if _load_eight(own) != head:
        return False
    while at < size:
        if _load_eight(own + at) != _load_word(label + at, size - at):
            return False
        at += 8
    return True


cdef inline const Node* _probe(const Node* node, const uint8_t* label, uint64_t head, uint32_t hash) noexcept nogil:
    cdef uint32_t mask = node.child_capacity - 1
    cdef uint32_t slot = hash & mask
    cdef uint32_t left = node.child_capacity
    cdef const Child* child
    while left:
        left -= 1
        child = &node.children[slot]
        if child.node == NULL:
            return NULL
        if child.hash == hash and _has_label(child.node, label, head):
            return child.node
        slot = (slot + 1) & mask
    return NULL


cdef const Node* find_child(const Table* table, const Node* node, const uint8_t* label) noexcept nogil:
    """The child with this canonical label (length octet first), or NULL."""
    cdef uint64_t head
    if node.child_count == 0:
        return NULL
    head = _head_of(label)
    return _probe(node, label, head, _hash_label(table.hash_seed, label, head))


cdef Node* _new_node(Table* table, const uint8_t* label) noexcept nogil:
    cdef size_t size = _size_of(label[0])
    cdef Node* node = <Node*>calloc(1, size)
    if node == NULL:
        return NULL
    memcpy(_label_of(node), label, <size_t>label[0] + 1)
    table.nodes += 1
    table.octets += size
    return node


cdef void _place(Child* children, uint32_t capacity, Node* node, uint32_t hash) noexcept nogil:
    cdef uint32_t slot = hash & (capacity - 1)
    while children[slot].node != NULL:
        slot = (slot + 1) & (capacity - 1)
    children[slot].node = node
    children[slot].hash = hash


cdef bint _resize(Table* table, Node* node, uint32_t capacity) noexcept nogil:
    """Give a node's children another capacity. False: out of memory, and nothing changed."""
    cdef Child* children = <Child*>calloc(capacity, sizeof(Child))
    cdef uint32_t slot
    if children == NULL:
        return False
    for slot in range(node.child_capacity):
        if node.children[slot].node != NULL:
            _place(children, capacity, node.children[slot].node, node.children[slot].hash)
    free(node.children)
    table.octets += (<size_t>capacity - node.child_capacity) * sizeof(Child)
    node.children = children
    node.child_capacity = capacity
    return True


cdef Node* _add_child(Table* table, Node* node, const uint8_t* label) noexcept nogil:
    """The child with this label, made if it isn't there. NULL: out of memory."""
    cdef uint64_t head = _head_of(label)
    cdef uint32_t hash = _hash_label(table.hash_seed, label, head)
    cdef Node* child
    if node.child_count:
        child = <Node*>_probe(node, label, head, hash)
        if child != NULL:
            return child
    # Full up to 3/4, but for the smallest: most nodes have one child or two.
    if node.child_count >= node.child_capacity - (node.child_capacity >> 2):
        if not _resize(table, node, node.child_capacity * 2 if node.child_capacity else 1):
            return NULL
    child = _new_node(table, label)
    if child != NULL:
        _place(node.children, node.child_capacity, child, hash)
        node.child_count += 1
    return child


cdef void _remove_child(Table* table, Node* node, Node* child) noexcept nogil:
    """Free a child without children of its own, and close the gap in the probe sequence."""
    cdef uint32_t mask = node.child_capacity - 1
    cdef uint8_t* label = _label_of(child)
    cdef uint32_t hole = _hash_label(table.hash_seed, label, _head_of(label)) & mask
    cdef uint32_t slot
    while node.children[hole].node != child:
        hole = (hole + 1) & mask
    node.children[hole].node = NULL
    slot = (hole + 1) & mask
    while node.children[slot].node != NULL and slot != hole:
        if ((slot - node.children[slot].hash) & mask) >= ((slot - hole) & mask):
            node.children[hole] = node.children[slot]
            node.children[slot].node = NULL
            hole = slot
        slot = (slot + 1) & mask
    node.child_count -= 1
    _free_node(table, child)
    if node.child_count == 0:
        table.octets -= node.child_capacity * sizeof(Child)
        free(node.children)
        node.children = NULL
        node.child_capacity = 0


cdef void _free_data(Table* table, Node* node) noexcept nogil:
    if node.data != NULL:
        table.octets -= data_size(node.data)
        table.names -= 1
        free(node.data)
        node.data = NULL


cdef void _free_node(Table* table, Node* node) noexcept nogil:
    _free_data(table, node)
    table.nodes -= 1
    table.octets -= _size_of(node.label_len) + node.child_capacity * sizeof(Child)
    free(node.children)
    free(node)


# --- tables ---------------------------------------------------------------------------------------------------------

cdef Table* _new_table(uint64_t seed) noexcept nogil:
    cdef uint8_t root_label[8]
    cdef Table* table = <Table*>calloc(1, sizeof(Table))
    if table == NULL:
        return NULL
    table.hash_seed = seed
    table.primary_len = 1
    memset(root_label, 0, sizeof(root_label))
    table.root = _new_node(table, root_label)
    if table.root == NULL:
        free(table)
        return NULL
    return table


cdef bint _free_some(Table* table, uint32_t budget) noexcept nogil:
    """Free up to `budget` nodes of a table that nobody reads any more, leaves first. True: all is freed, `table` too.
    """
    cdef Node* parent
    cdef Node* node
    cdef Child* last
    while budget:
        budget -= 1
        parent = NULL
        node = table.root
        while node.child_capacity:
            last = &node.children[node.child_capacity - 1]
            if last.node == NULL:
                node.child_capacity -= 1            # the capacity is the cursor: nobody looks anything up here any more
                continue
            parent = node
            node = last.node
        free(node.children)
        free(node.data)
        free(node)
        if parent == NULL:
            free(table.zones)
            free(table)
            return True
        parent.children[parent.child_capacity - 1].node = NULL
    return False


cdef void _free_all(Table* table) noexcept nogil:
    if table != NULL:
        while not _free_some(table, 1 << 20):
            pass


cdef Node* _path_to(Table* table, const uint8_t* name, Node** path, uint8_t* depth, bint make) noexcept nogil:
    """The name's node, and in `path` its ancestors from the root. NULL: not there, or (make) out of memory."""
    cdef uint8_t name_key[KEY_ROOM]
    cdef uint8_t label_at[LABELS_MAX]
    cdef uint8_t count = copy_key(name, name_key, label_at)
    cdef Node* node = table.root
    depth[0] = 0
    while count:
        count -= 1
        path[depth[0]] = node
        depth[0] += 1
        if make:
            node = _add_child(table, node, name_key + label_at[count])
        else:
            node = <Node*>find_child(table, node, name_key + label_at[count])
        if node == NULL:
            return NULL
    return node


cdef void _prune(Table* table, Node* node, Node** path, uint8_t depth) noexcept nogil:
    """Free a node that holds nothing and has nothing below it, and then its parents likewise."""
    while depth and node.data == NULL and node.child_count == 0 and node.zone == 0:
        depth -= 1
        _remove_child(table, path[depth], node)
        node = path[depth]


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
    node = _path_to(table, name, path, &depth, True)
    if node == NULL:
        free(data)
        return NO_MEMORY
    _free_data(table, node)
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
    node = _path_to(table, name, path, &depth, False)
    if node != NULL:
        _free_data(table, node)
        _prune(table, node, path, depth)
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


cdef Zone* _zone_at(Table* table, Node* node) noexcept nogil:
    """The zone whose apex the node is, made if it is none yet. NULL: out of memory."""
    cdef Zone* zones
    if node.zone == 0:
        zones = <Zone*>realloc(table.zones, (table.zone_count + 1) * sizeof(Zone))
        if zones == NULL:
            return NULL
        table.zones = zones
        memset(&zones[table.zone_count], 0, sizeof(Zone))
        table.zone_count += 1
        node.zone = table.zone_count
    return &table.zones[node.zone - 1]


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
    node = _path_to(table, name, path, &depth, True)
    kept = _zone_at(table, node) if node != NULL else NULL
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


# --- looking up -----------------------------------------------------------------------------------------------------
#
# A look-up is a chain of addresses that each must be read to know the next one: the child's slot, the child, what it
# holds. Memory is slow and takes several requests at a time, so the look-ups of a batch go side by side: all start,
# then all fetch their child, then their data, then end. The upper levels are few nodes, which caches keep.

cdef void start_walk(const Table* table, const uint8_t* name_key, const uint8_t* label_at, uint8_t label_count,
                     Walk* walk) noexcept nogil:
    """Walk a canonical name from the root down to its first label; ask for the slot that has the last step."""
    cdef const Node* node = table.root
    cdef const Node* above = NULL
    cdef const Node* child
    cdef const uint8_t* label
    cdef uint64_t head = 0
    cdef uint32_t hash = 0
    cdef uint16_t zone = node.zone
    cdef uint8_t zone_left = label_count
    cdef uint8_t left = label_count
    walk.child = NULL
    walk.has_hash = False
    while left and node.child_count:
        label = name_key + label_at[left - 1]
        head = _head_of(label)
        hash = _hash_label(table.hash_seed, label, head)
        if left == 1:
            walk.has_hash = True
            fetch_ahead(&node.children[hash & (node.child_capacity - 1)])
            break
        child = _probe(node, label, head, hash)
        if child == NULL:
            break
        left -= 1
        above = node
        node = child
        if child.zone:
            zone = child.zone
            zone_left = left
    walk.table = table
    walk.node = node
    walk.above = above
    walk.head = head
    walk.hash = hash
    walk.left = left
    walk.zone = zone
    walk.zone_left = zone_left


cdef void fetch_child(Walk* walk) noexcept nogil:
    """Ask for the node that the last step most likely leads to: the first with the label's hash."""
    cdef uint32_t mask, slot, left
    if not walk.has_hash:
        return
    left = walk.node.child_capacity
    mask = left - 1
    slot = walk.hash & mask
    while left and walk.node.children[slot].node != NULL and walk.node.children[slot].hash != walk.hash:
        slot = (slot + 1) & mask
        left -= 1
    walk.child = walk.node.children[slot].node
    fetch_ahead(walk.child)


cdef void fetch_data(const Walk* walk) noexcept nogil:
    """Ask for what that node holds: its head and the octets behind."""
    if walk.child != NULL and walk.child.data != NULL:
        fetch_ahead(walk.child.data)
        fetch_ahead(<const uint8_t*>walk.child.data + CACHE_LINE)


cdef void end_walk(const Walk* walk, const uint8_t* name_key, const uint8_t* label_at, uint8_t label_count,
                   Match* match) noexcept nogil:
    """Take the last step, if there is one, and say what was found."""
    cdef const Node* child = NULL
    cdef uint16_t zone = walk.zone
    cdef uint8_t zone_left = walk.zone_left
    match.node = walk.node
    match.above = walk.above
    match.remaining = walk.left
    if walk.child != NULL and _has_label(walk.child, name_key + label_at[0], walk.head):
        child = walk.child
    elif walk.has_hash:
        child = _probe(walk.node, name_key + label_at[0], walk.head, walk.hash)
    if child != NULL:
        match.above = walk.node
        match.node = child
        match.remaining = 0
        if child.zone:
            zone = child.zone
            zone_left = 0
    match.zone = &walk.table.zones[zone - 1] if zone else NULL
    match.zone_at = 0
    if zone_left == label_count and label_count:        # the root's own zone: its name is the last octet
        match.zone_at = <uint16_t>(label_at[label_count - 1] + name_key[label_at[label_count - 1]] + 1)
    elif label_count:
        match.zone_at = label_at[zone_left]


cdef void find_name(const Table* table, const uint8_t* name_key, const uint8_t* label_at, uint8_t label_count,
                    Match* match) noexcept nogil:
    """Walk a canonical name from the root as far as there are nodes."""
    cdef Walk walk
    start_walk(table, name_key, label_at, label_count, &walk)
    end_walk(&walk, name_key, label_at, label_count, match)


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
        self.found.append((_label_of(node)[:node.label_len + 1] + above, _describe_sets(node.data)))

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
                if child == NULL or _label_of(child)[1] == 95 or _is_entry(child):      # `_`
                    continue
                if not self._spend():
                    return
                self._step(child, _label_of(child)[:child.label_len + 1] + above, left - 1)
        else:
            child = find_child(self.table, node, label)
            if child == NULL or not self._spend():
                return
            if left > 1:
                if not _is_entry(child):
                    self._step(child, _label_of(child)[:child.label_len + 1] + above, left - 1)
            elif _is_entry(child):
                self._take_entry(child, above)
            else:
                self._take_entries(child, _label_of(child)[:child.label_len + 1] + above)


# --- for Python -----------------------------------------------------------------------------------------------------

cdef class NameTable:
    """One plugin's names: the live table, and beside it, while a snapshot comes in, the next one."""

    def __cinit__(self):
        self.live = _new_table(int.from_bytes(os.urandom(8), "big"))
        self.fresh = self.retired = NULL
        if self.live == NULL:
            raise MemoryError

    def __dealloc__(self):
        _free_all(self.live)
        _free_all(self.fresh)
        _free_all(self.retired)

    def begin_snapshot(self):
        """What apply() gets from now on fills a new table beside the live one."""
        _free_all(self.fresh)
        self.fresh = _new_table(int.from_bytes(os.urandom(8), "big"))
        if self.fresh == NULL:
            raise MemoryError

    def end_snapshot(self):
        """Swap the new table in. The replaced one is freed by reclaim(), in steps."""
        if self.fresh == NULL:
            raise TableError("end of a snapshot that was not begun")
        _free_all(self.retired)
        self.retired = self.live
        self.live = self.fresh
        self.fresh = NULL

    def reclaim(self, uint32_t budget):
        """Free up to `budget` names of a replaced table. True: there is more to free."""
        if self.retired != NULL and _free_some(self.retired, budget):
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
        node = _path_to(self.live, <const uint8_t*>name, path, &depth, False)
        return None if node == NULL or node.data == NULL else (node.data.flags, _describe_sets(node.data))
