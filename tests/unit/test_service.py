"""A, AAAA and SRV of a Service against a model of CoreDNS's rules.

The model goes the way of plugin/kubernetes's findServices and plugin/backend_lookup.go: a list of entries, one for each
pair of an address and a port that the question matches, from which each type makes its records.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

import dns.message
import dns.rcode
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit import deltas, engines

ZONE = "cluster.local"
OWNER = "web.shop.svc"
NO_PORT = 65535
Port = tuple[int, str, str]
Endpoint = tuple[str, str]  # address, label


@dataclass(frozen=True)
class Group:
    ports: tuple[Port, ...]
    addresses: tuple[Endpoint, ...]


@dataclass(frozen=True)
class Service:
    is_headless: bool
    own: tuple[Group, ...]
    endpoints: tuple[Group, ...]


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


def entries_of(service: Service, asked: list[str]) -> list[Entry]:
    """What findServices finds for the labels before the Service's name: none, an endpoint, or a port and a protocol."""
    by_endpoint = service.is_headless or len(asked) == 1
    found = []
    for group in service.endpoints if by_endpoint else service.own:
        for endpoint in group.addresses:
            if len(asked) == 1 and label_of(endpoint).lower() != asked[0].lower():
                continue
            target = f"{label_of(endpoint)}.{OWNER}" if by_endpoint else OWNER
            ports = [port for port in group.ports if len(asked) != 2 or is_port(port, asked)]
            found += [Entry(endpoint[0], -1 if port == (NO_PORT, "", "") else port[0], target) for port in ports]
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


def encode(groups: tuple[Group, ...]) -> list[bytes]:
    return [
        deltas.group([deltas.port(*port) for port in group.ports], [deltas.address(*one) for one in group.addresses])
        for group in groups
    ]


def world_of(service: Service) -> engines.World:
    world = engines.World()
    made = deltas.service(OWNER, encode(service.own), encode(service.endpoints), flags=service.is_headless)
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


def groups(addresses: st.SearchStrategy[Endpoint]) -> st.SearchStrategy[tuple[Group, ...]]:
    group = st.builds(Group, port_lists, st.lists(addresses, min_size=1, max_size=5).map(tuple))
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


@settings(max_examples=400)
@given(services, questions)
def test_answers_are_the_model_s(service: Service, asked: list[str]) -> None:
    check(service, asked)


def test_equal_addresses_count_in_weights_but_answer_once() -> None:
    http = ((80, "http", "tcp"),)
    twice = Service(True, (), (Group(http, (("10.0.0.1", "a"),)), Group(http, (("10.0.0.1", "a"),))))
    check(twice, [])
    answer = world_of(twice).ask(f"{OWNER}.{ZONE}", "SRV")
    assert [str(one) for one in answer.answer[0]] == [f"0 50 80 a.{OWNER}.{ZONE}."]


def test_weight_is_at_least_1() -> None:
    many = tuple((f"10.0.{at // 200}.{at % 200 + 1}", "") for at in range(150))
    check(Service(True, (), (Group(((80, "http", "tcp"),), many),)), [])


def test_pod_s_service_has_port_0() -> None:
    world = engines.cluster()
    answer = world.ask(f"10-1-2-3.default.pod.{ZONE}", "SRV")
    assert [str(one) for one in answer.answer[0]] == [f"0 100 0 10-1-2-3.default.pod.{ZONE}."]
    assert engines.texts(answer.additional) == [f"10-1-2-3.default.pod.{ZONE}. 30 A 10.1.2.3"]
