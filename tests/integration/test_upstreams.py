"""The engine before upstreams on UDP that lie, die or dawdle: what a client gets, and how soon. Time is real."""

from __future__ import annotations

import collections
import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from fastdns._counters import BlockSlot, Counters, GroupSlot, UpstreamSlot, WorkerSlot
from fastdns._engine import Engine
from tests.peers.process import CLOSED_PORTS

QUERY = b"\x12\x34\x01\x00\0\1\0\0\0\0\0\1\x03wWw\x07example\x03org\0\0\1\0\1\0\0\x29\x10\0\0\0\0\0\0\0"
ADDRESS = b"\xc0\x0c\0\1\0\1\0\0\0\x1e\0\4\xc0\0\2\1"
READ_TIMEOUT = 0.2  # seconds
SERVFAIL, TRUNCATED = 2, 0x02

# What an upstream does with a query: datagrams to send after so many seconds each.
Behaviour = Callable[[bytes], "list[tuple[float, bytes]]"]


def reply_to(query: bytes, *, rcode: int = 0, answer: bytes = ADDRESS, count: int = 1, flags: int = 0x8180) -> bytes:
    end = query.index(b"\0", 12) + 5
    header = query[:2] + (flags | rcode).to_bytes(2, "big") + b"\0\1" + count.to_bytes(2, "big") + b"\0\0\0\0"
    return header + query[12:end] + answer


class Upstream(threading.Thread):
    def __init__(self, behaviour: Behaviour) -> None:
        super().__init__(daemon=True)
        self.behaviour = behaviour
        self.queries: list[bytes] = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0.05)
        self.port: int = self.socket.getsockname()[1]
        self.is_over = False
        self.start()

    def run(self) -> None:
        while not self.is_over:
            with contextlib.suppress(TimeoutError):
                query, client = self.socket.recvfrom(4096)
                self.queries.append(query)
                for pause, datagram in self.behaviour(query):
                    time.sleep(pause)
                    self.socket.sendto(datagram, client)

    def close(self) -> None:
        self.is_over = True
        self.join()
        self.socket.close()


@pytest.fixture
def upstreams() -> Iterator[Callable[..., list[Upstream]]]:
    made: list[Upstream] = []

    def start(*behaviours: Behaviour) -> list[Upstream]:
        made.extend(map(Upstream, behaviours))
        return made[-len(behaviours) :]

    yield start
    for upstream in made:
        upstream.close()


class World:
    """An engine that forwards everything."""

    def __init__(
        self, ports: Sequence[int], *, failover: Sequence[int] = (), read_timeout: float = READ_TIMEOUT
    ) -> None:
        first = WorkerSlot.WORKER_SLOTS + BlockSlot.BLOCK_SLOTS + 100
        slots = first + GroupSlot.GROUP_SLOTS + len(ports) * UpstreamSlot.UPSTREAM_SLOTS
        self.counters = Counters(bytearray(8 * slots))
        self.first = first
        self.engine = Engine(self.counters, inflight_max=4096)
        block = self.engine.add_block(
            b"\0", udp_max=1232, rotate=False, deadline_ms=int(1000 * max(5.0, read_timeout)), log=False, errors=False,
            counters=WorkerSlot.WORKER_SLOTS,
        )  # fmt: skip
        group = self.engine.add_group(
            [("127.0.0.1", port) for port in ports], failover=failover, in_python=False, policy=2, max_concurrent=0,
            read_timeout_ms=int(1000 * read_timeout), max_fails=2, max_connect_attempts=2 * len(ports), failfast=False,
            first_slot=first,
        )  # fmt: skip
        self.engine.add_forward_step(block, group, zone=b"\0", excluded=[], next_rcodes=[], next_on_nodata=False)
        self.listener = self.engine.add_listener([block])

    def begin(self, query: bytes = QUERY) -> int:
        token = self.engine.ask(query, self.listener, is_stream=False)
        assert isinstance(token, int)
        return token

    def settle(self, tokens: set[int], *, within: float = 4.5) -> dict[int, bytes]:
        """The answers to all of them. An asker that hears nothing in time fails the test."""
        answers: dict[int, bytes] = {}
        until = time.monotonic() + within
        while tokens - answers.keys():
            assert time.monotonic() < until, "no answer in time"
            wait = min(self.engine.on_tick(), 50) / 1000
            if select.select([self.engine.upstream_fd], [], [], wait)[0]:
                self.engine.on_upstream_readable()
            for token, answer in self.engine.completed():
                assert token not in answers
                answers[token] = answer
        return answers

    def ask(self, query: bytes = QUERY, *, within: float = 4.5) -> bytes:
        token = self.begin(query)
        return self.settle({token}, within=within)[token]

    @property
    def mismatched(self) -> int:
        return self.counters.get(self.first + GroupSlot.GROUP_MISMATCHED_REPLIES)


def rcode_of(answer: bytes) -> int:
    return answer[3] & 15


def is_good(answer: bytes) -> bool:
    return rcode_of(answer) == 0 and b"\xc0\0\2\1" in answer and b"wWw" in answer


def answering(query: bytes) -> list[tuple[float, bytes]]:
    return [(0, reply_to(query))]


def silent(query: bytes) -> list[tuple[float, bytes]]:
    return []


def before_good(*bad: Callable[[bytes], bytes]) -> Behaviour:
    """A server whose first datagrams are not to be believed."""
    return lambda query: [*((0.0, make(reply_to(query))) for make in bad), (0.05, reply_to(query))]


LIES: dict[str, Callable[[bytes], bytes]] = {
    "another id": lambda reply: bytes([reply[0] ^ 1]) + reply[1:],
    "another name": lambda reply: reply.replace(b"example", b"exampla"),
    "another type": lambda reply: reply[:29] + b"\0\x1c" + reply[31:],
    "QR is 0": lambda reply: reply[:2] + b"\x01\x80" + reply[4:],
    "no question": lambda reply: reply[:4] + b"\0\0\0\1\0\0\0\0" + ADDRESS,
    "class CH": lambda reply: reply[:31] + b"\0\3" + reply[33:],
    "another opcode": lambda reply: reply[:2] + b"\xa1\x80" + reply[4:],
    "garbage": lambda reply: bytes(range(64)),
    "nothing": lambda reply: b"",
    "five octets": lambda reply: reply[:5],
}


@pytest.mark.parametrize("lie", LIES)
def test_lie_is_ignored_and_the_reply_after_it_used(upstreams: Callable[..., list[Upstream]], lie: str) -> None:
    (server,) = upstreams(before_good(LIES[lie]))
    world = World([server.port], read_timeout=30.0)  # nothing but the lie could make it ask again
    assert is_good(world.ask(within=30.0))
    assert world.mismatched == 1
    assert len(server.queries) == 1


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "a record is cut": lambda query: reply_to(query)[:-2],
    "a pointer to itself": lambda query: reply_to(query, answer=b"\xc0\x21" + ADDRESS[2:]),
    "five octets of address": lambda query: reply_to(query, answer=ADDRESS[:10] + b"\0\5\xc0\0\2\1\1"),
    "more counted than there are": lambda query: reply_to(query, count=2),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_broken_reply_is_servfail_or_the_next_upstream(upstreams: Callable[..., list[Upstream]], fault: str) -> None:
    broken, good = upstreams(lambda query: [(0, BROKEN[fault](query))], answering)
    assert rcode_of(World([broken.port]).ask()) == SERVFAIL
    assert is_good(World([broken.port, good.port]).ask())


def test_formerr_means_once_more_without_edns(upstreams: Callable[..., list[Upstream]]) -> None:
    def old(query: bytes) -> list[tuple[float, bytes]]:
        return [(0, reply_to(query, rcode=1, answer=b"", count=0) if query[11] else reply_to(query))]

    (server,) = upstreams(old)
    assert is_good(World([server.port]).ask())
    assert len(server.queries) == 2


def test_formerr_for_good_is_passed_on(upstreams: Callable[..., list[Upstream]]) -> None:
    (server,) = upstreams(lambda query: [(0, reply_to(query, rcode=1, answer=b"", count=0))])
    assert rcode_of(World([server.port]).ask()) == 1
    assert len(server.queries) == 2


def test_truncated_reply_is_passed_on(upstreams: Callable[..., list[Upstream]]) -> None:
    (server,) = upstreams(lambda query: [(0, reply_to(query, flags=0x8380))])
    assert World([server.port]).ask()[2] & TRUNCATED


def test_8_kb_for_the_1232_asked_for_is_truncated(upstreams: Callable[..., list[Upstream]]) -> None:
    (server,) = upstreams(lambda query: [(0, reply_to(query, answer=ADDRESS * 510, count=510))])
    assert World([server.port]).ask()[2] & TRUNCATED


def test_three_replies_are_one_answer(upstreams: Callable[..., list[Upstream]]) -> None:
    (server,) = upstreams(lambda query: [(0, reply_to(query))] * 3)
    world = World([server.port])
    assert is_good(world.ask())
    time.sleep(0.05)
    world.engine.on_upstream_readable()
    assert world.engine.completed() == []
    assert world.mismatched == 2


def test_slow_upstream_answers(upstreams: Callable[..., list[Upstream]]) -> None:
    (server,) = upstreams(lambda query: [(READ_TIMEOUT * 0.75, reply_to(query))])
    assert is_good(World([server.port]).ask())


def test_hung_upstream_is_servfail_in_two_read_timeouts(upstreams: Callable[..., list[Upstream]]) -> None:
    """The quickest of a few: a busy machine delays some."""
    (server,) = upstreams(silent)
    taken = []
    for _ in range(3):
        began = time.monotonic()
        answer = World([server.port]).ask()
        taken.append(time.monotonic() - began)
        assert rcode_of(answer) == SERVFAIL
        assert b"\0\x0f\0\2\0\x16" in answer or b"\0\x0f\0\2\0\x17" in answer  # EDE 22 or 23
    assert 1.9 * READ_TIMEOUT < min(taken) < 3 * READ_TIMEOUT


def test_hung_upstream_is_left_for_the_next(upstreams: Callable[..., list[Upstream]]) -> None:
    hung, good = upstreams(silent, answering)
    world = World([hung.port, good.port])
    assert is_good(world.ask())
    assert world.engine.failing_upstreams() == [(0, 0)]
    world.engine.set_upstream_down(0, 0, True)
    began = time.monotonic()
    assert is_good(world.ask(QUERY.replace(b"example", b"exampl2")))
    assert time.monotonic() - began < READ_TIMEOUT


def test_closed_port_is_left_at_once(upstreams: Callable[..., list[Upstream]]) -> None:
    closed = CLOSED_PORTS[0]
    (good,) = upstreams(answering)
    began = time.monotonic()
    assert is_good(World([closed, good.port]).ask())
    assert rcode_of(World([closed]).ask()) == SERVFAIL
    assert time.monotonic() - began < READ_TIMEOUT


def test_failover_goes_on_after_its_rcode(upstreams: Callable[..., list[Upstream]]) -> None:
    bad, good = upstreams(lambda query: [(0, reply_to(query, rcode=5, answer=b"", count=0))], answering)
    assert is_good(World([bad.port, good.port], failover=[5]).ask())
    assert rcode_of(World([bad.port, good.port]).ask()) == 5


def test_2000_questions_to_a_hung_upstream_are_all_told(upstreams: Callable[..., list[Upstream]]) -> None:
    (server,) = upstreams(silent)
    world = World([server.port])
    tokens = {world.begin(QUERY.replace(b"example", b"ex%05d" % at)) for at in range(2000)}
    answers = world.settle(tokens)
    assert collections.Counter(map(rcode_of, answers.values())) == {SERVFAIL: 2000}


def test_equal_questions_are_asked_once(upstreams: Callable[..., list[Upstream]]) -> None:
    (server,) = upstreams(lambda query: [(0.05, reply_to(query))])
    world = World([server.port])
    answers = world.settle({world.begin() for _ in range(1000)})
    assert all(map(is_good, answers.values()))
    assert len(server.queries) == 1
