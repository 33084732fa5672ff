"""The configuration compiled: server blocks, their steps, and the tables, caches and upstreams that these name.

Built once, before the first query; then only the contents of tables and caches change.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastdns._askers cimport AlarmRing, Peer
from fastdns._counters cimport Counters
from fastdns._inflight cimport Inflight
from fastdns._local cimport TtlBounds
from fastdns._trie cimport Table

cdef enum:
    STEPS_MAX = 32
    BLOCKS_MAX = 4096
    UDP_MAX = 4096          # octets of an answer over UDP, whatever is configured

cpdef enum StepKind:
    STEP_TABLE = 0
    STEP_CACHE = 1
    STEP_FORWARD = 2
    STEP_PYTHON = 3

cdef enum Bounds:           # when a block's cache bounds the TTLs of its tables
    BOUNDS_NEVER = 0        # it has none
    BOUNDS_ALWAYS = 1
    BOUNDS_BY_NAME = 2      # in the cache's zones

cdef struct ZoneList:
    uint8_t* octets         # owned; each: u16 size, canonical name
    size_t size

cdef struct Step:
    StepKind kind
    uint32_t index          # of the table, cache or group
    ZoneList zones          # TABLE: fallthrough; FORWARD: from
    ZoneList excluded       # FORWARD
    uint16_t qtype          # PYTHON: 0 for every type
    uint32_t next_rcodes    # FORWARD: bits of rcodes that go to the next step
    bint next_on_nodata

cdef struct Block:
    uint8_t zone[256]       # canonical
    uint16_t zone_len
    uint32_t number         # of the block in its Plan
    uint16_t udp_max
    bint rotates
    bint logs
    Bounds has_bounds
    uint32_t cache          # whose bounds these are
    TtlBounds success
    TtlBounds denial
    bint notes_errors
    uint64_t deadline_ns    # for a question upstream, from its start
    uint64_t* slots         # its BLOCK of counters
    void* order             # an AddressOrder, borrowed from Plan.orders; NULL: none
    uint32_t unobserved     # answers of this batch whose duration is not counted yet
    uint8_t step_count
    Step steps[32]

cdef struct CacheRule:
    ZoneList zones
    ZoneList disable_success
    ZoneList disable_denial
    bint stale_verify       # ask before a stale answer is given
    uint64_t verify_ns      # how long a client waits for that; 0: until the upstreams have failed
    bint tracks_verify      # one client asks, the others get the stale answer meanwhile
    AlarmRing alarms        # who waits for verify_ns
    uint64_t* slots         # its CACHE of counters

cdef struct Group:
    uint32_t failover       # bits of rcodes
    bint in_python          # asked over TCP or TLS only
    bint stream_in_python   # what comes over TCP is asked over TCP

ctypedef void (*SendAnswer)(void* context, const Peer* peer, const uint8_t* wire, size_t size) noexcept nogil

cdef struct Listener:
    uint32_t* blocks        # owned, longest zone first
    uint32_t block_count
    SendAnswer send         # NULL: no UDP socket
    void* context

cdef class Plan:
    cdef readonly Counters counters
    cdef uint64_t* slots    # borrowed from `counters`
    cdef Inflight inflight
    cdef list tables        # of NameTable
    cdef list caches        # of Cache
    cdef list orders        # of AddressOrder
    cdef Table*** table_of  # by table number: where its live table is told
    cdef void** cache_of    # by cache number: borrowed from `caches`
    cdef CacheRule* rules   # by cache number
    cdef Group* groups      # by group number
    cdef Block** blocks
    cdef Listener* listeners
    cdef uint32_t block_count
    cdef uint32_t cache_count
    cdef uint32_t listener_count
    cdef uint32_t group_count
    cdef uint32_t askers_max

    cdef uint64_t* _slots_at(self, size_t start, size_t count) except NULL
    cdef Step* _add_step(self, uint32_t block, StepKind kind, uint32_t index) except NULL

cdef bint covers(const ZoneList* zones, const uint8_t* name_key, uint16_t name_len) noexcept nogil
cdef inline bint has_rcode(uint32_t bits, uint16_t rcode) noexcept nogil:
    return rcode < 32 and (bits >> rcode) & 1
