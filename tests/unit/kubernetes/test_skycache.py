"""SkyCache: what changes go out, and that nothing is left behind that no object has."""

from __future__ import annotations

from typing import Any

import pytest

from fastdns._names import NameTable
from fastdns.config import model
from fastdns.kubernetes import objects, skycache
from fastdns.kubernetes.objects import Kind
from tests.unit import deltas

CONFIG = model.Kubernetes(zones=("cluster.local.",), dialect=model.Dialect.KUBEDNS)


class World:
    """A cache, and a table that gets its deltas."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self.now = 1_700_000_000.0
        self.cache = skycache.SkyCache(CONFIG, clock=lambda: self.now, complain=self.complaints.append)
        self.table = NameTable()
        for frame in self.cache.snapshot():
            self.table.apply(frame)

    def service(self, name: str, *addresses: str, namespace: str = "ns", **spec: Any) -> None:
        ports = [{"name": "http", "port": 80, "protocol": "TCP"}]
        body = {"clusterIP": (addresses or ("None",))[0], "clusterIPs": list(addresses), "ports": ports, **spec}
        self.apply(Kind.SERVICES, {"metadata": {"name": name, "namespace": namespace}, "spec": body})

    def endpoints(self, name: str, *addresses: tuple[str, str], subsets: list[Any] | None = None) -> None:
        listed = [{"ip": ip, **({"hostname": hostname} if hostname else {})} for ip, hostname in addresses]
        made = [{"addresses": listed, "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}]
        subsets = made if subsets is None else subsets
        self.apply(Kind.ENDPOINTS, {"metadata": {"name": name, "namespace": "ns"}, "subsets": subsets})

    def apply(self, kind: Kind, tree: dict[str, Any]) -> None:
        self.cache.apply(kind, objects.convert(kind, tree))

    def send(self) -> int:
        """Apply what goes out; how many octets."""
        delta = self.cache.drain()
        self.table.apply(delta)
        return len(delta)

    def has(self, name: str) -> bool:
        return self.table.holds(deltas.name(name)) is not None

    def target(self, reverse: str) -> str:
        return self.cache.ReverseRecord(reverse)


@pytest.fixture
def world() -> World:
    made = World()
    made.send()
    return made


def test_service_comes_and_goes(world: World) -> None:
    world.service("web", "10.0.0.1")
    world.send()
    assert world.has("web.ns.svc.cluster.local")
    assert world.has("1.0.0.10.in-addr.arpa")
    world.cache.remove(Kind.SERVICES, "ns", "web")
    world.send()
    assert not world.has("web.ns.svc.cluster.local")
    assert not world.has("1.0.0.10.in-addr.arpa")


def test_nothing_goes_out_for_what_changes_no_answer(world: World) -> None:
    world.service("web", "10.0.0.1")
    world.send()
    world.service("web", "10.0.0.1", sessionAffinity="ClientIP")
    world.endpoints("other", ("10.1.0.1", "a"))
    assert world.send() == 0


def test_changed_address_leaves_no_reverse_record_behind(world: World) -> None:
    world.service("web", "10.0.0.1")
    world.send()
    world.service("web", "10.0.0.2")
    world.send()
    assert not world.has("1.0.0.10.in-addr.arpa")
    assert world.has("2.0.0.10.in-addr.arpa")


def test_deleted_endpoints_leave_no_address_behind(world: World) -> None:
    world.service("db")
    world.endpoints("db", ("10.1.0.1", "db-0"))
    world.send()
    assert world.has("db-0.db.ns.svc.cluster.local")
    world.cache.remove(Kind.ENDPOINTS, "ns", "db")
    world.send()
    assert not world.has("db-0.db.ns.svc.cluster.local")
    assert not world.has("db.ns.svc.cluster.local")
    assert not world.has("1.0.1.10.in-addr.arpa")


def test_endpoints_may_come_before_their_service(world: World) -> None:
    world.endpoints("db", ("10.1.0.1", "db-0"))
    world.send()
    assert not world.has("db-0.db.ns.svc.cluster.local")
    world.service("db")
    world.send()
    assert world.has("db-0.db.ns.svc.cluster.local")


def test_service_turns_to_external_name_and_back(world: World) -> None:
    world.service("x", "10.0.0.1")
    world.send()
    world.service("x", type="ExternalName", externalName="www.example.org", clusterIP="")
    world.send()
    assert world.has("ns.svc.cluster.local")
    assert not world.has("_http._tcp.x.ns.svc.cluster.local")
    assert not world.has("1.0.0.10.in-addr.arpa")
    world.service("x", "10.0.0.1")
    world.send()
    assert not world.has("ns.svc.cluster.local")
    assert world.has("_http._tcp.x.ns.svc.cluster.local")


def test_last_writer_of_an_address_is_its_name_and_the_one_before_comes_back(world: World) -> None:
    for name in ("one", "two"):
        world.service(name)
        world.endpoints(name, ("10.1.0.1", "h"))
        world.send()
    assert world.target("10.1.0.1") == "h.two.ns.svc.cluster.local."
    world.cache.remove(Kind.SERVICES, "ns", "two")
    world.send()
    assert world.target("10.1.0.1") == "h.one.ns.svc.cluster.local."


def test_list_takes_away_what_it_does_not_have(world: World) -> None:
    world.service("stays", "10.0.0.1")
    world.service("goes", "10.0.0.2")
    world.send()
    world.cache.begin_list(Kind.SERVICES)
    world.service("stays", "10.0.0.1")
    assert world.cache.end_list(Kind.SERVICES) == 1
    world.send()
    assert world.has("stays.ns.svc.cluster.local")
    assert not world.has("goes.ns.svc.cluster.local")


def test_old_news_of_another_object_remove_nothing(world: World) -> None:
    tree = {"metadata": {"name": "web", "namespace": "ns", "uid": "new"}, "spec": {"clusterIP": "10.0.0.1"}}
    world.apply(Kind.SERVICES, tree)
    world.cache.remove(Kind.SERVICES, "ns", "web", uid="old")
    assert world.cache.count(Kind.SERVICES) == 1
    world.cache.remove(Kind.SERVICES, "ns", "web", uid="new")
    assert world.cache.count(Kind.SERVICES) == 0


def test_snapshot_is_what_the_deltas_made(world: World) -> None:
    world.service("web", "10.0.0.1", "fd00::1")
    world.service("db")
    world.endpoints("db", ("10.1.0.1", "db-0"), ("10.1.0.2", ""))
    world.service("ext", type="ExternalName", externalName="www.example.org", clusterIP="")
    world.cache.set_synced(True)
    world.send()
    other = NameTable()
    for frame in world.cache.snapshot():
        other.apply(frame)
    for key in ("names", "nodes", "octets", "serial", "synced"):
        assert other.stats()[key] == world.table.stats()[key]


def test_serial_moves_with_the_hour(world: World) -> None:
    assert world.cache.serial == 1_700_000_000 // 3600 * 3600
    assert world.send() == 0
    world.now += 3600
    assert world.send() > 0
    assert world.table.stats()["serial"] == world.cache.serial == 1_700_003_600 // 3600 * 3600


def test_a_complaint_is_made_once(world: World) -> None:
    world.service("web", "10.0.0.1", "nonsense")
    world.service("web", "10.0.0.1", "nonsense")
    assert world.complaints == ["services ns/web: clusterIP 'nonsense' is no IP address"]


def test_name_that_is_none_is_told_and_left_out(world: World) -> None:
    world.service("a.b", "10.0.0.1")
    world.send()
    assert world.complaints == ["services ns/a.b: name or namespace is no DNS label in lower case"]
    assert not world.has("1.0.0.10.in-addr.arpa")


def test_tree_is_as_kubedns_shows_it(world: World) -> None:
    world.service("web", "10.0.0.1")
    world.service("empty")
    world.endpoints("empty", subsets=[])
    world.service("absent")
    world.service("ext", type="ExternalName", externalName="www.example.org", clusterIP="")
    space = world.cache.dump()
    for label in ("local", "cluster", "svc", "ns"):
        space = space["ChildNodes"][label]
    assert sorted(space["ChildNodes"]) == ["empty", "web"]
    assert space["ChildNodes"]["empty"] == {"ChildNodes": {}, "Entries": {}}
    assert space["Entries"] == {"ext": {"host": "www.example.org", "priority": 10, "weight": 10, "ttl": 30}}


def test_tree_of_no_services_is_empty(world: World) -> None:
    world.service("absent")
    assert world.cache.dump() == {"ChildNodes": {}, "Entries": {}}


def test_tree_is_shown_in_the_order_of_its_names(world: World) -> None:
    for name in ("web", "db"):
        world.service(name)
        world.endpoints(name, ("10.1.0.2", "z"), ("10.1.0.1", "a"))
    space = world.cache.dump()
    for label in ("local", "cluster", "svc", "ns"):
        space = space["ChildNodes"][label]
    assert list(space["ChildNodes"]) == ["db", "web"]
    assert list(space["ChildNodes"]["db"]["Entries"]) == ["a", "z"]


def test_port_that_no_query_can_name_has_no_record_and_breaks_none(world: World) -> None:
    world.service("web", "10.0.0.1", ports=[{"name": "HTTP", "port": 80, "protocol": "TCP"}])
    world.send()
    assert world.has("web.ns.svc.cluster.local")
    assert not world.has("_http._tcp.web.ns.svc.cluster.local")


@pytest.mark.parametrize(
    ("name", "hosts"),
    [
        ("web.ns.svc.cluster.local", ["10.0.0.1"]),
        ("WEB.ns.svc.cluster.local.", ["10.0.0.1"]),
        ("*.ns.svc.cluster.local", ["www.example.org"]),
        ("*.*.ns.svc.cluster.local", ["10.0.0.1"]),
        ("ext.ns.svc.cluster.local", ["www.example.org"]),
        ("_http._tcp.web.ns.svc.cluster.local", ["web.ns.svc.cluster.local."]),
        ("none.ns.svc.cluster.local", []),
        ("cluster.local", []),
    ],
)
def test_records_of_a_name(name: str, hosts: list[str], world: World) -> None:
    world.service("web", "10.0.0.1")
    world.service("ext", type="ExternalName", externalName="www.example.org", clusterIP="")
    assert [entry.host for entry in world.cache.Records(name)] == hosts


def test_more_records_than_a_set_counts_are_bounded(world: World) -> None:
    """As many addresses as an object of the API has room for; what comes after them is sent nevertheless."""
    addresses = [
        {"ip": f"10.{20 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}"} for number in range(66_000)
    ]
    world.service("large")
    world.endpoints("large", subsets=[{"addresses": addresses, "ports": [{"name": "http", "port": 80}]}])
    world.service("late", "10.0.0.1")
    world.send()
    assert world.has("large.ns.svc.cluster.local")
    assert world.has("late.ns.svc.cluster.local")
