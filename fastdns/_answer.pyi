"""Decide, collect, encode: everything one worker answers from. Knows no socket.

An Engine is built once, from one configuration, before its worker answers the first query; then only tables change.
"""

import enum
from collections.abc import Sequence
from typing import final

from typing_extensions import Buffer

from fastdns._counters import Counters

class Reason(enum.IntEnum):
    """Why a query left the compiled path (see Slow)."""

    SLOW_STEP = 0  # a step of kind PYTHON was reached: `step` is its index in the block
    SLOW_STREAM_FORWARD = 1  # a miss of a client on TCP, or a group that is asked over TCP or TLS: `step` is the forward
    SLOW_CHASE = 2  # a CNAME of the cluster that leads out of it: `step` is the table step

@final
class Slow:
    """A query for Python. `token` names its asker: give it to Engine.reply, exactly once."""

    token: int
    reason: Reason
    block: int
    step: int
    wire: bytes  # the query as received
    is_stream: bool  # TCP or TLS
    remote: tuple[str, int]  # the client's address and port
    local: tuple[str, int]  # the address and port that was asked

@final
class Engine:
    def __init__(self, counters: Counters, *, inflight_max: int = 16384) -> None: ...

    # --- built once ---------------------------------------------------------------------------------------------
    def add_table(self) -> int:
        """A name table, empty and not synced: of a kubernetes or hosts plugin."""
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
    ) -> int:
        """A cache: (capacity, max_ttl, min_ttl) of each side; prefetch is (amount, window seconds, percent). Zones are
        canonical wire names."""
    def add_group(
        self,
        upstreams: Sequence[tuple[str, int]],
        *,
        policy: int,
        max_concurrent: int,
        read_timeout_ms: int,
        max_fails: int,
        max_connect_attempts: int,
        failfast: bool,
        failover: Sequence[int],
        source_address: str,
        in_python: bool,
    ) -> int:
        """Upstreams of one forward plugin. `in_python`: TLS or TCP only, every miss becomes SLOW_STREAM_FORWARD."""
    def add_block(self, zone: bytes, *, udp_max: int, rotate: bool, deadline_ms: int, log: bool, errors: bool, counters: int) -> int:
        """A server block; `zone` is a canonical wire name; `counters` the first of its metric slots, see fastdns._counters."""
    def add_table_step(self, block: int, table: int, *, fallthrough: Sequence[bytes]) -> int: ...
    def add_cache_step(self, block: int, cache: int) -> int: ...
    def add_forward_step(self, block: int, group: int, *, zone: bytes, excluded: Sequence[bytes], next_rcodes: Sequence[int], next_on_nodata: bool) -> int: ...
    def add_python_step(self, block: int, *, qtype: int = 0) -> int:
        """A coroutine plugin: every query of `qtype` (0: every query) that gets here leaves as SLOW_STEP."""
    def add_listener(self, blocks: Sequence[int], *, server_port: int) -> int:
        """The blocks that a socket's queries may belong to; the longest zone wins."""

    # --- tables --------------------------------------------------------------------------------------------------
    def begin_snapshot(self, table: int) -> None:
        """What apply() gets from now on fills a new table beside the live one."""
    def apply(self, table: int, delta: Buffer) -> None:
        """Apply a delta (format: fastdns/_trie.pxd). Raises TableError, with nothing of it applied from the bad operation on."""
    def end_snapshot(self, table: int) -> None:
        """Swap the new table in."""

    # --- asking from Python (TCP, TLS, our own look-ups) ------------------------------------------------------------
    def ask(self, wire: Buffer, listener: int, *, remote: tuple[str, int], local: tuple[str, int], is_stream: bool, no_limit: bool = False) -> bytes | int:
        """The answer, or the token that completed() will bring it under. Empty: no answer is owed (drop)."""
    def resume(self, token: int, step: int) -> bytes | int | None:
        """Go on at `step` of the block with a query that came out as Slow: as ask(). None: its asker has been answered
        or will be, by the engine (an asker on UDP)."""
    def reply(self, token: int, wire: bytes) -> None:
        """Answer the asker of `token` with a message that Python made; it is cut to the client's size, given its id, its
        spelling and its OPT. Empty: drop it."""
    def reply_rcode(self, token: int, rcode: int, ede: int = 65535) -> None: ...
    def store(self, token: int, wire: bytes) -> bytes | None:
        """Check an upstream's reply to the query of `token`, as a UDP one is, and put it into the block's cache. The
        checked message, to be given to reply(); None if it is no answer to that question. Raises ValueError: malformed."""
    def slow_queries(self) -> list[Slow]:
        """What left the compiled path since the last call."""
    def completed(self) -> list[tuple[int, bytes]]:
        """Answers for tokens that ask() or resume() gave out."""
    def log_records(self) -> list[tuple[object, ...]]:
        """Queries of blocks with log=True that were answered since the last call: (block, seconds since query, remote,
        local, is_stream, query header and question and OPT as bytes, response rcode, response flags, response size)."""
    def error_records(self) -> list[tuple[object, ...]]:
        """Failures for plugin errors since the last call: (block, rcode, qname text, qtype, failure, upstream or None)."""

    @property
    def waiting(self) -> int:
        """Askers whose answer is still owed: a worker that leaves waits for them."""

    # --- upstreams ---------------------------------------------------------------------------------------------------
    @property
    def upstream_fd(self) -> int:
        """Readable when a reply waits: call on_upstream_readable()."""
    def on_upstream_readable(self) -> None: ...
    def on_tick(self) -> int:
        """Deadlines and retries; milliseconds until it wants to be called again."""
    def failing_upstreams(self) -> list[tuple[int, int]]:
        """(group, upstream) that failed since the last call: to be health-checked."""
    def set_upstream_down(self, group: int, upstream: int, down: bool) -> None: ...
