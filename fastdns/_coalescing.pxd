from libc.stdint cimport uint32_t, uint64_t

cdef enum Phase:
    MEASURE                             # how densely datagrams come
    TRY                                 # whether they come as densely while it holds
    HOLD
    REST                                # before it measures again


cdef class Coalescing:
    cdef readonly uint64_t hold_ns
    cdef Phase phase
    cdef uint64_t since_ns              # when the phase began
    cdef uint64_t lasts_ns              # how long it takes, at least
    cdef uint64_t arrived               # datagrams in it
    cdef uint64_t batches               # in it
    cdef uint64_t holds                 # after so many of them
    cdef uint64_t gap_ns                # between two datagrams, as measured
    cdef uint64_t rest_ns               # of the next rest
    cdef uint32_t windows               # in a row in which holding was worth it: measured, or held in

    cdef void note_batch(self, uint32_t count, uint64_t now_ns) noexcept nogil
    cdef void _end_phase(self, uint64_t gap_ns) noexcept nogil
    cdef void _end_trial(self, uint64_t gap_ns) noexcept nogil
    cdef void _measure(self, uint32_t windows) noexcept nogil
    cdef void _begin_phase(self, Phase phase, uint64_t lasts_ns) noexcept nogil
    cdef bint _is_worth(self, uint64_t gap_ns) noexcept nogil
    cdef bint should_hold(self, uint32_t count) noexcept nogil
