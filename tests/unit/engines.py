"""Engines over the example cluster, asked without a server: what the tests of compiled answers share."""

from __future__ import annotations

import mmap
import select
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

import dns.message
import dns.rdatatype
import dns.rrset

from fastdns._counters import Counters
from fastdns._engine import Engine, Slow
from tests.unit import deltas

BLOCK, CACHE, GROUP = 300, 600, 700
"""Where the counters of the first block, cache and group start."""
REMOTE = ("10.1.2.3", 5353)
OPTIONS: dict[str, Any] = {
    "failover": [],
    "in_python": False,
    "policy": 2,
    "max_concurrent": 0,
    "read_timeout_ms": 2000,
    "max_fails": 2,
    "max_connect_attempts": 0,
    "failfast": False,
}
CACHE_OPTIONS: dict[str, Any] = {
    "success": (100, 30, 5),
    "denial": (100, 30, 5),
    "max_octets": 1 << 20,
    "servfail_ttl": 5,
    "stale_for": 0,
    "stale_verify": False,
    "prefetch": (0, 60, 10),
    "keep_ttl": False,
    "zones": [b"\0"],
    "disable_success": [],
    "disable_denial": [],
}


class World:
    """One engine, its counters, and one listener; blocks and steps are added by the test."""

    def __init__(self, *, inflight_max: int = 64) -> None:
        self.counters = Counters(mmap.mmap(-1, 8 * 8192))
        self.engine = Engine(self.counters, inflight_max=inflight_max)
        self.block = self.add_block()
        self.listener = self.engine.add_listener([self.block])

    def add_block(self, zone: str = ".", *, counters: int = BLOCK, **options: Any) -> int:
        chosen = {"udp_max": 1232, "rotate": False, "deadline_ms": 5000, "log": False, "errors": False} | options
        return self.engine.add_block(deltas.name(zone), counters=counters, **chosen)

    def listen(self, *blocks: int) -> None:
        self.listener = self.engine.add_listener(blocks)

    def add_table(self, delta: bytes, fallthrough: Sequence[str] = ()) -> int:
        table = self.engine.add_table()
        self.engine.add_table_step(self.block, table, fallthrough=[deltas.name(zone) for zone in fallthrough])
        self.engine.apply(table, delta)
        return table

    def add_cache(self, *, counters: int = CACHE, **options: Any) -> int:
        number = self.engine.add_cache(counters=counters, **(CACHE_OPTIONS | options))
        self.engine.add_cache_step(self.block, number)
        return number

    def add_forward(
        self, *ports: int, next_rcodes: Sequence[int] = (), excluded: Sequence[str] = (), first_slot: int = GROUP,
        next_on_nodata: bool = False, **options: Any,
    ) -> int:  # fmt: skip
        upstreams = [("127.0.0.1", port) for port in ports]
        group = self.engine.add_group(upstreams, first_slot=first_slot, **(OPTIONS | options))
        self.engine.add_forward_step(
            self.block,
            group,
            zone=b"\0",
            excluded=[deltas.name(zone) for zone in excluded],
            next_rcodes=next_rcodes,
            next_on_nodata=next_on_nodata,
        )
        return group

    def count(self, slot: int) -> int:
        return self.counters.get(slot)

    def ask_raw(self, wire: bytes, **options: Any) -> bytes | int:
        return self.engine.ask(wire, self.listener, **({"remote": REMOTE} | options))

    def ask(self, name: str, rdtype: str = "A", *, stream: bool = True, **options: Any) -> dns.message.Message:
        """The answer to a question that is answered at once."""
        answer = self.ask_raw(dns.message.make_query(name, rdtype, **options).to_wire(), is_stream=stream)
        assert isinstance(answer, bytes), f"{name} {rdtype} is still waiting"
        return dns.message.from_wire(answer)

    def park(self, name: str, rdtype: str = "A", *, stream: bool = False, **options: Any) -> int:
        """The token of a question that can't be answered at once."""
        token = self.ask_raw(dns.message.make_query(name, rdtype, **options).to_wire(), is_stream=stream)
        assert isinstance(token, int), dns.message.from_wire(token).to_text()
        return token

    def slow(self) -> Slow:
        (slow,) = self.engine.slow_queries()
        return slow

    def done(self, token: int) -> dns.message.Message:
        """The late answer of a token, which is the only one."""
        ((found, wire),) = self.engine.completed()
        assert found == token
        return dns.message.from_wire(wire)

    def turn(self, until: Callable[[], bool], *, seconds: float = 10) -> None:
        """Let replies and timers come until something holds."""
        deadline = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < deadline, "nothing came"
            select.select([self.engine.upstream_fd], [], [], min(self.engine.on_tick(), 20) / 1000)
            self.engine.on_upstream_readable()

    def wait(self, *tokens: int) -> list[dns.message.Message]:
        """The late answers of tokens, in their order."""
        found: dict[int, bytes] = {}

        def collect() -> bool:
            found.update(self.engine.completed())
            return found.keys() >= set(tokens)

        self.turn(collect)
        return [dns.message.from_wire(found[token]) for token in tokens]


class Upstream:
    """A scripted upstream on UDP: the test reads questions and sends replies by itself."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(10)
        self.port: int = self.socket.getsockname()[1]

    def take(self) -> tuple[dns.message.Message, tuple[str, int]]:
        wire, client = self.socket.recvfrom(65535)
        return dns.message.from_wire(wire), client

    def is_silent(self) -> bool:
        """True if no question waits."""
        return not select.select([self.socket], [], [], 0)[0]

    def reply(
        self, *records: str, rcode: int = 0, authority: Sequence[str] = (), flags: int = 0
    ) -> dns.message.Message:
        """Answer the next question with records given as `TTL TYPE DATA` of its name, or as whole lines."""
        query, client = self.take()
        reply = dns.message.make_response(query, recursion_available=True)
        reply.set_rcode(rcode)  # type: ignore[arg-type]
        reply.flags |= flags
        name = query.question[0].name.to_text()
        for section, lines in ((reply.answer, records), (reply.authority, authority)):
            for line in lines:
                owner, rest = (name, line) if line[0].isdigit() else line.split(" ", 1)
                ttl, rdtype, data = rest.split(" ", 2)
                section.append(dns.rrset.from_text(owner, int(ttl), "IN", rdtype, data))
        self.socket.sendto(reply.to_wire(), client)
        return query

    def close(self) -> None:
        self.socket.close()


def cluster() -> World:
    """The example cluster alone, with reverse names falling through."""
    world = World()
    world.add_table(deltas.example_cluster(), ["in-addr.arpa"])
    return world


def texts(section: list[dns.rrset.RRset]) -> list[str]:
    """Records one by one, without class."""
    return [
        f"{rrset.name} {rrset.ttl} {dns.rdatatype.to_text(rrset.rdtype)} {one}" for rrset in section for one in rrset
    ]
