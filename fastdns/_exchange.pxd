"""The tries that a question takes: which upstream is asked, by which socket, what came of it. No caller but _inflight.

Lists are linked by the index of a question, NOTHING ends them; nothing is allocated here.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastdns._pool cimport SEND_BATCH, Pool
from fastdns._questions cimport Question, Questions
from fastdns._random cimport Random
from fastdns._wheel cimport Wheel

cpdef enum InflightLimit:
    RECEIVE_BATCH = 64      # RECEIVE_MAX: datagrams that one receive_replies reads at most
    UPSTREAMS_MAX = 32      # of one group; CoreDNS allows 15

cpdef enum Policy:
    POLICY_RANDOM = 0
    POLICY_ROUND_ROBIN = 1
    POLICY_SEQUENTIAL = 2

cpdef enum Failure:
    FAILED_TIMEOUT = 0      # -> EDE 22 or 23 (RFC 8914)
    FAILED_NETWORK = 1      # refused, unreachable
    FAILED_MALFORMED = 2    # only broken replies came
    FAILED_BROKEN = 3       # all upstreams are down, and failfast is set
    FAILED_NO_PLUGIN = 4    # none of the block answers, so that nobody was asked

cdef enum State:            # of a question
    FREE = 0
    QUEUED = 1              # for a flush
    WAITING = 2             # on a socket
    RESTING = 3             # until the system has room again
    REPLIED = 4
    FAILED = 5
    HANDED = 6              # to the caller

cdef struct Upstream:
    uint64_t* slots
    uint32_t group
    uint32_t index              # in its group
    uint32_t first              # queue
    uint32_t last
    bint is_pending             # stands in Table.pending
    bint is_down
    bint has_failed             # since failing_upstreams was last asked

cdef struct Group:
    uint64_t* slots
    uint64_t* own_slots         # owned, NULL: slots are somebody else's
    uint64_t read_timeout_ns
    uint32_t first              # in Table.upstreams
    uint32_t count
    uint32_t policy
    uint32_t max_concurrent     # questions; 0: no limit
    uint32_t concurrent
    uint32_t max_attempts       # 0: no limit
    uint32_t turn               # of round_robin
    bint is_checked             # max_fails is not 0
    bint fails_fast

cdef struct Reply:
    uint32_t slot
    uint32_t size
    uint8_t* wire

cdef struct Table:
    Questions known
    Group* groups
    uint32_t group_count
    Upstream* upstreams
    uint32_t upstream_count
    uint32_t* pending           # upstreams with a queue
    uint32_t pending_count
    Pool pool                   # a destination for each upstream, of the same index
    Wheel wheel                 # a timer for each question
    Random random
    uint32_t failed_first
    uint32_t failed_last
    bint has_failing            # some upstream has_failed
    uint16_t asked_by           # the socket that a question last went out by
    uint32_t reply_next
    uint32_t reply_count
    Reply replies[RECEIVE_BATCH]
    uint32_t send_slots[SEND_BATCH]

cdef void fire_timers(Table* table, uint64_t now_ns) noexcept nogil
cdef void leave_socket(Table* table, uint32_t slot) noexcept nogil
cdef void fail_socket(Table* table, uint16_t at, uint64_t now_ns) noexcept nogil
cdef void order_upstreams(Table* table, Group* group, Question* question) noexcept nogil
cdef bint choose_upstream(Table* table, Question* question) noexcept nogil
cdef void fail_question(Table* table, uint32_t slot) noexcept nogil
cdef void enqueue(Table* table, uint32_t slot) noexcept nogil
cdef void flush_upstream(Table* table, uint32_t upstream_at, uint64_t now_ns) noexcept nogil
cdef uint32_t receive_from(Table* table, uint16_t at, uint32_t used, uint64_t now_ns) noexcept nogil
