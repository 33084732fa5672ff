"""The in-flight table under any order of questions, replies, lies, refusals and time: each asker is told exactly once.

Input: one octet of options, then operations of three octets: what to do, which name, how much.
"""

import contextlib
import socket

from fastdns._exchange import Policy
from fastdns._inflight import Asked, Inflight

MILLISECOND = 1_000_000
ANSWER = b"\300\14\0\1\0\1\0\0\0\36\0\4\300\0\2\1"
SEEDS: list[bytes] = [
    bytes((0, 0, 1, 0, 1, 0, 0, 0, 2, 0, 1, 0, 0)),  # asked and answered
    bytes((1, 0, 1, 0, 0, 1, 0, 2, 0, 0, 3, 255, 255, 3, 255, 255, 3, 255, 255)),  # coalesced, timed out
    bytes((2, 0, 1, 0, 0, 2, 0, 0, 3, 0, 5, 0, 0, 1, 0, 0)),  # refused, answered by the next
    bytes((3, 0, 1, 0, 1, 1, 7, 1, 1, 40, 1, 0, 0, 3, 255, 255)),  # lies
    bytes((12, 0, 1, 0, 4, 0, 1, 0, 2, 0, 4, 1, 1, 0, 3, 0, 1, 0, 0)),  # upstreams down, failing fast
]


def name_of(number: int) -> bytes:
    return bytes((1 + number % 7,)) + bytes((97 + number % 26,)) * (1 + number % 7) + b"\7example\0"


def lie(reply: bytes, number: int, amount: int) -> bytes:
    """The reply with one octet changed or cut off, or anything else."""
    if number % 4 == 0:
        return reply[: amount % (len(reply) + 1)]
    at = amount % len(reply)
    return reply[:at] + bytes((reply[at] ^ (1 << (number & 7)),)) + reply[at + 1 :]


class World:
    def __init__(self, options: int, open_port: int, closed_port: int) -> None:
        self.questions_max = 3 + (options >> 5)
        self.inflight = Inflight(self.questions_max)
        ports = [open_port] if options & 1 else [closed_port, open_port] if options & 2 else [open_port, closed_port]
        self.inflight.add_group(
            [("127.0.0.1", port) for port in ports],
            policy=(Policy.POLICY_SEQUENTIAL, Policy.POLICY_ROUND_ROBIN)[options >> 4 & 1],
            max_concurrent=0, read_timeout_ms=200, max_fails=2,
            max_connect_attempts=0 if options & 4 else 2 * len(ports), failfast=bool(options & 8),
        )  # fmt: skip
        self.upstreams = len(ports)
        self.now = 1 << 40
        self.asked = 0
        self.waiting: set[int] = set()
        self.seen: set[object] = set()

    def ask(self, number: int, amount: int) -> None:
        self.asked += 1
        result = self.inflight.ask(
            0, name_of(number), 1, self.asked, now_ns=self.now, deadline_ns=self.now + (1 + amount) * 4 * MILLISECOND,
            wants_dnssec=bool(amount & 1),
        )  # fmt: skip
        self.seen.add(result)
        if result in (Asked.ASK_SENT, Asked.ASK_JOINED):
            self.waiting.add(self.asked)

    def take_events(self, retry: int) -> None:
        while self.inflight.receive(self.now):
            self.take_ready(retry)
        self.take_ready(retry)

    def take_ready(self, retry: int) -> None:
        while (event := self.inflight.take_event(self.now)) is not None:
            slot, upstream, outcome = event
            assert upstream < self.upstreams
            self.seen.add(outcome if isinstance(outcome, int) else "reply")
            if isinstance(outcome, bytes):
                assert len(outcome) >= 12 and outcome[2] & 0x80 and outcome[4:6] == b"\0\1"
                if retry & 1 and self.inflight.retry(slot, now_ns=self.now, without_edns=bool(retry & 2)):
                    self.seen.add("retry")
                    continue
            told = self.inflight.release(slot)
            assert told and len(set(told)) == len(told)
            assert self.waiting >= set(told), "told twice"
            self.waiting -= set(told)


def run(data: bytes) -> object:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with contextlib.closing(server), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        other.bind(("127.0.0.1", 0))
        closed_port = other.getsockname()[1]
        other.close()
        world = World(data[0] if data else 0, server.getsockname()[1], closed_port)
        for at in range(1, min(len(data) - 2, 600), 3):
            step(world, server, *data[at : at + 3])
            assert world.inflight.live <= world.questions_max
        finish(world)
        return frozenset(world.seen)


def step(world: World, server: socket.socket, what: int, number: int, amount: int) -> None:
    if what % 6 == 0:
        world.ask(number, amount)
    elif what % 6 == 1:
        world.inflight.flush(world.now)
        answer(world, server, number, amount)
        world.take_events(what >> 4)
    elif what % 6 == 2:
        world.inflight.flush(world.now)
    elif what % 6 == 3:
        world.now += (number + 1) * (amount + 1) * MILLISECOND // 64
        world.take_events(what >> 4)
    elif what % 6 == 4:
        world.inflight.set_upstream_down(0, number % world.upstreams, bool(amount & 1))
    else:
        world.take_events(what >> 4)
        world.inflight.failing_upstreams()


def answer(world: World, server: socket.socket, number: int, amount: int) -> None:
    """Answer what has come, up to a bound: truly, doubly, or with a lie first."""
    for _ in range(8):
        try:
            query, client = server.recvfrom(512)
        except BlockingIOError:
            return
        reply = query[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + query[12 : query.index(b"\0", 12) + 5] + ANSWER
        if number & 1:
            server.sendto(lie(reply, number >> 1, amount), client)
        if number & 2:
            server.sendto(reply + bytes(5000), client)
        if not number & 4:
            server.sendto(reply, client)


def finish(world: World) -> None:
    """Time goes on until all have been told: no asker is forgotten."""
    for _ in range(3000):
        world.inflight.flush(world.now)
        world.take_events(0)
        due = world.inflight.deadline()
        if due is None or not world.waiting:
            break
        world.now = max(world.now + MILLISECOND, due)
    assert not world.waiting, f"{len(world.waiting)} were never told"
    assert world.inflight.live == 0
    world.inflight.close()
    assert world.inflight.open_sockets == 0
