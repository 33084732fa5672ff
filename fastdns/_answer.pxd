"""The way of a query: down the steps of its server block, to the one that ends it. Knows no socket and no Python."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t

from fastdns._askers cimport Asker, AskerPool, NoteQueue, Peer
from fastdns._cache cimport Found, Key, Lookup
from fastdns._inflight cimport Asked
from fastdns._decide cimport Finding
from fastdns._encode cimport Limits
from fastdns._observe cimport Observer
from fastdns._order cimport AddressOrder
from fastdns._packet cimport CD, Query, QueryStatus
from fastdns._plan cimport Block, CacheRule, Listener, Spread, Step
from fastdns._trie cimport Table, Walk
from fastdns._wire cimport Writer

cdef enum:
    EDE_NO_REACHABLE = 22
    NXDOMAIN_RCODE = 3
    TTLS_MAX = 4096         # records of one stored message
    ABREAST = 16            # queries whose look-ups go side by side: as many as a core has requests to memory open

cpdef enum Reason:          # why a query left the compiled path
    SLOW_STEP = 0           # a step of kind PYTHON
    SLOW_STREAM_FORWARD = 1  # a miss that goes upstream over TCP or TLS
    SLOW_CHASE = 2          # a CNAME that leads out of a table
    SLOW_RARE = 3           # a table holds what the answer is made from
    SLOW_CHAOS = 4          # class CHAOS, where it is answered

cdef enum Result:
    ANSWERED = 0            # the writer holds the answer
    PENDING = 1             # an asker waits for it
    DROPPED = 2             # none is owed

cdef struct Slowed:
    uint64_t token
    Reason reason
    uint8_t step

cdef struct Datagram:
    # One query over UDP and room for its answer; all addresses are the caller's.
    const uint8_t* wire
    size_t size
    const Peer* peer
    uint8_t* answer
    size_t room             # octets
    size_t answer_size      # 0: no answer, or it comes later

cdef struct Prepared:
    # A query taken up: read, its block found, the look-up of its name begun.
    Query query
    QueryStatus status
    Block* block            # NULL: none has its name, or the query is broken
    Walk walk               # table NULL: none was begun
    void* cache             # a Cache, borrowed, whose look-up is begun; NULL: none is
    uint64_t hash           # of the key there

cdef class Answerer(Observer):
    cdef AskerPool askers
    cdef NoteQueue completions
    cdef Slowed* slowed     # ring of slowed_capacity
    cdef uint32_t slowed_first
    cdef uint32_t slowed_count
    cdef uint32_t slowed_capacity
    cdef uint32_t rotation  # grows with every answer
    cdef uint64_t alarm_ns  # the earliest alarm since take_alarm(); 0: none
    cdef uint8_t* stored    # scratch: a reply written anew, MESSAGE_MAX
    cdef uint16_t* ttl_at   # scratch, TTLS_MAX
    cdef Prepared prepared[16]
    cdef const Prepared* begun  # the query at hand; NULL: it was parked meanwhile
    cdef uint8_t* answer    # scratch: an answer to a stream, MESSAGE_MAX

    cdef void answer_batch(self, Datagram* datagrams, uint32_t count) noexcept nogil
    cdef void begin_batch(self) noexcept nogil
    cdef void end_batch(self) noexcept nogil
    cdef bint has_notes(self) noexcept nogil

    # the steps of that, used by the class alone
    cdef Block* _find_block(self, const Listener* listener, const Query* query) noexcept nogil
    cdef size_t _limit_of(self, const Block* block, const Query* query, const Peer* peer, bint no_limit) noexcept nogil
    cdef Result _refuse(self, Block* block, const Query* query, uint16_t rcode, uint16_t ede, Writer* out) noexcept nogil
    cdef bint _take_first(self, Block* block, const Query* query, const Peer* peer, bint no_limit, Writer* out,
                          uint64_t* token, Result* result) noexcept nogil
    cdef void _prepare(self, const uint8_t* wire, size_t size, const Peer* peer, Prepared* prepared) noexcept nogil
    cdef const Table* _first_table(self, const Block* block) noexcept nogil
    cdef Result _begin(self, const Prepared* prepared, const Peer* peer, bint no_limit, Writer* out,
                       uint64_t* token) noexcept nogil
    cdef void _answer_some(self, Datagram* datagrams, uint32_t count) noexcept nogil
    cdef Result _run_steps(self, Block* block, uint8_t start, const Query* query, const Peer* peer, Asker* asker,
                           bint no_limit, Writer* out, uint64_t* token) noexcept nogil
    cdef void _bound_ttls(self, const Block* block, const Query* query, Limits* limits) noexcept nogil
    cdef bint _run_table(self, Block* block, const Step* step, uint8_t index, const Query* query, const Peer* peer,
                         Asker* asker, bint no_limit, Writer* out, uint64_t* token, Result* result) noexcept nogil
    cdef bint _run_cache(self, Block* block, const Step* step, uint8_t index, const Query* query, const Peer* peer,
                         bint no_limit, Writer* out, bint* accepts_stale) noexcept nogil
    cdef Lookup _find_reply(self, uint32_t cache, const Key* key, Found* found) noexcept nogil
    cdef void _write_found(self, const Block* block, const CacheRule* rule, const Found* found, const Query* query,
                           const Peer* peer, bint no_limit, bint is_stale, Writer* out) noexcept nogil
    cdef bint _has_target(self, const Block* block, const Finding* finding, uint16_t qtype) noexcept nogil
    cdef bint _is_known(self, const Block* block, const uint8_t* name_key, uint16_t name_len) noexcept nogil
    cdef Asked _ask_step(self, const Block* block, const Step* step, const Query* query, Asker* asker,
                         uint64_t token) noexcept nogil
    cdef Asked _ask_spread(self, const Spread* spread, uint32_t only, uint32_t but, const Block* block, const Query* query,
                           Asker* asker, uint64_t token) noexcept nogil
    cdef bint _is_test_due(self, Spread* spread) noexcept nogil
    cdef bint _write_stale(self, const Block* block, const Query* query, const Peer* peer, bint no_limit,
                           Writer* out) noexcept nogil
    cdef void _accept_stale(self, Block* block, Asker* asker) noexcept nogil
    cdef CacheRule* _rule_of(self, const Block* block, uint32_t* cache) noexcept nogil
    cdef void _note_refresh_failure(self, const Block* block, const Key* key) noexcept nogil
    cdef void _refresh(self, Block* block, uint8_t after, const Query* query, const Peer* peer) noexcept nogil
    cdef bint _is_forwarded(self, const Step* step, const Query* query) noexcept nogil
    cdef bint _run_forward(self, Block* block, const Step* step, uint8_t index, const Query* query, const Peer* peer,
                           Asker* asker, bint no_limit, bint accepts_stale, Writer* out, uint64_t* token,
                           Result* result) noexcept nogil
    cdef Asker* _park(self, Block* block, uint8_t step, const Query* query, const Peer* peer, Asker* asker,
                      bint no_limit, uint64_t* token) noexcept nogil
    cdef Result _slow_down(self, Block* block, uint8_t step, Reason reason, const Query* query, const Peer* peer,
                           Asker* asker, bint no_limit, Writer* out, uint64_t* token) noexcept nogil


cdef inline Key key_of(const Query* query) noexcept nogil:
    """What tells the query's answer apart from others."""
    cdef Key key
    key.name_key = &query.name_key[0]
    key.name_len = query.qname_len
    key.qtype = query.qtype
    key.qclass = query.qclass
    key.wants_dnssec = query.wants_dnssec
    key.checking_disabled = (query.flags & CD) != 0
    return key


cdef inline void order_answer(Block* block, const Writer* out) noexcept nogil:
    """Put the addresses of an answer in the order that its block has for them."""
    if block.order != NULL and not out.failed:
        (<AddressOrder>block.order).order_addresses(out.data, out.pos)
