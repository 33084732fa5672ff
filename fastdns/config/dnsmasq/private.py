"""Networks that are nobody's in public: dnsmasq's list of them, for reverse names and for rebind protection (RFC 6303)."""

from __future__ import annotations

import ipaddress

from fastdns.config import local
from fastdns.dns import reverse

_LOOPBACK = ("127.0.0.0/8", "0.0.0.0/8")
_LOOPBACK_6 = ("::/128", "::1/128")
_NETWORKS = (
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "192.0.2.0/24",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "255.255.255.255/32",
)
_NETWORKS_6 = ("fe80::/10", "fec0::/10", "fd00::/8", "2001:db8::/32")


def networks(*, with_loopback: bool) -> tuple[local.Network, ...]:
    """Networks whose addresses in a public answer are an attack; IPv4 ones also in IPv6 form (RFC 4291 section 2.5.5.2)."""
    four = [ipaddress.IPv4Network(text) for text in (*_NETWORKS, *(_LOOPBACK if with_loopback else ()))]
    six = [ipaddress.IPv6Network(text) for text in (*_NETWORKS_6, *(_LOOPBACK_6 if with_loopback else ()))]
    mapped = [ipaddress.IPv6Network(f"::ffff:{network.network_address}/{96 + network.prefixlen}") for network in four]
    return (*map(spread, four), *map(spread, (*six, *mapped)))


def spread(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> local.Network:
    return local.Network(network.network_address.packed, network.broadcast_address.packed)


def reverse_zones() -> tuple[str, ...]:
    """The zones of their reverse names."""
    found = (*_NETWORKS, *_LOOPBACK, *_NETWORKS_6, *_LOOPBACK_6)
    return tuple(zone for text in found for zone in reverse.reverse_zones(ipaddress.ip_network(text)))
