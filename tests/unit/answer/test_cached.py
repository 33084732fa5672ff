"""The cache in front of upstreams: hits, stale answers, refreshing, and what it makes of the cluster's TTLs."""

import time
from collections.abc import Callable
from typing import Any

import dns.edns
import dns.flags
import dns.rcode
import pytest

from fastdns._answer import Reason
from fastdns._counters import CacheSlot
from tests.unit import deltas, engines
from tests.unit.engines import CACHE, Upstream, World, texts

Z = "cluster.local"
SOA = ("example. 900 SOA a.example. b.example. 1 2 3 4 5",)


def world_of(upstream: Upstream, *, deadline_ms: int = 5000, **options: Any) -> World:
    world = World()
    world.block = world.add_block(deadline_ms=deadline_ms)
    world.listen(world.block)
    world.add_cache(**options)
    world.add_forward(upstream.port, read_timeout_ms=50)
    return world


def fill(world: World, upstream: Upstream, *records: str, name: str = "www.example", rcode: int = 0) -> None:
    token = world.park(name)
    upstream.reply(*records, rcode=rcode, authority=SOA if not records else ())
    world.wait(token)


def test_second_question_is_a_hit(upstream: Upstream) -> None:
    world = world_of(upstream)
    fill(world, upstream, "20 A 192.0.2.1")
    answer = world.ask("WWW.example", stream=False)
    assert texts(answer.answer) in (["WWW.example. 20 A 192.0.2.1"], ["WWW.example. 19 A 192.0.2.1"])
    assert answer.flags & dns.flags.RA and not answer.flags & dns.flags.AA
    counts = [
        world.count(CACHE + slot) for slot in (CacheSlot.CACHE_REQUESTS, CacheSlot.CACHE_HITS, CacheSlot.CACHE_MISSES)
    ]
    assert counts == [2, 1, 1]


@pytest.mark.parametrize(("ttl", "told"), [(1, 5), (5, 5), (20, 20), (4000, 30)])
def test_ttl_is_bounded_on_the_first_answer_already(upstream: Upstream, ttl: int, told: int) -> None:
    world = world_of(upstream)
    token = world.park("www.example")
    upstream.reply(f"{ttl} A 192.0.2.1")
    assert world.wait(token)[0].answer[0].ttl == told


@pytest.mark.parametrize("rcode", [0, 3])
def test_denials_are_kept_on_their_side(upstream: Upstream, rcode: int) -> None:
    world = world_of(upstream)
    fill(world, upstream, rcode=rcode)
    assert world.ask("www.example", stream=False).rcode() == rcode
    assert world.count(CACHE + CacheSlot.CACHE_HITS + 1) == 1
    world.engine.on_tick()
    assert world.count(CACHE + CacheSlot.CACHE_ENTRIES + 1) == 1
    assert world.count(CACHE + CacheSlot.CACHE_OCTETS) > 0


def test_servfail_is_kept(upstream: Upstream) -> None:
    world = world_of(upstream)
    token = world.park("www.example")
    upstream.reply(rcode=2)
    world.wait(token)
    assert world.ask("www.example", stream=False).rcode() == dns.rcode.SERVFAIL


@pytest.mark.parametrize("rcode", [1, 5])
def test_refusals_are_not_kept(upstream: Upstream, rcode: int) -> None:
    world = world_of(upstream)
    token = world.park("www.example")
    for _ in range(2 if rcode == 1 else 1):  # FORMERR is asked again without OPT
        world.turn(lambda: not upstream.is_silent())
        upstream.reply(rcode=rcode)
    world.wait(token)
    assert isinstance(world.park("www.example"), int)


def test_silence_is_remembered_for_a_while(upstream: Upstream) -> None:
    world = world_of(upstream, deadline_ms=80)
    world.wait(world.park("www.example"))
    assert world.ask("www.example", stream=False).rcode() == dns.rcode.SERVFAIL


@pytest.mark.parametrize(("side", "records"), [("disable_success", ("20 A 192.0.2.1",)), ("disable_denial", ())])
def test_disabled_zones_are_not_kept(upstream: Upstream, side: str, records: tuple[str, ...]) -> None:
    disabled: Any = {side: [deltas.name("example")]}
    world = world_of(upstream, **disabled)
    fill(world, upstream, *records)
    assert isinstance(world.park("www.example"), int)


def test_other_zones_pass_the_cache(upstream: Upstream) -> None:
    world = world_of(upstream, zones=[deltas.name("example")])
    fill(world, upstream, "4000 A 192.0.2.1", name="www.other")
    assert isinstance(world.park("www.other"), int)
    assert world.count(CACHE + CacheSlot.CACHE_REQUESTS) == 0


@pytest.mark.parametrize("other", [{"want_dnssec": True}, {"flags": dns.flags.CD}])
def test_do_and_cd_are_kept_apart(upstream: Upstream, other: Any) -> None:
    world = world_of(upstream)
    fill(world, upstream, "20 A 192.0.2.1")
    assert isinstance(world.park("www.example", **other), int)


def test_cache_hit_is_for_streams_too(upstream: Upstream) -> None:
    world = world_of(upstream)
    fill(world, upstream, "20 A 192.0.2.1")
    assert world.ask("www.example", stream=True).answer


def wait_until_old(world: World) -> None:
    """Until what was kept for one second is over."""
    time.sleep(2.05)


STALE: Any = {"success": (100, 1, 1), "denial": (100, 1, 1), "stale_for": 60}


def test_stale_answer_is_refreshed(upstream: Upstream) -> None:
    world = world_of(upstream, **STALE)
    fill(world, upstream, "1 A 192.0.2.1")
    wait_until_old(world)
    answer = world.ask("www.example", stream=False, use_edns=0)
    assert texts(answer.answer) == ["www.example. 0 A 192.0.2.1"]
    assert [int(option.code) for option in answer.options if isinstance(option, dns.edns.EDEOption)] == [3]
    upstream.reply("1 A 192.0.2.2")
    world.turn(lambda: "192.0.2.2" in str(world.ask("www.example", stream=False)))
    assert world.count(CACHE + CacheSlot.CACHE_SERVED_STALE) >= 1


@pytest.mark.parametrize("is_stream", [False, True])
def test_verified_stale_answer_comes_when_upstreams_fail(upstream: Upstream, is_stream: bool) -> None:
    world = world_of(upstream, deadline_ms=150, stale_verify=True, **STALE)
    fill(world, upstream, "1 A 192.0.2.1")
    wait_until_old(world)
    token = world.park("www.example", stream=is_stream)
    if is_stream:
        slow = world.slow()
        assert slow.reason == Reason.SLOW_STREAM_FORWARD
        world.engine.reply_rcode(token, 2, 22)
    assert texts(world.wait(token)[0].answer) == ["www.example. 0 A 192.0.2.1"]


def test_verified_stale_answer_outlives_next(make_upstream: Callable[[], Upstream]) -> None:
    first, second = make_upstream(), make_upstream()
    world = World()
    world.block = world.add_block(deadline_ms=200)
    world.listen(world.block)
    world.add_cache(stale_verify=True, **STALE)
    world.add_forward(first.port, next_rcodes=[5])
    world.add_forward(second.port, first_slot=2000)
    fill(world, first, "1 A 192.0.2.1")
    wait_until_old(world)
    token = world.park("www.example")
    first.reply(rcode=5)
    assert texts(world.wait(token)[0].answer) == ["www.example. 0 A 192.0.2.1"]


def test_popular_answer_is_fetched_before_it_ends(upstream: Upstream) -> None:
    world = world_of(upstream, prefetch=(1, 60, 99), success=(100, 5, 3))
    fill(world, upstream, "3 A 192.0.2.1")  # which lasts 2 seconds at least: whole ones are counted
    time.sleep(1.05)
    for _ in range(3):
        assert world.ask("www.example", stream=False).answer
    assert not upstream.is_silent()
    assert world.count(CACHE + CacheSlot.CACHE_PREFETCHES) >= 1
    upstream.reply("5 A 192.0.2.2")
    world.turn(lambda: "192.0.2.2" in str(world.ask("www.example", stream=False)))


@pytest.mark.parametrize(
    ("options", "positive", "negative"),
    [
        ({}, 30, 30),
        ({"success": (9, 20, 5), "denial": (9, 10, 5)}, 20, 10),
        ({"success": (9, 3600, 100)}, 100, 30),
        ({"disable_success": [deltas.name(Z)], "success": (9, 20, 5), "denial": (9, 10, 5)}, 20, 10),
        ({"disable_denial": [deltas.name(Z)], "success": (9, 20, 5), "denial": (9, 10, 5)}, 20, 10),
        ({"zones": [deltas.name("org")], "success": (9, 20, 5)}, 30, 30),
    ],
)
def test_cluster_s_ttls_are_bounded_as_if_cached(options: Any, positive: int, negative: int) -> None:
    world = engines.World()
    world.add_table(deltas.example_cluster())
    world.add_cache(**options)
    assert world.ask(f"kubernetes.default.svc.{Z}").answer[0].ttl == positive
    assert world.ask(f"a.hl.default.svc.{Z}").answer[0].ttl == positive
    assert world.ask(f"none.{Z}").authority[0].ttl == negative
