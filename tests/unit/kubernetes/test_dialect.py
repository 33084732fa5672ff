"""What CoreDNS's kubernetes plugin answers where the specification is silent, or where its options change the answer."""

from __future__ import annotations

import struct

import pytest

from tests.unit.kubernetes import delta, worlds
from tests.unit.kubernetes.delta import NODATA, NXDOMAIN
from tests.unit.kubernetes.worlds import external, headless, namespace, pod, service, slice_of, table_of

ZONE = "cluster.local"


def ask(table: delta.Table, name: str, rtype: str = "A") -> object:
    return table.ask(f"{name}.{ZONE}".removeprefix("."), rtype)


@pytest.mark.parametrize("name", ["", "svc", "pod", "ns.svc", "ns.pod"])
def test_inner_names_are_nodata_but_nxdomain_to_txt(name: str) -> None:
    table = table_of(pods="insecure")
    assert ask(table, name) == NODATA
    assert ask(table, name, "SRV") == NODATA
    assert ask(table, name, "TXT") == NXDOMAIN


def test_dns_version_is_nxdomain_to_other_types() -> None:
    assert ask(table_of(), "dns-version") == NXDOMAIN


def test_names_before_a_service_are_taken_with_and_without_underscores() -> None:
    table = table_of(service("web", "10.0.0.1", ports=[("http", 80), ("dns", 53, "UDP")]))
    expected = {"0 100 80 web.ns.svc.cluster.local."}
    assert ask(table, "_http._tcp.web.ns.svc", "SRV") == expected
    assert ask(table, "http.tcp.web.ns.svc", "SRV") == expected
    assert ask(table, "_._tcp.web.ns.svc", "SRV") == expected
    assert ask(table, "_http._tcp.web.ns.svc", "A") == {"10.0.0.1"}
    assert ask(table, "x._http._tcp.web.ns.svc", "A") == NXDOMAIN


def test_endpoints_have_names_below_a_cluster_ip_too() -> None:
    table = table_of(service("web", "10.0.0.1"), slice_of("web", "10.1.0.1", "fd00::1"))
    assert ask(table, "10-1-0-1.web.ns.svc") == {"10.1.0.1"}
    assert ask(table, "fd00--1.web.ns.svc", "AAAA") == {"fd00::1"}
    assert ask(table, "web.ns.svc") == {"10.0.0.1"}


def test_an_address_that_ends_in_colons_gets_a_zero() -> None:
    table = table_of(headless("web"), slice_of("web", "5678:abcd::"))
    assert ask(table, "5678-abcd--0.web.ns.svc", "AAAA") == {"5678:abcd::"}


def test_without_ports_there_are_addresses_and_no_srv() -> None:
    table = table_of(headless("web"), slice_of("web", "10.1.0.1"))
    assert ask(table, "web.ns.svc") == {"10.1.0.1"}
    assert ask(table, "web.ns.svc", "SRV") == NODATA


def test_weight_counts_every_pair_of_address_and_port() -> None:
    ports = [("a", 1), ("b", 2)]
    endpoints = [f"10.1.0.{number}" for number in range(60)]
    table = table_of(headless("web"), slice_of("web", *endpoints, ports=ports))
    weights = {text.split()[1] for text in ask(table, "web.ns.svc", "SRV")}  # type: ignore[attr-defined]
    assert weights == {"1"}
    weights = {text.split()[1] for text in ask(table, "_a._tcp.web.ns.svc", "SRV")}  # type: ignore[attr-defined]
    assert weights == {"1"}


def test_equal_endpoints_of_two_slices_are_one_address() -> None:
    table = table_of(headless("web"), slice_of("web", "10.1.0.1"), slice_of("web", "10.1.0.1", name="web-2"))
    assert ask(table, "web.ns.svc") == {"10.1.0.1"}


def test_more_ports_than_a_group_can_have_make_two_groups() -> None:
    ports = [(f"p{number}", number) for number in range(1, 301)]
    table = table_of(service("web", "10.0.0.1", ports=ports))
    assert ask(table, "_p300._tcp.web.ns.svc", "SRV") == {"0 100 300 web.ns.svc.cluster.local."}
    assert ask(table, "_p1._tcp.web.ns.svc", "SRV") == {"0 100 1 web.ns.svc.cluster.local."}


@pytest.mark.parametrize(("option", "expected"), [(False, {"10.0.0.1"}), (True, NXDOMAIN)])
def test_ignore_empty_service(option: bool, expected: object) -> None:
    unready = {"addresses": ["10.1.0.1"], "conditions": {"ready": False}}
    table = table_of(service("web", "10.0.0.1"), slice_of("web", unready), ignore_empty_service=option)
    assert ask(table, "web.ns.svc") == expected
    assert table.ask("1.0.0.10.in-addr.arpa", "PTR") == {"web.ns.svc.cluster.local."}


def test_endpoint_pod_names() -> None:
    items = (
        headless("web"),
        slice_of(
            "web",
            {"addresses": ["10.1.0.1"], "targetRef": {"kind": "Pod", "name": "web-abc"}},
            {"addresses": ["10.1.0.2"], "hostname": "h", "targetRef": {"kind": "Pod", "name": "web-def"}},
            {"addresses": ["10.1.0.3"], "targetRef": {"kind": "Pod", "name": "x" * 64}},
        ),
    )
    table = table_of(*items, endpoint_pod_names=True)
    assert ask(table, "web-abc.web.ns.svc") == {"10.1.0.1"}
    assert ask(table, "h.web.ns.svc") == {"10.1.0.2"}
    assert ask(table, "10-1-0-3.web.ns.svc") == {"10.1.0.3"}
    assert ask(table_of(*items), "web-abc.web.ns.svc") == NXDOMAIN


def test_a_hostname_in_capitals_is_found_and_shown_as_it_is() -> None:
    table = table_of(headless("web"), slice_of("web", {"addresses": ["10.1.0.1"], "hostname": "Pet"}, ports=[("a", 1)]))
    assert ask(table, "pet.web.ns.svc") == {"10.1.0.1"}
    assert ask(table, "web.ns.svc", "SRV") == {"0 100 1 Pet.web.ns.svc.cluster.local."}


def test_serving_and_terminating_do_not_count() -> None:
    ends = {"addresses": ["10.1.0.1"], "conditions": {"ready": False, "serving": True, "terminating": True}}
    assert ask(table_of(headless("web"), slice_of("web", ends)), "web.ns.svc") == NXDOMAIN


def test_external_name_has_nothing_below() -> None:
    table = table_of(external("ext", "Target.Example.com"))
    assert ask(table, "ext.ns.svc", "CNAME") == {"Target.Example.com."}
    assert ask(table, "ext.ns.svc", "TXT") == NODATA
    assert ask(table, "a.ext.ns.svc") == NXDOMAIN
    assert ask(table, "_a._tcp.ext.ns.svc", "SRV") == NXDOMAIN


@pytest.mark.parametrize("target", ["10.0.0.1", "fd00::1"])
def test_external_name_that_is_an_address_is_nxdomain(target: str) -> None:
    said: list[str] = []
    assert ask(table_of(external("ext", target), said=said), "ext.ns.svc") == NXDOMAIN
    assert said == [f"services ns/ext: externalName '{target}' is an address, not a name"]


# --- pods ------------------------------------------------------------------------------------------------------------


def test_pods_disabled() -> None:
    table = table_of(pods="disabled")
    assert ask(table, "pod") == NODATA
    assert ask(table, "ns.pod") == NXDOMAIN
    assert ask(table, "10-0-0-1.ns.pod") == NXDOMAIN


def test_pods_insecure_answer_any_address_in_a_namespace_that_exists() -> None:
    table = table_of(pods="insecure")
    assert ask(table, "10-0-0-1.ns.pod") == {"10.0.0.1"}
    assert ask(table, "--1.ns.pod", "AAAA") == {"::1"}
    assert ask(table, "10-0-0-1.nowhere.pod") == NXDOMAIN
    assert ask(table, "10-0-0-256.ns.pod") == NXDOMAIN


def test_pods_verified_answer_for_pods_alone() -> None:
    table = table_of(pod("a", "10.1.0.1", "fd00::1"), pods="verified")
    assert ask(table, "10-1-0-1.ns.pod") == {"10.1.0.1"}
    assert ask(table, "fd00--1.ns.pod", "AAAA") == {"fd00::1"}
    assert ask(table, "10-1-0-2.ns.pod") == NXDOMAIN
    assert ask(table, "ns.pod") == NODATA


def test_verified_pods_answer_srv_and_names_below() -> None:
    table = table_of(pod("a", "10.1.0.1"), pods="verified")
    assert ask(table, "10-1-0-1.ns.pod", "SRV") == {"0 100 0 10-1-0-1.ns.pod.cluster.local."}
    assert ask(table, "x.y.10-1-0-1.ns.pod") == {"10.1.0.1"}


def test_pods_that_share_an_address_stay_until_the_last_has_gone() -> None:
    tree = worlds.grown(pod("a", "10.1.0.1"), pod("b", "10.1.0.1"), pods="verified")
    tree.remove(worlds.Kind.PODS, "ns", "a")
    assert ask(delta.Table(*tree.snapshot()), "10-1-0-1.ns.pod") == {"10.1.0.1"}
    tree.remove(worlds.Kind.PODS, "ns", "b")
    assert ask(delta.Table(*tree.snapshot()), "10-1-0-1.ns.pod") == NXDOMAIN


def test_a_pod_that_ends_when_first_seen_is_left_out() -> None:
    table = table_of(pod("a", "10.1.0.1", deletionTimestamp="2026-01-01T00:00:00Z"), pods="verified")
    assert ask(table, "10-1-0-1.ns.pod") == NXDOMAIN


def test_a_pod_that_is_to_end_stays_until_it_is_deleted() -> None:
    tree = worlds.grown(pod("a", "10.1.0.1"), pods="verified")
    worlds.put(tree, pod("a", deletionTimestamp="2026-01-01T00:00:00Z"))
    assert ask(delta.Table(*tree.snapshot()), "10-1-0-1.ns.pod") == {"10.1.0.1"}


# --- namespaces ------------------------------------------------------------------------------------------------------


def test_a_namespace_must_exist_but_its_addresses_keep_their_names() -> None:
    tree = worlds.grown(service("web", "10.0.0.1"))
    tree.remove(worlds.Kind.NAMESPACES, "", "ns")
    table = delta.Table(*tree.snapshot())
    assert ask(table, "web.ns.svc") == NXDOMAIN
    assert ask(table, "ns.svc") == NXDOMAIN
    assert table.ask("1.0.0.10.in-addr.arpa", "PTR") == {"web.ns.svc.cluster.local."}


def test_namespaces_option_filters_names_and_addresses() -> None:
    items = (
        namespace("ns"),
        namespace("other"),
        service("web", "10.0.0.1"),
        service("web", "10.0.0.2", namespace="other"),
    )
    table = table_of(*items, namespaces=("ns",))
    assert ask(table, "web.ns.svc") == {"10.0.0.1"}
    assert ask(table, "web.other.svc") == NXDOMAIN
    assert table.ask("1.0.0.10.in-addr.arpa", "PTR") == {"web.ns.svc.cluster.local."}
    assert table.ask("2.0.0.10.in-addr.arpa", "PTR") == NXDOMAIN


@pytest.mark.parametrize("name", ["svc", "pod"])
def test_a_namespace_may_be_called_as_a_part_of_names(name: str) -> None:
    table = table_of(namespace(name), service("web", "10.0.0.1", namespace=name))
    assert ask(table, f"web.{name}.svc") == {"10.0.0.1"}
    assert ask(table, f"{name}.svc") == NODATA


# --- addresses -------------------------------------------------------------------------------------------------------


def test_cluster_ip_hides_endpoints_of_the_same_address() -> None:
    table = table_of(service("web", "10.0.0.1"), headless("pets"), slice_of("pets", "10.0.0.1"))
    assert table.ask("1.0.0.10.in-addr.arpa", "PTR") == {"web.ns.svc.cluster.local."}


def test_every_service_of_an_endpoint_is_named() -> None:
    table = table_of(
        headless("a"), slice_of("a", "10.1.0.1"), headless("b"), slice_of("b", "10.1.0.1"), slice_of("gone", "10.1.0.1")
    )
    expected = {f"10-1-0-1.{name}.ns.svc.cluster.local." for name in ("a", "b", "gone")}
    assert table.ask("1.0.1.10.in-addr.arpa", "PTR") == expected


def test_the_newest_service_has_an_address_that_two_claim() -> None:
    """IP reused before DELETED of the old Service arrives."""
    tree = worlds.grown()
    for name, created in (("new", "2026-01-02T00:00:00Z"), ("old", "2026-01-01T00:00:00Z")):
        kind, body = service(name, "10.0.0.1")
        body["metadata"]["creationTimestamp"] = created
        worlds.put(tree, (kind, body))
    assert delta.Table(*tree.snapshot()).ask("1.0.0.10.in-addr.arpa", "PTR") == {"new.ns.svc.cluster.local."}


def test_reverse_names_are_nxdomain_to_other_types() -> None:
    assert table_of(service("web", "10.0.0.1")).ask("1.0.0.10.in-addr.arpa", "A") == NXDOMAIN


def test_addresses_outside_the_reverse_zones_have_no_name() -> None:
    table = table_of(service("web", "10.0.0.1", "fd00::1"), zones=("cluster.local.", "0.10.in-addr.arpa."))
    assert [name for name in table.names if b"arpa" in name and b"\x011" in name] == [
        delta.wire_of(["1", "0", "0", "10", "in-addr", "arpa"])
    ]


def test_pointers_end_in_the_first_zone_that_is_not_below_arpa() -> None:
    table = table_of(service("web", "10.0.0.1"), zones=("10.in-addr.arpa.", "b.test.", "a.test."))
    assert table.ask("1.0.0.10.in-addr.arpa", "PTR") == {"web.ns.svc.b.test."}
    table = table_of(service("web", "10.0.0.1"), zones=("in-addr.arpa.", "b.test."))
    assert table.ask("1.0.0.10.in-addr.arpa", "PTR") == {"web.ns.svc.in-addr.arpa."}


def test_several_zones_have_the_same_names_and_reverse_zones_none() -> None:
    table = table_of(service("web", "10.0.0.1"), zones=("a.test.", "b.test.", "in-addr.arpa."))
    assert table.ask("web.ns.svc.a.test", "A") == table.ask("web.ns.svc.b.test", "A") == {"10.0.0.1"}
    assert table.ask("web.ns.svc.in-addr.arpa", "A") == NXDOMAIN
    assert table.ask("svc.in-addr.arpa", "A") == NODATA
    assert table.ask("dns-version.in-addr.arpa", "TXT") == {"1.1.0"}


def test_the_root_can_be_the_zone() -> None:
    table = table_of(service("web", "10.0.0.1"), zones=(".",))
    assert table.ask("web.ns.svc", "A") == {"10.0.0.1"}
    assert table.ask("1.0.0.10.in-addr.arpa", "PTR") == {"web.ns.svc."}


# --- the zone itself -------------------------------------------------------------------------------------------------


def test_zone_and_soa() -> None:
    zone = table_of(ttl=600).zones[delta.wire_of(["cluster", "local"])]
    assert zone.flags == 2
    assert zone.outcomes == (0x0400, 0x0400, 0x0400)
    assert zone.soa_ttl == 300
    assert zone.soa == b"\x07\2ns\3dns\x0b\x0ahostmaster" + struct.pack(">IIII", 7200, 1800, 86400, 600)


def test_ns_is_ns_dns_with_our_addresses_if_no_endpoint_has_them() -> None:
    table = table_of(local_ips=["10.1.0.9", "fd00::9"])
    assert ask(table, "", "NS") == {"ns.dns.cluster.local."}
    assert ask(table, "ns.dns") == {"10.1.0.9"}
    assert ask(table, "ns.dns", "AAAA") == {"fd00::9"}
    assert ask(table, "ns.dns", "TXT") == NXDOMAIN


def test_ns_without_addresses_is_nodata() -> None:
    assert ask(table_of(), "", "NS") == NODATA
    assert ask(table_of(), "ns.dns") == NODATA


def test_ns_is_the_service_in_front_of_us() -> None:
    table = table_of(service("kube-dns", "10.0.0.10"), slice_of("kube-dns", "10.1.0.9"), local_ips=["10.1.0.9"])
    assert ask(table, "", "NS") == {"kube-dns.ns.svc.cluster.local."}
    assert ask(table, "ns.dns") == {"10.0.0.10"}


def test_ns_is_our_endpoints_if_that_service_is_headless() -> None:
    table = table_of(headless("dns"), slice_of("dns", "10.1.0.9", "10.1.0.8"), local_ips=["10.1.0.9"])
    assert ask(table, "", "NS") == {f"10-1-0-{end}.dns.ns.svc.cluster.local." for end in (8, 9)}
    assert ask(table, "ns.dns") == {"10.1.0.8", "10.1.0.9"}
