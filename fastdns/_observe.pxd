"""What is counted of an answer, and noted for the log. Knows nothing of how an answer comes about."""

from libc.stdint cimport uint16_t, uint64_t, uint8_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from fastdns._askers cimport Asker, NoteQueue, Peer
from fastdns._inflight cimport Answered
from fastdns._packet cimport Query
from fastdns._plan cimport Block, Plan
from fastdns._wire cimport Writer

cdef enum:
    NOTES_MAX = 65536


cdef class Observer(Plan):
    cdef NoteQueue logs
    cdef NoteQueue errors
    cdef uint64_t now_ns        # the monotonic clock, read once for each batch
    cdef uint8_t type_slots[256]    # of the types below 256: a look into it costs no jump
    cdef uint8_t finished_step  # of the asker whose answer is being counted; NO_STEP: nobody was parked

    cdef void _observe(self, Block* block, const Query* query, const Peer* peer, const uint8_t* answer,
                       size_t answer_size, uint64_t elapsed_ns) noexcept nogil
    cdef void _observe_system(self, const Block* block, const Query* query, const Peer* peer, uint16_t flags,
                              size_t answer_size, uint64_t elapsed_ns) noexcept nogil
    cdef void _observe_undecided(self, const Query* query, const Peer* peer, const Writer* out) noexcept nogil
    cdef void _note_answer(self, Block* block, const Query* query, const Peer* peer, const uint8_t* answer,
                           size_t answer_size, uint64_t elapsed_ns) noexcept nogil
    cdef void _note_failure(self, Block* block, const Asker* asker, const Answered* answered) noexcept nogil
    cdef void _note_end(self, const Block* block, const Query* query, const Peer* peer) noexcept nogil
    cdef void _observe_batch(self, uint64_t elapsed_ns) noexcept nogil


cdef inline uint64_t monotonic_ns() noexcept nogil:
    """The monotonic clock, in nanoseconds."""
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <uint64_t>now.tv_sec * 1000000000u + <uint64_t>now.tv_nsec
