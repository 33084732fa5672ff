"""The option `zonal`, answered by an engine: CoreDNS's zone-scoped names of headless Services."""

from __future__ import annotations

import dns.rcode

from fastdns.kubernetes.objects import Kind
from tests.unit import engines
from tests.unit.kubernetes import worlds
from tests.unit.kubernetes.worlds import headless, service, slice_of

HTTP = [("http", 80)]


def end(address: str, zone: str | None, **more: object) -> dict[str, object]:
    return {"addresses": [address], "zone": zone, **more}


def world_of(*items: worlds.Item, zonal: bool = True) -> engines.World:
    world = engines.World()
    world.add_table(b"".join(worlds.grown(*items, zonal=zonal).snapshot()))
    return world


def ask(world: engines.World, left: str, rtype: str = "A") -> list[str] | str:
    answer = world.ask(f"{left}.cluster.local", rtype)
    if not answer.answer:
        return "NXDOMAIN" if answer.rcode() == dns.rcode.NXDOMAIN else "NODATA"
    return sorted(str(one) for rrset in answer.answer for one in rrset)


ITEMS = (
    headless("db"),
    slice_of("db", end("10.1.0.1", "Z1"), end("10.1.0.2", "z2.corp"), end("10.1.0.3", None), ports=HTTP),
    service("web", "10.0.0.1"),
    headless("empty"),
)


def test_a_zone_is_pinned_or_preferred() -> None:
    world = world_of(*ITEMS)
    assert ask(world, "z1.pin._zone.db.ns.svc") == ["10.1.0.1"]
    assert ask(world, "z2.corp.pin._zone.db.ns.svc") == ["10.1.0.2"]
    assert ask(world, "z3.pin._zone.db.ns.svc") == "NODATA"
    assert ask(world, "z1.prefer._zone.db.ns.svc") == ["10.1.0.1"]
    assert ask(world, "z3.prefer._zone.db.ns.svc") == ["10.1.0.1", "10.1.0.2", "10.1.0.3"]
    assert ask(world, "z1.pin._zone.db.ns.svc", "SRV") == ["0 100 80 10-1-0-1.db.ns.svc.cluster.local."]
    assert ask(world, "z1.pin._zone.db.ns.svc", "TXT") == "NODATA"


def test_only_headless_services_have_zones_and_all_of_them_have() -> None:
    world = world_of(*ITEMS)
    assert ask(world, "z1.pin._zone.web.ns.svc") == "NXDOMAIN"
    assert ask(world, "z1.pin._zone.empty.ns.svc") == "NODATA"
    assert ask(world, "z1.prefer._zone.empty.ns.svc") == "NODATA"
    assert ask(world, "empty.ns.svc") == "NXDOMAIN"
    assert ask(world, "z1.pin._zone.none.ns.svc") == "NXDOMAIN"


def test_without_the_option_the_names_are_too_long() -> None:
    assert ask(world_of(*ITEMS, zonal=False), "z1.pin._zone.db.ns.svc") == "NXDOMAIN"


def test_an_address_has_the_last_zone_that_its_slice_tells() -> None:
    world = world_of(headless("db"), slice_of("db", end("10.1.0.1", "z1"), end("10.1.0.1", "z2", hostname="a")))
    assert ask(world, "z1.pin._zone.db.ns.svc") == "NODATA"
    assert ask(world, "z2.pin._zone.db.ns.svc") == ["10.1.0.1"]


def test_a_change_of_zone_alone_goes_out() -> None:
    tree = worlds.grown(headless("db"), slice_of("db", end("10.1.0.1", "z1")), zonal=True)
    tree.drain()
    worlds.put(tree, slice_of("db", end("10.1.0.1", "z1")))
    assert tree.drain() == b""
    worlds.put(tree, slice_of("db", end("10.1.0.1", "z2")))
    assert b"\5_zone\2db\2ns\3svc" in tree.drain()


def test_a_service_that_goes_takes_its_zones_along() -> None:
    tree = worlds.grown(headless("db"), slice_of("db", end("10.1.0.1", "z1")), zonal=True)
    tree.drain()
    tree.remove(Kind.SERVICES, "ns", "db")
    assert b"\2\5_zone\2db\2ns\3svc" in tree.drain()
