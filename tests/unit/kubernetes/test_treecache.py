"""What TreeCache sends for a change, and what it doesn't."""

from __future__ import annotations

import pytest

from fastdns.dns import deltas
from fastdns.kubernetes import objects, treecache
from fastdns.kubernetes.objects import Kind
from tests.unit.kubernetes import delta, worlds
from tests.unit.kubernetes.worlds import headless, namespace, put, service, slice_of


def drained(tree: treecache.TreeCache) -> list[str]:
    return delta.Table().apply(tree.drain())


def settled(*items: worlds.Item, **options: object) -> treecache.TreeCache:
    tree: treecache.TreeCache = worlds.grown(*items, **options)  # type: ignore[arg-type]
    tree.drain()
    return tree


def with_uid(item: worlds.Item, uid: str) -> worlds.Item:
    item[1]["metadata"]["uid"] = uid
    return item


def test_a_service_is_its_name_and_its_reverse_name() -> None:
    tree = settled()
    put(tree, service("web", "10.0.0.1"))
    assert drained(tree) == ["PUT web.ns.svc.cluster.local.", "PUT 1.0.0.10.in-addr.arpa.", "SERIAL"]
    tree.remove(Kind.SERVICES, "ns", "web")
    assert drained(tree) == ["REMOVE web.ns.svc.cluster.local.", "REMOVE 1.0.0.10.in-addr.arpa.", "SERIAL"]


def test_a_change_that_alters_no_answer_sends_nothing() -> None:
    tree = settled(service("web", "10.0.0.1"), slice_of("web", "10.1.0.1"))
    kind, body = service("web", "10.0.0.1")
    body["metadata"]["resourceVersion"] = "2"
    put(tree, (kind, body))
    put(tree, slice_of("web", {"addresses": ["10.1.0.1"], "nodeName": "other"}))
    put(tree, slice_of("nothing"))
    assert drained(tree) == []


def test_serial_is_the_time_of_the_last_change() -> None:
    times = iter([100.0, 200.0])
    tree = treecache.TreeCache(worlds.config(), clock=lambda: next(times))
    put(tree, namespace())
    tree.drain()
    assert tree.serial == 100
    tree.drain()
    assert tree.serial == 100
    put(tree, namespace("other"))
    assert delta.Table(tree.drain()).serial == 200


def test_a_slice_update_touches_its_service_and_the_addresses_that_changed() -> None:
    tree = settled(headless("web"), slice_of("web", "10.1.0.1", "10.1.0.2"), slice_of("web", "10.1.1.1", name="w2"))
    put(tree, slice_of("web", "10.1.0.1", "10.1.0.3"))
    assert sorted(drained(tree)) == [
        "PUT 3.0.1.10.in-addr.arpa.",
        "PUT web.ns.svc.cluster.local.",
        "REMOVE 2.0.1.10.in-addr.arpa.",
        "SERIAL",
    ]


def test_a_headless_service_that_loses_its_last_endpoint_goes() -> None:
    tree = settled(headless("web"), slice_of("web", "10.1.0.1"))
    put(tree, slice_of("web", {"addresses": ["10.1.0.1"], "conditions": {"ready": False}}))
    assert "REMOVE web.ns.svc.cluster.local." in drained(tree)
    put(tree, slice_of("web", "10.1.0.1"))
    assert "PUT web.ns.svc.cluster.local." in drained(tree)


def test_a_slice_before_its_service_waits_for_it() -> None:
    tree = settled()
    put(tree, slice_of("web", "10.1.0.1"))
    assert drained(tree) == ["PUT 1.0.1.10.in-addr.arpa.", "SERIAL"]
    put(tree, headless("web"))
    assert drained(tree) == ["PUT web.ns.svc.cluster.local.", "SERIAL"]


def test_a_slice_can_move_to_another_service() -> None:
    tree = settled(headless("a"), headless("b"), slice_of("a", "10.1.0.1", name="s"))
    put(tree, slice_of("b", "10.1.0.1", name="s"))
    table = delta.Table(*tree.snapshot())
    assert table.ask("a.ns.svc.cluster.local", "A") == delta.NXDOMAIN
    assert table.ask("b.ns.svc.cluster.local", "A") == {"10.1.0.1"}
    assert table.ask("1.0.1.10.in-addr.arpa", "PTR") == {"10-1-0-1.b.ns.svc.cluster.local."}


def test_a_slice_that_loses_its_label_belongs_to_nobody() -> None:
    tree = settled(headless("a"), slice_of("a", "10.1.0.1", name="s"))
    put(tree, slice_of("", "10.1.0.1", name="s"))
    assert sorted(drained(tree)) == ["REMOVE 1.0.1.10.in-addr.arpa.", "REMOVE a.ns.svc.cluster.local.", "SERIAL"]
    assert tree.count(Kind.ENDPOINTSLICES) == 0


def test_types_change_both_ways() -> None:
    tree = settled(worlds.external("x", "example.com"))
    table = delta.Table(*tree.snapshot())
    for item, rtype, expected in (
        (service("x", "10.0.0.1"), "A", {"10.0.0.1"}),
        (worlds.external("x", "example.org"), "CNAME", {"example.org."}),
        (headless("x"), "A", delta.NXDOMAIN),
    ):
        put(tree, item)
        table.apply(tree.drain())
        assert table.ask("x.ns.svc.cluster.local", rtype) == expected
        assert (table.ask("1.0.0.10.in-addr.arpa", "PTR") == delta.NXDOMAIN) == (expected != {"10.0.0.1"})


def test_a_namespace_takes_its_services_with_it_at_once() -> None:
    tree = settled(service("a", "10.0.0.1"), service("b", "10.0.0.2"), pods="insecure")
    tree.remove(Kind.NAMESPACES, "", "ns")
    assert sorted(drained(tree)) == [
        *(f"REMOVE {name}.cluster.local." for name in ("a.ns.svc", "b.ns.svc", "ns.pod", "ns.svc")),
        "SERIAL",
    ]
    put(tree, namespace())
    assert len(drained(tree)) == 5


# --- lists -----------------------------------------------------------------------------------------------------------


def test_a_list_takes_away_what_it_does_not_have_and_sends_the_difference() -> None:
    tree = settled(service("a", "10.0.0.1"), service("b", "10.0.0.2"))
    tree.begin_list(Kind.SERVICES)
    put(tree, service("b", "10.0.0.2"))
    put(tree, service("c", "10.0.0.3"))
    assert drained(tree) == ["PUT c.ns.svc.cluster.local.", "PUT 3.0.0.10.in-addr.arpa.", "SERIAL"]
    assert tree.end_list(Kind.SERVICES) == 1
    assert drained(tree) == ["REMOVE a.ns.svc.cluster.local.", "REMOVE 1.0.0.10.in-addr.arpa.", "SERIAL"]


@pytest.mark.parametrize("kind", [Kind.SERVICES, Kind.ENDPOINTSLICES, Kind.NAMESPACES, Kind.PODS])
def test_an_empty_list_empties_its_kind_alone(kind: Kind) -> None:
    items = (namespace(), service("a", "10.0.0.1"), slice_of("a", "10.1.0.1"), worlds.pod("p", "10.1.0.1"))
    tree = settled(*items, pods="verified")
    tree.begin_list(kind)
    assert tree.end_list(kind) == 1
    assert {one: tree.count(one) for one, _ in items} == {one: int(one is not kind) for one, _ in items}


def test_a_list_that_was_broken_off_takes_nothing_away() -> None:
    tree = settled(service("a", "10.0.0.1"), service("b", "10.0.0.2"))
    tree.begin_list(Kind.SERVICES)
    put(tree, service("b", "10.0.0.2"))
    tree.begin_list(Kind.SERVICES)
    put(tree, service("a", "10.0.0.1"))
    put(tree, service("b", "10.0.0.2"))
    assert tree.end_list(Kind.SERVICES) == 0
    assert drained(tree) == []


def test_an_object_of_the_list_that_cannot_be_read_stays() -> None:
    tree = settled(service("a", "10.0.0.1"))
    tree.begin_list(Kind.SERVICES)
    tree.keep(Kind.SERVICES, "ns", "a")
    tree.keep(Kind.SERVICES, "ns", "unknown")
    assert tree.end_list(Kind.SERVICES) == 0


def test_many_lists_come_round_again() -> None:
    tree = settled(service("a", "10.0.0.1"))
    for _ in range(600):
        tree.begin_list(Kind.SERVICES)
        put(tree, service("a", "10.0.0.1"))
        assert tree.end_list(Kind.SERVICES) == 0


# --- removal ---------------------------------------------------------------------------------------------------------


def test_news_of_the_end_of_another_object_of_that_name_do_no_harm() -> None:
    tree = settled(with_uid(service("a", "10.0.0.1"), "new"))
    tree.remove(Kind.SERVICES, "ns", "a", uid="old")
    assert drained(tree) == []
    tree.remove(Kind.SERVICES, "ns", "a", uid="new")
    assert drained(tree) != []


@pytest.mark.parametrize("kind", list(Kind))
def test_removing_what_is_not_known_does_nothing(kind: Kind) -> None:
    tree = settled(service("a", "10.0.0.1"))
    tree.remove(kind, "nowhere", "nothing")
    tree.remove(kind, "ns", "nothing")
    assert drained(tree) == []


def test_everything_gone_leaves_nothing_behind() -> None:
    items = (namespace(), service("a", "10.0.0.1"), slice_of("a", "10.1.0.1", "fd00::1"), worlds.pod("p", "10.1.0.1"))
    tree = settled(*items, pods="verified")
    for kind, body in items:
        metadata = body["metadata"]
        tree.remove(kind, metadata.get("namespace", ""), metadata["name"])
    tree.drain()
    assert (tree.namespaces, tree.pod_count) == ({}, {})
    assert not tree.reverse.by_ip
    assert not tree.reverse.by_cluster_ip


# --- the server's own names ------------------------------------------------------------------------------------------


def test_ns_follows_the_slices_that_have_our_address() -> None:
    tree = settled(service("dns", "10.0.0.10"), local_ips=["10.1.0.9"])
    put(tree, slice_of("dns", "10.1.0.8"))
    assert "PUT cluster.local." not in drained(tree)
    put(tree, slice_of("dns", "10.1.0.9"))
    assert "PUT cluster.local." in drained(tree)
    put(tree, service("dns", "10.0.0.11"))
    assert delta.Table(*tree.snapshot()).ask("ns.dns.cluster.local", "A") == {"10.0.0.11"}
    assert "PUT ns.dns.cluster.local." in drained(tree)


# --- frames, state ---------------------------------------------------------------------------------------------------


def test_frames_hold_whole_operations_up_to_64_kib() -> None:
    tree = worlds.grown(*(service(f"s{number}", f"10.0.{number >> 8}.{number & 255}") for number in range(2000)))
    frames = tree.drain_frames()
    assert len(frames) > 2
    assert all(len(frame) <= deltas.FRAME_MAX for frame in frames)
    assert len(delta.Table(*frames).names) == 4001
    assert delta.Table(*frames, *tree.snapshot()).names == delta.Table(*tree.snapshot()).names


def test_an_operation_larger_than_a_frame_goes_alone() -> None:
    ends = [{"addresses": [f"10.{n >> 8}.{n & 255}.1"], "hostname": f"{'h' * 40}-{n}"} for n in range(1000)]
    slices = [slice_of("big", *ends, name=f"big-{number}") for number in range(3)]
    tree = worlds.grown(headless("big"), *slices)
    sizes = [len(frame) for frame in tree.drain_frames()]
    assert max(sizes) > deltas.FRAME_MAX


def test_changes_during_a_snapshot_are_in_what_follows() -> None:
    tree = settled(*(service(f"s{number}", f"10.0.{number >> 8}.{number & 255}") for number in range(3000)))
    runs = tree.snapshot()
    table = delta.Table(next(runs))
    tree.remove(Kind.SERVICES, "ns", "s2999")
    put(tree, service("new", "10.9.9.9"))
    later = tree.drain()
    for run in runs:
        table.apply(run)
    table.apply(later)
    assert table.names == delta.Table(*tree.snapshot()).names


def test_entries_restore_the_tree() -> None:
    items = (
        namespace(),
        service("a", "10.0.0.1", ports=[("http", 80)]),
        headless("h"),
        worlds.external("e", "example.com"),
        slice_of("h", "10.1.0.1", "fd00::1", ports=[("http", 80)]),
        worlds.pod("p", "10.1.0.1"),
    )
    tree = settled(*items, pods="verified")
    again = treecache.TreeCache(worlds.config(pods="verified"), clock=lambda: 1000.0)
    for kind in Kind:
        if kind is not Kind.ENDPOINTS:
            for entry in tree.entries(kind):
                again.restore(entry)
    again.set_synced(True)
    assert delta.Table(again.drain()).names.items() <= delta.Table(*tree.snapshot()).names.items()
    assert delta.Table(*again.snapshot()).names == delta.Table(*tree.snapshot()).names
    assert [again.count(kind) for kind in Kind] == [tree.count(kind) for kind in Kind]


def test_restoring_yields_to_what_is_known() -> None:
    tree = settled(service("a", "10.0.0.1"))
    entries = list(tree.entries(Kind.SERVICES))
    put(tree, service("a", "10.0.0.2"))
    for entry in entries:
        tree.restore(entry)
    assert tree.ReverseRecord("10.0.0.2")
    assert not tree.ReverseRecord("10.0.0.1")


# --- complaints ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (service("a"), "it has no clusterIP, so no answer; a headless Service says clusterIP: None"),
        (service("a", "10.0.0.1", "10.0.0.256"), "clusterIP '10.0.0.256' is no IP address"),
        (service("a", "10.0.0.1", ports=[("x", 65536)]), "port 65536 is out of range"),
        (service("a", "10.0.0.1", ports=[("x" * 64, 1)]), "port 1: name or protocol over 63 octets"),
        (service("a" * 64, "10.0.0.1"), f"its name '{'a' * 64}' is no DNS label (1 to 63 of a-z, 0-9, -)"),
        (service("A.b", "10.0.0.1"), "its name 'A.b' is no DNS label (1 to 63 of a-z, 0-9, -)"),
        (worlds.external("a", ""), "externalName is empty"),
        (worlds.external("a", "x..y"), "externalName: label b'' has 0 octets"),
        (worlds.external("a", "x" * 64), f"externalName: label {b'x' * 64!r} has 64 octets"),
        (worlds.external("a", "x." * 128), f"externalName: name {('x.' * 128)[:80]!r}... has 257 octets"),
        (slice_of("a", "10.1.0", "10.1.0.2"), "'10.1.0' is no IP address"),
        (slice_of("a", {"addresses": ["10.1.0.1"], "hostname": "h" * 64}), f"hostname {'h' * 64!r} is no DNS label"),
        (worlds.pod("a", "10.1.0.1", "x"), "podIP 'x' is no IP address"),
    ],
)
def test_what_makes_no_sense_is_said_once(item: worlds.Item, expected: str) -> None:
    said: list[str] = []
    tree = worlds.grown(said=said, pods="verified")
    put(tree, item)
    put(tree, item)
    metadata = item[1]["metadata"]
    assert said == [f"{item[0]} {objects.qualified(metadata['namespace'], metadata['name'])}: {expected}"]
    tree.drain()
    list(tree.snapshot())


def test_the_rest_of_a_broken_object_is_served() -> None:
    said: list[str] = []
    table = worlds.table_of(
        service("a", "10.0.0.1", "nonsense", ports=[("x", 70000), ("http", 80)]),
        slice_of("a", "10.1.0.1", "10.1.0.1.1"),
        said=said,
    )
    assert len(said) == 3
    assert table.ask("a.ns.svc.cluster.local", "SRV") == {"0 100 80 a.ns.svc.cluster.local."}
    assert table.ask("10-1-0-1.a.ns.svc.cluster.local", "A") == {"10.1.0.1"}


def test_a_name_of_more_than_255_octets_in_all_is_left_out_and_said() -> None:
    said: list[str] = []
    zone = ".".join(["z" * 61] * 3) + "."
    table = worlds.table_of(service("a" * 63, "10.0.0.1"), service("b", "10.0.0.2"), zones=(zone,), said=said)
    assert said == [f"services ns/{'a' * 63}: its name has 71 octets below the zone, 68 are possible"]
    assert not any(name.startswith(b"\x3fa") for name in table.names)
    assert table.ask(f"b.ns.svc.{zone}", "A") == {"10.0.0.2"}


def test_an_object_that_is_mended_can_break_again() -> None:
    said: list[str] = []
    tree = worlds.grown(said=said)
    for item in (service("a"), service("a", "10.0.0.1"), service("a")):
        put(tree, item)
    assert len(said) == 2
