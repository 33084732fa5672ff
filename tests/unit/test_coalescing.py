"""Coalescing: held where that spares wake-ups and slows nobody down."""

from __future__ import annotations

from collections.abc import Callable

from fastdns._coalescing import Coalescing

HOLD_NS = 100_000
SLEEP_NS = 150_000  # with the kernel's timer slack
SECOND = 10**9


class Clock:
    """A listener's life: batches come, some of them after a sleep."""

    def __init__(self, hold_ns: int = HOLD_NS) -> None:
        self.coalescing = Coalescing(hold_ns)
        self.now = SECOND
        self.batches = self.sleeps = self.datagrams = 0

    def run(self, seconds: float, arrive: Callable[[bool], tuple[int, int]]) -> None:
        """Batches for so long; `arrive` tells from whether it slept how long a batch took to come, and how many it has."""
        self.batches = self.sleeps = self.datagrams = 0
        end = self.now + int(seconds * SECOND)
        has_slept = False
        while self.now < end:
            wait, count = arrive(has_slept)
            self.now += wait
            has_slept = self.coalescing.decide(count, self.now)
            self.batches += 1
            self.sleeps += has_slept
            self.datagrams += count


def open_loop(rate: int) -> Callable[[bool], tuple[int, int]]:
    """Datagrams that come at a rate, whatever we do."""
    gap = SECOND // rate

    def arrive(has_slept: bool) -> tuple[int, int]:
        return (max(SLEEP_NS, gap), max(1, SLEEP_NS // gap)) if has_slept else (gap, 1)

    return arrive


def closed_loop(window: int, round_trip: int = 25_000) -> Callable[[bool], tuple[int, int]]:
    """Senders that wait for their answers."""
    return lambda has_slept: (SLEEP_NS if has_slept else round_trip, window)


def test_dense_arrivals_are_held() -> None:
    for rate in (28_000, 40_000):
        clock = Clock()
        clock.run(8, open_loop(rate))
        assert clock.sleeps > 0.6 * clock.batches
        assert clock.batches < 0.6 * clock.datagrams


def test_sparse_arrivals_are_not() -> None:
    clock = Clock()
    clock.run(2, open_loop(20_000))
    assert clock.sleeps == 0


def test_a_burst_among_sparse_arrivals_is_not() -> None:
    """A client that was held up for 10 ms catches up, now and then."""
    clock = Clock()
    for _ in range(20):
        clock.run(0.05, open_loop(20_000))
        clock.now += SECOND // 100
        clock.run(0.001, open_loop(200_000))
    assert clock.sleeps == 0


def test_who_waits_for_answers_is_hardly_slowed_down() -> None:
    for window in (1, 2, 8):
        clock = Clock()
        clock.run(5, closed_loop(window))
        assert clock.datagrams > 0.95 * window * 5 * SECOND / 25_000
        assert clock.sleeps > 0  # tried now and then


def test_full_batches_are_not_held() -> None:
    clock = Clock()
    clock.run(1, lambda has_slept: (30_000, 9))
    assert clock.sleeps == 0


def test_sparse_arrivals_after_full_batches_are_not_held() -> None:
    """A trial in which every batch was full has shown nothing."""
    for seconds in (0.1, 0.3, 1):
        clock = Clock()
        clock.run(seconds, lambda has_slept: (40_000, 16))
        clock.run(1, open_loop(20_000))
        assert clock.sleeps == 0


def test_never_with_no_time_to_hold() -> None:
    clock = Clock(hold_ns=0)
    clock.run(1, open_loop(50_000))
    assert clock.sleeps == 0


def test_a_load_that_became_sparse_is_held_no_longer() -> None:
    clock = Clock()
    clock.run(1, open_loop(40_000))
    clock.run(0.3, open_loop(100))
    clock.run(1, open_loop(100))
    assert clock.sleeps == 0


def test_a_pause_is_no_slow_trial() -> None:
    """After a pause in the middle of a trial dense arrivals are held again without a rest."""
    clock = Clock()
    clock.run(0.065, open_loop(40_000))
    clock.now += SECOND
    clock.run(1, open_loop(40_000))
    assert clock.sleeps > 0.5 * clock.batches


def test_after_a_closed_loop_an_open_one_is_held_again() -> None:
    clock = Clock()
    clock.run(3, closed_loop(1))
    clock.run(4, open_loop(28_000))
    assert clock.sleeps > 0.4 * clock.batches
