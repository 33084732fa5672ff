"""Answers of upstreams: a success and a denial side, bounded in entries and in octets, with TTL countdown, prefetch, stale."""

import enum
from collections.abc import Container, Sequence
from typing import final

from fastdns._stored import StoredReply

class Lookup(enum.IntEnum):
    CACHE_MISS = 0
    CACHE_FRESH = 1
    CACHE_PREFETCH = 2
    CACHE_STALE = 3

class Side(enum.IntEnum):
    SUCCESS = 0
    DENIAL = 1

@final
class Cache:
    """One cache plugin's entries in one worker. Times are seconds of a monotonic clock, given by the caller."""

    def __init__(
        self,
        *,
        success: tuple[int, int, int],
        denial: tuple[int, int, int],
        max_octets: int,
        servfail_ttl: int = 5,
        stale_for: int = 0,
        stale_ttl: int = 0,
        recheck: int = 0,
        prefer_positive: bool = False,
        prefetch: tuple[int, int, int] = (0, 60, 10),
        keep_ttl: bool = False,
        by_record: bool = False,
        types: Sequence[int] = (),
        negative_ttl: int = 0,
    ) -> None:
        """(capacity, max_ttl, min_ttl) of each side; prefetch is (amount, window seconds, percent). `by_record`: each record
        keeps its own TTL, only `types` (none: all) are kept, a denial without SOA for `negative_ttl` seconds."""
    def get(
        self, name: bytes, qtype: int, qclass: int = 1, *, do: bool = False, cd: bool = False, now: int
    ) -> tuple[Lookup, StoredReply | None, int, int, bool]:
        """(what was found, a copy of it, TTL to answer with, age, refresh is due) for a canonical name."""
    def put(self, reply: StoredReply, *, do: bool = False, cd: bool = False, now: int) -> bool:
        """Keep a reply that normalise() has read. False: it is not of a kind that is kept."""
    def store_many(self, replies: list[StoredReply], count: int, *, now: int, seed: int) -> None:
        """Keep `count` replies under names made up from `seed`; for tests of the bounds and for measurements."""
    def ttl_of(self, reply: StoredReply) -> int:
        """The TTL that every record of the reply gets, whether it is kept or not."""
    def expire(self, now: int, budget: int = ...) -> None:
        """Look at up to `budget` entries and free those that nothing can be answered from any more."""
    def shrink(self, now: int, budget: int) -> None:
        """Give memory back: evict up to `budget` entries, and hold no more octets than are left then, until grow()."""
    def grow(self, octets: int) -> None:
        """Let it hold so many octets more than now, up to what it was made with; at least 256 KiB of that in all."""
    def forget_all(self) -> None: ...
    def dump(self) -> bytes:
        """All entries, as load() of a process of the same build takes them."""
    def load(self, octets: bytes, *, now: int, forget: Container[bytes] = ()) -> int:
        """Keep what dump() gave, where nothing newer is held and there is room; how many.

        Left out are names in the zones `forget` (canonical). Raises ValueError for octets that dump() didn't give.
        """
    def describe(self) -> dict[str, int]:
        """{success, denial} entries, {success,denial}_evictions, insertions (of records), octets."""
