"""Zones of other plugins: hosts, wildcards, empty non-terminals, one zone in another."""

import dns.flags
import dns.rcode
import pytest

from fastdns._rrset import Form
from fastdns._trie import ZoneFlag
from tests.unit import deltas, engines

HOSTS = ZoneFlag.NO_SOA | ZoneFlag.MISS_SERVFAIL | ZoneFlag.WILDCARD_ONE_LABEL


def address(text: str) -> bytes:
    packed = deltas.address(text)
    family, octets = packed[0], packed[1:-1]
    return deltas.record_set(1 if family == 4 else 28, Form.FIXED, 60, 1, octets)


def world(*operations: bytes) -> engines.World:
    made = engines.World()
    made.add_table(b"".join(operations) + deltas.synced())
    return made


def first(made: engines.World, name: str, rdtype: str = "A") -> str | int:
    """The first record's data, or the rcode if there is none."""
    answer = made.ask(name, rdtype)
    return str(answer.answer[0][0]) if answer.answer else int(answer.rcode())


@pytest.fixture
def hosts() -> engines.World:
    return world(
        deltas.zone(".", flags=HOSTS),
        deltas.put("a.example", address("10.0.0.1")),
        deltas.put("*.example", address("10.0.0.2")),
        deltas.put("deep.b.example", address("10.0.0.3")),
    )


def test_hosts_miss_is_servfail_without_soa(hosts: engines.World) -> None:
    answer = hosts.ask("none.org", use_edns=0)
    assert (answer.rcode(), answer.authority, answer.options) == (dns.rcode.SERVFAIL, [], ())


def test_hosts_other_type_is_nodata_without_soa(hosts: engines.World) -> None:
    answer = hosts.ask("a.example", "AAAA")
    assert (answer.rcode(), answer.answer, answer.authority) == (dns.rcode.NOERROR, [], [])
    assert answer.flags & dns.flags.AA


def test_hosts_soa_is_an_ordinary_type(hosts: engines.World) -> None:
    assert hosts.ask("a.example", "SOA").answer == []


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.example", "10.0.0.1"),
        ("x.example", "10.0.0.2"),
        ("*.example", "10.0.0.2"),
        ("x.y.example", 2),
        ("b.example", "10.0.0.2"),
        ("deep.b.example", "10.0.0.3"),
        ("example", 2),
    ],
)
def test_hosts_wildcard_is_one_label(hosts: engines.World, name: str, found: str | int) -> None:
    assert first(hosts, name) == found


@pytest.mark.parametrize(
    ("name", "found"), [("x.example", "10.0.0.2"), ("x.y.example", "10.0.0.2"), ("b.example", 3), ("x.b.example", 3)]
)
def test_wildcard_of_the_dns_stands_for_any_labels_but_no_existing_name(name: str, found: str | int) -> None:
    made = world(
        deltas.zone("example"), deltas.put("*.example", address("10.0.0.2")), deltas.put("c.b.example", address("::1"))
    )
    assert first(made, name) == found


@pytest.mark.parametrize(("flags", "owed"), [(0, dns.rcode.NXDOMAIN), (ZoneFlag.ENT_NODATA, dns.rcode.NOERROR)])
def test_empty_non_terminal(flags: int, owed: int) -> None:
    made = world(deltas.zone("example", flags=flags), deltas.put("a.b.example", address("10.0.0.1")))
    assert made.ask("b.example").rcode() == owed
    assert made.ask("c.example").rcode() == dns.rcode.NXDOMAIN


def test_deepest_zone_answers() -> None:
    made = world(deltas.zone("example", ttl=10), deltas.zone("sub.example", ttl=20), deltas.put("sub.example"))
    assert made.ask("x.sub.example").authority[0].name.to_text() == "sub.example."
    assert made.ask("x.example").authority[0].ttl == 10


def test_root_zone_s_soa() -> None:
    answer = world(deltas.zone(".")).ask("x.org")
    assert engines.texts(answer.authority) == [". 30 SOA ns.dns. hostmaster. 0 7200 1800 86400 30"]


def test_ns_brings_its_servers_addresses() -> None:
    servers = deltas.record_set(2, Form.ZONED, 30, 2, deltas.sized(deltas.labels("ns.dns"), deltas.labels("gone")))
    made = world(
        deltas.zone("example"), deltas.put("example", servers), deltas.put("ns.dns.example", address("10.0.0.9"))
    )
    answer = made.ask("EXAMPLE", "NS")
    assert sorted(map(str, answer.answer[0])) == ["gone.EXAMPLE.", "ns.dns.EXAMPLE."]
    assert engines.texts(answer.additional) == ["ns.dns.EXAMPLE. 30 A 10.0.0.9"]


def test_header_flags_are_the_zone_s() -> None:
    made = world(
        deltas.zone("example").replace(b"\4\0\4\0\4\0", b"\0\x80\4\x80\0\0"), deltas.put("example", address("::1"))
    )
    flags = [
        made.ask(*question).flags & 0x0480 for question in (("example", "AAAA"), ("example", "A"), ("x.example", "A"))
    ]
    assert flags == [0x80, 0x480, 0]
