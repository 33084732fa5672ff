"""Tables whose misses go on to the next step, names of one label, and what a block says of what it can't answer."""

from __future__ import annotations

from collections.abc import Callable

import dns.flags
import dns.message
import dns.rcode
import pytest

from fastdns._plan import Manner
from fastdns._rrset import DataFlag, Form
from fastdns._trie import ZoneFlag
from fastdns.config import local
from fastdns.dns import names
from fastdns.server import localnames
from tests.unit import deltas
from tests.unit.engines import Upstream, World, texts

A = deltas.record_set(1, Form.FIXED, 0, 1, bytes([192, 0, 2, 1]))
MANNERS = Manner.ERRORS_CARRY_RA | Manner.SILENT | Manner.FINDS_KNOWN | Manner.END_REFUSED


def make_world(delta: bytes, manners: int = MANNERS) -> World:
    world = World()
    world.engine.set_manners(world.block, manners)
    world.add_table(delta)
    return world


def table(*operations: bytes) -> bytes:
    return localnames.encode_zone(b"\0", flags=ZoneFlag.ENT_NODATA) + b"".join(operations) + deltas.synced()


def test_a_miss_goes_on() -> None:
    world = make_world(table(deltas.put("a.test", A)))
    assert texts(world.ask("a.test").answer) == ["a.test. 0 A 192.0.2.1"]
    for name, rdtype in (("a.test", "AAAA"), ("test", "A"), ("x.a.test", "A"), ("other", "MX")):
        answer = world.ask(name, rdtype)
        assert answer.rcode() == dns.rcode.REFUSED
        assert answer.flags & dns.flags.RA


def test_every_type_follows_an_alias_which_goes_alone() -> None:
    world = make_world(table(deltas.put("a.test", A), deltas.put("alias.test", deltas.cname("a.test", 0))))
    assert texts(world.ask("alias.test").answer) == ["alias.test. 0 CNAME a.test.", "a.test. 0 A 192.0.2.1"]
    for rdtype in ("AAAA", "MX"):
        assert texts(world.ask("alias.test", rdtype).answer) == ["alias.test. 0 CNAME a.test."]


def test_any_has_all_sets() -> None:
    aaaa = deltas.record_set(28, Form.FIXED, 0, 1, bytes(16))
    world = make_world(table(deltas.put("a.test", A, aaaa)))
    assert texts(world.ask("a.test", "ANY").answer) == ["a.test. 0 A 192.0.2.1", "a.test. 0 AAAA ::"]


def test_pointers_alone_are_denied() -> None:
    world = make_world(table(deltas.put("10.in-addr.arpa", flags=DataFlag.PTR_NXDOMAIN)))
    assert world.ask("10.in-addr.arpa", "PTR").rcode() == dns.rcode.NXDOMAIN
    assert world.ask("10.in-addr.arpa", "A").rcode() == dns.rcode.REFUSED


@pytest.mark.parametrize(("rdtype", "rcode"), [("A", "NXDOMAIN"), ("AAAA", "NXDOMAIN"), ("MX", "REFUSED")])
def test_addresses_of_one_label_are_denied(rdtype: str, rcode: str) -> None:
    world = make_world(table())
    world.engine.add_undotted_step(world.block)
    assert dns.rcode.to_text(world.ask("plain", rdtype).rcode()) == rcode
    assert world.ask("a.test", rdtype).rcode() == dns.rcode.REFUSED


def test_known_names_are_never_denied() -> None:
    world = make_world(table(deltas.put("own", A), deltas.put("x.above", A)))
    world.engine.add_undotted_step(world.block)
    for name in ("own", "above"):
        answer = world.ask(name, "AAAA")
        assert (answer.rcode(), answer.answer) == (dns.rcode.NOERROR, [])


def test_other_classes_leave_for_python() -> None:
    world = make_world(table(deltas.put("a.test", A)))
    step = world.engine.add_classes_step(world.block)
    world.ask_raw(dns.message.make_query("a.test", "TXT", rdclass="CH").to_wire())
    assert world.slow().step == step
    assert texts(world.ask("a.test").answer)


def test_an_upstream_that_is_silent_is_answered_by_silence(upstream: Upstream) -> None:
    world = make_world(table())
    world.add_forward(upstream.port, read_timeout_ms=1, max_connect_attempts=1, max_fails=0)
    token = world.park("a.test", stream=False)
    found: list[tuple[int, bytes]] = []
    world.turn(lambda: bool(found.extend(world.engine.completed()) or found))
    assert found == [(token, b"")]


# --- whole domains ----------------------------------------------------------------------------------------------------------


def test_domains_of_one_answer() -> None:
    plugin = local.LocalDomains(
        domains=(
            local.Domain("a.test.", ("192.0.2.1", "::1")),
            local.Domain("x.y.a.test.", ("192.0.2.2",)),
            local.Domain("s.a.test.", is_passed=True),
            local.Domain("none.test.", is_denied=True),
        ),
        private_reverse=("10.in-addr.arpa.",),
    )
    world = make_world(b"".join(localnames.domain_deltas(plugin)), MANNERS & ~Manner.FINDS_KNOWN)
    expected = {"a.test": "192.0.2.1", "b.a.test": "192.0.2.1", "y.a.test": "192.0.2.1", "b.y.a.test": "192.0.2.1",
                "x.y.a.test": "192.0.2.2", "b.x.y.a.test": "192.0.2.2"}  # fmt: skip
    for name, address in expected.items():
        assert texts(world.ask(name).answer) == [f"{name}. 0 A {address}"]
        assert texts(world.ask(name, "AAAA").answer) == [f"{name}. 0 AAAA ::1"]
    for name in ("s.a.test", "b.s.a.test", "nota.test"):
        assert world.ask(name).rcode() == dns.rcode.REFUSED
    denied = world.ask("b.none.test", "MX")
    assert (denied.rcode(), bool(denied.flags & dns.flags.AA)) == (dns.rcode.NXDOMAIN, False)
    private = world.ask("1.0.0.10.in-addr.arpa", "PTR")
    assert (private.rcode(), bool(private.flags & dns.flags.AA)) == (dns.rcode.NXDOMAIN, True)


# --- forwards --------------------------------------------------------------------------------------------------------------


def test_forwards_of_several_zones_and_of_one_label(make_upstream: Callable[[], Upstream]) -> None:
    deep, short = make_upstream(), make_upstream()
    world = World()
    for upstream, zones, is_undotted in ((deep, ["a.test", "b.test"], False), (short, ["."], True)):
        group = world.engine.add_group([("127.0.0.1", upstream.port)], first_slot=700, **_group_options())
        first, *rest = (names.to_canonical_wire(zone) for zone in zones)
        world.engine.add_forward_step(
            world.block, group, zone=first, excluded=[], next_rcodes=[], next_on_nodata=False, more_zones=rest,
            is_undotted=is_undotted,
        )  # fmt: skip
    for name, upstream in (("x.b.test", deep), ("a.test", deep), ("plain", short)):
        token = world.park(name)
        upstream.reply("7 A 192.0.2.1")
        world.wait(token)
    assert world.ask("c.test").rcode() == dns.rcode.SERVFAIL


def _group_options() -> dict[str, object]:
    from tests.unit.engines import OPTIONS

    return dict(OPTIONS)
