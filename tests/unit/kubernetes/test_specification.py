"""The Kubernetes DNS specification 1.1.0, clause by clause, at the level of records.

https://github.com/kubernetes/dns/blob/master/docs/specification.md; the numbers are its sections.
"""

from __future__ import annotations

import pytest

from tests.unit.kubernetes import worlds
from tests.unit.kubernetes.delta import NODATA, NXDOMAIN
from tests.unit.kubernetes.worlds import external, headless, service, slice_of

HTTPS = (("https", 443),)
READY, UNREADY = {"ready": True}, {"ready": False}
WORLD = (
    worlds.namespace("default"),
    service("kubernetes", "10.3.0.1", ports=HTTPS, namespace="default"),
    service("six", "2001:db8::1", ports=HTTPS, namespace="default"),
    service("dual", "10.3.0.2", "2001:db8::2", ports=(("https", 443), ("dns", 53, "UDP")), namespace="default"),
    service("unnamed", "10.3.0.3", ports=((None, 80),), namespace="default"),
    headless("headless", ports=HTTPS, namespace="default"),
    slice_of(
        "headless",
        {"addresses": ["10.3.0.100"], "hostname": "my-pet", "conditions": READY},
        {"addresses": ["10.3.0.101"], "hostname": "my-pet-2"},
        {"addresses": ["10.3.0.102"], "conditions": {"ready": None}},
        {"addresses": ["10.3.0.103"], "hostname": "unready", "conditions": UNREADY},
        ports=HTTPS,
        namespace="default",
    ),
    slice_of(
        "headless",
        {"addresses": ["2001:db8::100"], "hostname": "my-pet"},
        ports=HTTPS,
        namespace="default",
        name="headless-6",
    ),
    headless("shared", ports=HTTPS, namespace="default"),
    slice_of(
        "shared",
        {"addresses": ["10.3.1.1"], "hostname": "pet"},
        {"addresses": ["10.3.1.2"], "hostname": "pet"},
        ports=HTTPS,
        namespace="default",
    ),
    headless("none-ready", ports=HTTPS, namespace="default"),
    slice_of("none-ready", {"addresses": ["10.3.2.1"], "conditions": UNREADY}, ports=HTTPS, namespace="default"),
    headless("no-slice", ports=HTTPS, namespace="default"),
    external("foo", "www.example.com", namespace="default"),
)
CASES = [
    ("2.2 schema version", "dns-version", "TXT", {"1.1.0"}),
    ("2.3.1 A of a ClusterIP", "kubernetes.default.svc", "A", {"10.3.0.1"}),
    ("2.3.1 no AAAA of an IPv4 ClusterIP", "kubernetes.default.svc", "AAAA", NODATA),
    ("2.3.1 AAAA of an IPv6 ClusterIP", "six.default.svc", "AAAA", {"2001:db8::1"}),
    ("2.3.1 no A of an IPv6 ClusterIP", "six.default.svc", "A", NODATA),
    ("2.3.1 both of a dual-stack Service", "dual.default.svc", "A", {"10.3.0.2"}),
    ("2.3.1 both of a dual-stack Service", "dual.default.svc", "AAAA", {"2001:db8::2"}),
    (
        "2.3.2 SRV of a named port",
        "_https._tcp.kubernetes.default.svc",
        "SRV",
        {"0 100 443 kubernetes.default.svc.cluster.local."},
    ),
    ("2.3.2 SRV by protocol", "_dns._udp.dual.default.svc", "SRV", {"0 50 53 dual.default.svc.cluster.local."}),
    ("2.3.2 no SRV of another protocol", "_dns._tcp.dual.default.svc", "SRV", NXDOMAIN),
    ("2.3.2 no SRV of another port", "_http._tcp.kubernetes.default.svc", "SRV", NXDOMAIN),
    ("2.3.2 no SRV name of an unnamed port", "_http._tcp.unnamed.default.svc", "SRV", NXDOMAIN),
    ("2.3.3 PTR of a ClusterIP", "1.0.3.10.in-addr.arpa", "PTR", {"kubernetes.default.svc.cluster.local."}),
    (
        "2.3.3 PTR of an IPv6 ClusterIP",
        "1." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa",
        "PTR",
        {"six.default.svc.cluster.local."},
    ),
    ("2.4.1 A of ready endpoints only", "headless.default.svc", "A", {"10.3.0.100", "10.3.0.101", "10.3.0.102"}),
    ("2.4.1 AAAA of ready endpoints", "headless.default.svc", "AAAA", {"2001:db8::100"}),
    ("2.4.1 NXDOMAIN without ready endpoints", "none-ready.default.svc", "A", NXDOMAIN),
    ("2.4.1 NXDOMAIN without ready endpoints", "none-ready.default.svc", "AAAA", NXDOMAIN),
    ("2.4.1 NXDOMAIN without any endpoints", "no-slice.default.svc", "A", NXDOMAIN),
    ("2.4.1 A of a hostname", "my-pet.headless.default.svc", "A", {"10.3.0.100"}),
    ("2.4.1 AAAA of a hostname", "my-pet.headless.default.svc", "AAAA", {"2001:db8::100"}),
    ("2.4.1 no name of an unready hostname", "unready.headless.default.svc", "A", NXDOMAIN),
    ("2.4.1 a unique name without hostname", "10-3-0-102.headless.default.svc", "A", {"10.3.0.102"}),
    ("2.4.1 a hostname takes that name's place", "10-3-0-100.headless.default.svc", "A", NXDOMAIN),
    ("2.4.1 all addresses of one hostname", "pet.shared.default.svc", "A", {"10.3.1.1", "10.3.1.2"}),
    (
        "2.4.2 SRV of each endpoint and named port",
        "_https._tcp.headless.default.svc",
        "SRV",
        {f"0 25 443 {name}.headless.default.svc.cluster.local." for name in ("my-pet", "my-pet-2", "10-3-0-102")},
    ),
    ("2.4.2 no SRV without ready endpoints", "_https._tcp.none-ready.default.svc", "SRV", NXDOMAIN),
    (
        "2.4.3 PTR of an endpoint's hostname",
        "100.0.3.10.in-addr.arpa",
        "PTR",
        {"my-pet.headless.default.svc.cluster.local."},
    ),
    ("2.4.3 no PTR of an unready endpoint", "103.0.3.10.in-addr.arpa", "PTR", NXDOMAIN),
    ("2.5 CNAME of an ExternalName", "foo.default.svc", "CNAME", {"www.example.com."}),
    ("2.5 an ExternalName has no other records", "foo.default.svc", "SRV", NODATA),
    ("2.1 names compare without case", "KUBERNETES.Default.SVC", "A", {"10.3.0.1"}),
    ("1 no such Service", "nothing.default.svc", "A", NXDOMAIN),
    ("1 no such namespace", "kubernetes.nowhere.svc", "A", NXDOMAIN),
]


@pytest.fixture(scope="module")
def table() -> worlds.delta.Table:
    return worlds.table_of(*WORLD)


@pytest.mark.parametrize(("clause", "name", "rtype", "expected"), CASES, ids=[f"{c[0]} {c[2]}" for c in CASES])
def test_clause(table: worlds.delta.Table, clause: str, name: str, rtype: str, expected: object) -> None:
    name = name if name.endswith("arpa") else f"{name}.cluster.local"
    assert table.ask(name, rtype) == expected


@pytest.mark.parametrize(("clause", "name", "rtype", "expected"), CASES, ids=[f"{c[0]} {c[2]}" for c in CASES])
def test_records_say_the_same(clause: str, name: str, rtype: str, expected: object) -> None:
    """TreeCache's own question, which takes another way to the answer."""
    found = worlds.grown(*WORLD).Records(name if name.endswith("arpa") else f"{name}.cluster.local")
    if expected is NXDOMAIN:
        assert found is None
    else:
        values = {record.value.strip('"') for record in found if record.type == rtype}
        assert values == (set() if expected is NODATA else expected)


def test_ttl_is_the_options() -> None:
    table = worlds.table_of(*WORLD, ttl=77)
    data = table.names[worlds.delta.wire_of(["kubernetes", "default", "svc", "cluster", "local"])]
    assert {one.ttl for one in data.sets.values()} == {77}


def test_schema_version_keeps_its_own_ttl() -> None:
    table = worlds.table_of(*WORLD, ttl=77)
    data = table.names[worlds.delta.wire_of(["dns-version", "cluster", "local"])]
    assert [one.ttl for one in data.sets.values()] == [28800]
