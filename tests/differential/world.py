"""A random cluster, from a seed: objects as a user would write them, valid for the API server, and changes to them.

Names are drawn from small pools, so that a Service, a Namespace and a port often share one; so are addresses, so that they are
used twice. What is odd but allowed is made on purpose: no ports, no endpoints, `null` lists, several slices, duplicates,
unready endpoints, ExternalNames in chains and loops, slices of no Service.
"""

from __future__ import annotations

import copy
import dataclasses
import ipaddress
import random
from collections.abc import Callable, Iterator
from typing import Any

Object = dict[str, Any]
Key = tuple[str, str, str]  # kind, namespace, name

NAMESPACES = ("default", "a", "svc", "pod", "10-0-0-1", "team-b", "empty")
SERVICE_NAMES = (
    "a",
    "b",
    "web",
    "db",
    "svc",
    "pod",
    "tcp",
    "udp",
    "http",
    "dns-version",
    "any",
    "ns",
    "kube-dns",
    "x-y",
    "mixed",
    "ext",
)
PORT_NAMES = ("http", "https", "dns", "dns-tcp", "tcp", "a", "p1", "metrics")
PORT_NUMBERS = (53, 80, 80, 443, 8080, 9153)
PROTOCOLS = ("TCP", "TCP", "UDP", "SCTP")
HOSTNAMES = ("web-0", "web-1", "db-0", "a", "tcp", "host")
POD_NAMES = ("web-0", "web-1", "db-0", "web-7d9c-x2x", "a", "w" * 63, "web.with.dots")
OUTSIDE = (
    "www.example.test",
    "alias.example.test",
    "chain.example.test",
    "nothing.example.test",
    "nodata.example.test",
    "example.test",
)
CLUSTERS = ("east", "West", "")
TOPOLOGY_ZONES = ("z1", "Z2", "corp.example.z3", "z4")
ENDPOINT_IPS = tuple(f"10.1.{high}.{low}" for high in (0, 1) for low in range(1, 13))
ENDPOINT_IP6S = tuple(str(ipaddress.ip_address("fd00:1::") + low) for low in (*range(1, 10), 0x10000, 0xABCD0000))
KINDS = ("Namespace", "Service", "EndpointSlice", "ServiceImport", "Pod")  # in the order of creation


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """What is to be done through the API: `verb` is create, replace or delete."""

    verb: str
    object: Object


def key_of(manifest: Object) -> Key:
    return manifest["kind"], manifest["metadata"].get("namespace", ""), manifest["metadata"]["name"]


class World:
    """The objects that exist, by kind, namespace and name; `fill` makes the first ones, `change` some changes."""

    def __init__(self, seed: int, *, services: int = 60) -> None:
        self.objects: dict[Key, Object] = {}
        self._random = random.Random(f"world {seed}")
        self._services = services
        self._addresses = 10
        self._serial = 0

    def fill(self) -> Iterator[Change]:
        for name in NAMESPACES:
            label = self._random.choice(("gold", "gold", "gold", "silver"))
            yield self._put({"kind": "Namespace", "metadata": {"name": name, "labels": {"tier": label}}})
        for _ in range(self._services):
            yield from self._add_service()
        for _ in range(self._services // 10):
            yield self._put(self._slice(self._namespace(), "nobody", []))
        for _ in range(self._services // 2):
            yield from self._add_pod()
        for _ in range(self._services // 3):
            yield from self._add_import()

    def change(self, count: int) -> Iterator[Change]:
        """About `count` changes: new objects, other contents, deletions."""
        actions: tuple[Callable[[], Iterator[Change]], ...] = (
            self._add_service,
            self._add_pod,
            self._add_import,
            self._change_import,
            self._change_service,
            self._change_slice,
            self._change_slice,
            self._delete_any,
            self._delete_any,
            self._flip_readiness,
        )
        for _ in range(count):
            yield from self._random.choice(actions)()

    def of_kind(self, kind: str) -> list[Object]:
        return [manifest for key, manifest in self.objects.items() if key[0] == kind]

    # --- changes -------------------------------------------------------------------------------------------------------

    def _put(self, manifest: Object) -> Change:
        key = key_of(manifest)
        verb = "replace" if key in self.objects else "create"
        self.objects[key] = manifest
        return Change(verb, copy.deepcopy(manifest))

    def _drop(self, manifest: Object) -> Change:
        return Change("delete", self.objects.pop(key_of(manifest)))

    def _add_service(self) -> Iterator[Change]:
        namespace, name = self._namespace(), self._random.choice(SERVICE_NAMES)
        if ("Service", namespace, name) in self.objects:
            return
        service = self._service(namespace, name)
        yield self._put(service)
        if service["spec"].get("type") == "ExternalName" and self._random.random() < 0.8:
            return
        for _ in range(self._random.choice((0, 1, 1, 1, 2, 3))):
            yield self._put(self._slice(namespace, name, service["spec"].get("ports") or []))

    def _change_service(self) -> Iterator[Change]:
        """A Service's type can't change freely: it is made anew with the same name, as `kubectl replace --force` does."""
        service = self._random.choice(self.of_kind("Service"))
        _, namespace, name = key_of(service)
        yield self._drop(service)
        yield self._put(self._service(namespace, name))

    def _change_slice(self) -> Iterator[Change]:
        old = self._random.choice(self.of_kind("EndpointSlice"))
        new = self._slice(old["metadata"]["namespace"], "", old["ports"] or [], family=old["addressType"])
        yield self._put({**new, "metadata": old["metadata"]})

    def _flip_readiness(self) -> Iterator[Change]:
        manifest = copy.deepcopy(self._random.choice(self.of_kind("EndpointSlice")))
        for endpoint in manifest["endpoints"] or []:
            endpoint["conditions"] = {"ready": self._random.random() < 0.5}
        yield self._put(manifest)

    def _add_import(self) -> Iterator[Change]:
        namespace, name = self._namespace(), self._random.choice(SERVICE_NAMES)
        if ("ServiceImport", namespace, name) in self.objects:
            return
        made = self._import(namespace, name)
        yield self._put(made)
        for _ in range(self._random.choice((0, 1, 2, 2, 3))):
            yield self._put(self._imported_slice(namespace, name, made["spec"]["ports"]))

    def _change_import(self) -> Iterator[Change]:
        """Made anew: what is of a custom kind can't be replaced without the version that it had."""
        _, namespace, name = key_of(self._random.choice(self.of_kind("ServiceImport")))
        yield self._drop(self.objects["ServiceImport", namespace, name])
        yield self._put(self._import(namespace, name))

    def _delete_any(self) -> Iterator[Change]:
        kind = self._random.choice(("Service", "EndpointSlice", "EndpointSlice", "Pod"))
        yield self._drop(self._random.choice(self.of_kind(kind)))

    def _add_pod(self) -> Iterator[Change]:
        self._serial += 1
        addresses = [self._random.choice(ENDPOINT_IPS)]
        if self._random.random() < 0.3:
            addresses.append(self._random.choice(ENDPOINT_IP6S))
        ready = self._random.choice(("True", "False"))
        phase = self._random.choice(("Running", "Running", "Running", "Pending", "Succeeded", "Failed"))
        status = {"phase": phase, "podIP": addresses[0], "podIPs": [{"ip": ip} for ip in addresses]}
        yield self._put(
            {
                "kind": "Pod",
                "metadata": {"name": f"pod-{self._serial}", "namespace": self._namespace(), "labels": {"app": "x"}},
                "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "x"}]},
                "status": {**status, "conditions": [{"type": "Ready", "status": ready}]},
            }
        )

    # --- objects ---------------------------------------------------------------------------------------------------------

    def _namespace(self) -> str:
        return self._random.choice(NAMESPACES[:-1])

    def _service(self, namespace: str, name: str) -> Object:
        kind = self._random.choice(
            ("ip", "ip", "ip", "dual", "ip6", "node", "headless", "headless", "headless6", "bare", "external")
        )
        labels = {"app": self._random.choice(("x", "x", "y"))}
        spec: Object = {"ports": self._service_ports()}
        if kind == "external":
            spec = {"type": "ExternalName", "externalName": self._external_name()}
            if self._random.random() < 0.3:
                spec["ports"] = self._service_ports()
        elif kind in ("headless", "headless6", "bare"):
            spec["clusterIP"] = "None"
            spec["publishNotReadyAddresses"] = self._random.random() < 0.2
            if kind == "headless6":
                spec |= {"ipFamilyPolicy": "PreferDualStack"}
            if kind == "bare":
                spec["ports"] = []
        else:
            spec |= self._cluster_ips(kind)
            if kind == "node":
                spec["type"] = self._random.choice(("NodePort", "LoadBalancer"))
            if self._random.random() < 0.1:
                spec["externalIPs"] = ["203.0.113.9"]
        return {"kind": "Service", "metadata": {"name": name, "namespace": namespace, "labels": labels}, "spec": spec}

    def _import(self, namespace: str, name: str) -> Object:
        self._addresses += 1
        ips = [f"10.97.{self._addresses >> 8}.{self._addresses & 255}", f"fd00:10:97::{self._addresses:x}"]
        spec = {
            "type": self._random.choice(("ClusterSetIP", "ClusterSetIP", "Headless")),
            "ips": ips[: self._random.choice((0, 1, 1, 2))],
            "ports": self._service_ports() if self._random.random() < 0.9 else [],
        }
        if spec["type"] == "Headless":
            del spec["ips"]
        metadata = {"name": name, "namespace": namespace, "labels": {"app": "x", "tier": "gold"}}
        return {
            "apiVersion": "multicluster.x-k8s.io/v1alpha1",
            "kind": "ServiceImport",
            "metadata": metadata,
            "spec": spec,
        }

    def _imported_slice(self, namespace: str, owner: str, ports: list[Object]) -> Object:
        made = self._slice(namespace, "nobody", ports)
        labels = made["metadata"]["labels"]
        labels["multicluster.kubernetes.io/service-name"] = owner
        cluster = self._random.choice(CLUSTERS)
        if cluster:
            labels["multicluster.kubernetes.io/source-cluster"] = cluster
        return made

    def _cluster_ips(self, kind: str) -> Object:
        self._addresses += 1
        ip = f"10.96.{self._addresses >> 8}.{self._addresses & 255}"
        ip6 = f"fd00:10:96::{self._addresses:x}"
        if kind == "dual":
            return {
                "clusterIP": ip,
                "clusterIPs": [ip, ip6],
                "ipFamilyPolicy": "RequireDualStack",
                "ipFamilies": ["IPv4", "IPv6"],
            }
        if kind == "ip6":
            return {"clusterIP": ip6, "clusterIPs": [ip6], "ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv6"]}
        return {"clusterIP": ip}

    def _service_ports(self) -> list[Object]:
        count = self._random.choice((1, 1, 1, 2, 3, 4))
        names = self._random.sample(PORT_NAMES, count)
        used: set[tuple[str, int]] = set()
        ports: list[Object] = []
        for name in names:
            port, protocol = self._random.choice(PORT_NUMBERS), self._random.choice(PROTOCOLS)
            if (protocol, port) not in used:
                used.add((protocol, port))
                ports.append({"name": name, "port": port, "protocol": protocol})
        if len(ports) == 1 and self._random.random() < 0.4:
            del ports[0]["name"]
        return ports

    def _external_name(self) -> str:
        inside = f"{self._random.choice(SERVICE_NAMES)}.{self._namespace()}.svc.cluster.local"
        odd = self._random.choice(
            (
                "192.0.2.55",
                "cluster.local",
                "10-1-0-1.default.pod.cluster.local",
                "ext.a.svc.cluster.local",
                f"web-0.{inside}",
                "localhost",
            )
        )
        return self._random.choice((self._random.choice(OUTSIDE), inside, inside, odd))

    def _slice(self, namespace: str, service: str, ports: list[Object], *, family: str = "") -> Object:
        self._serial += 1
        family = family or self._random.choice(("IPv4", "IPv4", "IPv4", "IPv6"))
        labels = {"app": "x", "kubernetes.io/service-name": service}
        if not service or self._random.random() < 0.01:
            labels = {"app": "x"}
        endpoints = [self._endpoint(family) for _ in range(self._random.choice((0, 1, 1, 2, 3, 5)))]
        return {
            "kind": "EndpointSlice",
            "metadata": {"name": f"slice-{self._serial}", "namespace": namespace, "labels": labels},
            "addressType": family,
            "endpoints": endpoints if endpoints or self._random.random() < 0.5 else None,
            "ports": self._slice_ports(ports),
        }

    def _slice_ports(self, service_ports: list[Object]) -> list[Object] | None:
        dice = self._random.random()
        if dice < 0.08:
            return None
        if dice < 0.16:
            return [{"name": "other", "port": 9999, "protocol": "TCP"}]
        return [
            {"name": port.get("name", ""), "port": port.get("port", 1), "protocol": port.get("protocol", "TCP")}
            for port in service_ports
        ]

    def _endpoint(self, family: str) -> Object:
        pool = ENDPOINT_IPS if family == "IPv4" else ENDPOINT_IP6S
        endpoint: Object = {"addresses": self._random.sample(pool, self._random.choice((1, 1, 1, 1, 2)))}
        ready = self._random.choice((None, True, True, True, False))
        endpoint["conditions"] = (
            {} if ready is None else {"ready": ready, "serving": True, "terminating": self._random.random() < 0.2}
        )
        if self._random.random() < 0.4:
            endpoint["hostname"] = self._random.choice(HOSTNAMES)
        if self._random.random() < 0.6:
            endpoint["targetRef"] = {"kind": "Pod", "name": self._random.choice(POD_NAMES), "namespace": "default"}
        if self._random.random() < 0.3:
            endpoint["nodeName"], endpoint["zone"] = "n1", self._random.choice(TOPOLOGY_ZONES)
        return endpoint
