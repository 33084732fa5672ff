"""How a question about the cluster ends: answer, NODATA, NXDOMAIN, SERVFAIL, on to the next step."""

import dns.flags
import dns.rcode
import pytest

from tests.unit import deltas, engines

Z = "cluster.local"
WORLD = engines.cluster()
SOA = f"{Z}. 30 SOA ns.dns.{Z}. hostmaster.{Z}. 1700000000 7200 1800 86400 30"
NODATA = [
    (Z, "A"), (Z, "ANY"), (f"svc.{Z}", "A"), (f"pod.{Z}", "AAAA"), (f"default.svc.{Z}", "SRV"),
    (f"kubernetes.default.svc.{Z}", "TXT"), (f"kubernetes.default.svc.{Z}", "MX"), (f"hl.default.svc.{Z}", "AAAA"),
    (f"kubernetes.default.svc.{Z}", "SOA"), (f"none.{Z}", "SOA"), (f"out.default.svc.{Z}", "SRV"),
    (f"gone.default.svc.{Z}", "A"), (f"h.kubernetes.default.svc.{Z}", "AAAA"), (f"10-0-0-1.default.pod.{Z}", "AAAA"),
    (f"kubernetes.default.svc.{Z}", "HTTPS"), (f"_https._tcp.kubernetes.default.svc.{Z}", "TXT"),
]  # fmt: skip
NXDOMAIN = [
    (f"none.{Z}", "A"), (f"none.default.svc.{Z}", "A"), (f"default.none.svc.{Z}", "A"), (f"svc.{Z}", "TXT"),
    (Z, "TXT"), (f"x.kubernetes.default.svc.{Z}", "A"), (f"_http._udp.hl.default.svc.{Z}", "SRV"),
    (f"a.b.c.kubernetes.default.svc.{Z}", "A"), (f"1-2-3.default.pod.{Z}", "A"), (f"1-2-3-256.default.pod.{Z}", "A"),
    (f"01-2-3-4.default.pod.{Z}", "A"), (f"1-2-3-4.none.pod.{Z}", "A"), (f"*.default.svc.{Z}", "A"),
    (f"10-0-0-1.hl.default.svc.{Z}", "A"), (f"dns-version.{Z}", "A"), (f"1.dns-version.{Z}", "TXT"),
    (f"x.in.default.svc.{Z}", "A"), (f"a.b.c.1-2-3-4.default.pod.{Z}", "A"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "rdtype"), NODATA)
def test_nodata_has_soa(name: str, rdtype: str) -> None:
    answer = WORLD.ask(name, rdtype)
    assert (answer.rcode(), answer.answer, engines.texts(answer.authority)) == (0, [], [SOA])
    assert answer.flags & dns.flags.AA and not answer.flags & dns.flags.RA


@pytest.mark.parametrize(("name", "rdtype"), NXDOMAIN)
def test_nxdomain_has_soa(name: str, rdtype: str) -> None:
    answer = WORLD.ask(name, rdtype)
    assert (answer.rcode(), answer.answer, engines.texts(answer.authority)) == (3, [], [SOA])
    assert answer.flags & dns.flags.AA


@pytest.mark.parametrize(
    ("name", "rdtype", "found"),
    [
        (f"kubernetes.default.svc.{Z}", "A", ["10.96.0.1"]),
        (f"kubernetes.default.svc.{Z}", "AAAA", ["fd00::1"]),
        (f"hl.default.svc.{Z}", "A", ["10.0.0.1", "10.0.0.3"]),
        (f"a.hl.default.svc.{Z}", "A", ["10.0.0.1"]),
        (f"A.HL.Default.SVC.{Z}", "A", ["10.0.0.1"]),
        (f"10-0-0-3.hl.default.svc.{Z}", "A", ["10.0.0.3"]),
        (f"_http._tcp.hl.default.svc.{Z}", "A", ["10.0.0.1", "10.0.0.3"]),
        (f"10-1-2-3.default.pod.{Z}", "A", ["10.1.2.3"]),
        (f"x.y.10-1-2-3.default.pod.{Z}", "A", ["10.1.2.3"]),
        (f"--1.default.pod.{Z}", "AAAA", ["::1"]),
        (f"--.default.pod.{Z}", "AAAA", ["::"]),
        (f"1-2-3-4-5-6-7-8.default.pod.{Z}", "AAAA", ["1:2:3:4:5:6:7:8"]),
        (f"2001-DB8--a.default.pod.{Z}", "AAAA", ["2001:db8::a"]),
        (f"fe80--.default.pod.{Z}", "AAAA", ["fe80::"]),
        (f"--ffff-a01-203.default.pod.{Z}", "A", ["10.1.2.3"]),
        (f"dns-version.{Z}", "TXT", ['"1.1.0"']),
        ("1.0.96.10.in-addr.arpa", "PTR", [f"kubernetes.default.svc.{Z}."]),
        (Z, "SOA", [SOA.split(" ", 3)[3]]),
    ],
)
def test_answer(name: str, rdtype: str, found: list[str]) -> None:
    answer = WORLD.ask(name, rdtype)
    (rrset,) = answer.answer
    assert sorted(str(one) for one in rrset) == found
    assert rrset.name.to_text() == f"{name}."
    assert answer.flags & dns.flags.AA and not answer.authority


@pytest.mark.parametrize("pod", ["-", "---", "1--2--3", "1-2-3-4-5-6-7-8-9", "12345--", "g--", "1-2-3-4-5-6-7-", "-1"])
def test_broken_pod_address_is_nxdomain(pod: str) -> None:
    assert WORLD.ask(f"{pod}.default.pod.{Z}", "AAAA").rcode() == dns.rcode.NXDOMAIN


def test_name_outside_of_every_step_fails() -> None:
    answer = WORLD.ask("example.org")
    assert (answer.rcode(), answer.authority) == (dns.rcode.SERVFAIL, [])


def test_nxdomain_falls_through_where_configured() -> None:
    world = engines.cluster()
    second = deltas.zone("in-addr.arpa") + deltas.put("9.9.in-addr.arpa", deltas.cname("x.org")) + deltas.synced()
    world.add_table(second)
    assert [str(one) for rrset in world.ask("9.9.in-addr.arpa", "CNAME").answer for one in rrset] == ["x.org."]
    assert world.ask("1.0.96.10.in-addr.arpa", "PTR").answer, "the first table comes first"


def test_nodata_does_not_fall_through() -> None:
    world = engines.cluster()
    world.add_table(deltas.zone("in-addr.arpa") + deltas.put("in-addr.arpa", deltas.cname("x.org")) + deltas.synced())
    answer = world.ask("in-addr.arpa", "A")
    assert (answer.rcode(), answer.answer, len(answer.authority)) == (0, [], 1)


def test_other_zones_do_not_fall_through() -> None:
    world = engines.cluster()
    world.add_table(deltas.zone(".") + deltas.put(f"none.{Z}", deltas.cname("x.org")) + deltas.synced())
    assert world.ask(f"none.{Z}").rcode() == dns.rcode.NXDOMAIN


def test_question_s_spelling_is_kept_in_every_name() -> None:
    answer = WORLD.ask(f"KUBERNETES.default.svc.{Z.upper()}", "SRV")
    assert answer.answer[0].name.to_text() == f"KUBERNETES.default.svc.{Z.upper()}."
    assert answer.answer[0][0].target.to_text() == f"kubernetes.default.svc.{Z.upper()}."
