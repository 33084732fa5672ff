"""The CoreDNS dialect: what each name of a cluster holds, as octets of the name table's delta format.

Objects' fields come in, octets go out; nothing here remembers anything. A Service's block is made here, all else of the
format by `dns.deltas`. What the names are is ruled by the Kubernetes DNS specification 1.1.0, and where that is silent
or CoreDNS differs, by what CoreDNS's kubernetes plugin answers in its default configuration.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence

from fastdns.dns import deltas
from fastdns.kubernetes import objects

DNS_VERSION = b"1.1.0"
DNS_VERSION_TTL = 28800
"""CoreDNS's, whatever the ttl option says."""
LABEL_MAX = 63
NAME_MAX = 255
NO_PORT = 65535
"""With empty name and protocol: the stand-in port of a group without ports, which SRV leaves out."""

HEADLESS, POD, ZONES, CLUSTERS = 1, 2, 4, 8
_PORTS_MAX = 255
_MAPPED = b"\0" * 10 + b"\xff\xff"

Complain = Callable[[str], None]
"""Takes one sentence about a field of the object at hand."""


class NameTooLong(ValueError):
    """A label over 63 octets, an empty one, or a name over 255."""


# --- zones and Services ----------------------------------------------------------------------------------------------


def zone(name: bytes, ttl: int) -> bytes:
    """A zone as CoreDNS serves it: SOA `ns.dns.Z hostmaster.Z serial 7200 1800 86400 ttl`, its own TTL at most 300."""
    names = (b"\2ns\3dns", b"\x0ahostmaster")
    soa = deltas.soa_data(*names, refresh=7200, retry=1800, expire=86400, minimum=ttl)
    return deltas.zone(name, soa, flags=deltas.SOA_APEX_ONLY, soa_ttl=min(ttl, 300))


def service_set(
    name: bytes, *, headless: bool, own: Groups, endpoints: Iterable[Groups], ttl: int, places: int = 0
) -> deltas.RecordSet:
    """SERVICE: `name` is the Service's labels below its zone; `own` its cluster IPs' groups.

    `places` is ZONES or CLUSTERS if the endpoints' groups have places of that kind.
    """
    slices = list(_within_bounds(endpoints, has_places=bool(places)))
    parts = [
        bytes([len(name)]),
        name,
        bytes([places | (HEADLESS if headless else 0)]),
        own[:2],
        own[2:],
        sum(int.from_bytes(groups[:2], "big") for groups in slices).to_bytes(2, "big"),
        *(groups[2:] for groups in slices),
    ]
    return deltas.block_set(b"".join(parts), ttl)


def _within_bounds(slices: Iterable[Groups], *, has_places: bool) -> Iterator[Groups]:
    """As many slices as have deltas.RECORDS_MAX endpoints together: a table refuses a set of more."""
    total = 0
    for made in slices:
        total += _count_endpoints(made, has_places=has_places)
        if total > deltas.RECORDS_MAX:
            return
        yield made


def pod_set(name: bytes, address: bytes, *, pods: int, ttl: int) -> deltas.RecordSet:
    """SERVICE of a pod's name: its address, port 0. CoreDNS's SRV weight counts the pods that share the address."""
    port = b"\0\0\0\0"
    own = groups([port], [(address, b"")] * min(pods, deltas.RECORDS_MAX))
    return deltas.block_set(bytes([len(name)]) + name + bytes([POD]) + own + NO_GROUPS, ttl)


# --- groups of addresses and ports -----------------------------------------------------------------------------------

Groups = bytes
"""u16 count, then that many groups: what one EndpointSlice, or a Service itself, adds to a SERVICE set."""
NO_GROUPS: Groups = b"\0\0"
Endpoint = tuple[bytes, bytes]
"""A packed address and its label, empty where the delta format wants it empty."""


def groups(ports: Sequence[bytes], endpoints: Sequence[Endpoint], *, place: bytes | None = None) -> Groups:
    """All pairs of a port and an endpoint. More than 255 ports make a second group.

    `place` is the labels of their zone or cluster, where groups have one.
    """
    if not endpoints:
        return NO_GROUPS
    addresses = b"".join(
        (b"\4" if len(address) == 4 else b"\6") + address + bytes([len(label)]) + label for address, label in endpoints
    )
    head = b"" if place is None else bytes([len(place)]) + place
    return _groups_of(ports, head, len(endpoints).to_bytes(4, "big") + addresses)


def bare_groups(ports: Sequence[bytes]) -> Groups:
    """Ports of a Service that has no address yet."""
    return _groups_of(ports, b"", bytes(4))


def _groups_of(ports: Sequence[bytes], head: bytes, tail: bytes) -> Groups:
    runs = [ports[start : start + _PORTS_MAX] for start in range(0, len(ports), _PORTS_MAX)]
    made = [head + bytes([len(run)]) + b"".join(run) + tail for run in runs]
    return len(made).to_bytes(2, "big") + b"".join(made)


def join_groups(parts: Sequence[Groups]) -> Groups:
    """The groups of several subsets as one."""
    count = sum(int.from_bytes(part[:2], "big") for part in parts)
    return count.to_bytes(2, "big") + b"".join(part[2:] for part in parts)


def ports(declared: Sequence[objects.Port] | None, complain: Complain) -> list[bytes]:
    """Ports as the delta format has them; without any, the stand-in, so that addresses are still found."""
    made = [port for port in (_port(port, complain) for port in declared or ()) if port]
    return made or [NO_PORT.to_bytes(2, "big") + b"\0\0"]


def _port(port: objects.Port, complain: Complain) -> bytes | None:
    number = NO_PORT if port.port is None else port.port
    name = (port.name or "").lower().encode()
    protocol = (port.protocol or "").lower().encode()
    if not 0 <= number <= 65535:
        complain(f"port {number} is out of range")
        return None
    if len(name) > LABEL_MAX or len(protocol) > LABEL_MAX:
        complain(f"port {number}: name or protocol over {LABEL_MAX} octets")
        return None
    if port.port is None:
        name = protocol = b""
    return number.to_bytes(2, "big") + bytes([len(name)]) + name + bytes([len(protocol)]) + protocol


Port = tuple[int, str, str]
"""Number, name, protocol."""


def read_groups(made: Groups) -> Iterator[tuple[list[Port], list[Endpoint]]]:
    """The ports and endpoints of groups, as they were given."""
    at = 2
    for _ in range(int.from_bytes(made[:2], "big")):
        found: list[Port] = []
        count, at = made[at], at + 1
        for _ in range(count):
            number, at = int.from_bytes(made[at : at + 2], "big"), at + 2
            name, at = made[at + 1 : at + 1 + made[at]], at + 1 + made[at]
            protocol, at = made[at + 1 : at + 1 + made[at]], at + 1 + made[at]
            found.append((number, name.decode(), protocol.decode()))
        endpoints, at = _read_addresses(made, at)
        yield found, endpoints


def read_endpoints(made: Groups) -> Iterator[Endpoint]:
    """The endpoints of groups, once for each group."""
    at = 2
    for _ in range(int.from_bytes(made[:2], "big")):
        count, at = made[at], at + 1
        for _ in range(count):
            at += 3 + made[at + 2]
            at += 1 + made[at]
        endpoints, at = _read_addresses(made, at)
        yield from endpoints


def _count_endpoints(made: Groups, *, has_places: bool) -> int:
    """Endpoints of groups, once for each group. The addresses of the last group needn't be walked over to be counted."""
    total, at = 0, 2
    left = int.from_bytes(made[:2], "big")
    while left:
        at += 1 + made[at] if has_places else 0
        count, at = made[at], at + 1
        for _ in range(count):
            at += 3 + made[at + 2]
            at += 1 + made[at]
        total += int.from_bytes(made[at : at + 4], "big")
        left -= 1
        if left:
            _, at = _read_addresses(made, at)
    return total


def _read_addresses(made: Groups, at: int) -> tuple[list[Endpoint], int]:
    """The addresses of the group at hand, and where it ends."""
    end_at = at + 4
    found: list[Endpoint] = []
    for _ in range(int.from_bytes(made[at:end_at], "big")):
        label_at = end_at + (5 if made[end_at] == 4 else 17)
        address, size = made[end_at + 1 : label_at], made[label_at]
        end_at = label_at + 1 + size
        found.append((address, made[label_at + 1 : end_at]))
    return found, end_at


def endpoint_label(endpoint: Endpoint) -> bytes:
    """An endpoint's name, spelled out also where the delta format leaves it empty."""
    address, label = endpoint
    return label or socket.inet_ntop(socket.AF_INET, address).replace(".", "-").encode()


def slice_groups(
    eps: objects.EndpointSlice, *, pod_names: bool, complain: Complain, place: bytes | None = None
) -> Groups:
    """The ready addresses of a slice with its ports; `serving` and `terminating` don't count, as in CoreDNS."""
    endpoints = [endpoint for _, endpoint in _slice_endpoints(eps, pod_names, complain)]
    return groups(ports(eps.ports, complain), endpoints, place=place) if endpoints else NO_GROUPS


def zoned_groups(eps: objects.EndpointSlice, *, pod_names: bool) -> Groups:
    """As `slice_groups`, the endpoints of each zone by themselves. An address has one zone in a slice, the last one told."""
    zones = {
        text: endpoint.zone
        for endpoint in eps.endpoints or ()
        if endpoint.is_ready and endpoint.zone is not None
        for text in endpoint.addresses or ()
    }
    found: dict[bytes, list[Endpoint]] = {}
    for text, endpoint in _slice_endpoints(eps, pod_names, say_nothing):
        found.setdefault(_zone_labels(zones.get(text, "")), []).append(endpoint)
    listed = ports(eps.ports, say_nothing)
    return join_groups([groups(listed, endpoints, place=zone) for zone, endpoints in found.items()])


def _slice_endpoints(eps: objects.EndpointSlice, pod_names: bool, complain: Complain) -> Iterator[tuple[str, Endpoint]]:
    """The ready addresses of a slice, as they are written and as endpoints."""
    if not eps.endpoints or eps.address_type == "FQDN":
        return
    for endpoint in eps.endpoints:
        if not endpoint.is_ready:
            continue
        given = _given_label(endpoint.hostname, endpoint.target_ref, pod_names=pod_names, complain=complain)
        for text in endpoint.addresses or ():
            address = parse_address(text)
            if address is None:
                complain(f"{text!r} is no IP address")
            else:
                yield text, (address, given or dashed_label(text, address))


def _zone_labels(text: str) -> bytes:
    """A zone's name as canonical labels: its dots separate them. One that no question can spell is as none."""
    try:
        labels = b"".join(label(part) for part in text.lower().split(".")) if text else b""
    except NameTooLong:
        return b""
    return labels if len(labels) < NAME_MAX else b""


def say_nothing(sentence: str) -> None:
    """For what has been complained about already."""


def endpoints_groups(
    eps: objects.Endpoints, *, pod_names: bool, complain: Complain, place: bytes | None = None
) -> Groups:
    """As `slice_groups`, of the older kind: one group for each subset."""
    made = []
    for subset in eps.subsets or ():
        endpoints: list[Endpoint] = []
        for entry in subset.addresses or ():
            address = parse_address(entry.ip or "")
            if address is None:
                complain(f"{entry.ip!r} is no IP address")
                continue
            given = _given_label(entry.hostname, entry.target_ref, pod_names=pod_names, complain=complain)
            endpoints.append((address, given or dashed_label(entry.ip or "", address)))
        made.append(groups(ports(subset.ports, complain), endpoints, place=place))
    return join_groups(made)


def _given_label(
    hostname: str | None, target: objects.TargetRef | None, *, pod_names: bool, complain: Complain
) -> bytes:
    """The name that an endpoint was given (specification 2.4.1: "the hostname of an endpoint"), or nothing.

    A pod's name with a dot in it isn't one label: CoreDNS then announces a name that it answers with NXDOMAIN; the
    address with dashes is used here.
    """
    if hostname:
        if len(hostname.encode()) <= LABEL_MAX and "." not in hostname:
            return hostname.encode()
        complain(f"hostname {hostname!r} is no DNS label")
    if pod_names and target is not None and target.name and len(target.name) <= LABEL_MAX and "." not in target.name:
        return target.name.encode()
    return b""


def dashed_label(text: str, address: bytes) -> bytes:
    """The address as it is written, with dashes; empty with IPv4, where the reader makes it itself."""
    if len(address) == 4:
        return b""
    label = text.replace(":", "-")
    return (label + "0" if label.endswith("-") else label).encode()


def parse_address(text: str) -> bytes | None:
    """4 or 16 octets, or None. An IPv4 address mapped into IPv6 is IPv4, as it is for CoreDNS."""
    try:
        if ":" not in text:
            return socket.inet_pton(socket.AF_INET, text)
        address = socket.inet_pton(socket.AF_INET6, text)
    except (OSError, ValueError):
        return None
    return address[12:] if address.startswith(_MAPPED) else address


# --- names -----------------------------------------------------------------------------------------------------------


def label(text: str) -> bytes:
    """One label with its length octet, spelling kept. Raises NameTooLong."""
    return label_octets(text.encode())


def label_octets(octets: bytes) -> bytes:
    """As `label`, of octets."""
    if not 0 < len(octets) <= LABEL_MAX:
        raise NameTooLong(f"label {octets[:80]!r} has {len(octets)} octets")
    return bytes([len(octets)]) + octets


def wire_name(text: str) -> bytes:
    """A name given as text, with or without final dot, as wire octets; spelling kept. Raises NameTooLong."""
    stripped = text[:-1] if text.endswith(".") else text
    name = b"".join(label(part) for part in stripped.split(".")) + b"\0" if stripped else b"\0"
    if len(name) > NAME_MAX:
        raise NameTooLong(f"name {text[:80]!r}... has {len(name)} octets")
    return name


REVERSE_APEXES = (b"\7in-addr\4arpa\0", b"\3ip6\4arpa\0")
_OCTETS = [label(str(octet)) for octet in range(256)]
_NIBBLES = [f"\x01{octet & 15:x}\x01{octet >> 4:x}".encode() for octet in range(256)]


def reverse_name(address: bytes) -> bytes:
    """The wire name that a PTR question for a packed address asks (RFC 1035 section 3.5, RFC 3596 section 2.5)."""
    if len(address) == 4:
        return b"".join([_OCTETS[octet] for octet in reversed(address)]) + REVERSE_APEXES[0]
    return b"".join([_NIBBLES[octet] for octet in reversed(address)]) + REVERSE_APEXES[1]


def address_text(address: bytes) -> str:
    return str(ipaddress.ip_address(address))


def is_below(name: bytes, ancestor: bytes) -> bool:
    """Whether a canonical wire name is `ancestor` or below it."""
    at = 0
    while len(name) - at > len(ancestor):
        at += name[at] + 1
    return name[at:] == ancestor


def is_reverse_zone(name: bytes) -> bool:
    """in-addr.arpa, ip6.arpa or below: zones without Services."""
    return any(is_below(name, apex) for apex in REVERSE_APEXES)


def primary_zone(zones: Sequence[str]) -> str:
    """The zone that PTR records point into: the first that isn't *below* in-addr.arpa or ip6.arpa, as in CoreDNS."""
    below = (".in-addr.arpa.", ".ip6.arpa.")
    return next((zone for zone in zones if not zone.endswith(below)), zones[0])
