"""The metric slots of one forward plugin, as Python writes them (layout: fastdns/_counters.pxd)."""

from __future__ import annotations

from fastdns._counters import Counters, Dimension, GroupSlot, UpstreamSlot, find_duration_bucket

_LAST_RCODE = Dimension.RCODES - 1


class Counts:
    """One worker's slots of a group, the first at `first`."""

    def __init__(self, counters: Counters, first: int) -> None:
        self._counters = counters
        self._first = first

    def coalesced(self) -> None:
        self._add(GroupSlot.GROUP_COALESCED)

    def mismatched(self) -> None:
        self._add(GroupSlot.GROUP_MISMATCHED_REPLIES)

    def rejected(self) -> None:
        self._add(GroupSlot.GROUP_MAX_CONCURRENT_REJECTS)

    def broken(self) -> None:
        self._add(GroupSlot.GROUP_HEALTHCHECK_BROKEN)

    def check_failed(self, upstream: int) -> None:
        self._add(_of(upstream, UpstreamSlot.UPSTREAM_HEALTHCHECK_FAILURES))

    def connection(self, upstream: int, *, is_reused: bool, is_tcp: bool = True) -> None:
        hits, misses = UpstreamSlot.UPSTREAM_CONN_CACHE_HITS, UpstreamSlot.UPSTREAM_CONN_CACHE_MISSES
        self._add(_of(upstream, (hits if is_reused else misses) + is_tcp))

    def exchanged(self, upstream: int, *, rcode: int, seconds: float) -> None:
        nanoseconds = max(0, int(seconds * 1e9))
        row = min(rcode, _LAST_RCODE)
        bucket = row * Dimension.DURATION_BUCKETS + find_duration_bucket(nanoseconds)
        self._add(_of(upstream, UpstreamSlot.UPSTREAM_DURATION + bucket))
        self._add(_of(upstream, UpstreamSlot.UPSTREAM_DURATION_SUM + row), nanoseconds)

    def _add(self, slot: int, amount: int = 1) -> None:
        self._counters.add(self._first + slot, amount)


def private_counts(upstreams: int) -> Counts:
    """Counts that nobody reads."""
    return Counts(Counters(bytearray(8 * _of(upstreams, 0))), 0)


def _of(upstream: int, slot: int) -> int:
    return GroupSlot.GROUP_SLOTS + upstream * UpstreamSlot.UPSTREAM_SLOTS + slot
