"""Short ways to write the objects of a cluster, and a TreeCache full of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastdns.config import model
from fastdns.kubernetes import objects, treecache
from fastdns.kubernetes.objects import Kind
from tests.unit.kubernetes import delta

ZONES = ("cluster.local.", "in-addr.arpa.", "ip6.arpa.")
Item = tuple[Kind, dict[str, Any]]


def config(**options: Any) -> model.Kubernetes:
    return model.Kubernetes(**{"zones": ZONES, "ttl": 30, **options})


def namespace(name: str = "ns") -> Item:
    return Kind.NAMESPACES, {"metadata": {"name": name}}


def service(name: str, *addresses: str, ports: Iterable[Any] = (), namespace: str = "ns", **spec: Any) -> Item:
    """`ports`: (name, number) or (name, number, protocol)."""
    made = [dict(zip(("name", "port", "protocol"), (*port, "TCP")[:3], strict=True)) for port in ports]
    body = {"clusterIP": addresses[0] if addresses else "", "clusterIPs": list(addresses), "ports": made, **spec}
    return Kind.SERVICES, {"metadata": _metadata(name, namespace), "spec": body}


def headless(name: str, **options: Any) -> Item:
    return service(name, "None", **options)


def external(name: str, target: str, *, namespace: str = "ns") -> Item:
    body = {"type": "ExternalName", "externalName": target}
    return Kind.SERVICES, {"metadata": _metadata(name, namespace), "spec": body}


def slice_of(
    owner: str, *endpoints: Any, ports: Iterable[Any] = (), name: str = "", namespace: str = "ns", **more: Any
) -> Item:
    """Endpoints are an address, or a dictionary as in the API."""
    made = [{"addresses": [end]} if isinstance(end, str) else end for end in endpoints]
    metadata = _metadata(name or f"{owner}-1", namespace)
    metadata["labels"] = {objects.SERVICE_NAME_LABEL: owner} if owner else {}
    listed = [dict(zip(("name", "port", "protocol"), (*port, "TCP")[:3], strict=True)) for port in ports]
    return Kind.ENDPOINTSLICES, {"metadata": metadata, "endpoints": made, "ports": listed or None, **more}


def service_import(
    name: str, *addresses: str, ports: Iterable[Any] = (), namespace: str = "ns", kind: str = "ClusterSetIP"
) -> Item:
    made = [dict(zip(("name", "port", "protocol"), (*port, "TCP")[:3], strict=True)) for port in ports]
    body = {"type": kind, "ips": list(addresses), "ports": made}
    return Kind.SERVICEIMPORTS, {"metadata": _metadata(name, namespace), "spec": body}


def imported_slice(
    owner: str, cluster: str, *endpoints: Any, ports: Iterable[Any] = (), name: str = "", namespace: str = "ns"
) -> Item:
    """A slice that carries a ServiceImport's name; no cluster if it is empty."""
    kind, body = slice_of("", *endpoints, ports=ports, name=name or f"{owner}-{cluster}", namespace=namespace)
    labels = {objects.IMPORT_NAME_LABEL: owner, **({objects.CLUSTER_LABEL: cluster} if cluster else {})}
    return kind, {**body, "metadata": {**body["metadata"], "labels": labels}}


def pod(name: str, *addresses: str, namespace: str = "ns", **metadata: Any) -> Item:
    body = {"metadata": {**_metadata(name, namespace), **metadata}}
    return Kind.PODS, {**body, "status": {"podIPs": [{"ip": address} for address in addresses]}}


def _metadata(name: str, namespace: str) -> dict[str, Any]:
    return {"name": name, "namespace": namespace}


def put(tree: treecache.TreeCache, item: Item) -> None:
    kind, body = item
    tree.apply(kind, objects.convert(kind, body))


def grown(*items: Item, local_ips: Iterable[str] = (), said: list[str] | None = None, **options: Any) -> Any:
    """A TreeCache of these objects, in namespace `ns` if none is named."""
    complain = said.append if said is not None else _unexpected
    tree = treecache.TreeCache(config(**options), local_ips=local_ips, clock=lambda: 1000.0, complain=complain)
    if not any(kind is Kind.NAMESPACES for kind, _ in items):
        put(tree, namespace())
    for item in items:
        put(tree, item)
    tree.set_synced(True)
    return tree


def table_of(*items: Item, **options: Any) -> delta.Table:
    """What a worker holds that was given these objects' snapshot."""
    return delta.Table(*grown(*items, **options).snapshot())


def _unexpected(sentence: str) -> None:
    raise AssertionError(sentence)
