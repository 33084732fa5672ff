"""Rules for replies of upstreams, and a cache of records rather than of messages."""

from __future__ import annotations

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest

from fastdns._plan import Manner
from tests.unit import engines
from tests.unit.engines import Upstream, World, texts

RULES: dict[str, object] = {
    "unblocked": [],
    "clear_flags": dns.flags.AD,
    "set_flags": dns.flags.RA,
    "max_ttl": 0,
    "hidden": [],
    "ignored": [],
    "bogus": [],
    "blocked": [],
    "aliases": [],
}
TEN = (bytes([10, 0, 0, 0]), bytes([10, 255, 255, 255]))
SOA = "test. 300 SOA ns.test. host.test. 1 2 3 4 60"
ALIAS = ("a.test. 200 CNAME b.test.", "b.test. 100 CNAME c.test.", "c.test. 300 A 192.0.2.1")


def make_world(upstream: Upstream, *, records: dict[str, object] | None = None, **rules: object) -> World:
    world = World()
    world.engine.set_rules(world.block, **(RULES | rules))  # type: ignore[arg-type]
    limits = (100, 2**31 - 1, 0)
    world.add_cache(
        **(
            {"success": limits, "denial": limits, "servfail_ttl": 0, "by_record": True, "types": [1, 28, 12]}
            | (records or {})
        )
    )
    world.add_forward(upstream.port)
    return world


def exchange(
    world: World, upstream: Upstream, name: str, *records: str, rdtype: str = "A", **said: object
) -> dns.message.Message:
    token = world.park(name, rdtype)
    upstream.reply(*records, **said)  # type: ignore[arg-type]
    (answer,) = world.wait(token)
    return answer


# --- rules --------------------------------------------------------------------------------------------------------------------


def test_flags_are_set_and_cleared(upstream: Upstream) -> None:
    answer = exchange(make_world(upstream), upstream, "a.test", "7 A 192.0.2.1", flags=dns.flags.AD)
    assert answer.flags & (dns.flags.AD | dns.flags.RA) == dns.flags.RA


def test_ttls_are_capped(upstream: Upstream) -> None:
    world = make_world(upstream, max_ttl=100)
    assert texts(exchange(world, upstream, "a.test", "700 A 192.0.2.1").answer) == ["a.test. 100 A 192.0.2.1"]
    assert texts(world.ask("a.test").answer) == ["a.test. 100 A 192.0.2.1"]


def test_addresses_that_nobody_has_in_public_empty_a_reply(upstream: Upstream) -> None:
    world = make_world(upstream, blocked=[TEN])
    for _ in range(2):  # it is not kept
        answer = exchange(world, upstream, "a.test", "7 A 192.0.2.1", "7 A 10.0.0.1")
        assert (answer.rcode(), answer.answer, answer.authority) == (dns.rcode.NOERROR, [], [])


def test_some_zones_may_have_them(upstream: Upstream) -> None:
    world = make_world(upstream, blocked=[TEN], unblocked=[b"\4test\0"])
    assert texts(exchange(world, upstream, "a.test", "7 A 10.0.0.1").answer)


def test_addresses_that_stand_for_nothing_deny_the_name(upstream: Upstream) -> None:
    world = make_world(upstream, bogus=[TEN])
    assert exchange(world, upstream, "a.test", "7 A 10.0.0.1").rcode() == dns.rcode.NXDOMAIN
    assert world.ask("a.test", "MX").rcode() == dns.rcode.NXDOMAIN


def test_addresses_are_rewritten(upstream: Upstream) -> None:
    world = make_world(upstream, aliases=[(*TEN, bytes([198, 51, 100, 0]), bytes([255, 255, 255, 0]))])
    assert texts(exchange(world, upstream, "a.test", "7 A 10.0.0.9").answer) == ["a.test. 7 A 198.51.100.9"]
    assert texts(world.ask("a.test").answer) == ["a.test. 7 A 198.51.100.9"]


def test_types_are_left_out(upstream: Upstream) -> None:
    world = make_world(upstream, hidden=[28])
    answer = exchange(world, upstream, "a.test", "7 AAAA ::1", rdtype="AAAA")
    assert (answer.rcode(), answer.answer) == (dns.rcode.NOERROR, [])
    assert world.ask("a.test", "AAAA").answer == []


@pytest.mark.parametrize(
    ("wrong", "error"),
    [({"hidden": range(1, 30)}, "more than 16 types"), ({"bogus": [(b"1", b"2")]}, "not the two ends of a network")],
)
def test_rules_that_make_no_sense(wrong: dict[str, object], error: str) -> None:
    world = World()
    with pytest.raises(ValueError, match=error):
        world.engine.set_rules(world.block, **(RULES | wrong))  # type: ignore[arg-type]


# --- a cache of records ----------------------------------------------------------------------------------------------------


def test_records_keep_their_ttls(upstream: Upstream) -> None:
    world = make_world(upstream)
    exchange(world, upstream, "a.test", *ALIAS)
    kept = [f"{owner} {ttl} {rest}" for owner, ttl, rest in (line.split(" ", 2) for line in ALIAS)]
    assert texts(world.ask("a.test").answer) == kept


def test_ends_of_aliases_are_kept_as_their_own(upstream: Upstream) -> None:
    world = make_world(upstream)
    exchange(world, upstream, "a.test", *ALIAS)
    assert texts(world.ask("c.test").answer) == ["c.test. 300 A 192.0.2.1"]
    assert texts(world.ask("B.test").answer) == ["B.test. 100 CNAME c.test.", "c.test. 300 A 192.0.2.1"]
    assert texts(world.ask("a.test", "CNAME").answer) == ["a.test. 200 CNAME b.test."]
    assert texts(world.ask("b.test", "CNAME").answer) == ["b.test. 100 CNAME c.test."]


def test_types_that_are_not_kept(upstream: Upstream) -> None:
    world = make_world(upstream)
    for _ in range(2):
        exchange(world, upstream, "a.test", "7 MX 5 b.test.", rdtype="MX")


def test_authority_is_not_kept_with_an_answer(upstream: Upstream) -> None:
    world = make_world(upstream)
    first = exchange(world, upstream, "a.test", "7 A 192.0.2.1", authority=["test. 9 NS ns.test."])
    assert texts(first.authority)
    assert world.ask("a.test").authority == []


def test_a_denial_answers_every_type(upstream: Upstream) -> None:
    world = make_world(upstream)
    exchange(world, upstream, "a.test", rcode=3, authority=[SOA], rdtype="MX")
    for rdtype in ("A", "AAAA", "MX", "TXT"):
        answer = world.ask("a.test", rdtype)
        assert answer.rcode() == dns.rcode.NXDOMAIN
        assert texts(answer.authority)


def test_no_data_is_of_one_type(upstream: Upstream) -> None:
    world = make_world(upstream)
    exchange(world, upstream, "a.test", authority=[SOA])
    assert world.ask("a.test").rcode() == dns.rcode.NOERROR
    world.park("a.test", "AAAA")


@pytest.mark.parametrize("negative_ttl", [0, 60])
def test_denials_without_soa(upstream: Upstream, negative_ttl: int) -> None:
    world = make_world(upstream, records={"negative_ttl": negative_ttl})
    exchange(world, upstream, "a.test", rcode=3)
    if negative_ttl:
        assert world.ask("a.test").rcode() == dns.rcode.NXDOMAIN
    else:
        world.park("a.test")


def test_ttls_are_bounded_in_the_cache_alone(upstream: Upstream) -> None:
    world = make_world(upstream, records={"success": (100, 50, 20)})
    for name, ttl, kept in (("a.test", 7, 20), ("b.test", 700, 50), ("c.test", 30, 30)):
        assert texts(exchange(world, upstream, name, f"{ttl} A 192.0.2.1").answer) == [f"{name}. {ttl} A 192.0.2.1"]
        assert texts(world.ask(name).answer) == [f"{name}. {kept} A 192.0.2.1"]


def test_nobody_looks_into_it(upstream: Upstream) -> None:
    world = make_world(upstream)
    exchange(world, upstream, "a.test", "7 A 192.0.2.1")
    world.park("a.test", flags=0)  # without RD


def test_insertions_are_records(upstream: Upstream) -> None:
    from fastdns._counters import CacheSlot

    world = make_world(upstream)
    exchange(world, upstream, "a.test", "7 A 192.0.2.1", "7 A 192.0.2.2")
    assert world.count(engines.CACHE + CacheSlot.CACHE_INSERTIONS) == 2


def test_a_known_name_is_not_denied(upstream: Upstream) -> None:
    world = make_world(upstream)
    world.engine.set_manners(world.block, Manner.FINDS_KNOWN)
    exchange(world, upstream, "a.test", "7 A 192.0.2.1")
    answer = exchange(world, upstream, "a.test", rcode=3, authority=[SOA], rdtype="MX")
    assert (answer.rcode(), bool(answer.flags & dns.flags.AA)) == (dns.rcode.NOERROR, True)


def test_what_was_used_longest_ago_makes_room(upstream: Upstream) -> None:
    limits = (3, 2**31 - 1, 0)
    world = make_world(upstream, records={"success": limits})
    for name in ("a.test", "b.test", "c.test"):
        exchange(world, upstream, name, "7 A 192.0.2.1")
    world.ask("a.test")
    exchange(world, upstream, "d.test", "7 A 192.0.2.1")
    for name in ("a.test", "c.test", "d.test"):
        assert texts(world.ask(name).answer)
    world.park("b.test")


def test_ends_of_aliases_are_no_insertions(upstream: Upstream) -> None:
    from fastdns._counters import CacheSlot

    world = make_world(upstream)
    exchange(world, upstream, "a.test", *ALIAS)
    world.engine.on_tick()
    assert world.count(engines.CACHE + CacheSlot.CACHE_INSERTIONS) == 3
