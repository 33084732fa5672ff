"""Timers on a wheel: each is known by its index, and fires at its time or up to a tick later.

Lists are linked by index, NO_TIMER ends them. Nothing is allocated after open_wheel.
"""

from libc.stdint cimport uint32_t, uint64_t

cdef enum:
    NO_TIMER = 0xFFFFFFFF
    WHEEL_SLOTS = 2048
    WHEEL_WORDS = 32            # a bit for each
    WHEEL_SHIFT = 22            # a tick is 4.2 ms, the whole wheel 8.6 s

cdef struct Timer:
    uint64_t due_ns
    uint32_t previous
    uint32_t next
    uint32_t slot               # NO_TIMER: it does not run

cdef struct Wheel:
    Timer* timers               # owned
    uint64_t tick
    uint32_t running
    uint32_t first[WHEEL_SLOTS]
    uint64_t map[WHEEL_WORDS]

# False: no memory. Timers that are not used cost none; clear_timer comes before a timer's first start.
cdef bint open_wheel(Wheel* wheel, uint32_t count) noexcept nogil
cdef void close_wheel(Wheel* wheel) noexcept nogil
cdef void start_timer(Wheel* wheel, uint32_t timer, uint64_t due_ns, uint64_t now_ns) noexcept nogil
cdef void stop_timer(Wheel* wheel, uint32_t timer) noexcept nogil
# One that has fired, stopped, NO_TIMER if none is left; its due_ns may be later still, if it was beyond the wheel.
cdef uint32_t take_fired(Wheel* wheel, uint64_t now_ns) noexcept nogil
# When the first timer fires, never too early for it; one must run.
cdef uint64_t next_due(const Wheel* wheel) noexcept nogil


cdef inline void clear_timer(Wheel* wheel, uint32_t timer) noexcept nogil:
    wheel.timers[timer].slot = NO_TIMER
