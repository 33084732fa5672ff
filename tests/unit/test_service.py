"""A, AAAA and SRV of a Service against a model of CoreDNS's rules.

The model goes the way of plugin/kubernetes's findServices and plugin/backend_lookup.go: a list of entries, one for each
pair of an address and a port that the question matches, from which each type makes its records.
"""

from __future__ import annotations

import ipaddress
import time
from dataclasses import dataclass

import dns.message
import dns.rcode
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit import deltas, engines

ZONE = "cluster.local"
OWNER = "web.shop.svc"
NO_PORT = 65535
ZONES, CLUSTERS = 4, 8
Port = tuple[int, str, str]
Endpoint = tuple[str, str]  # address, label


@dataclass(frozen=True)
class Group:
    """`place` is the zone or the cluster of its endpoints."""

    ports: tuple[Port, ...]
    addresses: tuple[Endpoint, ...]
    place: str = ""


@dataclass(frozen=True)
class Service:
    is_headless: bool
    own: tuple[Group, ...]
    endpoints: tuple[Group, ...]
    has_clusters: bool = False


@dataclass(frozen=True)
class Entry:
    address: str
    port: int
    target: str


# --- the model ------------------------------------------------------------------------------------------------------


def label_of(endpoint: Endpoint) -> str:
    address, label = endpoint
    return label or address.replace(".", "-").replace(":", "-")


def is_port(port: Port, asked: list[str]) -> bool:
    wanted = [label.removeprefix("_").lower() for label in asked]
    return all(want in ("", have) for want, have in zip(wanted, port[1:], strict=True))


def is_endpoint(group: Group, endpoint: Endpoint, asked: list[str]) -> bool:
    """Without a cluster in the question, only endpoints that have none: findMultiClusterServices."""
    cluster = asked[1] if len(asked) == 2 else ""
    return label_of(endpoint).lower() == asked[0].lower() and group.place.lower() == cluster.lower()


def entries_of(service: Service, asked: list[str]) -> list[Entry]:
    """What findServices finds for the labels before the Service's name: none, an endpoint, or a port and a protocol."""
    by_port = len(asked) == 2 and (not service.has_clusters or any(label.startswith("_") for label in asked))
    by_endpoint = bool(asked) and not by_port
    found = []
    for group in service.endpoints if service.is_headless or by_endpoint else service.own:
        for endpoint in group.addresses:
            if by_endpoint and not is_endpoint(group, endpoint, asked):
                continue
            place = f"{group.place}." if group.place else ""
            own = OWNER if not (service.is_headless or by_endpoint) else f"{label_of(endpoint)}.{place}{OWNER}"
            ports = [port for port in group.ports if not by_port or is_port(port, asked)]
            found += [Entry(endpoint[0], -1 if port == (NO_PORT, "", "") else port[0], own) for port in ports]
    return found


def addresses_of(entries: list[Entry], version: int) -> list[str]:
    return sorted({one.address for one in entries if ipaddress.ip_address(one.address).version == version})


def services_of(entries: list[Entry]) -> tuple[list[str], list[str]]:
    """SRV records and the addresses beside them."""
    weight = max(100 // len(entries), 1) if entries else 0
    real = [one for one in entries if one.port != -1]
    records = {f"0 {weight} {one.port} {one.target}.{ZONE}." for one in real}
    return sorted(records), sorted({f"{one.target}.{ZONE}. {one.address}" for one in real})


# --- the engine -----------------------------------------------------------------------------------------------------


def encode(groups: tuple[Group, ...], *, are_placed: bool = False) -> list[bytes]:
    return [
        (deltas.place(group.place) if are_placed else b"")
        + deltas.group([deltas.port(*port) for port in group.ports], [deltas.address(*one) for one in group.addresses])
        for group in groups
    ]


def world_of(service: Service) -> engines.World:
    world = engines.World()
    flags = service.is_headless | CLUSTERS * service.has_clusters
    endpoints = encode(service.endpoints, are_placed=service.has_clusters)
    made = deltas.service(OWNER, encode(service.own), endpoints, flags=flags)
    world.add_table(deltas.zone(ZONE) + deltas.put(f"{OWNER}.{ZONE}", made) + deltas.synced())
    return world


def check_addresses(answer: dns.message.Message, expected: list[str], entries: list[Entry]) -> None:
    assert sorted(str(one) for rrset in answer.answer for one in rrset) == expected
    assert bool(answer.authority) == (not expected)
    assert answer.rcode() == (dns.rcode.NOERROR if entries else dns.rcode.NXDOMAIN)


def check(service: Service, asked: list[str]) -> None:
    world, entries = world_of(service), entries_of(service, asked)
    name = ".".join([*asked, OWNER, ZONE])
    if not asked and not entries:
        return  # such a Service has no name: control does not put it
    for rdtype, version in (("A", 4), ("AAAA", 6)):
        check_addresses(world.ask(name, rdtype), addresses_of(entries, version), entries)
    answer = world.ask(name, "SRV")
    records, glue = services_of(entries)
    check_addresses(answer, records, entries)
    assert sorted(f"{rrset.name} {one}" for rrset in answer.additional for one in rrset) == glue
    assert len({(rrset.name, one) for rrset in answer.additional for one in rrset}) == len(glue)


# --- Services -------------------------------------------------------------------------------------------------------

ADDRESSES = ["10.0.0.1", "10.0.0.2", "10.0.0.10", "192.168.100.200", "fd00::1", "fd00::2"]
LABELS = ["", "a", "Web-0", "10-0-0-1"]
ports = st.tuples(
    st.sampled_from([80, 81, 443]), st.sampled_from(["", "http", "dns"]), st.sampled_from(["tcp", "udp", "sctp"])
)
port_lists = st.one_of(st.just(((NO_PORT, "", ""),)), st.lists(ports, min_size=1, max_size=4).map(tuple))


@st.composite
def endpoint(draw: st.DrawFn) -> Endpoint:
    """An IPv6 address always has a label: control spells it out."""
    address, label = draw(st.sampled_from(ADDRESSES)), draw(st.sampled_from(LABELS))
    return address, label or (address.replace(":", "-") if ":" in address else "")


def groups(addresses: st.SearchStrategy[Endpoint], *places: str) -> st.SearchStrategy[tuple[Group, ...]]:
    placed = st.sampled_from(places or ("",))
    group = st.builds(Group, port_lists, st.lists(addresses, min_size=1, max_size=5).map(tuple), placed)
    return st.lists(group, max_size=3).map(tuple)


OWN = st.sampled_from(ADDRESSES).map(lambda address: (address, ""))
one_own = st.builds(
    lambda ports, addresses: (Group(ports, addresses),),
    port_lists,
    st.lists(OWN, min_size=1, max_size=3, unique=True).map(tuple),
)
services = st.one_of(
    st.builds(Service, st.just(False), one_own, groups(endpoint())),
    st.builds(Service, st.just(True), st.just(()), groups(endpoint())),
)
port_labels = st.sampled_from(["_", "_http", "http", "_dns", "dns", "__http", "none", "_none"])
protocols = st.sampled_from(["_", "_tcp", "tcp", "_UDP", "sctp", "_none"])
endpoint_labels = st.sampled_from(
    ["a", "web-0", "WEB-0", "10-0-0-1", "10-0-0-10", "192-168-100-200", "fd00--1", "none", "_http", "1"]
)
questions: st.SearchStrategy[list[str]] = st.one_of(
    st.just([]), endpoint_labels.map(lambda label: [label]), st.tuples(port_labels, protocols).map(list)
)


imports = st.one_of(
    st.builds(Service, st.just(False), one_own, groups(endpoint(), "", "east", "West"), st.just(True)),
    st.builds(Service, st.just(True), st.just(()), groups(endpoint(), "", "east", "West"), st.just(True)),
)
endpoints_of_clusters = st.tuples(endpoint_labels, st.sampled_from(["east", "WEST", "none", "_east"])).map(list)


@settings(max_examples=400)
@given(services, questions)
def test_answers_are_the_model_s(service: Service, asked: list[str]) -> None:
    check(service, asked)


@settings(max_examples=300)
@given(imports, st.one_of(questions, endpoints_of_clusters))
def test_imported_services_are_the_model_s(service: Service, asked: list[str]) -> None:
    check(service, asked)


def test_an_import_without_addresses_is_nodata_at_its_ports() -> None:
    service = Service(False, (Group(((80, "http", "tcp"),), ()),), (), has_clusters=True)
    world = world_of(service)
    for name, rcode in (("", dns.rcode.NOERROR), ("_http._tcp.", dns.rcode.NOERROR), ("_x._tcp.", dns.rcode.NXDOMAIN)):
        for rdtype in ("A", "AAAA", "SRV"):
            answer = world.ask(f"{name}{OWNER}.{ZONE}", rdtype)
            assert (answer.rcode(), answer.answer, len(answer.authority)) == (rcode, [], 1)
    assert world.ask(f"_http._tcp.{OWNER}.{ZONE}", "TXT").rcode() == dns.rcode.NXDOMAIN


# --- zones ------------------------------------------------------------------------------------------------------------


def check_zone(groups: tuple[Group, ...], zone: str, directive: str) -> None:
    """The names of one zone against the model of a Service that has only that zone's endpoints."""
    world = engines.World()
    made = deltas.service(OWNER, [], encode(groups, are_placed=True), flags=1 | ZONES)
    world.add_table(deltas.zone(ZONE) + deltas.put(f"_zone.{OWNER}.{ZONE}", made, flags=2) + deltas.synced())
    chosen = tuple(group for group in groups if group.place == zone)
    if directive == "prefer" and not chosen:
        chosen = groups
    entries = entries_of(Service(True, (), tuple(Group(one.ports, one.addresses) for one in chosen)), [])
    name = f"{zone.upper()}.{directive}._Zone.{OWNER}.{ZONE}"
    for rdtype, version in (("A", 4), ("AAAA", 6), ("TXT", 0)):
        answer = world.ask(name, rdtype)
        assert answer.rcode() == dns.rcode.NOERROR
        assert sorted(str(one) for rrset in answer.answer for one in rrset) == addresses_of(entries, version)
    answer = world.ask(name, "SRV")
    records, glue = services_of(entries)
    assert sorted(str(one) for rrset in answer.answer for one in rrset) == records
    assert sorted(f"{rrset.name} {one}" for rrset in answer.additional for one in rrset) == glue


@settings(max_examples=300)
@given(groups(endpoint(), "", "z1", "corp.example.z2"), st.sampled_from(["z1", "corp.example.z2", "z2"]), st.booleans())
def test_zonal_names_are_the_model_s(groups: tuple[Group, ...], zone: str, prefers: bool) -> None:
    check_zone(groups, zone, "prefer" if prefers else "pin")


def test_only_the_two_directives_are_names_of_a_zone() -> None:
    world = engines.World()
    made = deltas.service(
        OWNER, [], [deltas.place("z1") + deltas.group([deltas.port(80, "", "tcp")], [])], flags=1 | ZONES
    )
    world.add_table(deltas.zone(ZONE) + deltas.put(f"_zone.{OWNER}.{ZONE}", made, flags=2) + deltas.synced())
    for left in ("", "pin.", "prefer.", "x.", "z1.florp.", "z1.pins.", "z1.pin.x."):
        for rdtype in ("A", "SRV", "TXT"):
            assert world.ask(f"{left}_zone.{OWNER}.{ZONE}", rdtype).rcode() == dns.rcode.NXDOMAIN, (left, rdtype)
    assert world.ask(f"z1.pin._zone.{OWNER}.{ZONE}", "A").rcode() == dns.rcode.NOERROR


# --- repetition -------------------------------------------------------------------------------------------------------


def test_equal_addresses_count_in_weights_but_answer_once() -> None:
    http = ((80, "http", "tcp"),)
    twice = Service(True, (), (Group(http, (("10.0.0.1", "a"),)), Group(http, (("10.0.0.1", "a"),))))
    check(twice, [])
    answer = world_of(twice).ask(f"{OWNER}.{ZONE}", "SRV")
    assert [str(one) for one in answer.answer[0]] == [f"0 50 80 a.{OWNER}.{ZONE}."]


def test_a_name_and_the_address_that_spells_it_are_one_endpoint() -> None:
    group = Group(((80, "http", "tcp"),), (("10.0.0.1", ""), ("10.0.0.2", "10-0-0-1"), ("10.0.0.1", "")))
    for asked in ([], ["10-0-0-1"]):
        check(Service(True, (), (group,)), asked)


def test_a_name_in_two_spellings_is_one_to_whoever_asks() -> None:
    group = Group(((80, "http", "tcp"),), (("10.0.0.1", "Web-0"), ("10.0.0.2", "x"), ("10.0.0.3", "web-0")))
    answer = world_of(Service(True, (), (group,))).ask(f"web-0.{OWNER}.{ZONE}", "A")
    assert sorted(str(one) for one in answer.answer[0]) == ["10.0.0.1", "10.0.0.3"]


def test_ports_of_one_number_are_told_once() -> None:
    """More ports than are compared one by one, too."""
    for count in (3, 40):
        ports = tuple((8000 + at // 2, f"p{at}", "tcp") for at in range(count))
        check(Service(True, (), (Group(ports, (("10.0.0.1", "a"), ("10.0.0.2", "b"))),)), [])
        check(Service(False, (Group(ports, (("10.0.0.1", ""), ("fd00::1", ""))),), ()), [])
        check(Service(False, (Group(ports, (("10.0.0.1", ""),)), Group(ports, (("10.0.0.1", ""),))), ()), [])


def test_the_same_endpoints_in_many_slices_cost_no_more_than_their_number() -> None:
    """300 slices of 100 endpoints: compared with one another, they would be 450 million comparisons for an answer."""
    group = Group(((80, "http", "tcp"),), tuple((f"10.0.0.{at}", "") for at in range(1, 101)))
    service = Service(True, (), (group,) * 300)
    world = world_of(service)
    began = time.process_time()
    answers = [world.ask(f"_http._tcp.{OWNER}.{ZONE}", "SRV") for _ in range(5)]
    assert time.process_time() - began < 2.0
    assert all(sum(map(len, answer.answer)) == 100 for answer in answers)


def test_weight_is_at_least_1() -> None:
    many = tuple((f"10.0.{at // 200}.{at % 200 + 1}", "") for at in range(150))
    check(Service(True, (), (Group(((80, "http", "tcp"),), many),)), [])


def test_pod_s_service_has_port_0() -> None:
    world = engines.cluster()
    answer = world.ask(f"10-1-2-3.default.pod.{ZONE}", "SRV")
    assert [str(one) for one in answer.answer[0]] == [f"0 100 0 10-1-2-3.default.pod.{ZONE}."]
    assert engines.texts(answer.additional) == [f"10-1-2-3.default.pod.{ZONE}. 30 A 10.1.2.3"]
