"""The configuration compiled: server blocks, their steps, and the tables, caches and upstreams that these name."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset

import struct

from fastdns._askers cimport free_alarms, make_alarms
from fastdns._cache cimport DENIAL, SUCCESS, Cache
from fastdns._counters cimport BLOCK_SLOTS, CACHE_SLOTS, SYSTEM_SLOTS, SYSTEMS, WORKER_UNDECIDED, Counters, System
from fastdns._inflight cimport Inflight
from fastdns._encode cimport TtlBounds
from fastdns._order cimport AddressOrder
from fastdns._names cimport NameTable
from fastdns._packet cimport EDE_NONE, EDE_NOT_READY, NAME_MAX, REFUSED, SERVFAIL, UDP_MIN, UDP_OURS, is_below
from fastdns._rules cimport free_rules, make_rules
from fastdns._trie cimport Table
from fastdns._wire cimport load_u16


cdef enum:
    STAR = 42

# --- lists of zones -------------------------------------------------------------------------------------------------

cdef bint _has_ending(const uint8_t* name_key, uint16_t name_len, const uint8_t* zone, uint16_t zone_len) noexcept nogil:
    """True if the name is in a zone `*END.REST`: a label of it that ends so stands before REST (dnsmasq)."""
    cdef uint16_t rest_len = zone_len - zone[0] - 1
    cdef uint8_t end_len = zone[0] - 1
    cdef uint16_t at = 0
    if name_len <= rest_len or not is_below(name_key, name_len, zone + 1 + zone[0], rest_len):
        return False
    while at + 1 + name_key[at] < name_len - rest_len:
        at += name_key[at] + 1
    return name_key[at] >= end_len and memcmp(name_key + at + 1 + name_key[at] - end_len, zone + 2, end_len) == 0


cdef bint covers(const ZoneList* zones, const uint8_t* name_key, uint16_t name_len) noexcept nogil:
    """True if the name is at or below one of the zones."""
    cdef size_t at = 0
    cdef uint16_t size
    while at + 2 <= zones.size:
        size = load_u16(zones.octets + at)
        if is_below(name_key, name_len, zones.octets + at + 2, size):
            return True
        if size > 2 and zones.octets[at + 3] == STAR and _has_ending(name_key, name_len, zones.octets + at + 2, size):
            return True
        at += <size_t>size + 2
    return False


cdef ZoneList _zone_list(names) except *:
    """Copy canonical wire names. Raises ValueError: one is none."""
    cdef ZoneList zones
    cdef bytes packed
    for name in names:
        if not isinstance(name, bytes) or not 0 < len(name) <= NAME_MAX or not name.endswith(b"\0"):
            raise ValueError(f"not a canonical name on the wire: {name!r}")
    packed = b"".join(struct.pack("!H", len(name)) + name for name in names)
    zones.size = <size_t>len(packed)
    zones.octets = NULL
    if zones.size:
        zones.octets = <uint8_t*>malloc(zones.size)
        if zones.octets == NULL:
            raise MemoryError
        memcpy(zones.octets, <const uint8_t*>packed, zones.size)
    return zones


cdef uint32_t _rcode_bits(rcodes) except *:
    """A bit for each rcode; RFC 1035's and 2136's are all below 32."""
    cdef uint32_t bits = 0
    for rcode in rcodes:
        if not 0 <= rcode < 32:
            raise ValueError(f"rcode {rcode} is not below 32")
        bits |= <uint32_t>1 << <uint32_t>rcode
    return bits


cdef TtlBounds _bounds_of(Cache cache, uint32_t side) noexcept:
    cdef TtlBounds bounds
    bounds.low = cache.options.sides[side].min_ttl
    bounds.high = cache.options.sides[side].max_ttl
    return bounds


cdef void _check_name(bytes name) except *:
    if not 0 < len(name) <= NAME_MAX or not name.endswith(b"\0"):
        raise ValueError(f"not a canonical name on the wire: {name!r}")


cdef class Plan:
    """What one worker answers from, as its configuration says."""

    def __cinit__(self, Counters counters not None, *, uint32_t inflight_max=16384):
        self.counters = counters
        self.slots = counters.slots
        if counters.count < <size_t>WORKER_UNDECIDED + BLOCK_SLOTS:
            raise ValueError(f"{counters.count} counters are too few")
        self.inflight = Inflight(inflight_max)
        self.askers_max = inflight_max
        self.tables = []
        self.caches = []
        self.orders = []
        self.blocks = <Block**>calloc(BLOCKS_MAX, sizeof(Block*))
        if self.blocks == NULL:
            raise MemoryError

    def __dealloc__(self):
        cdef uint32_t index
        cdef uint8_t step
        for index in range(self.block_count):
            for step in range(self.blocks[index].step_count):
                free(self.blocks[index].steps[step].zones.octets)
                free(self.blocks[index].steps[step].excluded.octets)
            free_rules(self.blocks[index].rules)
            free(self.blocks[index].unblocked.octets)
            free(self.blocks[index])
        for index in range(self.listener_count):
            free(self.listeners[index].blocks)
        for index in range(self.cache_count):
            free_alarms(&self.rules[index].alarms)
            free(self.rules[index].zones.octets)
            free(self.rules[index].disable_success.octets)
            free(self.rules[index].disable_denial.octets)
        free(self.blocks)
        free(self.listeners)
        free(self.groups)
        free(self.spreads)
        free(self.rules)
        free(self.table_of)
        free(self.cache_of)

    cdef uint64_t* _slots_at(self, size_t start, size_t count) except NULL:
        if start + count > self.counters.count:
            raise ValueError(f"counters {start} to {start + count} are out of range")
        return self.counters.slots + start

    def add_table(self):
        """A name table, empty and not synced; its number."""
        cdef size_t count = <size_t>len(self.tables)
        cdef NameTable table = NameTable()
        cdef Table*** grown = <Table***>realloc(self.table_of, (count + 1) * sizeof(Table**))
        if grown == NULL:
            raise MemoryError
        self.table_of = grown
        grown[count] = &table.live
        self.tables.append(table)
        return count

    def add_cache(self, *, success, denial, size_t max_octets, uint32_t servfail_ttl, uint32_t stale_for,
                  bint stale_verify, prefetch, bint keep_ttl, zones, disable_success, disable_denial, size_t counters,
                  uint64_t verify_timeout_ms=0, uint32_t stale_ttl=0, uint32_t recheck=0, bint prefer_positive=False,
                  bint by_record=False, types=(), uint32_t negative_ttl=0):
        """A cache; its number. See _plan.pyi for the arguments."""
        cdef size_t count = <size_t>len(self.caches)
        cdef CacheRule* rules = <CacheRule*>realloc(self.rules, (count + 1) * sizeof(CacheRule))
        cdef void** grown
        cdef Cache cache
        if rules == NULL:
            raise MemoryError
        self.rules = rules
        grown = <void**>realloc(self.cache_of, (count + 1) * sizeof(void*))
        if grown == NULL:
            raise MemoryError
        self.cache_of = grown
        memset(&rules[count], 0, sizeof(CacheRule))
        rules[count].stale_verify = stale_verify
        rules[count].keeps_records = by_record
        rules[count].slots = self._slots_at(counters, CACHE_SLOTS)
        cache = Cache(
            success=success, denial=denial, max_octets=max_octets, servfail_ttl=servfail_ttl, stale_for=stale_for,
            stale_ttl=stale_ttl, recheck=recheck, prefer_positive=prefer_positive, prefetch=prefetch, keep_ttl=keep_ttl,
            by_record=by_record, types=types, negative_ttl=negative_ttl,
        )
        if verify_timeout_ms and not make_alarms(&rules[count].alarms, self.askers_max):
            raise MemoryError
        rules[count].verify_ns = verify_timeout_ms * 1000000
        rules[count].tracks_verify = verify_timeout_ms > 0 or recheck > 0
        grown[count] = <void*>cache
        self.caches.append(cache)
        self.cache_count += 1
        rules[count].zones = _zone_list(zones)
        rules[count].disable_success = _zone_list(disable_success)
        rules[count].disable_denial = _zone_list(disable_denial)
        return count

    def cache(self, size_t number):
        """A cache by its number."""
        return self.caches[number]

    def add_group(self, upstreams, *, failover, again=(), bint in_python, bint stream_in_python=True, **options):
        """The upstreams of one forward plugin; its number. `options` are Inflight.add_group's."""
        cdef uint32_t count = self.group_count
        cdef Group* groups = <Group*>realloc(self.groups, (count + 1) * sizeof(Group))
        if groups == NULL:
            raise MemoryError
        self.groups = groups
        groups[count].failover = _rcode_bits(failover)
        groups[count].again = _rcode_bits(again)
        groups[count].in_python = in_python
        groups[count].passes_on = False
        groups[count].stream_in_python = stream_in_python
        number = self.inflight.add_group(upstreams, counters=self.counters, **options)
        if number != count:
            raise RuntimeError(f"group {count} became {number} in flight")
        self.group_count += 1
        return count

    def add_block(self, bytes zone not None, *, uint16_t udp_max, bint rotate, uint64_t deadline_ms, bint log,
                  bint errors, size_t counters):
        """A server block; its number."""
        cdef Block* block
        cdef uint64_t* slots
        _check_name(zone)
        if self.block_count == BLOCKS_MAX:
            raise ValueError(f"more than {BLOCKS_MAX} server blocks")
        slots = self._slots_at(counters, BLOCK_SLOTS)
        block = <Block*>calloc(1, sizeof(Block))
        if block == NULL:
            raise MemoryError
        block.number = self.block_count
        self.blocks[self.block_count] = block
        self.block_count += 1
        memcpy(block.zone, <const uint8_t*>zone, <size_t>len(zone))
        block.zone_len = <uint16_t>len(zone)
        block.udp_max = udp_max if UDP_MIN <= udp_max <= UDP_MAX else UDP_OURS
        block.rotates = rotate
        block.logs = log
        block.notes_errors = errors
        block.deadline_ns = deadline_ms * 1000000
        block.slots = slots
        block.end_rcode = SERVFAIL
        block.end_ede = EDE_NONE
        return self.block_count - 1

    def set_manners(self, uint32_t block, uint16_t manners, *, uint32_t gate=0):
        """Have a block behave as kube-dns or dnsmasq does. See _plan.pyi for the arguments."""
        if block >= self.block_count:
            raise IndexError(f"no block {block}")
        if manners & REFUSE_UNSYNCED:
            self.tables[gate]
        self.blocks[block].manners = manners
        self.blocks[block].gate = gate
        if manners & NOTIFY_AS_QUERY:
            self.takes_notify = True
        if manners & END_REFUSED:
            self.blocks[block].end_rcode = REFUSED
        if manners & END_NOT_READY:
            self.blocks[block].end_ede = EDE_NOT_READY

    def count_system(self, uint32_t block, System system, *, size_t counters):
        """Count what a block answers as kube-dns does. See _plan.pyi."""
        if block >= self.block_count:
            raise IndexError(f"no block {block}")
        self.blocks[block].systems = self._slots_at(counters, <size_t>SYSTEMS * SYSTEM_SLOTS)
        self.blocks[block].system = system

    def set_order(self, uint32_t block, AddressOrder order not None):
        """Put the addresses of a block's answers in order."""
        if block >= self.block_count:
            raise IndexError(f"no block {block}")
        self.orders.append(order)
        self.blocks[block].order = <void*>order

    def log_answers(self, uint32_t block):
        """Have log records of a block hold the whole answer instead of the query."""
        if block >= self.block_count:
            raise IndexError(f"no block {block}")
        self.blocks[block].logs = self.blocks[block].logs_answers = True

    def set_rules(self, uint32_t block, *, unblocked, **described):
        """Rules for the replies that a block gets. See _plan.pyi."""
        if block >= self.block_count or self.blocks[block].rules != NULL:
            raise IndexError(f"no block {block} without rules")
        self.blocks[block].unblocked = _zone_list(unblocked)
        self.blocks[block].rules = make_rules(described)
        self.has_rules = True

    def add_spread(self, uint32_t first, uint32_t count, *, failover, bint always):
        """`count` groups of one upstream from `first` on that are asked at once; its number."""
        cdef Spread* spreads
        if count == 0 or first + count > self.group_count or self.spread_count == 255:
            raise IndexError(f"no groups {first} to {first + count}")
        spreads = <Spread*>realloc(self.spreads, (<size_t>self.spread_count + 1) * sizeof(Spread))
        if spreads == NULL:
            raise MemoryError
        self.spreads = spreads
        memset(&spreads[self.spread_count], 0, sizeof(Spread))
        spreads[self.spread_count].first = first
        spreads[self.spread_count].count = count
        spreads[self.spread_count].favourite = count
        spreads[self.spread_count].failover = _rcode_bits(failover)
        spreads[self.spread_count].always = always
        self.spread_count += 1
        return self.spread_count - 1

    cdef Step* _add_step(self, uint32_t block, StepKind kind, uint32_t index) except NULL:
        cdef Step* step
        if block >= self.block_count:
            raise IndexError(f"no block {block}")
        if self.blocks[block].step_count == STEPS_MAX:
            raise ValueError(f"more than {STEPS_MAX} steps in one server block")
        step = &self.blocks[block].steps[self.blocks[block].step_count]
        memset(step, 0, sizeof(Step))
        step.kind = kind
        step.index = index
        self.blocks[block].step_count += 1
        return step

    def add_table_step(self, uint32_t block, uint32_t table, *, fallthrough):
        cdef Step* step
        self.tables[table]
        step = self._add_step(block, STEP_TABLE, table)
        step.zones = _zone_list(fallthrough)
        return self.blocks[block].step_count - 1

    def add_cache_step(self, uint32_t block, uint32_t cache):
        cdef Cache added = self.caches[cache]
        cdef Block* its = self.blocks[block] if block < self.block_count else NULL
        self._add_step(block, STEP_CACHE, cache)
        if its.has_bounds == BOUNDS_NEVER:
            its.has_bounds = BOUNDS_ALWAYS if covers(&self.rules[cache].zones, its.zone, its.zone_len) else BOUNDS_BY_NAME
            its.cache = cache
            its.success = _bounds_of(added, SUCCESS)
            its.denial = _bounds_of(added, DENIAL)
            if self.rules[cache].keeps_records:         # what tables hold stays as it is
                its.success.low = its.denial.low = 1
                its.success.high = its.denial.high = 0
        return its.step_count - 1

    def add_forward_step(self, uint32_t block, uint32_t group, *, bytes zone not None, excluded, next_rcodes,
                         bint next_on_nodata, uint8_t labels_min=0, more_zones=(), bint is_undotted=False, spread=None):
        cdef Step* step
        if group >= self.group_count:
            raise IndexError(f"no group {group}")
        step = self._add_step(block, STEP_FORWARD, group)
        if spread is not None:
            if spread >= self.spread_count:
                raise IndexError(f"no spread {spread}")
            step.spread = spread + 1
        step.is_undotted = is_undotted
        step.zones = _zone_list([zone, *more_zones])
        step.excluded = _zone_list(excluded)
        step.next_rcodes = _rcode_bits(next_rcodes)
        step.next_on_nodata = next_on_nodata
        step.labels_min = labels_min
        if self.blocks[block].manners & PASS_ON:
            self.groups[group].passes_on = True
        return self.blocks[block].step_count - 1

    def add_undotted_step(self, uint32_t block):
        self._add_step(block, STEP_UNDOTTED, 0)
        return self.blocks[block].step_count - 1

    def add_classes_step(self, uint32_t block):
        """Every query of another class than IN leaves as SLOW_STEP; it may be resumed at a later step."""
        self._add_step(block, STEP_CLASSES, 0)
        self.blocks[block].classes_at = self.blocks[block].step_count
        return self.blocks[block].step_count - 1

    def add_python_step(self, uint32_t block, *, uint16_t qtype=0, zones=(), bytes first_label not None=b""):
        """A coroutine plugin: every query of `qtype` (0: every query), below `zones` if there are any, whose name begins
        with `first_label` if there is one, that gets here leaves as SLOW_STEP."""
        cdef Step* step = self._add_step(block, STEP_PYTHON, 0)
        step.qtype = qtype
        if <size_t>len(first_label) >= sizeof(step.first_label):
            raise ValueError(f"a label of {len(first_label)} octets")
        if first_label:
            step.first_label[0] = <uint8_t>len(first_label)
            memcpy(step.first_label + 1, <const uint8_t*>first_label, <size_t>len(first_label))
        step.zones = _zone_list(zones)
        return self.blocks[block].step_count - 1

    def add_listener(self, blocks, *, server_port=0):
        """The blocks that a socket's queries may belong to; the longest zone wins."""
        cdef Listener* listeners = <Listener*>realloc(self.listeners, (self.listener_count + 1) * sizeof(Listener))
        cdef Listener* listener
        cdef uint32_t index
        if listeners == NULL:
            raise MemoryError
        self.listeners = listeners
        for index in blocks:
            if index >= self.block_count:
                raise IndexError(f"no block {index}")
        ordered = sorted(blocks, key=self._zone_len_of, reverse=True)
        listener = &listeners[self.listener_count]
        memset(listener, 0, sizeof(Listener))
        listener.blocks = <uint32_t*>calloc(<size_t>len(ordered) + 1, sizeof(uint32_t))
        if listener.blocks == NULL:
            raise MemoryError
        for index in ordered:
            listener.blocks[listener.block_count] = index
            listener.block_count += 1
        self.listener_count += 1
        return self.listener_count - 1

    def _zone_len_of(self, uint32_t block):
        return self.blocks[block].zone_len

    # --- tables -----------------------------------------------------------------------------------------------------

    def begin_snapshot(self, size_t table):
        """What apply() gets from now on fills a new table beside the live one."""
        self.tables[table].begin_snapshot()

    def apply(self, size_t table, delta not None):
        """Apply a delta. Raises TableError."""
        self.tables[table].apply(delta)

    def end_snapshot(self, size_t table):
        """Swap the new table in."""
        self.tables[table].end_snapshot()

    def entries(self, size_t table, bytes name not None, uint32_t limit):
        """NameTable.entries of a table."""
        return self.tables[table].entries(name, limit)

    def holds(self, size_t table, bytes name not None):
        """NameTable.holds of a table."""
        return self.tables[table].holds(name)

    def table_stats(self, size_t table):
        """{names, nodes, octets, serial, synced} of a table."""
        return self.tables[table].stats()
