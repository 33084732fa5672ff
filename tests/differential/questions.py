"""Random questions about a world: what pods ask, what people mistype, and what nobody should send."""

from __future__ import annotations

import dataclasses
import ipaddress
import random
import struct
from collections.abc import Callable

from tests.differential.world import (
    CLUSTERS,
    ENDPOINT_IP6S,
    ENDPOINT_IPS,
    HOSTNAMES,
    NAMESPACES,
    POD_NAMES,
    PORT_NAMES,
    SERVICE_NAMES,
    TOPOLOGY_ZONES,
    Object,
    World,
)

TYPES = {
    "A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "NULL": 10, "PTR": 12, "HINFO": 13, "MX": 15, "TXT": 16, "AAAA": 28, "LOC": 29,
    "SRV": 33, "NAPTR": 35, "DS": 43, "DNSKEY": 48, "TLSA": 52, "SVCB": 64, "HTTPS": 65, "CAA": 257, "TYPE65400": 65400, "ANY": 255,
}  # fmt: skip
CLASSES = {"IN": 1, "CH": 3, "HS": 4, "NONE": 254, "ANY": 255}
OUTSIDE = (
    "example.test", "www.example.test", "alias.example.test", "chain.example.test", "dangling.example.test",
    "loop1.example.test", "nodata.example.test", "zero.example.test", "one.example.test", "long.example.test",
    "upper.example.test", "_sip._tcp.example.test", "https.example.test", "unknown.example.test",
    "x.wild.example.test", "a.b.wild.example.test", "ent.example.test", "www.d.example.test", "x.deleg.example.test",
    "big.example.test", "fat.example.test", "nothing.example.test", "test", "invalid", "a.cluster", "local",
    "example.org", "dns-version.example.org",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """One query. `name` is presentation text of plain labels, without the final dot; `size` the EDNS size, None: no OPT."""

    name: str
    qtype: str
    qclass: str = "IN"
    id: int = 0
    recursion_desired: bool = True
    checking_disabled: bool = False
    authentic_data: bool = False
    size: int | None = None
    dnssec_ok: bool = False
    version: int = 0
    option: tuple[int, bytes] | None = None
    over_tcp: bool = False

    def wire(self) -> bytes:
        flags = self.recursion_desired << 8 | self.authentic_data << 5 | self.checking_disabled << 4
        labels = [label.encode() for label in self.name.split(".")] if self.name else []
        name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
        question = name + struct.pack("!HH", TYPES[self.qtype], CLASSES[self.qclass])
        header = struct.pack("!6H", self.id, flags, 1, 0, 0, int(self.size is not None))
        return header + question + self._opt()

    def _opt(self) -> bytes:
        if self.size is None:
            return b""
        data = b"" if self.option is None else struct.pack("!HH", self.option[0], len(self.option[1])) + self.option[1]
        return b"\0" + struct.pack("!HHBBHH", 41, self.size, 0, self.version, self.dnssec_ok << 15, len(data)) + data


class Asker:
    """Makes questions about what is, was and never was in `world`; `zones` are the forward zones that the servers have.

    `imports` is the zone of ServiceImports, or empty; `zonal` asks for the endpoints of zones too.
    """

    def __init__(
        self, world: World, seed: str, *, zones: tuple[str, ...], imports: str = "", zonal: bool = False
    ) -> None:
        self._world = world
        self._random = random.Random(f"questions {seed}")
        self._zones = zones
        self._imports = imports
        self._zonal = zonal

    def question(self) -> Question:
        makers: tuple[tuple[int, Callable[[], str]], ...] = (
            (24, self._service_name),
            (10, self._endpoint_name),
            (12, self._port_name),
            (8, self._pod_name),
            (10, self._reverse_name),
            (5, self._zone_name),
            (6, self._near_miss),
            (8, lambda: self._random.choice(OUTSIDE)),
            (2, self._garbage),
            (40 if self._imports else 0, self._import_name),
            (40 if self._zonal else 0, self._zonal_name),
        )
        name = self._random.choices([maker for _, maker in makers], weights=[weight for weight, _ in makers])[0]()
        return self._dress(self._spell(name), self._type(name))

    # --- names -----------------------------------------------------------------------------------------------------------

    def _any_service(self) -> tuple[str, str]:
        """(name, namespace), mostly of a Service that exists."""
        services = self._world.of_kind("Service")
        if services and self._random.random() < 0.85:
            metadata = self._random.choice(services)["metadata"]
            return metadata["name"], metadata["namespace"]
        return self._random.choice(SERVICE_NAMES), self._random.choice((*NAMESPACES, "missing"))

    def _zone(self) -> str:
        return self._random.choice(self._zones)

    def _service_name(self) -> str:
        name, namespace = self._any_service()
        return f"{name}.{namespace}.svc.{self._zone()}"

    def _slice_of(self, name: str, namespace: str) -> Object | None:
        slices = [
            manifest
            for manifest in self._world.of_kind("EndpointSlice")
            if manifest["metadata"]["labels"].get("kubernetes.io/service-name") == name
            and manifest["metadata"]["namespace"] == namespace
        ]
        return self._random.choice(slices) if slices else None

    def _endpoint_name(self) -> str:
        name, namespace = self._any_service()
        label = self._random.choice(
            (*HOSTNAMES, *POD_NAMES[:5], _dashed(self._random.choice(ENDPOINT_IPS + ENDPOINT_IP6S)))
        )
        manifest = self._slice_of(name, namespace)
        if manifest and manifest["endpoints"]:
            endpoint = self._random.choice(manifest["endpoints"])
            choices = [
                endpoint.get("hostname", ""),
                endpoint.get("targetRef", {}).get("name", ""),
                _dashed(endpoint["addresses"][0]),
            ]
            label = self._random.choice([choice for choice in choices if choice])
        return f"{label}.{name}.{namespace}.svc.{self._zone()}"

    def _import_name(self) -> str:
        """A ServiceImport, an endpoint of one by its cluster, or a port of one."""
        metadata = self._random.choice(self._world.of_kind("ServiceImport"))["metadata"]
        base = f"{metadata['name']}.{metadata['namespace']}.svc.{self._imports}"
        slices = [
            manifest
            for manifest in self._world.of_kind("EndpointSlice")
            if manifest["metadata"]["labels"].get("multicluster.kubernetes.io/service-name") == metadata["name"]
            and manifest["metadata"]["namespace"] == metadata["namespace"]
            and manifest["endpoints"]
        ]
        dice = self._random.random()
        if dice < 0.4 or not slices:
            return base
        manifest = self._random.choice(slices)
        if dice < 0.6:
            port = self._random.choice(manifest["ports"] or [{}])
            return f"_{port.get('name', '')}._{port.get('protocol', 'TCP').lower()}.{base}"
        endpoint = self._random.choice(manifest["endpoints"])
        choices = (
            endpoint.get("hostname"),
            endpoint.get("targetRef", {}).get("name"),
            _dashed(endpoint["addresses"][0]),
        )
        label = self._random.choice([choice for choice in choices if choice and "." not in choice])
        cluster = manifest["metadata"]["labels"].get("multicluster.kubernetes.io/source-cluster", "")
        if self._random.random() < 0.15:
            cluster = self._random.choice((*CLUSTERS, "none", "_tcp"))
        return f"{label}.{cluster}.{base}" if cluster else f"{label}.{base}"

    def _zonal_name(self) -> str:
        """Endpoints of a topology zone, mostly of a headless Service, as only those have such names."""
        headless = [one for one in self._world.of_kind("Service") if one["spec"].get("clusterIP") == "None"]
        name, namespace = self._any_service()
        if headless and self._random.random() < 0.8:
            metadata = self._random.choice(headless)["metadata"]
            name, namespace = metadata["name"], metadata["namespace"]
        left = self._random.choice((*TOPOLOGY_ZONES, *TOPOLOGY_ZONES, "none", "x.z1", ""))
        directive = self._random.choice(("pin", "pin", "prefer", "prefer", "florp", "pin.x"))
        anchor = "_zone" if self._random.random() < 0.95 else self._random.choice(("zone", "_zones"))
        return f"{left}.{directive}.{anchor}.{name}.{namespace}.svc.{self._zone()}".lstrip(".")

    def _port_name(self) -> str:
        name, namespace = self._any_service()
        service = self._world.objects.get(("Service", namespace, name), {})
        ports = service.get("spec", {}).get("ports") or [{}]
        port = self._random.choice(ports)
        port_name = port.get("name", "") if self._random.random() < 0.8 else self._random.choice((*PORT_NAMES, "*", ""))
        protocol = (
            port.get("protocol", "TCP").lower()
            if self._random.random() < 0.85
            else self._random.choice(("tcp", "udp", "sctp", "any"))
        )
        first, second = f"_{port_name}", f"_{protocol}"
        if self._random.random() < 0.15:
            first, second = port_name or "_", protocol
        return f"{first}.{second}.{name}.{namespace}.svc.{self._zone()}"

    def _pod_name(self) -> str:
        pods = self._world.of_kind("Pod")
        namespace = self._random.choice((*NAMESPACES, "missing"))
        address = self._random.choice(
            (*ENDPOINT_IPS, *ENDPOINT_IP6S, "10.9.9.9", "::1", "::", "1.2.3", "1.2.3.999", "fd00::1:2")
        )
        if pods and self._random.random() < 0.6:
            pod = self._random.choice(pods)
            namespace, address = pod["metadata"]["namespace"], self._random.choice(pod["status"]["podIPs"])["ip"]
        label = address.replace(".", "-").replace(":", "-")
        prefix = "x." if self._random.random() < 0.1 else ""
        return f"{prefix}{label}.{namespace}.pod.{self._zone()}"

    def _reverse_name(self) -> str:
        services = self._world.of_kind("Service")
        addresses = [*ENDPOINT_IPS, *ENDPOINT_IP6S, "10.96.0.1", "10.200.0.1", "192.0.2.20", "203.0.113.9", "fd00:9::9"]
        if services and self._random.random() < 0.6:
            spec = self._random.choice(services)["spec"]
            addresses = [
                ip for ip in spec.get("clusterIPs", [spec.get("clusterIP", "None")]) if ip != "None"
            ] or addresses
        name = ipaddress.ip_address(self._random.choice(addresses)).reverse_pointer
        dice = self._random.random()
        if dice < 0.1:
            return name.split(".", self._random.choice((1, 2)))[-1]
        return f"x.{name}" if dice < 0.13 else name

    def _zone_name(self) -> str:
        """The apex, the inner nodes and the names that CoreDNS adds."""
        namespace = self._random.choice((*NAMESPACES, "missing"))
        inner = (
            "",
            "svc.",
            "pod.",
            "ns.dns.",
            "dns.",
            "dns-version.",
            f"{namespace}.svc.",
            f"{namespace}.pod.",
            f"{namespace}.",
            "hostmaster.",
        )
        return self._random.choice(inner) + self._zone()

    def _near_miss(self) -> str:
        name, namespace = self._any_service()
        zone = self._zone()
        return self._random.choice(
            (
                f"x.y.{name}.{namespace}.svc.{zone}",
                f"x._http._tcp.{name}.{namespace}.svc.{zone}",
                f"_http.{name}.{namespace}.svc.{zone}",
                f"_tcp.{name}.{namespace}.svc.{zone}",
                f"{name}.{namespace}.{zone}",
                f"{name}.{namespace}.service.{zone}",
                f"*.{namespace}.svc.{zone}",
                f"{name}.*.svc.{zone}",
                f"any.any.svc.{zone}",
                f"{name}.svc.{zone}",
                f"www.example.test.{namespace}.svc.{zone}",
                f"www.example.test.svc.{zone}",
                f"www.example.test.{zone}",
                f"{name}.{namespace}.svc.{zone}.example.test",
                f"outside.default.svc.{zone}",
            )
        )

    def _garbage(self) -> str:
        label = "".join(self._random.choices("abcxyz019_-*@ ", k=self._random.choice((1, 5, 30, 63))))
        depth = self._random.choice((0, 1, 3))
        return ".".join(
            [label, *("d" * self._random.choice((1, 20)) for _ in range(depth))]
            + [self._zone()] * self._random.choice((0, 1))
        )

    # --- the rest of a query -----------------------------------------------------------------------------------------------

    def _spell(self, name: str) -> str:
        dice = self._random.random()
        if dice < 0.1:
            return name.upper()
        if dice < 0.25:
            return "".join(self._random.choice((letter.upper(), letter)) for letter in name)
        return name

    def _type(self, name: str) -> str:
        if name.startswith("_") and self._random.random() < 0.6:
            return "SRV"
        if name.endswith(".arpa") and self._random.random() < 0.7:
            return "PTR"
        usual = ("A", "A", "A", "AAAA", "AAAA", "SRV", "TXT", "NS", "SOA", "PTR", "CNAME")
        return self._random.choice(usual if self._random.random() < 0.9 else tuple(TYPES))

    def _dress(self, name: str, qtype: str) -> Question:
        dice = self._random.random
        question = Question(
            name,
            qtype,
            qclass=self._random.choice(tuple(CLASSES)) if dice() < 0.02 else "IN",
            id=self._random.randrange(65536),
            recursion_desired=dice() < 0.9,
            checking_disabled=dice() < 0.1,
            authentic_data=dice() < 0.2,
            over_tcp=dice() < 0.2,
        )
        if dice() < 0.5:
            return question
        return dataclasses.replace(
            question,
            size=self._random.choice((1232, 1232, 4096, 512, 700, 1400, 65535, 100, 0)),
            dnssec_ok=dice() < 0.3,
            version=1 if dice() < 0.02 else 0,
            option=self._random.choice(((3, b""), (10, b"12345678"), (12, bytes(20)), (65001, b"local")))
            if dice() < 0.2
            else None,
        )


def _dashed(address: str) -> str:
    """An address as CoreDNS makes a label of it."""
    dashed = address.replace(".", "-").replace(":", "-")
    return f"{dashed}0" if dashed.endswith("-") else dashed
