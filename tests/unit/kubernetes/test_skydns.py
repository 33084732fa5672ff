"""The kube-dns dialect: names, hashes, weights and what is left out, from objects alone."""

from __future__ import annotations

import pytest

from fastdns.kubernetes import objects, records, skydns

DOMAIN = "cluster.local."
ZONE = records.wire_name(DOMAIN)


def service(**spec: object) -> skydns.Service:
    read: list[str] = []
    item = objects.convert(objects.Kind.SERVICES, {"metadata": {"name": "s", "namespace": "n"}, "spec": spec})
    assert isinstance(item, objects.Service)
    made = skydns.read_service(item, read.append)
    assert not read
    return made


def port(name: str = "http", number: int = 80, protocol: str = "TCP") -> dict[str, object]:
    return {"name": name, "port": number, "protocol": protocol}


@pytest.mark.parametrize(
    ("host", "label"),
    [("10.0.0.1", "3234633364383235"), ("10.1.4.1", "3363383832373638"), ("2001:db8:1::4", "3733666461306331")],
)
def test_address_is_hashed_as_kubedns_does(host: str, label: str) -> None:
    assert skydns.hash_label(host) == label


@pytest.mark.parametrize(("count", "share"), [(1, 100), (2, 50), (3, 33), (7, 14), (8, 12), (30, 3), (101, 0)])
def test_weight_is_a_share_rounded_down(count: int, share: int) -> None:
    assert skydns.share_of(skydns.WEIGHT, skydns.WEIGHT * count) == share


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"clusterIP": "10.0.0.1"}, ("10.0.0.1",)),
        ({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "fd00:0::1"]}, ("10.0.0.1", "fd00::1")),
        ({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "10.0.0.1"]}, ("10.0.0.1",)),
        ({"clusterIP": "::ffff:10.0.0.1"}, ("10.0.0.1",)),
    ],
)
def test_addresses_are_normalized(spec: dict[str, object], expected: tuple[str, ...]) -> None:
    assert service(**spec).addresses == expected


@pytest.mark.parametrize(
    "spec",
    [
        {"clusterIP": "None"},
        {"clusterIP": ""},
        {},
        {"clusterIP": "None", "clusterIPs": ["None"]},
        {"clusterIPs": ["10.0.0.1"]},
    ],
)
def test_headless_is_none_or_nothing(spec: dict[str, object]) -> None:
    assert service(**spec).is_headless


def test_external_name_wins_over_none() -> None:
    made = service(type="ExternalName", externalName="a.b", clusterIP="None")
    assert made.external_name == "a.b"
    assert not made.is_headless


def test_port_needs_name_and_protocol() -> None:
    made = service(clusterIP="10.0.0.1", ports=[port(), {"name": "x", "port": 1}, {"port": 2, "protocol": "TCP"}])
    assert [one.name for one in made.ports] == ["http"]


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"clusterIP": "nonsense", "clusterIPs": ["nonsense"]}, "clusterIP 'nonsense' is no IP address"),
        ({"type": "ExternalName"}, "externalName '' is no name"),
        ({"type": "ExternalName", "externalName": "a..b"}, "externalName 'a..b' is no name"),
        ({"type": "ExternalName", "externalName": "x" * 64}, f"externalName '{'x' * 64}' is no name"),
        ({"clusterIP": "10.0.0.1", "ports": [port(number=70000)]}, "port 70000 is out of range"),
        ({"clusterIP": "10.0.0.1", "ports": [port(name="a.b")]}, "port 80: name or protocol is no DNS label"),
        ({"clusterIP": "10.0.0.1", "ports": [port(name="x" * 63)]}, "port 80: name or protocol is no DNS label"),
    ],
)
def test_nonsense_is_told_and_left_out(spec: dict[str, object], complaint: str) -> None:
    found: list[str] = []
    item = objects.convert(objects.Kind.SERVICES, {"metadata": {"name": "s"}, "spec": spec})
    assert isinstance(item, objects.Service)
    made = skydns.read_service(item, found.append)
    assert found == [complaint]
    assert not made.ports


def test_endpoints_nonsense_is_told_and_left_out() -> None:
    found: list[str] = []
    tree = {"subsets": [{"addresses": [{"ip": "x"}, {"ip": "10.0.0.1", "hostname": "a.b"}, {"ip": "10.0.0.2"}]}]}
    item = objects.convert(objects.Kind.ENDPOINTS, tree)
    assert isinstance(item, objects.Endpoints)
    (subset,) = skydns.read_endpoints(item, found.append)
    assert subset.addresses == (("10.0.0.1", ""), ("10.0.0.2", ""))
    assert found == ["'x' is no IP address", "hostname 'a.b' is no DNS label"]


def names(made: skydns.Service, subsets: tuple[skydns.Subset, ...] | None = None) -> skydns.Names:
    return skydns.names_of("n", "s", made, subsets, zone=ZONE, domain=DOMAIN)


def texts(found: skydns.Names) -> set[str]:
    return {".".join(split(labels)) for labels in found.data}


def split(labels: bytes) -> list[str]:
    found, at = [], 0
    while at < len(labels):
        found.append(labels[at + 1 : at + 1 + labels[at]].decode())
        at += 1 + labels[at]
    return found


def test_cluster_ip_has_nodes_and_entries() -> None:
    key = skydns.hash_label("10.0.0.1")
    assert texts(names(service(clusterIP="10.0.0.1", ports=[port()]))) == {
        "s.n.svc", f"{key}.s.n.svc", "_http._tcp.s.n.svc", f"{key}._http._tcp.s.n.svc",
    }  # fmt: skip


def test_headless_without_endpoints_has_no_names() -> None:
    assert not names(service(clusterIP="None")).data
    assert not names(service(clusterIP="None"), ()).data


def test_hostnames_have_reverse_records_and_hashes_have_none() -> None:
    subsets = (skydns.Subset((("10.0.0.1", "h"), ("10.0.0.2", "")), ()),)
    found = names(service(clusterIP="None"), subsets)
    assert [one.address for one in found.reverse] == [bytes([10, 0, 0, 1])]
    assert not names(service(clusterIP="10.9.9.9"), subsets).reverse.keys() & found.reverse.keys()


def test_upper_case_hostname_is_hidden() -> None:
    found = names(service(clusterIP="None"), (skydns.Subset((("10.0.0.1", "UP"),), ()),))
    data = found.data[skydns.join_labels(("up", "s", "n", "svc"))]
    assert int.from_bytes(data[:2], "big") & skydns.HIDDEN


def test_too_long_name_is_left_out() -> None:
    long = tuple("x" * 63 for _ in range(3))
    found = skydns.names_of(
        "n",
        "s",
        service(clusterIP="10.0.0.1"),
        None,
        zone=skydns.join_labels(long) + b"\0",
        domain=".".join(long) + ".",
    )
    assert all(len(labels) + 3 * 64 + 1 <= 255 for labels in found.data)
