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
    STEP_UNDOTTED = 4
    STEP_CLASSES = 5

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
    ERRORS_CARRY_RA = 512
    FINDS_KNOWN = 1024
    END_REFUSED = 2048
    END_NOT_READY = 4096

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
        by_record: bool = False,
        types: Sequence[int] = (),
        negative_ttl: int = 0,
    ) -> int:
        """A cache: (capacity, max_ttl, min_ttl) of each side; prefetch is (amount, window seconds, percent). Zones are
        canonical wire names. Its CACHE_SLOTS counters start at `counters`. With stale_verify a client waits for
        verify_timeout_ms (0: until the upstreams fail) before it gets a stale answer; such a one carries stale_ttl; for
        `recheck` seconds a refresh that failed is not tried again; with prefer_positive a stale answer goes before a fresh
        denial. With by_record it keeps records of `types` (none: all) with their own TTLs, and what doesn't exist for
        `negative_ttl` seconds where no SOA says how long."""
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
    def set_manners(self, block: int, manners: int, *, gate: int = 0) -> None:
        """Have a block behave as kube-dns or dnsmasq does: `manners` are Manner's, `gate` is REFUSE_UNSYNCED's table."""
    def count_system(self, block: int, system: int, *, counters: int) -> None:
        """Count what a block answers as kube-dns does, in the SYSTEM_SLOTS of its `system`; those of the first of SYSTEMS
        start at `counters`."""
    def log_answers(self, block: int) -> None:
        """Have log records of a block hold the whole answer instead of the query."""
    def set_rules(
        self,
        block: int,
        *,
        unblocked: Sequence[bytes],
        clear_flags: int,
        set_flags: int,
        max_ttl: int,
        hidden: Sequence[int],
        ignored: Sequence[tuple[bytes, bytes]],
        bogus: Sequence[tuple[bytes, bytes]],
        blocked: Sequence[tuple[bytes, bytes]],
        aliases: Sequence[tuple[bytes, bytes, bytes, bytes]],
    ) -> None:
        """Rules for the replies that a block gets: header flags, the largest TTL, types to leave out; networks (first, last)
        whose addresses make a reply none, a denial, or (outside the zones `unblocked`) an empty one; aliases (first, last,
        address, mask). Raises ValueError."""
    def add_spread(self, first: int, count: int, *, failover: Sequence[int], always: bool) -> int:
        """`count` groups of one upstream, from `first` on, that are asked at once; its number. `always`: for every question,
        else for the first, and then now and again; between them the one that answered first is asked."""
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
        more_zones: Sequence[bytes] = (),
        is_undotted: bool = False,
        spread: int | None = None,
    ) -> int:
        """Names of fewer than `labels_min` labels are answered SERVFAIL here. With is_undotted only names of one label;
        `spread` is asked in the place of the group, but for clients on TCP."""
    def add_undotted_step(self, block: int) -> int:
        """Addresses of names of one label are denied."""
    def add_classes_step(self, block: int) -> int:
        """Every query of another class than IN leaves as SLOW_STEP; it may be resumed at a later step."""
    def add_python_step(
        self, block: int, *, qtype: int = 0, zones: Sequence[bytes] = (), first_label: bytes = ...
    ) -> int:
        """A coroutine plugin: every query of `qtype` (0: every query), below `zones` if there are any, whose name begins with
        `first_label` if there is one, that gets here leaves as SLOW_STEP."""
    def add_listener(self, blocks: Sequence[int], *, server_port: int = 0) -> int:
        """The blocks that a socket's queries may belong to; the longest zone wins."""

    # --- tables
    def begin_snapshot(self, table: int) -> None:
        """What apply() gets from now on fills a new table beside the live one."""
    def apply(self, table: int, delta: Buffer) -> None:
        """Apply a delta (format: fastdns/_names.pxd). Raises TableError, with what stands before the bad operation applied."""
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
