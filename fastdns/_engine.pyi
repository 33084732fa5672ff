"""What Python asks of the compiled path: queries of streams and of our own, answers it made, notes to collect.

An Engine is built once, from one configuration, before its worker answers the first query; then only tables change.
"""

from collections.abc import Callable
from typing import final

from typing_extensions import Buffer

from fastdns._answer import Reason
from fastdns._late import LateAnswerer

class Slow:
    """A query for Python. `token` names its asker: it is to be ended exactly once, by Engine.reply, reply_rcode,
    reply_upstream (if that returns True) or resume."""

    __slots__ = ("block", "is_stream", "local", "reason", "remote", "step", "token", "wire")
    token: int
    reason: Reason
    block: int
    step: int
    wire: bytes  # header, question as spelt, OPT without options
    is_stream: bool  # TCP or TLS
    remote: tuple[str, int]  # the client's address and port; ("", 0) for a look-up of our own
    local: str  # the address that was asked; empty: unknown
    def __init__(
        self,
        token: int,
        reason: Reason,
        block: int,
        step: int,
        wire: bytes,
        is_stream: bool,
        remote: tuple[str, int],
        local: str,
    ) -> None: ...

@final
class Engine(LateAnswerer):
    """Everything one worker answers from. `inflight_max` bounds the questions upstream and the queries in Python."""

    # --- asking from Python (TCP, TLS, our own look-ups)
    def ask(
        self,
        wire: Buffer,
        listener: int,
        *,
        remote: tuple[str, int] = ("", 0),
        local: tuple[str, int] = ("", 0),
        is_stream: bool = True,
        no_limit: bool = False,
    ) -> bytes | int:
        """The answer to a query, empty if none is owed; or the token that completed() will bring it under. A query that is
        not is_stream is a look-up of our own: not counted, not logged, forwarded over UDP."""
    def ask_behind(self, token: int, wire: bytes) -> bytes | int:
        """The answer to another question, asked by the client of `token`, of the steps behind the one where that waits: as
        of ask(), of any size. Raises KeyError: nobody waits; ValueError: that is no query."""
    def resume(self, token: int, step: int) -> None:
        """Go on at `step` of the block. The answer leaves by itself: over UDP, or through completed()."""
    def reply(self, token: int, wire: bytes, *, options: bytes = ..., keep_rd: bool = ...) -> None:
        """Answer with a message that Python made from Slow.wire, question included, OPT not; it gets the client's id,
        spelling and OPT with these options, its RD unless the message's is kept, and TC if it is too large. Empty: no answer is
        owed. Raises KeyError: nobody waits."""
    def reply_rcode(self, token: int, rcode: int, ede: int = ...) -> None:
        """Answer without records; with SERVFAIL from the cache, if it kept something stale to verify."""
    def reply_upstream(self, token: int, wire: bytes) -> bool:
        """Check an upstream's reply as a UDP one is, keep it in the cache, answer with it (or go on with the next step, as
        `next` says). False: it is broken, or answers another question; the asker still waits."""
    def chain(self, token: int) -> tuple[bytes, bytes, bool] | None:
        """For SLOW_CHASE: the answer so far (the CNAMEs, no OPT), the canonical name that they lead to, and whether AA stays
        with what is found there; None: they lead nowhere any more."""
    def slow_queries(self) -> list[Slow]:
        """What left the compiled path since the last call."""
    def parked_at(self, token: int) -> tuple[int, int] | None:
        """(step, upstream): where an asker waits, and which upstream of a spread it is for (-1: all of them)."""
    def completed(self) -> list[tuple[int, bytes]]:
        """[(token, answer)] of what ask() gave tokens for; an empty answer: none is owed."""
    def log_records(
        self,
    ) -> list[tuple[int, float, tuple[str, int], str, bool, bytes, int, int, int, int, bool, int]]:
        """[(block, seconds, remote, local, is_stream, query, rcode, flags, answer size, query size, is_nodata, step)] since
        the last call. `query` is the whole answer where log_answers() says so; `step` is where the query was parked last,
        255 if it never was."""
    def error_records(self) -> list[tuple[int, int, bytes, int, int, int, tuple[str, int]]]:
        """[(block, rcode, header and question, failure, group, upstream, remote)] since the last call."""
    def dropped_notes(self) -> int:
        """How many log and error records nobody took in time."""
    def waiting(self) -> int:
        """How many queries are parked: on their way upstream, or in Python."""

    def forget_cached(self) -> None:
        """Empty every cache."""

    # --- upstreams
    @property
    def upstream_fd(self) -> int:
        """Readable when a reply waits: call on_upstream_readable()."""
    on_upstream_work: Callable[[], object] | None
    """Called when replies left something to collect, or upstreams to be checked."""
    def on_upstream_readable(self) -> None:
        """Take replies in and send what they answer. For an event loop: where C can do all, no Python runs."""
    def flush(self) -> None:
        """Send the answers that replies, Python or timers made ready for clients over UDP, of every listener."""
    def on_tick(self) -> int:
        """Deadlines, gauges, memory given back: milliseconds until it wants to be called again, at the latest. Then
        flush()."""
    def shrink_caches(self) -> None:
        """Memory is short: drop a quarter of what caches hold, up to 16,384 entries of each, and give it back."""
    def grow_caches(self, octets: int) -> None:
        """Caches may grow by so many octets in all, until they are told again."""
    def take_alarm(self) -> int:
        """Milliseconds until on_tick() is wanted for somebody who has come since it was called; 0: nobody has."""
    def failing_upstreams(self) -> list[tuple[int, int]]:
        """[(group, upstream)] that failed since the last call: to be health-checked."""
    def set_upstream_down(self, group: int, upstream: int, down: bool) -> None:
        """Leave an upstream out, or take it in again."""
