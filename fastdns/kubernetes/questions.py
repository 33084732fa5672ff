"""TreeCache's questions in people's terms: what a name holds (Records), what an address is called (ReverseRecord).

For pages, diagnosis and tests; queries are answered by the workers' tables, which TreeCache's deltas fill. What stands
here says the same by another way: from the tree, not from the octets that were sent.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from fastdns.kubernetes import apex, nodes, records

if TYPE_CHECKING:
    from fastdns.kubernetes import treecache


class Record(NamedTuple):
    """A record of the name that was asked; `value` as zone files write it, names in full."""

    type: str
    ttl: int
    value: str


class Entry(NamedTuple):
    """A pair of an address and a port that a question matches; port None: the object has no ports."""

    address: str
    port: int | None
    target: str


def records_of(tree: treecache.TreeCache, name: str) -> list[Record] | None:
    """All records of a name; empty if it exists without any, None if it doesn't exist (NXDOMAIN)."""
    wanted = name.lower().removesuffix(".") + "."
    zones = [zone.lower() for zone in tree.config.zones if wanted == zone or zone == "." or wanted.endswith("." + zone)]
    if not zones:
        return None
    zone = max(zones, key=len)
    below = wanted.removesuffix(zone).removesuffix(".")
    labels = below.split(".") if below else []
    fixed = _fixed(tree, labels, zone)
    if fixed is not None:
        return fixed
    reverse = _reverse_address(wanted)
    if reverse is not None:
        return reverse_of(tree, reverse) or None
    if records.is_reverse_zone(records.wire_name(zone)):
        return None
    return _object_records(tree, labels, zone)


def reverse_of(tree: treecache.TreeCache, text: str) -> list[Record]:
    """PTR of an address, in the plugin's primary zone; empty if it has none."""
    address = records.parse_address(text)
    if address is None:
        return []
    zone = records.primary_zone([zone.lower() for zone in tree.config.zones])
    targets = tree.reverse_names(nodes.key_of(address))
    return [Record("PTR", tree.config.ttl, _under(_label_text(target), zone)) for target in targets]


def dump(tree: treecache.TreeCache) -> dict[str, Any]:
    """The tree as JSON's own types, as kube-dns's /cache shows it: `ChildNodes` by label from the root, `Entries`."""
    root: dict[str, Any] = {}
    for zone in tree.config.zones:
        if records.is_reverse_zone(records.wire_name(zone.lower())):
            continue
        top = _descend(root, reversed(zone.lower().removesuffix(".").split(".")))
        for space in list(tree.namespaces.values()):
            if tree.is_exposed(space):
                services = _descend(top, ("svc", space.name))
                for service in list(space.services.values()):
                    _dump_service(tree, services, service, zone)
    return root


# --- names -----------------------------------------------------------------------------------------------------------


def _fixed(tree: treecache.TreeCache, labels: list[str], zone: str) -> list[Record] | None:
    ttl = tree.config.ttl
    if labels == ["dns-version"]:
        return [Record("TXT", records.DNS_VERSION_TTL, f'"{records.DNS_VERSION.decode()}"')]
    if labels in (["svc"], ["pod"]):
        return []
    servers = apex.name_servers(tree)
    if labels == ["ns", "dns"]:
        addresses = dict.fromkeys(records.address_text(address) for _, address in servers)
        return [_address_record(text, ttl) for text in addresses]
    if not labels:
        soa = f"{_under('ns.dns', zone)} {_under('hostmaster', zone)} {tree.serial} 7200 1800 86400 {ttl}"
        names = dict.fromkeys(_under(_label_text(name), zone) for name, _ in servers)
        return [Record("SOA", min(ttl, 300), soa), *(Record("NS", ttl, name) for name in names)]
    return None


def _object_records(tree: treecache.TreeCache, labels: list[str], zone: str) -> list[Record] | None:
    """Names that objects make: `[first.[second.]]name.ns.svc`, `[x.[y.]]a-b-c-d.ns.pod`, and the inner ones.

    Not those of ServiceImports and those of `zonal`: only deltas have them.
    """
    if labels[-1] not in ("svc", "pod") or not 2 <= len(labels) <= 5:
        return None
    space = tree.namespaces.get(labels[-2])
    if space is None or not tree.is_exposed(space):
        return None
    if labels[-1] == "pod":
        return _pod_records(tree, space, labels, zone)
    if len(labels) == 2:
        return []
    if records.wire_name(zone) in tree.imports.zones:
        return None
    service = space.services.get(labels[-3])
    return None if service is None else _service_records(tree, service, labels[:-3], zone)


def _pod_records(
    tree: treecache.TreeCache, space: nodes.Namespace, labels: list[str], zone: str
) -> list[Record] | None:
    if tree.config.pods == "disabled":
        return None
    if len(labels) == 2:
        return []
    spelled = labels[-3]
    dots = spelled.count("-") == 3 and "--" not in spelled
    text = spelled.replace("-", "." if dots else ":")
    address = records.parse_address(text)
    if address is None or (tree.config.pods == "verified" and (space.name, text) not in tree.pod_count):
        return None
    target = _under(".".join(labels[-3:]), zone)
    number = tree.pod_count.get((space.name, text), 1)
    srv = Record("SRV", tree.config.ttl, f"0 {max(100 // number, 1)} 0 {target}")
    return [_address_record(records.address_text(address), tree.config.ttl), srv]


def _service_records(
    tree: treecache.TreeCache, service: nodes.Service, left: list[str], zone: str
) -> list[Record] | None:
    ttl = tree.config.ttl
    if service.form == nodes.EXTERNAL:
        return [Record("CNAME", ttl, _name_text(service.own))] if not left else None
    if service.form in (nodes.ABSENT, nodes.UNUSABLE):
        return None
    endpoints = [one.groups for one in service.slices if one.groups != records.NO_GROUPS]
    if not endpoints and (service.form == nodes.HEADLESS or tree.config.ignore_empty_service):
        return None
    own = service.form == nodes.CLUSTER and len(left) != 1
    base = _under(_label_text(service.labels), zone)
    entries = list(_matching([service.own] if own else endpoints, left, base, own=own))
    if not entries:
        return None
    weight = max(100 // len(entries), 1)
    found = [_address_record(text, ttl) for text in dict.fromkeys(entry.address for entry in entries)]
    pairs = dict.fromkeys((entry.port, entry.target) for entry in entries if entry.port is not None)
    return found + [Record("SRV", ttl, f"0 {weight} {port} {target}") for port, target in pairs]


def _matching(groups: Iterable[records.Groups], left: list[str], base: str, *, own: bool) -> Iterator[Entry]:
    """The pairs of address and port below a Service that the labels left of its name ask for."""
    endpoint = left[0] if len(left) == 1 else None
    port, protocol = (label.removeprefix("_") for label in left) if len(left) == 2 else ("", "")
    for ports, endpoints in (group for made in groups for group in records.read_groups(made)):
        for end in endpoints:
            label = "" if own else records.endpoint_label(end).decode()
            if endpoint is not None and label.lower() != endpoint:
                continue
            target = base if own else f"{label}.{base}"
            for number, name, its_protocol in ports:
                if port in ("", name) and protocol in ("", its_protocol):
                    portless = number == records.NO_PORT and not name and not its_protocol
                    yield Entry(records.address_text(end[0]), None if portless else number, target)


def _reverse_address(name: str) -> str | None:
    """The address that a reverse name spells; None: it is no such name, or spells none."""
    if name.endswith(".in-addr.arpa."):
        text = ".".join(reversed(name.removesuffix(".in-addr.arpa.").split(".")))
        return text if records.parse_address(text) else None
    if name.endswith(".ip6.arpa."):
        nibbles = "".join(reversed(name.removesuffix(".ip6.arpa.").split(".")))
        try:
            return str(ipaddress.IPv6Address(int(nibbles, 16))) if len(nibbles) == 32 else None
        except ValueError:
            return None
    return None


# --- texts -----------------------------------------------------------------------------------------------------------


def _address_record(text: str, ttl: int) -> Record:
    return Record("AAAA" if ":" in text else "A", ttl, text)


def _under(name: str, zone: str) -> str:
    return f"{name}." if zone == "." else f"{name}.{zone}"


def _label_text(labels: bytes) -> str:
    """Wire labels without root, dots between them."""
    found, at = [], 0
    while at < len(labels):
        found.append(labels[at + 1 : at + 1 + labels[at]].decode(errors="replace"))
        at += 1 + labels[at]
    return ".".join(found)


def _name_text(name: bytes) -> str:
    return _label_text(name[:-1]) + "."


# --- the dump --------------------------------------------------------------------------------------------------------


def _descend(node: dict[str, Any], labels: Iterable[str]) -> dict[str, Any]:
    for label in labels:
        node = node.setdefault("ChildNodes", {}).setdefault(label, {})
    return node


def _dump_service(tree: treecache.TreeCache, above: dict[str, Any], service: nodes.Service, zone: str) -> None:
    found = _service_records(tree, service, [], zone.lower())
    if found is None:
        return
    node = _descend(above, (service.name,))
    for record in found:
        if record.type in ("A", "AAAA", "CNAME"):
            node.setdefault("Entries", {})[record.value] = {"host": record.value, "ttl": record.ttl}
    for one in service.slices:
        for end in records.read_endpoints(one.groups):
            text = records.address_text(end[0])
            leaf = _descend(node, (records.endpoint_label(end).decode(errors="replace"),))
            leaf.setdefault("Entries", {})[text] = {"host": text, "ttl": tree.config.ttl}
    for made in (service.own,) if service.form == nodes.CLUSTER else (one.groups for one in service.slices):
        for ports, _ in records.read_groups(made):
            for number, name, protocol in ports:
                if name or protocol:
                    leaf = _descend(node, (f"_{protocol}", f"_{name}"))
                    leaf.setdefault("Entries", {})[str(number)] = {"port": number, "ttl": tree.config.ttl}
