"""The configuration compiled: server blocks, their steps, and the tables, caches and upstreams that these name."""

import enum
from collections.abc import Sequence

from typing_extensions import Buffer, disjoint_base

from fastdns._cache import Cache
from fastdns._counters import Counters
from fastdns._order import AddressOrder

class StepKind(enum.IntEnum):
    STEP_TABLE = 0
    STEP_CACHE = 1
    STEP_FORWARD = 2
    STEP_PYTHON = 3

class Manner(enum.IntEnum):
    REFUSE_ANY = 1
    REFUSE_UNSYNCED = 2
    CHAOS_IN_PYTHON = 4
    ANY_CLASS = 8
    NOTIFY_AS_QUERY = 16
    NO_OPT = 32
    SILENT = 64
    PTR_ALONE = 128
    PASS_ON = 256

@disjoint_base
class Plan:
    """What one worker answers from, as its configuration says."""

    counters: Counters
    def __init__(self, counters: Counters, *, inflight_max: int = 16384) -> None: ...

    # --- built once
    def add_table(self) -> int:
        """A name table, empty and not synced; its number."""
    def add_cache(
        self,
        *,
        success: tuple[int, int, int],
        denial: tuple[int, int, int],
        max_octets: int,
        servfail_ttl: int,
        stale_for: int,
        stale_verify: bool,
        prefetch: tuple[int, int, int],
        keep_ttl: bool,
        zones: Sequence[bytes],
        disable_success: Sequence[bytes],
        disable_denial: Sequence[bytes],
        counters: int,
        verify_timeout_ms: int = 0,
        stale_ttl: int = 0,
        recheck: int = 0,
        prefer_positive: bool = False,
    ) -> int:
        """A cache: (capacity, max_ttl, min_ttl) of each side; prefetch is (amount, window seconds, percent). Zones are
        canonical wire names. Its CACHE_SLOTS counters start at `counters`. With stale_verify a client waits for
        verify_timeout_ms (0: until the upstreams fail) before it gets a stale answer; such a one carries stale_ttl; for
        `recheck` seconds a refresh that failed is not tried again; with prefer_positive a stale answer goes before a fresh
        denial."""
    def cache(self, number: int) -> Cache:
        """A cache by its number."""
    def add_group(
        self,
        upstreams: Sequence[tuple[str, int]],
        *,
        failover: Sequence[int],
        again: Sequence[int] = (),
        in_python: bool,
        stream_in_python: bool = True,
        policy: int,
        max_concurrent: int,
        read_timeout_ms: int,
        max_fails: int,
        max_connect_attempts: int,
        failfast: bool,
        source_address: str = "",
        first_slot: int = 0,
    ) -> int:
        """The upstreams of one forward plugin; its number. `in_python`: TLS or TCP only, every miss becomes
        SLOW_STREAM_FORWARD; `stream_in_python`: those of clients on TCP do. For a reply with an rcode of `failover` the next
        upstream is asked, of `again` the same once more. GROUP_SLOTS counters and UPSTREAM_SLOTS for each
        upstream start at `first_slot`."""
    def add_block(
        self, zone: bytes, *, udp_max: int, rotate: bool, deadline_ms: int, log: bool, errors: bool, counters: int
    ) -> int:
        """A server block; its number. `zone` is a canonical wire name; its BLOCK_SLOTS counters start at `counters`."""
    def set_manners(self, block: int, manners: int, *, gate: int, system: int, counters: int) -> None:
        """Have a block behave as kube-dns does: `manners` are Manner's, `gate` is a table. What it answers is counted in the
        SYSTEM_SLOTS of its `system`; those of the first of SYSTEMS start at `counters`."""
    def set_order(self, block: int, order: AddressOrder) -> None:
        """Put the addresses of a block's answers in order."""
    def add_table_step(self, block: int, table: int, *, fallthrough: Sequence[bytes]) -> int: ...
    def add_cache_step(self, block: int, cache: int) -> int: ...
    def add_forward_step(
        self,
        block: int,
        group: int,
        *,
        zone: bytes,
        excluded: Sequence[bytes],
        next_rcodes: Sequence[int],
        next_on_nodata: bool,
        labels_min: int = 0,
    ) -> int:
        """Names of fewer than `labels_min` labels are answered SERVFAIL here."""
    def add_python_step(self, block: int, *, qtype: int = 0, zones: Sequence[bytes] = ()) -> int:
        """A coroutine plugin: every query of `qtype` (0: every query), below `zones` if there are any, that gets here leaves
        as SLOW_STEP."""
    def add_listener(self, blocks: Sequence[int], *, server_port: int = 0) -> int:
        """The blocks that a socket's queries may belong to; the longest zone wins."""

    # --- tables
    def begin_snapshot(self, table: int) -> None:
        """What apply() gets from now on fills a new table beside the live one."""
    def apply(self, table: int, delta: Buffer) -> None:
        """Apply a delta (format: fastdns/_trie.pxd). Raises TableError, with what stands before the bad operation applied."""
    def end_snapshot(self, table: int) -> None:
        """Swap the new table in."""
    def entries(
        self, table: int, name: bytes, limit: int
    ) -> list[tuple[bytes, list[tuple[int, int, int, int, bytes]]]]:
        """NameTable.entries of a table."""
    def holds(self, table: int, name: bytes) -> tuple[int, list[tuple[int, int, int, int, bytes]]] | None:
        """NameTable.holds of a table."""
    def table_stats(self, table: int) -> dict[str, int]:
        """{names, nodes, octets, serial, synced} of a table."""
