"""Upstreams that do what a test says, and questions on their way to them. Time is the test's own."""

from __future__ import annotations

import select
import socket
import time

from fastdns._counters import GroupSlot
from fastdns._exchange import Failure, Policy
from fastdns._inflight import Asked, Inflight

NAME = b"\x03www\x07example\x03org\x00"
SECOND = 1_000_000_000
START = 1000 * SECOND
DEADLINE = START + 5 * SECOND


class Upstream:
    """A name server that does what the test says."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind((address, 0))
        self.socket.settimeout(2)
        self.port = self.socket.getsockname()[1]

    def take(self) -> tuple[bytes, tuple[str, int]]:
        return self.socket.recvfrom(4096)

    def waits(self) -> bool:
        return bool(select.select([self.socket], [], [], 0)[0])

    def close(self) -> None:
        self.socket.close()


def make(
    *servers: Upstream | int,
    policy: int = Policy.POLICY_SEQUENTIAL,
    max_concurrent: int = 0,
    max_fails: int = 2,
    attempts: int | None = None,
    failfast: bool = False,
    questions_max: int = 64,
) -> Inflight:
    inflight = Inflight(questions_max)
    ports = [server if isinstance(server, int) else server.port for server in servers]
    inflight.add_group(
        [("127.0.0.1", port) for port in ports],
        policy=policy,
        max_concurrent=max_concurrent,
        read_timeout_ms=2000,
        max_fails=max_fails,
        max_connect_attempts=2 * len(servers) if attempts is None else attempts,
        failfast=failfast,
    )
    return inflight


def ask(inflight: Inflight, name: bytes = NAME, waiter: int = 7, now: int = START, **options: object) -> Asked:
    result = inflight.ask(0, name, 1, waiter, now_ns=now, deadline_ns=DEADLINE, **options)  # type: ignore[arg-type]
    inflight.flush(now)
    return result


def wait(inflight: Inflight) -> None:
    assert select.select([inflight.epoll_fd], [], [], 2)[0]


def settle(inflight: Inflight, now: int = START) -> tuple[int, int, bytes | Failure] | None:
    """The next event that real time brings, within two seconds."""
    until = time.monotonic() + 2
    while time.monotonic() < until:
        inflight.receive(now)
        event = inflight.take_event(now)
        inflight.flush(now)
        if event is not None:
            return event
        select.select([inflight.epoll_fd], [], [], 0.05)
    return None


def nothing_comes(inflight: Inflight, now: int = START) -> bool:
    wait(inflight)
    inflight.receive(now)
    return inflight.take_event(now) is None


def reply_to(query: bytes, *, rcode: int = 0, flags: int = 0x8180, counts: bytes = b"\0\1\0\0\0\0\0\0") -> bytes:
    end = query.index(b"\0", 12) + 5
    return query[:2] + (flags | rcode).to_bytes(2, "big") + counts + query[12:end]


def mismatches(inflight: Inflight) -> int:
    return inflight.counts(0)[0][GroupSlot.GROUP_MISMATCHED_REPLIES]
