"""Any sequence of changes, applied one by one, ends in the same table as its outcome applied from scratch."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fastdns import _names
from fastdns.kubernetes import objects, treecache
from fastdns.kubernetes.objects import Kind
from tests.unit.kubernetes import delta, worlds

NAMESPACES = ("ns", "other", "svc")
NAMES = ("a", "b", "web")
ADDRESSES = ("10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1", "fd00::", "::ffff:10.0.0.1")
LOCAL = ("10.0.0.3",)

pools = {
    "namespace": st.sampled_from(NAMESPACES),
    "name": st.sampled_from(NAMES),
    "addresses": st.lists(st.sampled_from((*ADDRESSES, "nonsense")), max_size=3),
    "port": st.tuples(st.sampled_from(["http", "dns", None]), st.integers(0, 65535), st.sampled_from(["TCP", "UDP"])),
}


@st.composite
def endpoint(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "addresses": draw(pools["addresses"]),
        "conditions": draw(st.sampled_from([None, {"ready": None}, {"ready": True}, {"ready": False}])),
        "hostname": draw(st.sampled_from([None, "pet", "Pet-2"])),
        "targetRef": draw(st.sampled_from([None, {"name": "pod-1"}, {"name": "a.b"}])),
        "zone": draw(st.sampled_from([None, "z1", "Corp.Z2", "..", ""])),
    }


@st.composite
def item(draw: st.DrawFn) -> worlds.Item:
    namespace, name = draw(pools["namespace"]), draw(pools["name"])
    ports = draw(st.lists(pools["port"], max_size=2))
    kind = draw(
        st.sampled_from(["namespace", "service", "headless", "external", "slice", "slice", "pod", "import", "imported"])
    )
    if kind == "namespace":
        return worlds.namespace(namespace)
    if kind == "service":
        made = worlds.service(name, *draw(pools["addresses"]), ports=ports, namespace=namespace)
        made[1]["metadata"]["creationTimestamp"] = draw(st.sampled_from(["2026-01-01T00:00:00Z", None]))
        return made
    if kind == "headless":
        return worlds.headless(name, ports=ports, namespace=namespace)
    if kind == "external":
        return worlds.external(name, draw(st.sampled_from(["example.com", "10.0.0.1", ""])), namespace=namespace)
    if kind == "pod":
        return worlds.pod(name, *draw(pools["addresses"]), namespace=namespace)
    if kind == "import":
        form = draw(st.sampled_from(["ClusterSetIP", "Headless"]))
        return worlds.service_import(name, *draw(pools["addresses"]), ports=ports, namespace=namespace, kind=form)
    owner = draw(st.sampled_from((*NAMES, "")))
    ends = draw(st.lists(endpoint(), max_size=3))
    if kind == "imported":
        cluster = draw(st.sampled_from(["east", "West", "a.b", ""]))
        return worlds.imported_slice(owner, cluster, *ends, ports=ports, name=f"slice-{name}", namespace=namespace)
    return worlds.slice_of(owner, *ends, ports=ports, name=f"slice-{name}", namespace=namespace)


LISTED = (Kind.NAMESPACES, Kind.SERVICES, Kind.ENDPOINTSLICES, Kind.SERVICEIMPORTS, Kind.PODS)
PUT, REMOVE, DRAIN, RELIST = "put", "remove", "drain", "relist"
step = st.one_of(
    st.tuples(st.just(PUT), item()),
    st.tuples(st.just(PUT), item()),
    st.tuples(st.just(REMOVE), item()),
    st.tuples(st.just(DRAIN), st.none()),
    st.tuples(st.just(RELIST), st.sampled_from(list(LISTED))),
)
options = st.fixed_dictionaries(
    {
        "pods": st.sampled_from(["disabled", "insecure", "verified"]),
        "namespaces": st.sampled_from([(), ("ns",)]),
        "ignore_empty_service": st.booleans(),
        "endpoint_pod_names": st.booleans(),
        "multicluster": st.sampled_from([(), ("a.test.",)]),
        "zonal": st.booleans(),
        "zones": st.sampled_from([worlds.ZONES, ("a.test.", "b.test.", "0.10.in-addr.arpa.")]),
    }
)


def new_tree(chosen: dict[str, Any]) -> treecache.TreeCache:
    if "a.test." not in chosen["zones"]:
        chosen = {**chosen, "multicluster": ()}
    return treecache.TreeCache(worlds.config(**chosen), local_ips=LOCAL, clock=lambda: 1.0, complain=lambda _: None)


def key_of(one: worlds.Item) -> tuple[Kind, str, str]:
    metadata = one[1]["metadata"]
    return one[0], metadata.get("namespace", ""), metadata["name"]


@settings(max_examples=150, deadline=None)
@given(options, st.lists(step, max_size=25))
def test_incremental_equals_from_scratch(chosen: dict[str, Any], steps: list[tuple[str, Any]]) -> None:
    tree, known = new_tree(chosen), {}
    table, compiled = delta.Table(), _names.NameTable()
    for run in tree.snapshot():
        table.apply(run)
        compiled.apply(run)
    for verb, what in [*steps, (DRAIN, None)]:
        if verb == PUT:
            worlds.put(tree, what)
            known[key_of(what)] = what
        elif verb == REMOVE:
            tree.remove(*key_of(what))
            known.pop(key_of(what), None)
        elif verb == RELIST:
            tree.begin_list(what)
            for one in known.values():
                if one[0] is what:
                    worlds.put(tree, one)
            tree.end_list(what)
        else:
            octets = tree.drain()
            table.apply(octets)
            compiled.apply(octets)
    scratch = new_tree(chosen)
    for one in known.values():
        worlds.put(scratch, one)
    expected = delta.Table(*scratch.snapshot())
    assert table.names == expected.names
    assert delta.Table(*tree.snapshot()).names == expected.names
    assert [tree.count(kind) for kind in Kind] == [scratch.count(kind) for kind in Kind]
    assert compiled.stats()["names"] == len(expected.names)
    assert_records_agree(tree, expected)


def assert_records_agree(tree: treecache.TreeCache, table: delta.Table) -> None:
    """`Records` reads the tree, a worker reads octets: both say the same of every name."""
    names = {delta.text_of(name) for name in table.names}
    below = {f"{first}{name}" for name in names for first in ("pet.", "10-0-0-1.", "_http._tcp.", "a.b.c.")}
    for name in names | below:
        if "_zone." in name or any(zone.endswith(name[-len(zone) :]) for zone in tree.config.multicluster):
            continue  # only deltas have these
        found = tree.Records(name)
        for rtype in ("A", "AAAA", "SRV", "PTR", "CNAME"):
            asked = table.ask(name, rtype)
            if rtype in ("A", "AAAA") and isinstance(asked, set) and any(text[-1] == "." for text in asked):
                continue  # the CNAME, which the engine follows
            values = {record.value for record in found or () if record.type == rtype}
            assert values == (asked if isinstance(asked, set) else set()), (name, rtype)


@settings(max_examples=50, deadline=None)
@given(options, st.lists(item(), max_size=15))
def test_state_entries_are_enough_to_start_from(chosen: dict[str, Any], items: list[worlds.Item]) -> None:
    tree, again = new_tree(chosen), new_tree(chosen)
    for one in items:
        worlds.put(tree, one)
    for kind in LISTED:
        for entry in tree.entries(kind):
            again.restore(entry)
    assert delta.Table(*again.snapshot()).names == delta.Table(*tree.snapshot()).names


@given(st.lists(st.tuples(st.sampled_from(["10.0.0.1", "fd00::2"]), st.sampled_from(["", "pet"])), max_size=4))
def test_endpoints_kind_says_the_same_as_slices(ends: list[tuple[str, str]]) -> None:
    """For API servers without discovery.k8s.io/v1."""
    older = worlds.grown(worlds.headless("a"))
    addresses = [{"ip": address, "hostname": hostname or None} for address, hostname in ends]
    body = {"metadata": {"name": "a", "namespace": "ns"}, "subsets": [{"addresses": addresses}]}
    older.apply(Kind.ENDPOINTS, objects.convert(Kind.ENDPOINTS, body))
    newer = worlds.grown(
        worlds.headless("a"), worlds.slice_of("a", *({"addresses": [end], "hostname": name} for end, name in ends))
    )
    assert delta.Table(*older.snapshot()).names == delta.Table(*newer.snapshot()).names
