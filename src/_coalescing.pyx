"""When a listener lets datagrams gather before it looks again, as a network card coalesces its interrupts."""

cimport cython
from libc.stdint cimport uint32_t, uint64_t

cdef enum:
    PAID = 8                            # datagrams of a batch that paid for its wake-up by itself
    MEASURING_NS = 20_000_000
    DENSE_WINDOWS = 3                   # measured so in a row: one may be a client's that was held up, and catches up
    TRYING_NS = 10_000_000
    TRIED = 8                           # one of so many batches was held, at least
    HOLDING_NS = 5_000_000
    HOLD_WINDOWS = 50                   # in a row; then it is measured again without holding
    REST_MIN_NS = 20_000_000
    REST_MAX_NS = 320_000_000


@cython.final
cdef class Coalescing:
    """Decides from what arrives, in turns: measure, try, and hold if that slowed nobody down.

    Senders that wait for an answer before they ask on (a closed loop) ask less while we sleep. The trial shows that; then
    it rests, longer and longer. Others ask as before, and one wake-up answers several of them.
    """

    def __cinit__(self, uint64_t hold_ns):
        self.hold_ns = hold_ns
        self.rest_ns = REST_MIN_NS
        self._measure(0)

    cdef void note_batch(self, uint32_t count, uint64_t now_ns) noexcept nogil:
        """A batch of `count` datagrams (at least one) came at `now_ns`."""
        cdef uint64_t elapsed_ns = now_ns - self.since_ns
        self.arrived += count
        self.batches += 1
        self.holds += self.should_hold(count)
        if elapsed_ns < self.lasts_ns:
            return
        if elapsed_ns > 2 * self.lasts_ns:      # a pause: how dense the others are doesn't show
            self._measure(0)
        else:
            self._end_phase(elapsed_ns // self.arrived)
        self.since_ns = now_ns
        self.arrived = self.batches = self.holds = 0

    cdef void _end_phase(self, uint64_t gap_ns) noexcept nogil:
        """Choose the next phase; `gap_ns` lay between two datagrams in this one."""
        if self.phase == TRY:
            self._end_trial(gap_ns)
        elif self.phase == REST or not self._is_worth(gap_ns):
            self._measure(0)
        elif self.phase == HOLD:
            self.windows += 1
            if self.windows == <uint32_t>HOLD_WINDOWS:
                self._measure(DENSE_WINDOWS - 1)    # after what went well one window is enough
        else:
            self.windows += 1
            self.gap_ns = gap_ns
            if self.windows == <uint32_t>DENSE_WINDOWS:
                self._begin_phase(TRY, TRYING_NS)

    cdef void _end_trial(self, uint64_t gap_ns) noexcept nogil:
        """Hold, if it slowed nobody down. Full batches are never held: among them it has shown nothing."""
        self.windows = 0
        if self.holds * TRIED < self.batches:
            self._measure(0)
        elif gap_ns <= self.gap_ns + self.gap_ns // 4:
            self._begin_phase(HOLD, HOLDING_NS)
            self.rest_ns = REST_MIN_NS
        else:
            self._begin_phase(REST, self.rest_ns)
            self.rest_ns = min(2 * self.rest_ns, <uint64_t>REST_MAX_NS)

    cdef void _measure(self, uint32_t windows) noexcept nogil:
        """Measure; so many windows count as dense already."""
        self.windows = windows
        self._begin_phase(MEASURE, MEASURING_NS)

    cdef void _begin_phase(self, Phase phase, uint64_t lasts_ns) noexcept nogil:
        self.phase = phase
        self.lasts_ns = lasts_ns

    cdef bint _is_worth(self, uint64_t gap_ns) noexcept nogil:
        """True if a sleep gathers four datagrams or more; with the kernel's timer slack it takes about 1.5 times `hold_ns`.

        Fewer would spare less than their wait is worth.
        """
        return gap_ns * 8 <= self.hold_ns * 3

    cdef bint should_hold(self, uint32_t count) noexcept nogil:
        """True: sleep before the next look, after a batch of `count` datagrams."""
        return (self.phase == TRY or self.phase == HOLD) and 0 < count <= <uint32_t>PAID

    def decide(self, uint32_t count, uint64_t now_ns):
        """Note a batch; True: sleep before the next look. A listener calls the two parts of this by themselves."""
        self.note_batch(count, now_ns)
        return self.should_hold(count)
