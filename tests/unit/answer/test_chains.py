"""CNAMEs: followed inside the table, out of it, in circles."""

import dns.flags
import dns.message
import pytest

from fastdns._answer import Reason
from fastdns._rrset import Form
from tests.unit import deltas, engines

Z = "cluster.local"


def chain_of(length: int) -> engines.World:
    world = engines.World()
    links = [deltas.put(f"c{at}.{Z}", deltas.cname(f"c{at + 1}.{Z}", ttl=at + 1)) for at in range(length)]
    last = deltas.put(f"c{length}.{Z}", deltas.record_set(1, Form.FIXED, 7, 1, b"\x0a\0\0\1"))
    world.add_table(deltas.zone(Z) + b"".join(links) + last + deltas.synced())
    return world


@pytest.mark.parametrize("length", [1, 2, 11])
def test_chain_is_followed(length: int) -> None:
    answer = chain_of(length).ask(f"C0.{Z}")
    expected = [f"c{at}.{Z}. {at + 1} CNAME c{at + 1}.{Z}." for at in range(length)] + [f"c{length}.{Z}. 7 A 10.0.0.1"]
    assert [line.lower() for line in engines.texts(answer.answer)] == [line.lower() for line in expected]


def test_chain_that_is_too_long_is_nodata() -> None:
    answer = chain_of(12).ask(f"c0.{Z}")
    assert (answer.rcode(), answer.answer, len(answer.authority)) == (0, [], 1)


def test_cname_asked_for_is_not_followed() -> None:
    assert engines.texts(chain_of(3).ask(f"c0.{Z}", "CNAME").answer) == [f"c0.{Z}. 1 CNAME c1.{Z}."]


def test_cname_to_another_family_is_nodata() -> None:
    assert chain_of(1).ask(f"c0.{Z}", "AAAA").answer == []


@pytest.mark.parametrize(
    ("links", "asked"),
    [({"a": "a"}, "a"), ({"a": "b", "b": "a"}, "a"), ({"a": "b", "b": "c", "c": "b"}, "a"), ({"a": "x.a"}, "a")],
)
def test_loop_is_nodata(links: dict[str, str], asked: str) -> None:
    world = engines.World()
    puts = [deltas.put(f"{owner}.{Z}", deltas.cname(f"{target}.{Z}")) for owner, target in links.items()]
    world.add_table(deltas.zone(Z) + b"".join(puts) + deltas.synced())
    answer = world.ask(f"{asked}.{Z}")
    assert (answer.rcode(), answer.answer) == (0, [])


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("kubernetes.default.svc", "10.96.0.1"),
        ("hl.default.svc", "10.0.0."),
        ("a.hl.default.svc", "10.0.0.1"),
        ("_http._tcp.hl.default.svc", "10.0.0."),
    ],
)
def test_target_may_be_a_service_or_below_one(target: str, found: str) -> None:
    world = engines.cluster()
    world.engine.apply(0, deltas.put(f"e.default.svc.{Z}", deltas.cname(f"{target}.{Z}")))
    answer = world.ask(f"e.default.svc.{Z}")
    assert answer.answer[0][0].target.to_text() == f"{target}.{Z}."
    assert answer.answer[1].name.to_text() == f"{target}.{Z}." and str(answer.answer[1][0]).startswith(found)


def test_target_outside_leaves_with_its_chain() -> None:
    world = engines.cluster()
    token = world.park(f"OUT.default.svc.{Z}", stream=True)
    slow = world.slow()
    assert (slow.token, slow.reason, slow.step, slow.is_stream) == (token, Reason.SLOW_CHASE, 0, True)
    found = world.engine.chain(token)
    assert found is not None
    assert found[1] == deltas.name("www.example.com")
    so_far = dns.message.from_wire(found[0])
    assert engines.texts(so_far.answer) == [f"OUT.default.svc.{Z}. 30 CNAME www.example.com."]
    assert so_far.flags & dns.flags.AA


@pytest.mark.parametrize("target", ["local", "com", "."])
def test_target_above_the_zone_is_outside(target: str) -> None:
    world = engines.cluster()
    world.engine.apply(0, deltas.put(f"e.default.svc.{Z}", deltas.cname(target)))
    token = world.park(f"e.default.svc.{Z}", stream=True)
    found = world.engine.chain(token)
    assert found is not None and found[1] == deltas.name(target)


def test_chain_that_changed_meanwhile_leads_nowhere() -> None:
    world = engines.cluster()
    token = world.park(f"out.default.svc.{Z}", stream=True)
    world.engine.apply(0, deltas.remove(f"out.default.svc.{Z}"))
    assert world.engine.chain(token) is None
