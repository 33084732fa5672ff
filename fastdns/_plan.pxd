"""The configuration compiled: server blocks, their steps, and the tables, caches and upstreams that these name.

Built once, before the first query; then only the contents of tables and caches change.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastdns._askers cimport AlarmRing, Peer
from fastdns._counters cimport Counters, System
from fastdns._inflight cimport Inflight
from fastdns._encode cimport TtlBounds
from fastdns._rules cimport ReplyRules
from fastdns._trie cimport Table

cdef enum:
    STEPS_MAX = 128
    BLOCKS_MAX = 4096
    UDP_MAX = 4096          # octets of an answer over UDP, whatever is configured

cpdef enum StepKind:
    STEP_TABLE = 0
    STEP_CACHE = 1
    STEP_FORWARD = 2
    STEP_PYTHON = 3
    STEP_UNDOTTED = 4       # addresses of names of one label are denied
    STEP_CLASSES = 5        # for classes other than IN alone: Python

cdef enum Bounds:           # when a block's cache bounds the TTLs of its tables
    BOUNDS_NEVER = 0        # it has none
    BOUNDS_ALWAYS = 1
    BOUNDS_BY_NAME = 2      # in the cache's zones

cpdef enum Manner:          # of a server block that is kube-dns's, or dnsmasq's
    REFUSE_ANY = 1          # type ANY is REFUSED, with no flag set
    REFUSE_UNSYNCED = 2     # so is everything while the list of its `gate` isn't complete
    CHAOS_IN_PYTHON = 4     # class CHAOS leaves as SLOW_CHAOS
    ANY_CLASS = 8           # any other class is answered as IN
    NOTIFY_AS_QUERY = 16
    NO_OPT = 32             # answers of our own have none
    SILENT = 64             # when no upstream answers, neither do we
    PTR_ALONE = 128         # other types than PTR are counted as SYSTEM_RECURSIVE
    PASS_ON = 256           # replies go as they came: with AD, and with the authority of any zone
    ERRORS_CARRY_RA = 512
    FINDS_KNOWN = 1024      # a name that a table or the cache holds something for is never denied
    END_REFUSED = 2048      # what no step ends is REFUSED
    END_NOT_READY = 4096    # and its extended error "not ready"

cdef struct ZoneList:
    uint8_t* octets         # owned; each: u16 size, canonical name
    size_t size

cdef struct Step:
    StepKind kind
    uint32_t index          # of the table, cache or group
    ZoneList zones          # TABLE: fallthrough; FORWARD: from; PYTHON: of names that leave, empty for all
    ZoneList excluded       # FORWARD
    uint16_t qtype          # PYTHON: 0 for every type
    uint8_t first_label[64]  # PYTHON: of names that leave, its size first; 0: any
    uint32_t next_rcodes    # FORWARD: bits of rcodes that go to the next step
    bint next_on_nodata
    uint8_t labels_min      # FORWARD: names of fewer labels are SERVFAIL
    bint is_undotted        # FORWARD: names of one label only
    uint8_t spread          # FORWARD: index + 1 in Plan.spreads; 0: the group as a whole is asked

cdef struct Spread:
    # A forward that asks several upstreams at once, each of them a group of one.
    uint32_t first          # group
    uint32_t count
    uint32_t failover       # bits of rcodes for which another upstream's reply is preferred
    bint always             # every question goes to all; else to the one that answered first, and to all now and then
    uint32_t favourite      # count: none
    uint32_t asked          # questions since all were asked
    uint64_t tested_ns      # when that was

cdef struct Block:
    uint8_t zone[256]       # canonical
    uint16_t zone_len
    uint32_t number         # of the block in its Plan
    uint16_t udp_max
    bint rotates
    bint logs
    bint logs_answers       # the log gets the whole answer instead of the question
    Bounds has_bounds
    uint32_t cache          # whose bounds these are
    TtlBounds success
    TtlBounds denial
    bint notes_errors
    uint16_t manners        # Manner
    uint32_t gate           # a table, with REFUSE_UNSYNCED
    uint64_t* systems       # SYSTEMS of counters; NULL: none
    System system
    uint64_t deadline_ns    # for a question upstream, from its start
    uint64_t* slots         # its BLOCK of counters
    void* order             # an AddressOrder, borrowed from Plan.orders; NULL: none
    uint32_t unobserved     # answers of this batch whose duration is not counted yet
    uint16_t end_rcode      # of a query that no step ends
    uint16_t end_ede
    uint8_t classes_at      # the STEP_CLASSES, + 1; 0: other classes than IN are refused
    ReplyRules* rules       # owned; NULL: replies are taken as they come
    ZoneList unblocked      # names whose replies are not blocked by the rules
    uint8_t step_count
    Step steps[STEPS_MAX]

cdef struct CacheRule:
    ZoneList zones
    ZoneList disable_success
    ZoneList disable_denial
    bint stale_verify       # ask before a stale answer is given
    uint64_t verify_ns      # how long a client waits for that; 0: until the upstreams have failed
    bint keeps_records      # the cache is one of records
    bint tracks_verify      # one client asks, the others get the stale answer meanwhile
    AlarmRing alarms        # who waits for verify_ns
    uint64_t* slots         # its CACHE of counters

cdef struct Group:
    uint32_t failover       # bits of rcodes
    uint32_t again          # bits of rcodes for which the same upstream is asked once more
    bint in_python          # asked over TCP or TLS only
    bint passes_on          # a block with PASS_ON forwards to it
    bint stream_in_python   # what comes over TCP is asked over TCP

ctypedef void (*SendAnswer)(void* context, const Peer* peer, const uint8_t* wire, size_t size) noexcept nogil
ctypedef void (*FlushAnswers)(void* context) noexcept nogil

cdef struct Listener:
    uint32_t* blocks        # owned, longest zone first
    uint32_t block_count
    SendAnswer send         # keeps a late answer; NULL: no UDP socket
    FlushAnswers flush      # sends those that were kept
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
    cdef Spread* spreads
    cdef uint8_t spread_count
    cdef bint has_rules     # of some block, for replies
    cdef Block** blocks
    cdef Listener* listeners
    cdef uint32_t block_count
    cdef uint32_t cache_count
    cdef uint32_t listener_count
    cdef uint32_t group_count
    cdef uint32_t askers_max
    cdef bint takes_notify  # a block has NOTIFY_AS_QUERY

    cdef uint64_t* _slots_at(self, size_t start, size_t count) except NULL
    cdef Step* _add_step(self, uint32_t block, StepKind kind, uint32_t index) except NULL

cdef bint covers(const ZoneList* zones, const uint8_t* name_key, uint16_t name_len) noexcept nogil
cdef inline bint has_rcode(uint32_t bits, uint16_t rcode) noexcept nogil:
    return rcode < 32 and (bits >> rcode) & 1
