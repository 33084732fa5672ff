"""Questions on their way upstream over UDP: ids and ports, deadlines, coalescing of equal questions, matching of replies.

Takes questions, hands out events (a reply came, a question failed); knows no client and no cache. A waiter is an opaque
number of the caller's. Sockets of upstreams are its own, in an epoll set of its own whose descriptor an event loop watches.

The caller's turn:  ask_upstream*  flush_questions            when clients asked
                    (receive_replies  next_event*)*  flush_questions      when epoll_fd is readable
                    next_event*  flush_questions              when next_deadline has come
An event's question stays the caller's until release_question or retry_question. Anything but next_waiter may queue a
question for the next flush. All times are nanoseconds of one monotonic clock, the caller's.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastdns._exchange cimport Failure
from fastdns._key cimport Key

cpdef enum Asked:
    ASK_SENT = 0            # a new question, queued for the next flush
    ASK_JOINED = 1          # equal to one that is on its way
    ASK_FULL = 2            # the table, or the group's max_concurrent, has no room
    ASK_DEAD = 3            # no upstream of the group can be asked (all are down and failfast is set), or it is too late

cpdef enum Event:
    EVENT_NONE = 0          # nothing more for now
    EVENT_REPLY = 1         # Answered.wire holds the reply to the question
    EVENT_FAILED = 2        # deadline passed, or every upstream failed

cdef struct Answered:
    uint32_t slot           # of the question, until release_question
    Failure failure         # with EVENT_FAILED: of the last try
    uint32_t group
    uint32_t upstream       # index in its group, of the reply or of the last try
    Key key                 # borrowed from the slot, good until release_question
    uint8_t* wire           # the reply, in the receive buffer: good until the next receive_replies
    size_t wire_len
    uint64_t asked_ns       # when the question was first asked
    uint64_t sent_ns        # when this try was sent

cdef class Inflight:
    cdef void* table        # owned; freed in __dealloc__
    cdef readonly int epoll_fd
    cdef list counters      # keeps alive what metric slots are borrowed from

    # `flags`: the client's header bits; RD and AD are asked upstream as they are there, and tell questions apart.
    # Counts GROUP_MAX_CONCURRENT_REJECTS, GROUP_COALESCED and GROUP_HEALTHCHECK_BROKEN itself.
    cdef Asked ask_upstream(self, uint32_t group, const Key* key, uint16_t flags, uint64_t waiter, uint64_t now_ns,
                            uint64_t deadline_ns) noexcept nogil
    cdef void flush_questions(self, uint64_t now_ns) noexcept nogil
    # Datagrams read, whether they were replies or not; fewer than RECEIVE_BATCH: no more are waiting.
    cdef size_t receive_replies(self, uint64_t now_ns) noexcept nogil
    cdef Event next_event(self, uint64_t now_ns, Answered* answered) noexcept nogil
    # Ask the next upstream, or with `without_edns` the same one without OPT; False: none is left, or that was done.
    cdef bint retry_question(self, uint32_t slot, bint without_edns, uint64_t now_ns) noexcept nogil
    # Ask the same upstream once more; False: that was done.
    cdef bint repeat_question(self, uint32_t slot, uint64_t now_ns) noexcept nogil
    cdef bint next_waiter(self, uint32_t slot, uint64_t* waiter) noexcept nogil
    cdef void release_question(self, uint32_t slot) noexcept nogil
    cdef bint has_failing(self) noexcept nogil
    # When next_event is to be called at the latest; UINT64_MAX: no question is on its way.
    cdef uint64_t next_deadline(self) noexcept nogil
