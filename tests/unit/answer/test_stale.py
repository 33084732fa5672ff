"""Stale answers: who waits for a fresh one, for how long, and what a refresh that fails leaves behind (RFC 8767)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import dns.edns
import dns.message
import dns.rcode
import pytest

from fastdns._counters import CacheSlot
from tests.unit import engines

NAME = "www.example.org"
SHORT: dict[str, Any] = {"success": (100, 30, 1), "denial": (100, 30, 1), "stale_for": 60}
SOA = "example.org. 1 SOA ns.example.org. root.example.org. 1 2 3 4 1"
FIRST, SECOND = "192.0.2.1", "192.0.2.2"
PATIENCE_MS = 100


@pytest.fixture
def upstream() -> Iterator[engines.Upstream]:
    upstream = engines.Upstream()
    yield upstream
    upstream.close()


def make_world(upstream: engines.Upstream, *, read_timeout_ms: int = 2000, **options: Any) -> engines.World:
    """A world whose cache holds a stale address of NAME."""
    world = engines.World()
    world.add_cache(**(SHORT | options))
    world.add_forward(upstream.port, read_timeout_ms=read_timeout_ms)
    ask_fresh(world, upstream, f"1 A {FIRST}")
    return world


def ask_fresh(world: engines.World, upstream: engines.Upstream, *records: str, **options: Any) -> None:
    """Ask for NAME, let the upstream answer, and let that become stale."""
    token = world.park(NAME)
    upstream_replies(world, upstream, *records, **options)
    world.wait(token)
    time.sleep(1.01)  # the cache counts whole seconds


def upstream_replies(world: engines.World, upstream: engines.Upstream, *records: str, **options: Any) -> None:
    world.turn(lambda: not upstream.is_silent())
    upstream.reply(*records, **options)


def settle(world: engines.World) -> None:
    """Take in a reply that nobody waits for."""
    time.sleep(0.05)
    world.engine.on_upstream_readable()


def addresses(message: dns.message.Message) -> list[str]:
    return [record.to_text() for rrset in message.answer for record in rrset]


def edes(message: dns.message.Message) -> list[int]:
    return [int(option.code) for option in message.options if isinstance(option, dns.edns.EDEOption)]


def counted(world: engines.World, slot: CacheSlot) -> int:
    return world.count(engines.CACHE + slot)


@pytest.mark.parametrize(
    ("stale_ttl", "keep_ttl", "expected"), [(0, False, 0), (30, False, 30), (0, True, 1), (30, True, 30)]
)
def test_immediate_answers_stale_and_asks_once(
    upstream: engines.Upstream, stale_ttl: int, keep_ttl: bool, expected: int
) -> None:
    world = make_world(upstream, stale_ttl=stale_ttl, keep_ttl=keep_ttl)
    for _ in range(3):
        answer = world.ask(NAME, use_edns=0)
        assert (addresses(answer), answer.answer[0].ttl, edes(answer)) == ([FIRST], expected, [3])
    upstream_replies(world, upstream, f"20 A {SECOND}")
    settle(world)
    assert upstream.is_silent()
    assert addresses(world.ask(NAME)) == [SECOND]
    assert counted(world, CacheSlot.CACHE_SERVED_STALE) == 3
    assert counted(world, CacheSlot.CACHE_PREFETCHES) == 1


def test_stale_nxdomain_says_so(upstream: engines.Upstream) -> None:
    world = engines.World()
    world.add_cache(**SHORT)
    world.add_forward(upstream.port)
    ask_fresh(world, upstream, rcode=3, authority=[SOA])
    answer = world.ask(NAME, use_edns=0)
    assert (answer.rcode(), edes(answer)) == (dns.rcode.NXDOMAIN, [19])


@pytest.mark.parametrize("rcode", [2, 5])
def test_refresh_that_fails_leaves_the_stale_answer(upstream: engines.Upstream, rcode: int) -> None:
    world = make_world(upstream)
    assert addresses(world.ask(NAME)) == [FIRST]
    upstream_replies(world, upstream, rcode=rcode)
    settle(world)
    assert addresses(world.ask(NAME)) == [FIRST]
    assert upstream.is_silent()


def test_recheck_is_kept_and_then_over(upstream: engines.Upstream) -> None:
    world = make_world(upstream, recheck=2)
    world.ask(NAME)
    upstream_replies(world, upstream, rcode=2)
    settle(world)
    world.ask(NAME)
    assert upstream.is_silent()
    time.sleep(2.01)
    assert addresses(world.ask(NAME)) == [FIRST]
    upstream_replies(world, upstream, f"20 A {SECOND}")
    settle(world)
    assert addresses(world.ask(NAME)) == [SECOND]


def test_verify_gives_the_fresh_answer(upstream: engines.Upstream) -> None:
    world = make_world(upstream, stale_verify=True)
    token = world.park(NAME)
    upstream_replies(world, upstream, f"20 A {SECOND}")
    (answer,) = world.wait(token)
    assert addresses(answer) == [SECOND]
    assert counted(world, CacheSlot.CACHE_SERVED_STALE) == 0
    assert counted(world, CacheSlot.CACHE_MISSES) == 1  # the first of all


@pytest.mark.parametrize("rcode", [2, 5])
def test_verify_that_fails_gives_the_stale_answer(upstream: engines.Upstream, rcode: int) -> None:
    world = make_world(upstream, stale_verify=True, stale_ttl=30)
    token = world.park(NAME, use_edns=0)
    upstream_replies(world, upstream, rcode=rcode)
    (answer,) = world.wait(token)
    assert (addresses(answer), answer.answer[0].ttl, edes(answer)) == ([FIRST], 30, [3])
    assert counted(world, CacheSlot.CACHE_SERVED_STALE) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_verify_ends_with_its_timeout(upstream: engines.Upstream, stream: bool) -> None:
    world = make_world(upstream, stale_verify=True, verify_timeout_ms=PATIENCE_MS)
    started = time.monotonic()
    token = world.park(NAME, stream=stream, use_edns=0)
    assert 0 < world.engine.take_alarm() <= PATIENCE_MS + 1
    if stream:
        slow = world.slow()
    (answer,) = world.wait(token)
    assert 0.9 * PATIENCE_MS / 1000 < time.monotonic() - started < 1
    assert (addresses(answer), edes(answer)) == ([FIRST], [3])
    assert addresses(world.ask(NAME)) == [FIRST]  # at once: it is being asked
    if stream:
        reply = dns.message.make_response(dns.message.from_wire(slow.wire))
        reply.answer.append(dns.rrset.from_text(NAME + ".", 20, "IN", "A", SECOND))
        assert world.engine.reply_upstream(slow.token, reply.to_wire())
    else:
        upstream_replies(world, upstream, f"20 A {SECOND}")
        settle(world)
    assert addresses(world.ask(NAME)) == [SECOND]
    assert world.engine.completed() == []
    assert world.engine.waiting() == 0


def test_many_that_wait_are_woken_in_their_order(upstream: engines.Upstream) -> None:
    world = engines.World(inflight_max=8)
    world.add_cache(**SHORT, stale_verify=True, verify_timeout_ms=PATIENCE_MS)
    world.add_forward(upstream.port)
    names = [f"{number}.example.org" for number in range(6)]
    for name in names:
        token = world.park(name)
        upstream_replies(world, upstream, f"1 A {FIRST}")
        world.wait(token)
    for _ in range(3):
        time.sleep(1.01)
        tokens = [world.park(name) for name in names]
        assert [addresses(answer) for answer in world.wait(*tokens)] == [[FIRST]] * len(names)
        for _ in names:
            upstream.reply(f"1 A {FIRST}")
        world.turn(lambda: world.engine.waiting() == 0)


def test_prefer_positive_outlives_a_denial(upstream: engines.Upstream) -> None:
    world = make_world(upstream, prefer_positive=True)
    world.ask(NAME)
    upstream_replies(world, upstream, rcode=3, authority=[SOA])
    settle(world)
    assert addresses(world.ask(NAME)) == [FIRST]


def test_denial_takes_the_place_of_a_stale_answer(upstream: engines.Upstream) -> None:
    world = make_world(upstream)
    world.ask(NAME)
    upstream_replies(world, upstream, rcode=3, authority=[SOA])
    settle(world)
    assert world.ask(NAME).rcode() == dns.rcode.NXDOMAIN


def test_prefer_positive_verifies_with_an_answer_alone(upstream: engines.Upstream) -> None:
    world = make_world(upstream, prefer_positive=True, stale_verify=True)
    token = world.park(NAME)
    upstream_replies(world, upstream, rcode=3, authority=[SOA])
    assert addresses(*world.wait(token)) == [FIRST]
    token = world.park(NAME)
    upstream_replies(world, upstream, f"20 A {SECOND}")
    assert addresses(*world.wait(token)) == [SECOND]
    assert addresses(world.ask(NAME)) == [SECOND]


def test_full_table_gives_the_stale_answer(upstream: engines.Upstream) -> None:
    world = engines.World(inflight_max=1)
    world.add_cache(**SHORT, stale_verify=True)
    world.add_forward(upstream.port)
    ask_fresh(world, upstream, f"1 A {FIRST}")
    world.park("other.example.org")
    assert addresses(world.ask(NAME, stream=False)) == [FIRST]
