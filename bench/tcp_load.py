"""A client for DNS over TCP (RFC 7766): many connections at once, each with one question or with many in a row.

It closes its connections itself, as stub resolvers do. They come from several addresses of 127/8, since servers bound
what one client may have open.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import select
import socket
import struct
import time
from collections.abc import Iterator, Sequence

from bench.load import RCODES, Result

TIMEOUT = 4.0  # seconds that a connection may take in all
SOURCES = 8
RECEIVE = 1 << 18
IP_BIND_ADDRESS_NO_PORT = 24  # ip(7); the socket module has it from Python 3.12 on


@dataclasses.dataclass(slots=True)
class Exchange:
    """One connection, with what it hasn't sent yet and how many answers it hasn't heard."""

    connection: socket.socket
    asked: float
    frames: bytes
    left: int
    heard: bytearray = dataclasses.field(default_factory=bytearray)


@dataclasses.dataclass(slots=True)
class Tally:
    """What is counted while it goes on."""

    sent: int = 0
    answered: int = 0
    lost: int = 0
    empty: int = 0
    octets: int = 0
    rcodes: list[int] = dataclasses.field(default_factory=lambda: [0] * 16)
    latencies: list[float] = dataclasses.field(default_factory=list)


class Client:
    """Asks one server; the questions go round."""

    def __init__(self, port: int, questions: Sequence[bytes]) -> None:
        self.port = port
        self.frames = itertools.cycle([struct.pack("!H", len(question)) + question for question in questions])
        self.sources = itertools.cycle([f"127.0.0.{number + 1}" for number in range(SOURCES)])

    def run(self, *, seconds: float, connections: int, depth: int) -> Result:
        """Keep so many connections open, each for `depth` questions sent in one go, for `seconds`; then hear the rest."""
        tally = Tally()
        began = time.monotonic()
        open_ones: dict[int, Exchange] = {}
        with contextlib.closing(select.epoll()) as poll:
            while (asking := time.monotonic() - began < seconds) or open_ones:
                while asking and len(open_ones) < connections:
                    self._open(open_ones, poll, tally, depth)
                for fileno, _ in poll.poll(0.05):
                    if open_ones[fileno].frames:
                        say(open_ones[fileno], poll, tally)
                    else:
                        hear(open_ones[fileno], tally)
                close_done(open_ones, tally)
        return as_result(tally, time.monotonic() - began)

    def _open(self, open_ones: dict[int, Exchange], poll: select.epoll, tally: Tally, depth: int) -> None:
        """Begin to connect: a server that doesn't accept at once keeps nobody else waiting."""
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1)  # a port is chosen by where it leads to
        connection.bind((next(self.sources), 0))
        connection.connect_ex(("127.0.0.1", self.port))
        frames = b"".join(itertools.islice(self.frames, depth))
        open_ones[connection.fileno()] = Exchange(connection, time.monotonic(), frames, depth)
        poll.register(connection, select.EPOLLOUT)
        tally.sent += depth


def say(exchange: Exchange, poll: select.epoll, tally: Tally) -> None:
    """Send what the send buffer takes, once connected; listen when all of it is sent."""
    try:
        exchange.frames = exchange.frames[exchange.connection.send(exchange.frames) :]
    except BlockingIOError:
        return
    except OSError:  # refused
        tally.lost += exchange.left
        exchange.left, exchange.frames = 0, b""
    if not exchange.frames:
        poll.modify(exchange.connection, select.EPOLLIN)


def hear(exchange: Exchange, tally: Tally) -> None:
    """Take in what came; a server that closes too early leaves a rest that is lost."""
    try:
        received = exchange.connection.recv(RECEIVE)
    except BlockingIOError:
        return
    except OSError:
        received = b""
    now = time.monotonic()
    exchange.heard += received
    for answer in answers(exchange.heard):
        exchange.left -= 1
        tally.answered += 1
        tally.octets += len(answer)
        tally.empty += answer[6:8] == b"\0\0"
        tally.rcodes[answer[3] & 15] += 1
        tally.latencies.append(now - exchange.asked)
    if not received:
        tally.lost += exchange.left
        exchange.left = 0


def answers(heard: bytearray) -> Iterator[bytes]:
    """The complete messages of a stream, taken off its front."""
    at = 0
    while len(heard) >= at + 2 and len(heard) >= (end := at + 2 + (heard[at] << 8 | heard[at + 1])):
        if end - at >= 14:
            yield bytes(heard[at + 2 : end])
        at = end
    del heard[:at]


def close_done(open_ones: dict[int, Exchange], tally: Tally) -> None:
    """Close what has all its answers, and what takes too long."""
    late = time.monotonic() - TIMEOUT
    for fileno, exchange in list(open_ones.items()):
        if exchange.left and exchange.asked > late:
            continue
        tally.lost += exchange.left
        exchange.connection.close()
        del open_ones[fileno]


def as_result(tally: Tally, seconds: float) -> Result:
    ordered = sorted(tally.latencies) or [0.0]
    p50, p99, p999, worst = (1e6 * ordered[min(len(ordered) - 1, int(len(ordered) * q))] for q in (0.5, 0.99, 0.999, 1))
    names = {i: RCODES[i] if i < len(RCODES) else str(i) for i in range(16)}
    return Result(
        sent=tally.sent,
        answered=tally.answered,
        lost=tally.lost,
        stray=0,
        empty=tally.empty,
        octets=tally.octets,
        seconds=seconds,
        rcodes={names[i]: count for i, count in enumerate(tally.rcodes) if count},
        p50=p50,
        p99=p99,
        p999=p999,
        worst=worst,
    )
