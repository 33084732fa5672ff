"""The cluster that every server of a run answers for: its objects, its names, the questions asked about them.

Everything follows from a size, so that the fake API server, a zone file and the load agree without passing data.
Service `i` has a cluster IP of each family and two named ports; of each ten one has IPv4 only (its AAAA is NODATA), and
one is headless, so that what happens to its EndpointSlice can be seen in answers. Objects carry the metadata that real
ones do, managedFields too: parsing it is work.
"""

from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
import random
import struct
from collections.abc import Iterator, Sequence
from typing import Any

ZONE = "cluster.local"
A, PTR, AAAA, SRV = 1, 12, 28, 33
NXDOMAIN = 3
OUTSIDE = ipaddress.IPv4Address("192.0.2.1")  # what every name of the upstream has
FIRST_IPV4 = int(ipaddress.IPv4Address("10.96.0.10"))
FIRST_IPV6 = int(ipaddress.IPv6Address("fd00:10:96::10"))
FIRST_POD = int(ipaddress.IPv4Address("10.128.0.1"))
FIRST_OF_LARGE = int(ipaddress.IPv4Address("100.64.0.1"))
SLICE_MAX = 100  # endpoints of one slice: the EndpointSlice controller's default
CREATED = "2026-01-01T00:00:00Z"
PORTS = (("http", 80), ("metrics", 9090))


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """A message to send, the rcode of a right answer, and octets after its question; none: it has no answer record."""

    wire: bytes
    expected: bytes
    rcode: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class World:
    """`large` are the endpoint counts of headless Services besides, each with as many slices as it takes."""

    services: int = 10_000
    endpoints: int = 3
    per_namespace: int = 100
    large: tuple[int, ...] = ()

    def namespace(self, i: int) -> str:
        return f"team-{i // self.per_namespace:03}"

    def name(self, i: int) -> str:
        return f"service-{i:05}"

    def fqdn(self, i: int) -> str:
        return f"{self.name(i)}.{self.namespace(i)}.svc.{ZONE}."

    def is_headless(self, i: int) -> bool:
        return i % 10 == 9

    def probed(self) -> list[int]:
        """Headless Services that only probes change; a world of less than 100 Services has one too."""
        return [i for i in range(self.services) if i % 100 == 99] or [min(9, self.services - 1)]

    def churned(self) -> list[int]:
        """Headless Services that churn changes."""
        probed = set(self.probed())
        return [i for i in range(self.services) if self.is_headless(i) and i not in probed]

    def is_ipv4_only(self, i: int) -> bool:
        return i % 10 == 8

    def ipv4(self, i: int) -> ipaddress.IPv4Address:
        return ipaddress.IPv4Address(FIRST_IPV4 + i)

    def ipv6(self, i: int) -> ipaddress.IPv6Address:
        return ipaddress.IPv6Address(FIRST_IPV6 + i)

    def pods(self, i: int) -> list[str]:
        """Addresses of the endpoints of service `i`."""
        first = FIRST_POD + i * self.endpoints
        return [str(ipaddress.IPv4Address(first + j)) for j in range(self.endpoints)]

    def with_cluster_ip(self) -> Iterator[int]:
        return (i for i in range(self.services) if not self.is_headless(i))

    def cluster_ips(self, i: int) -> list[str]:
        if self.is_headless(i):
            return ["None"]
        return [str(self.ipv4(i))] if self.is_ipv4_only(i) else [str(self.ipv4(i)), str(self.ipv6(i))]

    # --- objects ---
    def namespaces(self) -> list[dict[str, Any]]:
        count = (self.services + self.per_namespace - 1) // self.per_namespace
        names = ["default", *(f"team-{i:03}" for i in range(count))]
        state = {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
        return [{"metadata": _metadata(name, "", {"kubernetes.io/metadata.name": name}), **state} for name in names]

    def service(self, i: int) -> dict[str, Any]:
        addresses = self.cluster_ips(i)
        return _service(self.name(i), self.namespace(i), addresses, dual=not self.is_ipv4_only(i))

    def slice(self, i: int, addresses: list[str] | None = None, version: int = 1) -> dict[str, Any]:
        """The EndpointSlice of service `i`; `addresses` in place of its own."""
        return _slice(self.name(i), "x7k2p", self.namespace(i), addresses or self.pods(i), version)

    def endpoints_of(self, i: int) -> dict[str, Any]:
        """The Endpoints of service `i`: what its slice says, as kube-dns reads it."""
        name, namespace = self.name(i), self.namespace(i)
        subset = {"addresses": [{"ip": address} for address in self.pods(i)], "ports": _ports()}
        return {"metadata": _metadata(name, namespace, {"app": name}), "subsets": [subset]}

    # --- large headless Services ---
    def large_fqdn(self, size: int) -> str:
        return f"large-{size}.default.svc.{ZONE}."

    def large_service(self, size: int) -> dict[str, Any]:
        return _service(f"large-{size}", "default", ["None"], dual=False)

    def large_slices(self, size: int) -> list[dict[str, Any]]:
        return [self.large_slice(size, number) for number in range((size + SLICE_MAX - 1) // SLICE_MAX)]

    def large_slice(self, size: int, number: int, first: str = "", version: int = 1) -> dict[str, Any]:
        """A slice of the Service with so many endpoints; `first` in place of its first address."""
        start = FIRST_OF_LARGE + self.large.index(size) * (1 << 16) + number * SLICE_MAX
        count = min(SLICE_MAX, size - number * SLICE_MAX)
        addresses = [str(ipaddress.IPv4Address(start + j)) for j in range(count)]
        addresses[0] = first or addresses[0]
        return _slice(f"large-{size}", f"{number:05}", "default", addresses, version)

    # --- questions ---
    def question(self, i: int, qtype: int) -> Question:
        if qtype == A:
            return Question(message(self.fqdn(i), A), self.ipv4(i).packed)
        if qtype == AAAA:
            return Question(message(self.fqdn(i), AAAA), self.ipv6(i).packed)
        if qtype == PTR:
            label = self.name(i).encode()
            return Question(message(self.ipv4(i).reverse_pointer + ".", PTR), bytes([len(label)]) + label)
        return Question(message(f"_http._tcp.{self.fqdn(i)}", SRV), struct.pack("!H", 80))

    def questions(self, qtypes: tuple[int, ...], limit: int = 40_000, seed: int = 1) -> list[Question]:
        """Questions of these types about services with both cluster IPs, always shuffled in the same way."""
        order = random.Random(seed)
        services = [i for i in self.with_cluster_ip() if not self.is_ipv4_only(i)]
        order.shuffle(services)
        chosen = services[: max(1, limit // len(qtypes))]
        asked = [self.question(i, qtype) for i in chosen for qtype in qtypes]
        order.shuffle(asked)
        return asked


def zipf(questions: Sequence[Question], count: int, seed: int = 1) -> list[Question]:
    """So many of them, the first one twice as often as the second one, three times as often as the third one, ..."""
    weights = [1 / (rank + 1) for rank in range(len(questions))]
    return random.Random(seed).choices(questions, weights, k=count)


def pod_mix(world: World, outside: str, nowhere: str, *, limit: int = 40_000, seed: int = 1) -> list[Question]:
    """What pods ask with `ndots:5`, Zipf over the names: half of the look-ups for a Service by its full name, half for a
    name below `outside` that is tried below the four domains of the search path first (`nowhere` is the node's own).
    """
    order = random.Random(seed)
    single = [i for i in range(world.services) if world.is_ipv4_only(i)]
    weights = [1 / (rank + 1) for rank in range(len(single))]
    chosen = order.choices(single, weights, k=max(1, limit // 12))
    asked = []
    for i in chosen:
        asked += [world.question(i, A), Question(message(world.fqdn(i), AAAA), b"")]
        asked += search_path(
            f"host-{i:05}.{outside}", (f"{world.namespace(i)}.svc.{ZONE}", f"svc.{ZONE}", ZONE, nowhere)
        )
    return asked


def search_path(name: str, domains: Sequence[str]) -> list[Question]:
    """A and AAAA of the name below each domain (NXDOMAIN), then of the name itself."""
    tried = [Question(message(f"{name}.{domain}.", qtype), b"", NXDOMAIN) for domain in domains for qtype in (A, AAAA)]
    return [*tried, Question(message(f"{name}.", A), OUTSIDE.packed), Question(message(f"{name}.", AAAA), b"")]


def message(name: str, qtype: int, *, edns: int = 0) -> bytes:
    """A query for `name` (text, final dot) with RD; with an OPT record of this size if `edns` isn't 0."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split("."))
    header = struct.pack("!6H", 0, 0x0100, 1, 0, 0, 1 if edns else 0)
    opt = struct.pack("!BHHIH", 0, 41, edns, 0, 0) if edns else b""
    return header + labels + b"\0" + struct.pack("!2H", qtype, 1) + opt


def is_right(question: Question, answer: bytes) -> bool:
    """True for an answer with the rcode and the octets that are expected; expecting none is expecting no record."""
    if len(answer) < len(question.wire) or not answer[2] & 0x80 or answer[3] & 15 != question.rcode:
        return False
    if not question.expected:
        return answer[6:8] == b"\0\0"
    return answer[6:8] != b"\0\0" and question.expected in answer[len(question.wire) :]


def _service(name: str, namespace: str, addresses: list[str], *, dual: bool) -> dict[str, Any]:
    spec = {
        "ports": [{"name": n, "protocol": "TCP", "port": p, "targetPort": n} for n, p in PORTS],
        "selector": {"app": name},
        "clusterIP": addresses[0],
        "clusterIPs": addresses,
        "type": "ClusterIP",
        "sessionAffinity": "None",
        "ipFamilies": ["IPv4", "IPv6"] if dual else ["IPv4"],
        "ipFamilyPolicy": "PreferDualStack" if dual else "SingleStack",
        "internalTrafficPolicy": "Cluster",
    }
    labels = {"app": name, "app.kubernetes.io/managed-by": "Helm"}
    return {"metadata": _metadata(name, namespace, labels), "spec": spec, "status": {"loadBalancer": {}}}


def _slice(name: str, suffix: str, namespace: str, addresses: list[str], version: int) -> dict[str, Any]:
    labels = {
        "app": name,
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        "kubernetes.io/service-name": name,
    }
    return {
        "metadata": _metadata(f"{name}-{suffix}", namespace, labels, version),
        "addressType": "IPv4",
        "endpoints": [_endpoint(name, namespace, j, address) for j, address in enumerate(addresses)],
        "ports": _ports(),
    }


def _ports() -> list[dict[str, Any]]:
    return [{"name": n, "protocol": "TCP", "port": p} for n, p in PORTS]


def _endpoint(name: str, namespace: str, j: int, address: str) -> dict[str, Any]:
    pod = f"{name}-5d8f7c9b4-{j:05}"
    return {
        "addresses": [address],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "targetRef": {"kind": "Pod", "namespace": namespace, "name": pod, "uid": _uid(pod)},
        "nodeName": f"node-{j % 50:03}",
        "zone": "zone-a",
    }


def _uid(text: str) -> str:
    digits = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _metadata(name: str, namespace: str, labels: dict[str, str], version: int = 1) -> dict[str, Any]:
    fields: dict[str, dict[str, str]] = {f"f:{key}": {} for key in labels}
    owned = {"f:metadata": {"f:labels": {".": {}, **fields}}, "f:spec": {"f:ports": {".": {}}, "f:selector": {}}}
    managed = {
        "manager": "kube-controller-manager",
        "operation": "Update",
        "apiVersion": "v1",
        "time": CREATED,
        "fieldsType": "FieldsV1",
        "fieldsV1": owned,
    }
    place = {"namespace": namespace} if namespace else {}
    return {
        "name": name,
        **place,
        "uid": _uid(f"{namespace}/{name}"),
        "resourceVersion": str(version),
        "generation": 1,
        "creationTimestamp": CREATED,
        "labels": labels,
        "annotations": {"meta.helm.sh/release-name": name},
        "managedFields": [managed],
    }
