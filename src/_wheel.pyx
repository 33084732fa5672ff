"""Timers on a wheel (see fastdns/_wheel.pxd)."""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

cdef extern from *:
    int __builtin_ctzll(unsigned long long value) nogil


cdef bint open_wheel(Wheel* wheel, uint32_t count) noexcept nogil:
    memset(wheel, 0, sizeof(Wheel))
    memset(wheel.first, 0xFF, sizeof(wheel.first))
    wheel.timers = <Timer*>calloc(count, sizeof(Timer))
    return wheel.timers != NULL


cdef void close_wheel(Wheel* wheel) noexcept nogil:
    free(wheel.timers)
    wheel.timers = NULL


cdef void start_timer(Wheel* wheel, uint32_t timer, uint64_t due_ns, uint64_t now_ns) noexcept nogil:
    """Fire at `due_ns` or up to a tick later. What lies beyond the wheel fires at its end, and is started again."""
    cdef Timer* started = &wheel.timers[timer]
    cdef uint64_t tick = (due_ns >> WHEEL_SHIFT) + 1
    cdef uint32_t at
    if wheel.running == 0:
        wheel.tick = now_ns >> WHEEL_SHIFT
    if tick <= wheel.tick:
        tick = wheel.tick + 1
    if tick - wheel.tick >= <uint64_t>WHEEL_SLOTS:
        tick = wheel.tick + WHEEL_SLOTS - 1
    at = <uint32_t>(tick & (WHEEL_SLOTS - 1))
    started.due_ns = due_ns
    started.slot = at
    started.previous = NO_TIMER
    started.next = wheel.first[at]
    if wheel.first[at] != <uint32_t>NO_TIMER:
        wheel.timers[wheel.first[at]].previous = timer
    wheel.first[at] = timer
    wheel.map[at >> 6] |= <uint64_t>1 << (at & 63)
    wheel.running += 1


cdef void stop_timer(Wheel* wheel, uint32_t timer) noexcept nogil:
    cdef Timer* stopped = &wheel.timers[timer]
    cdef uint32_t at = stopped.slot
    if at == <uint32_t>NO_TIMER:
        return
    if stopped.previous != <uint32_t>NO_TIMER:
        wheel.timers[stopped.previous].next = stopped.next
    else:
        wheel.first[at] = stopped.next
    if stopped.next != <uint32_t>NO_TIMER:
        wheel.timers[stopped.next].previous = stopped.previous
    if wheel.first[at] == <uint32_t>NO_TIMER:
        wheel.map[at >> 6] &= ~(<uint64_t>1 << (at & 63))
    stopped.slot = NO_TIMER
    wheel.running -= 1


cdef uint32_t take_fired(Wheel* wheel, uint64_t now_ns) noexcept nogil:
    """The caller may start timers before it asks for the next: they stand behind the present tick."""
    cdef uint64_t target = now_ns >> WHEEL_SHIFT
    cdef uint32_t timer
    if wheel.running == 0:
        return NO_TIMER
    if target > wheel.tick + WHEEL_SLOTS:
        wheel.tick = target - WHEEL_SLOTS
    timer = wheel.first[wheel.tick & (WHEEL_SLOTS - 1)]
    while timer == <uint32_t>NO_TIMER and wheel.tick < target:
        wheel.tick += 1
        timer = wheel.first[wheel.tick & (WHEEL_SLOTS - 1)]
    if timer != <uint32_t>NO_TIMER:
        stop_timer(wheel, timer)
    return timer


cdef uint64_t next_due(const Wheel* wheel) noexcept nogil:
    cdef uint64_t tick = wheel.tick + 1
    cdef uint64_t last = wheel.tick + WHEEL_SLOTS
    cdef uint64_t word
    cdef uint32_t at
    while tick <= last:
        at = <uint32_t>(tick & (WHEEL_SLOTS - 1))
        word = wheel.map[at >> 6] >> (at & 63)
        if word:
            return (tick + <uint64_t>__builtin_ctzll(word)) << WHEEL_SHIFT
        tick += 64 - (at & 63)
    return last << WHEEL_SHIFT
