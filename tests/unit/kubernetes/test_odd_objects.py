"""Objects full of nonsense never stop anything: what can be used is used, the table takes what comes out."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fastdns import _names, errors
from fastdns.config import model
from fastdns.kubernetes import objects, skycache, treecache
from fastdns.kubernetes.objects import Kind
from tests.unit.kubernetes import delta, worlds

text = st.one_of(
    st.sampled_from(
        ["", "ns", "a", "None", "10.0.0.1", "fd00::1", "fe80::1%eth0", "10.0.0.01", "::", ".", "a.b", "x" * 64, "HTTP"]
    ),
    st.text(max_size=8),
    st.none(),
)
port = st.fixed_dictionaries({}, optional={"name": text, "port": st.integers(-(2**40), 2**40), "protocol": text})
ports = st.one_of(st.none(), st.lists(port, max_size=4))
metadata = st.fixed_dictionaries(
    {},
    optional={
        "name": text,
        "namespace": text,
        "uid": text,
        "creationTimestamp": text,
        "deletionTimestamp": text,
        "labels": st.dictionaries(st.sampled_from([objects.SERVICE_NAME_LABEL, "x"]), text),
    },
)
endpoint = st.fixed_dictionaries(
    {},
    optional={
        "addresses": st.one_of(st.none(), st.lists(text.filter(lambda one: one is not None), max_size=4)),
        "hostname": text,
        "conditions": st.one_of(st.none(), st.just({"ready": None})),
        "targetRef": st.one_of(st.none(), st.builds(dict, name=text)),
    },
)
spec = st.fixed_dictionaries(
    {},
    optional={
        "type": text | st.just("ExternalName"),
        "clusterIP": text,
        "clusterIPs": st.one_of(st.none(), st.lists(text.filter(lambda one: one is not None), max_size=3)),
        "externalName": text,
        "ports": ports,
    },
)
address = st.fixed_dictionaries({"ip": text}, optional={"hostname": text})
subset = st.fixed_dictionaries({"addresses": st.lists(address, max_size=3), "ports": ports})
status = st.fixed_dictionaries({"podIPs": st.lists(st.builds(dict, ip=text), max_size=3), "podIP": text})
item = st.one_of(
    st.tuples(st.just(Kind.SERVICES), st.builds(dict, metadata=metadata, spec=spec)),
    st.tuples(
        st.just(Kind.ENDPOINTSLICES),
        st.builds(dict, metadata=metadata, endpoints=st.lists(endpoint, max_size=3), ports=ports, addressType=text),
    ),
    st.tuples(st.just(Kind.NAMESPACES), st.builds(dict, metadata=metadata)),
    st.tuples(st.just(Kind.PODS), st.builds(dict, metadata=metadata, status=status)),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(item, max_size=8), st.booleans())
def test_nonsense_is_survived(items: list[tuple[Kind, dict[str, Any]]], pod_names: bool) -> None:
    said: list[str] = []
    tree = treecache.TreeCache(
        worlds.config(pods="verified", endpoint_pod_names=pod_names), clock=lambda: 1.0, complain=said.append
    )
    worlds.put(tree, worlds.namespace("ns"))
    worlds.put(tree, worlds.namespace("a"))
    for kind, body in items:
        try:
            tree.apply(kind, objects.convert(kind, body))
        except errors.ManifestError:
            continue
    table, compiled = delta.Table(*tree.snapshot()), _names.NameTable()
    compiled.apply(tree.drain())
    for run in tree.snapshot():
        compiled.apply(run)
    assert compiled.stats()["names"] == len(table.names)
    tree.dump()
    for line in said:
        assert line.isprintable()


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just(Kind.SERVICES), st.builds(dict, metadata=metadata, spec=spec)),
            st.tuples(
                st.just(Kind.ENDPOINTS), st.builds(dict, metadata=metadata, subsets=st.lists(subset, max_size=2))
            ),
        ),
        max_size=8,
    )
)
def test_nonsense_is_survived_by_the_names_of_kubedns(items: list[tuple[Kind, dict[str, Any]]]) -> None:
    said: list[str] = []
    config = model.Kubernetes(zones=("cluster.local.",), dialect=model.Dialect.KUBEDNS)
    cache = skycache.SkyCache(config, clock=lambda: 1.0, complain=said.append)
    by_deltas, at_once = _names.NameTable(), _names.NameTable()
    for run in cache.snapshot():
        by_deltas.apply(run)
    for kind, body in items:
        try:
            cache.apply(kind, objects.convert(kind, body))
        except errors.ManifestError:
            continue
        by_deltas.apply(cache.drain())
    for run in cache.snapshot():
        at_once.apply(run)
    assert by_deltas.stats()["names"] == at_once.stats()["names"]
    cache.dump()
    for line in said:
        assert line.isprintable()
