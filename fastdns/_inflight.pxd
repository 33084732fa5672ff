"""Questions on their way upstream over UDP: ids and ports, deadlines, coalescing of equal questions, matching of replies.

Takes questions, hands out events (a reply came, a question failed); knows no client and no cache. A waiter is an opaque
number of the caller's. Sockets of upstreams are its own, in an epoll set of its own whose descriptor an event loop watches.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastdns._cache cimport Key

cpdef enum Asked:
    ASK_SENT = 0            # a new question, queued for the next flush
    ASK_JOINED = 1          # equal to one that is on its way
    ASK_FULL = 2            # the table, or the group's max_concurrent, has no room
    ASK_DEAD = 3            # no upstream of the group can be asked

cpdef enum Event:
    EVENT_NONE = 0          # nothing more for now
    EVENT_REPLY = 1         # Answered.wire holds the reply to the question
    EVENT_FAILED = 2        # deadline passed, or every upstream failed

cpdef enum Failure:
    FAILED_TIMEOUT = 0      # -> EDE 22 or 23 (RFC 8914)
    FAILED_NETWORK = 1      # refused, unreachable
    FAILED_MALFORMED = 2    # only broken replies came
    FAILED_BROKEN = 3       # all upstreams are down, and failfast is set

cdef struct Answered:
    uint32_t slot           # of the question, until release_question
    Failure failure         # with EVENT_FAILED
    uint32_t group
    uint32_t upstream       # index in its group, of the reply or of the last try
    Key key                 # borrowed from the slot
    uint8_t* wire           # the reply, in the receive buffer: good until the next call
    size_t wire_len
    uint64_t asked_ns       # monotonic, when the question was first asked
    uint64_t sent_ns        # monotonic, when this try was sent

cdef class Inflight:
    cdef void* table        # owned; freed in __dealloc__
    cdef readonly int epoll_fd

    cdef Asked ask_upstream(self, uint32_t group, const Key* key, uint64_t waiter, uint64_t now_ns,
                            uint64_t deadline_ns) noexcept nogil
    cdef void flush_questions(self) noexcept nogil
    cdef size_t receive_replies(self, uint64_t now_ns) noexcept nogil
    cdef Event next_event(self, uint64_t now_ns, Answered* answered) noexcept nogil
    cdef bint retry_question(self, uint32_t slot, bint without_edns, uint64_t now_ns) noexcept nogil
    cdef bint next_waiter(self, uint32_t slot, uint64_t* waiter) noexcept nogil
    cdef void release_question(self, uint32_t slot) noexcept nogil
