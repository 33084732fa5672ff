"""The zones' own names: which servers a zone has, as CoreDNS's nsAddrs finds them, and the operations that make them known."""

from __future__ import annotations

import typing
from collections.abc import Iterator

from fastdns.dns import deltas
from fastdns.kubernetes import nodes, records

if typing.TYPE_CHECKING:
    from fastdns.kubernetes.treecache import TreeCache

NS_DNS = b"\2ns\3dns"


def name_servers(tree: TreeCache) -> list[tuple[bytes, bytes]]:
    """Names below the zone and addresses of this server.

    The Services whose ready endpoints have one of our addresses; without any such endpoint, `ns.dns` and our addresses.
    """
    slices = local_slices(tree)
    if not slices:
        return [(NS_DNS, address) for address in tree.local]
    found: list[tuple[bytes, bytes]] = []
    for one in slices:
        labels = one.service.labels
        if one.service.form == nodes.HEADLESS:
            endpoints = records.read_endpoints(one.groups)
            found += [(records.label_octets(records.endpoint_label(end)) + labels, end[0]) for end in endpoints]
        elif one.service.form != nodes.ABSENT:
            found += [(labels, nodes.address_of(key)) for key in one.service.addresses]
    return found


def operations(tree: TreeCache) -> Iterator[bytes]:
    """NS at each zone's apex, and the addresses behind it at `ns.dns`."""
    servers = name_servers(tree)
    for zone in tree.zones:
        names = [name for name in dict.fromkeys(name for name, _ in servers) if len(name) + len(zone) <= 255]
        sets = (deltas.ns_set(names, tree.config.ttl),) if names else ()
        yield deltas.put(zone, deltas.data(deltas.TXT_NXDOMAIN, *sets))
        addresses = deltas.address_sets((address for _, address in servers), tree.config.ttl)
        yield deltas.put(NS_DNS + zone, deltas.data(deltas.TXT_NXDOMAIN, *addresses))


def local_slices(tree: TreeCache) -> list[nodes.Slice]:
    """The slices that have one of our addresses among their endpoints."""
    found = (one for address in tree.local for one in tree.reverse.by_ip.get(nodes.key_of(address)))
    return list(dict.fromkeys(found))
