"""Floods: names that nobody has, from senders that may be forged. What they cost is bounded, and others are answered."""

from __future__ import annotations

import random
import time

import dns.message
import dns.rcode
import pytest

from fastdns._cache import Cache, Lookup
from fastdns._counters import CacheSlot
from tests.unit import deltas, engines
from tests.unit.test_cache import NAME, cache_of, found, named, reply

KNOWN = "kubernetes.default.svc.cluster.local"
ASKED = 20_000


def random_names(suffix: str) -> list[bytes]:
    generator = random.Random(1)
    wire = dns.message.make_query(f"aaaaaaaaaaaa.{suffix}", "A").to_wire()
    at = wire.index(b"aaaaaaaaaaaa")
    return [wire[:at] + b"%012x" % generator.randrange(16**12) + wire[at + 12 :] for _ in range(ASKED)]


def forged(number: int) -> tuple[str, int]:
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", 1024 + number % 60000


@pytest.mark.parametrize("suffix", ["cluster.local", "default.svc.cluster.local", "web.default.svc.cluster.local"])
def test_names_below_the_cluster_s_zone_leave_nothing_behind(suffix: str) -> None:
    world = engines.cluster()
    world.add_cache()
    for number, query in enumerate(random_names(suffix)):
        answer = world.ask_raw(query, is_stream=False, remote=forged(number))
        assert isinstance(answer, bytes) and answer[3] & 15 == dns.rcode.NXDOMAIN
        assert len(answer) < 3 * len(query)
    world.engine.on_tick()
    assert world.engine.waiting() == world.count(engines.CACHE + CacheSlot.CACHE_OCTETS) == 0


def test_names_for_a_silent_upstream_wait_in_a_table_of_fixed_size(upstream: engines.Upstream) -> None:
    """Who finds it full is told so at once; names of the cluster are answered all the while."""
    world = engines.World(inflight_max=256)
    world.add_table(deltas.example_cluster())
    world.add_forward(upstream.port)
    refused = 0
    for number, query in enumerate(random_names("example.org")):
        answer = world.ask_raw(query, is_stream=False, remote=forged(number))
        refused += isinstance(answer, bytes) and answer[3] & 15 in (dns.rcode.SERVFAIL, dns.rcode.REFUSED)
        if number % 1000 == 0:
            assert world.ask(KNOWN).answer
    assert world.engine.waiting() == 256
    assert refused == ASKED - 256


def test_hits_cost_the_same_after_a_million_other_names() -> None:
    """At most twice: what else could grow is the way through a bucket."""
    cache = cache_of(success=(9984, 3600, 5), denial=(9984, 1800, 5), max_octets=512 * 2 * 9984)
    hot = [named(number) for number in range(500)]
    for name in hot:
        cache.put(reply(name=name, answer=(3600,)), now=0)
    templates = [reply(answer=(60,)), reply(soa=60, rcode="NXDOMAIN")]
    before = least_time(cache, hot)
    for seed in range(20):
        cache.store_many(templates, 50_000, now=0, seed=seed)
        assert all(found(cache, 0, name)[0] is Lookup.CACHE_FRESH for name in hot)
    assert cache.describe()["octets"] <= 512 * 2 * 9984
    assert least_time(cache, hot) < 2 * before
    assert found(cache, 0, NAME)[0] is Lookup.CACHE_MISS


def least_time(cache: Cache, names: list[bytes]) -> float:
    """Of many rounds: what else the machine does only ever makes one longer."""

    def round_of_hits() -> float:
        began = time.perf_counter()
        for name in names:
            cache.get(name, 1, now=0)
        return time.perf_counter() - began

    return min(round_of_hits() for _ in range(200))
