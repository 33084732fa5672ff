"""The kube-dns dialect: what each name of a cluster holds under kube-dns's command line, as octets of the delta format.

A Service and its Endpoints come in, `Names` go out: nothing here remembers anything. The tree is kube-dns's TreeCache,
where a name is a node with entries, or one of these entries; SkyDNS's answers are made from entries. Names that a query
meets often hold their record sets ready; the others are marked for Python.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import math
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence

from fastdns.dns import constants, deltas
from fastdns.kubernetes import objects, records

TTL, PRIORITY, WEIGHT = 30, 10, 10
"""Of every record that an object makes."""
SOA_TTL, REFRESH, RETRY, EXPIRE, MINIMUM = 3600, 28800, 7200, 604800, 60
AA, RA = 0x0400, 0x0080
CNAME_NXDOMAIN, IN_PYTHON, ENTRY, ANY_TYPE, ALIVE, HIDDEN = 8, 16, 32, 128, 256, 512
"""Flags of what a name holds, that kube-dns alone has."""
NS_APEX_ONLY, STARS, PARTIAL, OWN_SPELLING, SRV_GLUE = 32, 64, 128, 512, 1024
"""Flags of a zone, likewise."""
IN_ADDR, IP6 = records.REVERSE_APEXES
_UPPER = re.compile("[A-Z]")
_FNV_PRIME, _FNV_START = 0x01000193, 0x811C9DC5

Complain = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a node: an address or a name. `host` is the text that TreeCache has.

    `target` are the labels below the zone of a name; an address has none.
    """

    key: str
    host: str
    port: int = 0
    target: bytes = b""


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """A node of the tree with its entries; `path` are its labels below the zone, the leftmost first."""

    path: tuple[str, ...]
    entries: tuple[Entry, ...]
    is_alive: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Port:
    name: str
    protocol: str
    number: int


@dataclasses.dataclass(frozen=True, slots=True)
class Service:
    """What is used of a Service: its cluster IPs, or (none) that it is headless, or where an ExternalName leads."""

    addresses: tuple[str, ...] = ()
    ports: tuple[Port, ...] = ()
    external_name: str | None = None

    @property
    def is_headless(self) -> bool:
        return not self.addresses and self.external_name is None


@dataclasses.dataclass(frozen=True, slots=True)
class Subset:
    addresses: tuple[tuple[str, str], ...]  # address, hostname or nothing
    ports: tuple[Port, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Reverse:
    """The PTR record of a packed address: labels below the zone."""

    address: bytes
    target: bytes


@dataclasses.dataclass(slots=True)
class Names:
    """What a Service's names hold, by their labels below the zone, and its PTR records."""

    data: dict[bytes, bytes] = dataclasses.field(default_factory=dict)
    reverse: dict[Reverse, None] = dataclasses.field(default_factory=dict)


# --- objects read ----------------------------------------------------------------------------------------------------


def read_service(item: objects.Service, complain: Complain) -> Service:
    """Take what is used of a Service. The type ExternalName wins over clusterIP None, and that over clusterIPs."""
    spec = item.spec or objects.ServiceSpec()
    if item.is_external:
        return _read_external_name(spec.external_name or "", complain)
    if (spec.cluster_ip or "None") == "None":
        return Service()
    addresses = []
    for text in item.cluster_ips:
        packed = records.parse_address(text)
        if packed is None:
            complain(f"clusterIP {text!r} is no IP address")
        else:
            addresses.append(str(ipaddress.ip_address(packed)))
    return Service(tuple(dict.fromkeys(addresses)), read_ports(spec.ports, complain))


def _read_external_name(text: str, complain: Complain) -> Service:
    try:
        is_name = len(records.wire_name(text)) > 1
    except records.NameTooLong:
        is_name = False
    if not is_name:
        complain(f"externalName {text!r} is no name")
    return Service(external_name=text) if is_name else Service()


def read_endpoints(item: objects.Endpoints, complain: Complain) -> tuple[Subset, ...]:
    return tuple(
        Subset(tuple(_read_addresses(subset, complain)), read_ports(subset.ports, complain))
        for subset in item.subsets or ()
    )


def _read_addresses(subset: objects.EndpointSubset, complain: Complain) -> Iterator[tuple[str, str]]:
    for address in subset.addresses or ():
        text, hostname = address.ip or "", address.hostname or ""
        if records.parse_address(text) is None:
            complain(f"{text!r} is no IP address")
            continue
        if hostname and not is_label(hostname):
            complain(f"hostname {hostname!r} is no DNS label")
            hostname = ""
        yield text, hostname


def read_ports(ports: Iterable[objects.Port] | None, complain: Complain) -> tuple[Port, ...]:
    """Ports that have a name of their own: with name and protocol."""
    found = []
    for port in ports or ():
        if not port.name or not port.protocol:
            continue
        number = port.port or 0
        if not 0 <= number <= 65535:
            complain(f"port {number} is out of range")
        elif is_label(f"_{port.name}") and is_label(f"_{port.protocol}"):
            found.append(Port(port.name, port.protocol, number))
        else:
            complain(f"port {number}: name or protocol is no DNS label")
    return tuple(found)


def is_label(text: str) -> bool:
    return 0 < len(text.encode()) <= records.LABEL_MAX and "." not in text


def is_object_name(text: str) -> bool:
    """Tell whether `text` is a label in lower case, as API servers let objects be named."""
    return is_label(text) and not _UPPER.search(text)


# --- the tree --------------------------------------------------------------------------------------------------------


def nodes_of(
    namespace: str, name: str, service: Service | None, subsets: Sequence[Subset] | None, *, domain: str
) -> list[Node]:
    """Make the nodes of a Service; `subsets` are those of the Endpoints with its name, None: there are none."""
    if service is None or service.external_name is not None:
        return []
    path = (name, namespace, "svc")
    if service.addresses:
        return list(_cluster_ip_nodes(path, service, is_alive=bool(subsets), domain=domain))
    return [] if subsets is None else list(_headless_nodes(path, subsets, domain=domain))


def _cluster_ip_nodes(path: tuple[str, ...], service: Service, *, is_alive: bool, domain: str) -> Iterator[Node]:
    keys = [hash_label(address) for address in service.addresses]
    yield Node(path, tuple(map(Entry, keys, service.addresses)), is_alive)
    host = f"{'.'.join(path)}.{domain}"
    target = join_labels(path)
    for port in dict.fromkeys(service.ports):
        yield Node(_port_path(port, path), tuple(Entry(key, host, port.number, target) for key in keys))


def _headless_nodes(path: tuple[str, ...], subsets: Sequence[Subset], *, domain: str) -> Iterator[Node]:
    """Entries by their keys: of two addresses with one hostname the last one stays, as kube-dns has it."""
    own: dict[str, Entry] = {}
    below: dict[tuple[str, ...], dict[str, Entry]] = {}
    for subset in subsets:
        for address, hostname in subset.addresses:
            key = hostname or hash_label(address)
            own[key] = Entry(key, address)
            host, target = f"{key}.{'.'.join(path)}.{domain}", join_labels((key, *path))
            for port in subset.ports:
                below.setdefault(_port_path(port, path), {})[key] = Entry(key, host, port.number, target)
    yield Node(path, tuple(own.values()), bool(own))
    for its_path, entries in below.items():
        yield Node(its_path, tuple(entries.values()))


def _port_path(port: Port, path: tuple[str, ...]) -> tuple[str, ...]:
    return (f"_{port.name}", f"_{port.protocol.lower()}", *path)


def reverse_of(namespace: str, name: str, service: Service | None, subsets: Sequence[Subset] | None) -> list[Reverse]:
    """Cluster IPs lead to the Service; of a headless one's endpoints only those with a hostname lead to it."""
    if service is None or service.external_name is not None:
        return []
    own = join_labels((name, namespace, "svc"))
    if service.addresses:
        return [Reverse(_packed(address), own) for address in service.addresses]
    return [
        Reverse(_packed(address), records.label(hostname) + own)
        for subset in subsets or ()
        for address, hostname in subset.addresses
        if hostname
    ]


def _packed(address: str) -> bytes:
    packed = records.parse_address(address)
    assert packed is not None  # as read_service and read_endpoints have it
    return packed


def hash_label(host: str) -> str:
    """Name an address that has no name, as kube-dns does: the hash of the text that Go's %v makes of its entry."""
    value = _FNV_START
    for octet in f"&{{{host} 0 {PRIORITY} {WEIGHT}  false {TTL} 0  }}".encode():
        value = (value ^ octet) * _FNV_PRIME & 0xFFFFFFFF
    return f"{value:x}".encode().hex()


def join_labels(path: Iterable[str]) -> bytes:
    return b"".join(map(records.label, path))


# --- record sets -----------------------------------------------------------------------------------------------------


def names_of(
    namespace: str, name: str, service: Service | None, subsets: Sequence[Subset] | None, *, zone: bytes, domain: str
) -> Names:
    """Make all that a Service's names hold."""
    found = Names()
    if service is not None and service.external_name is not None:
        labels = join_labels((name, namespace, "svc"))
        found.data[labels] = external_data(service.external_name, labels)
    for node in nodes_of(namespace, name, service, subsets, domain=domain):
        _add_node(found.data, node, zone)
    found.reverse = dict.fromkeys(reverse_of(namespace, name, service, subsets))
    return found


def _add_node(data: dict[bytes, bytes], node: Node, zone: bytes) -> None:
    """Add what a node and its entries hold. Queries come in lower case: none reaches a port's name that isn't."""
    path = join_labels(node.path)
    if not node.entries or path != path.lower() or len(path) + len(zone) > records.NAME_MAX:
        return
    data[path] = node_data(node, path)
    for entry in node.entries:
        labels = records.label(entry.key.lower()) + path
        if len(labels) + len(zone) <= records.NAME_MAX:
            hidden = HIDDEN if entry.key.lower() != entry.key else 0
            if not hidden or labels not in data:
                data[labels] = entry_data(entry, records.label(entry.key) + path, zone, flags=hidden)


def node_data(node: Node, path: bytes) -> bytes:
    """What a node's name holds: the addresses and SRV records of its entries. Addresses of names are for Python."""
    addresses = [_packed(entry.host) for entry in node.entries if not entry.target]
    targets = [(entry.port, entry.target or records.label(entry.key) + path) for entry in node.entries]
    flags = CNAME_NXDOMAIN | (ALIVE if node.is_alive else 0) | (0 if addresses else IN_PYTHON)
    return deltas.data(flags, *deltas.address_sets(addresses, TTL), service_set(targets))


def entry_data(entry: Entry, own: bytes, zone: bytes, *, flags: int = 0) -> bytes:
    """What an entry's own name holds; `own` are its labels."""
    srv = service_set([(entry.port, entry.target or own)])
    if entry.target:
        return deltas.data(ENTRY | IN_PYTHON | flags, deltas.cname_set(entry.target + zone, TTL), srv)
    return deltas.data(ENTRY | flags, *deltas.address_sets([_packed(entry.host)], TTL), srv)


def external_data(target: str, own: bytes) -> bytes:
    """What the name of an ExternalName Service holds: CNAME, or the address that its target is."""
    packed = records.parse_address(target)
    if packed is not None:
        return deltas.data(ENTRY, *deltas.address_sets([packed], TTL), service_set([(0, own)]))
    return deltas.data(ENTRY | IN_PYTHON, deltas.cname_set(records.wire_name(target), TTL))


def namespace_data() -> bytes:
    """What the name of a namespace with ExternalName Services holds: they are entries of it."""
    return deltas.data(CNAME_NXDOMAIN | IN_PYTHON)


def pods_data() -> bytes:
    """What `pod` below the zone holds: names two labels below it are computed, by Python; itself it isn't there."""
    return deltas.data(HIDDEN | IN_PYTHON | deltas.POD_ADDRESSES)


def place_data(place: str) -> bytes:
    """What the hidden name constants.NODE_PLACE below the zone holds."""
    return deltas.data(HIDDEN, deltas.text_set(place.encode(), TTL))


def service_set(targets: Sequence[tuple[int, bytes]]) -> deltas.RecordSet:
    """SRV to (port, labels below the zone), each once. Weights are shares of all, equal ones counted."""
    weight = share_of(WEIGHT, WEIGHT * len(targets))
    parts = [struct.pack(">HHH", PRIORITY, weight, port) + target for port, target in dict.fromkeys(targets)]
    sized = [len(part).to_bytes(2, "big") + part for part in parts]
    return deltas.record_set(constants.Type.SRV, deltas.PRIMARY_ZONED, TTL, sized)


def share_of(weight: int, total: int) -> int:
    """Give the weight of an SRV record as SkyDNS rounds it."""
    return math.floor(100.0 / total * weight)


def ptr_data(target: bytes, *, is_ipv6: bool) -> bytes:
    """What a reverse name holds. Under ip6.arpa it is the answer to every type, as kube-dns has it."""
    sized = len(target).to_bytes(2, "big") + target
    record_set = deltas.record_set(constants.Type.PTR, deltas.PRIMARY_ZONED, TTL, [sized])
    return deltas.data(ANY_TYPE if is_ipv6 else deltas.ONLY_THESE, record_set)


def zone(name: bytes) -> bytes:
    """Make the operation for the cluster's zone: NXDOMAIN has no flag set, denials carry the SOA's minimum as TTL."""
    labels = (b"\2ns\3dns", b"\x0ahostmaster")
    soa = deltas.soa_data(*labels, refresh=REFRESH, retry=RETRY, expire=EXPIRE, minimum=MINIMUM)
    flags = NS_APEX_ONLY | STARS | PARTIAL | OWN_SPELLING | SRV_GLUE
    return deltas.zone(name, soa, flags=flags, soa_ttl=SOA_TTL, positive=AA | RA, nodata=AA | RA, nxdomain=0)


def reverse_zone(name: bytes) -> bytes:
    """Make the operation for in-addr.arpa or ip6.arpa: what isn't there is forwarded."""
    soa = deltas.soa_data(b"", b"", refresh=0, retry=0, expire=0, minimum=0)
    return deltas.zone(name, soa, flags=deltas.NO_SOA, positive=RA, nodata=RA, nxdomain=0)
