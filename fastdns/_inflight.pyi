"""Questions on their way upstream over UDP: ids and ports, deadlines, coalescing of equal questions, matching of replies."""

import enum
from collections.abc import Sequence
from typing import final

from fastdns._counters import Counters
from fastdns._exchange import Failure

class Asked(enum.IntEnum):
    ASK_SENT = 0
    ASK_JOINED = 1
    ASK_FULL = 2
    ASK_DEAD = 3

class Event(enum.IntEnum):
    EVENT_NONE = 0
    EVENT_REPLY = 1
    EVENT_FAILED = 2

@final
class Inflight:
    """The questions of one worker. `questions_max` may be on their way at once, four times as many may wait for them."""

    def __init__(self, questions_max: int = 16384) -> None: ...
    @property
    def epoll_fd(self) -> int:
        """Readable when datagrams wait."""
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
        source_address: str = "",
        counters: Counters | None = None,
        first_slot: int = 0,
    ) -> int:
        """Add the upstreams of one forward plugin, (IP address, port) each; its number.

        `max_connect_attempts` 0 is no limit but the deadline, as in CoreDNS. Metric slots start at `first_slot` of
        `counters`: GROUP_SLOTS, then UPSTREAM_SLOTS for each upstream; without `counters` they are kept here.
        """
    def set_upstream_down(self, group: int, upstream: int, down: bool) -> None:
        """Health checks have failed more than max_fails times, or one has succeeded. Raises IndexError."""
    def is_upstream_down(self, group: int, upstream: int) -> bool: ...
    def note_failure(self, group: int, upstream: int) -> None:
        """Put the upstream on the list of failing_upstreams: it failed over TCP or TLS. Raises IndexError."""
    def failing_upstreams(self) -> list[tuple[int, int]]:
        """(group, upstream) that did not answer since the last call, in groups that are health-checked."""
    def counts(self, group: int) -> tuple[list[int], list[list[int]]]:
        """The metric slots of a group: its GROUP_SLOTS, and a list of UPSTREAM_SLOTS for each upstream. Raises IndexError."""
    @property
    def live(self) -> int:
        """Questions on their way, or with the caller."""
    @property
    def open_sockets(self) -> int: ...
    def local_ports(self) -> list[int]:
        """Ports of the sockets that are open, in no order."""
    def close(self) -> None:
        """Close every socket; what was on its way fails. Nothing may be asked after that."""
    def ask(
        self,
        group: int,
        name_key: bytes,
        qtype: int,
        waiter: int,
        *,
        now_ns: int,
        deadline_ns: int,
        qclass: int = 1,
        wants_dnssec: bool = False,
        checking_disabled: bool = False,
        flags: int = ...,
    ) -> Asked:
        """As ask_upstream; `name_key` is a canonical wire name."""
    def flush(self, now_ns: int) -> None: ...
    def receive(self, now_ns: int) -> int: ...
    def take_event(self, now_ns: int) -> tuple[int, int, bytes | Failure] | None:
        """(slot, upstream, reply) or (slot, upstream, Failure), None if there is nothing more."""
    def retry(self, slot: int, *, now_ns: int, without_edns: bool = False) -> bool: ...
    def release(self, slot: int) -> list[int]:
        """The question is done; those who wait for it."""
    def deadline(self) -> int | None:
        """As next_deadline; None: no question is on its way."""
