"""ServiceImports in the `multicluster` zones, answered by an engine: what CoreDNS's findMultiClusterServices finds."""

from __future__ import annotations

from typing import Any

import dns.rcode
import pytest

from fastdns.kubernetes import objects
from fastdns.kubernetes.objects import Kind
from tests.unit import engines
from tests.unit.kubernetes import worlds
from tests.unit.kubernetes.worlds import headless, imported_slice, namespace, service, service_import

ZONES = ("cluster.local.", "clusterset.local.", "in-addr.arpa.")
HTTP = [("http", 80)]


def world_of(*items: worlds.Item, **options: Any) -> engines.World:
    tree = worlds.grown(*items, **{"zones": ZONES, "multicluster": ("clusterset.local.",), **options})
    world = engines.World()
    world.add_table(b"".join(tree.snapshot()))
    return world


def ask(world: engines.World, left: str, rtype: str = "A", zone: str = "clusterset.local") -> list[str] | str:
    answer = world.ask(f"{left}.{zone}", rtype)
    if not answer.answer:
        return "NXDOMAIN" if answer.rcode() == dns.rcode.NXDOMAIN else "NODATA"
    return sorted(str(one) for rrset in answer.answer for one in rrset)


def test_an_import_has_its_ips_in_the_multicluster_zone_alone() -> None:
    world = world_of(service_import("web", "10.9.0.1", "fd00:9::1", ports=HTTP), service("own", "10.0.0.1", ports=HTTP))
    assert ask(world, "web.ns.svc") == ["10.9.0.1"]
    assert ask(world, "web.ns.svc", "AAAA") == ["fd00:9::1"]
    assert ask(world, "_http._tcp.web.ns.svc", "SRV") == ["0 50 80 web.ns.svc.clusterset.local."]
    assert ask(world, "http.tcp.web.ns.svc", "SRV") == "NXDOMAIN"  # an endpoint `http` of a cluster `tcp`
    assert ask(world, "web.ns.svc", zone="cluster.local") == "NXDOMAIN"
    assert ask(world, "own.ns.svc") == "NXDOMAIN"
    assert ask(world, "own.ns.svc", zone="cluster.local") == ["10.0.0.1"]


def test_endpoints_are_named_with_their_cluster() -> None:
    world = world_of(
        service_import("db", ports=HTTP, kind="Headless"),
        imported_slice("db", "East", {"addresses": ["10.1.0.1"], "hostname": "db-0"}, ports=HTTP),
        imported_slice("db", "west", "10.1.0.2", ports=HTTP),
        imported_slice("db", "", "10.1.0.3", ports=HTTP),
    )
    assert ask(world, "db.ns.svc") == ["10.1.0.1", "10.1.0.2", "10.1.0.3"]
    assert ask(world, "db-0.east.db.ns.svc") == ["10.1.0.1"]
    assert ask(world, "DB-0.west.db.ns.svc") == "NXDOMAIN"
    assert ask(world, "db-0.db.ns.svc") == "NXDOMAIN"
    assert ask(world, "10-1-0-2.west.db.ns.svc") == ["10.1.0.2"]
    assert ask(world, "10-1-0-3.db.ns.svc") == ["10.1.0.3"]
    assert ask(world, "db.ns.svc", "SRV") == [
        "0 33 80 10-1-0-2.west.db.ns.svc.clusterset.local.",
        "0 33 80 10-1-0-3.db.ns.svc.clusterset.local.",
        "0 33 80 db-0.East.db.ns.svc.clusterset.local.",
    ]


def test_a_headless_import_without_endpoints_does_not_exist() -> None:
    world = world_of(service_import("db", kind="Headless"), imported_slice("db", "east"))
    assert ask(world, "db.ns.svc") == "NXDOMAIN"


@pytest.mark.parametrize("ignore", [False, True])
def test_an_import_without_endpoints_exists_unless_it_is_ignored(ignore: bool) -> None:
    items = [service_import("web", "10.9.0.1", ports=HTTP), service_import("bare", ports=HTTP), service_import("none")]
    world = world_of(*items, ignore_empty_service=ignore)
    assert ask(world, "web.ns.svc") == ("NXDOMAIN" if ignore else ["10.9.0.1"])
    assert ask(world, "bare.ns.svc") == ("NXDOMAIN" if ignore else "NODATA")
    assert ask(world, "bare.ns.svc", "TXT") == "NXDOMAIN"
    assert ask(world, "_http._tcp.bare.ns.svc", "SRV") == ("NXDOMAIN" if ignore else "NODATA")
    assert ask(world, "none.ns.svc") == "NXDOMAIN"


def test_an_import_without_ports_has_names_for_its_endpoints_alone() -> None:
    world = world_of(service_import("web", "10.9.0.1"), imported_slice("web", "east", "10.1.0.1", ports=HTTP))
    for rtype in ("A", "AAAA", "SRV", "TXT"):
        assert ask(world, "web.ns.svc", rtype) == "NXDOMAIN"
    assert ask(world, "10-1-0-1.east.web.ns.svc") == ["10.1.0.1"]


def test_slices_of_imports_serve_without_endpoints_of_our_own() -> None:
    world = world_of(
        headless("db"),
        worlds.slice_of("db", "10.0.0.9"),
        service_import("db", kind="Headless"),
        imported_slice("db", "east", "10.1.0.1"),
        noendpoints=True,
    )
    assert ask(world, "db.ns.svc") == ["10.1.0.1"]
    assert ask(world, "db.ns.svc", zone="cluster.local") == "NXDOMAIN"


def test_the_zone_has_the_other_names_too() -> None:
    world = world_of(pods="insecure")
    assert ask(world, "10-1-2-3.ns.pod") == ["10.1.2.3"]
    assert ask(world, "dns-version", "TXT") == ['"1.1.0"']
    assert ask(world, "ns.svc") == "NODATA"


def test_a_zone_below_a_multicluster_zone_is_one_too() -> None:
    zones = ("cluster.local.", "a.set.", "set.")
    world = world_of(service_import("web", "10.9.0.1", ports=HTTP), zones=zones, multicluster=("set.",))
    assert ask(world, "web.ns.svc", zone="a.set") == ["10.9.0.1"]
    assert ask(world, "web.ns.svc", zone="set") == ["10.9.0.1"]


def test_a_namespace_takes_its_imports_along() -> None:
    tree = worlds.grown(
        namespace("ns"),
        service_import("web", "10.9.0.1", ports=HTTP),
        zones=ZONES,
        multicluster=("clusterset.local.",),
    )
    tree.drain()
    tree.remove(Kind.NAMESPACES, "", "ns")
    assert b"\2\3web\2ns\3svc\x0aclusterset\5local\0" in tree.drain()


def test_what_makes_no_sense_is_said_and_the_rest_is_served() -> None:
    said: list[str] = []
    world = world_of(
        service_import("web", "nonsense", "10.9.0.1", ports=HTTP),
        imported_slice("web", "x" * 64, "10.1.0.1", ports=HTTP),
        said=said,
    )
    assert ask(world, "web.ns.svc") == ["10.9.0.1"]
    assert ask(world, "10-1-0-1.web.ns.svc") == ["10.1.0.1"]
    assert said == [
        "serviceimports ns/web: ips: 'nonsense' is no IP address",
        f"endpointslices ns/web-{'x' * 64}: cluster: label {b'x' * 64!r} has 64 octets",
    ]


def test_a_list_takes_away_what_it_does_not_have() -> None:
    tree = worlds.grown(
        service_import("db", kind="Headless"),
        imported_slice("db", "east", "10.1.0.1"),
        imported_slice("db", "west", "10.1.0.2"),
        zones=ZONES,
        multicluster=("clusterset.local.",),
    )
    tree.begin_list(Kind.ENDPOINTSLICES)
    worlds.put(tree, imported_slice("db", "west", "10.1.0.2"))
    assert tree.end_list(Kind.ENDPOINTSLICES) == 1
    tree.begin_list(Kind.SERVICEIMPORTS)
    tree.keep(Kind.SERVICEIMPORTS, "ns", "db")
    assert tree.end_list(Kind.SERVICEIMPORTS) == 0
    assert tree.count(Kind.SERVICEIMPORTS) == 1
    world = engines.World()
    world.add_table(b"".join(tree.snapshot()))
    assert ask(world, "db.ns.svc") == ["10.1.0.2"]


def test_an_import_of_another_uid_is_not_removed() -> None:
    tree = worlds.grown(zones=ZONES, multicluster=("clusterset.local.",))
    kind, body = service_import("web", "10.9.0.1", ports=HTTP)
    body["metadata"]["uid"] = "new"
    tree.apply(kind, objects.convert(kind, body))
    tree.remove(kind, "ns", "web", uid="old")
    assert tree.count(kind) == 1
    tree.remove(kind, "ns", "web", uid="new")
    assert tree.count(kind) == 0
