"""What of an object is kept in the tree, and what is wrong with it: from API structs to nodes' fields."""

from __future__ import annotations

import re

from fastdns.kubernetes import nodes, objects, records

_LABEL = re.compile(r"[a-z0-9_](?:[-a-z0-9_]{0,61}[a-z0-9_])?")


def service_parts(item: objects.Service, complain: records.Complain) -> tuple[int, bytes]:
    """A Service's form and its own octets."""
    if item.is_external:
        target = _external_target((item.spec.external_name or "") if item.spec else "", complain)
        return (nodes.UNUSABLE, records.NO_GROUPS) if target is None else (nodes.EXTERNAL, target)
    if item.is_headless:
        return nodes.HEADLESS, records.NO_GROUPS
    addresses = []
    for text in item.cluster_ips:
        address = records.parse_address(text)
        if address is None:
            complain(f"clusterIP {text!r} is no IP address")
        else:
            addresses.append(address)
    if not addresses:
        complain("it has no clusterIP, so no answer; a headless Service says clusterIP: None")
        return nodes.UNUSABLE, records.NO_GROUPS
    ports = records.ports(item.spec.ports if item.spec else None, complain)
    return nodes.CLUSTER, records.groups(ports, [(address, b"") for address in addresses])


def import_parts(item: objects.ServiceImport, complain: records.Complain) -> tuple[int, bytes]:
    """A ServiceImport's form and its own octets. Without a port it has no name of its own, as in CoreDNS."""
    if item.is_headless:
        return nodes.HEADLESS, records.NO_GROUPS
    declared = item.spec.ports if item.spec else None
    if not declared:
        return nodes.CLUSTER, records.NO_GROUPS
    addresses = []
    for text in (item.spec.ips if item.spec else None) or ():
        address = records.parse_address(text)
        if address is None:
            complain(f"ips: {text!r} is no IP address")
        else:
            addresses.append((address, b""))
    ports = records.ports(declared, complain)
    return nodes.CLUSTER, records.groups(ports, addresses) if addresses else records.bare_groups(ports)


def cluster_label(text: str, complain: records.Complain) -> bytes:
    """The cluster of a slice as a label; empty without one."""
    try:
        return records.label(text) if text else b""
    except records.NameTooLong as error:
        complain(f"cluster: {error}")
        return b""


def _external_target(text: str, complain: records.Complain) -> bytes | None:
    """The wire name of an externalName; None: it can't be one, which is NXDOMAIN in CoreDNS if it is an address."""
    if records.parse_address(text) is not None:
        complain(f"externalName {text!r} is an address, not a name")
        return None
    try:
        target = records.wire_name(text)
    except records.NameTooLong as error:
        complain(f"externalName: {error}")
        return None
    if target == b"\0":
        complain("externalName is empty")
        return None
    return target


def are_labels(namespace: str, name: str, complain: records.Complain) -> bool:
    """Whether both can be labels of a DNS name, lower case as Kubernetes has them."""
    for field, text in (("namespace", namespace), ("name", name)):
        if not _LABEL.fullmatch(text):
            complain(f"its {field} {text[:80]!r} is no DNS label (1 to 63 of a-z, 0-9, -)")
            return False
    return True


def pod_addresses(item: objects.Pod, complain: records.Complain) -> tuple[str, ...]:
    """The addresses as they are spelled, since a pod's name must spell them so (CoreDNS compares text)."""
    found = []
    for text in item.addresses:
        if records.parse_address(text) is None:
            complain(f"podIP {text!r} is no IP address")
        else:
            found.append(text)
    return tuple(dict.fromkeys(found))
