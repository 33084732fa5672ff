"""Addresses as names: in-addr.arpa (RFC 1035 section 3.5) and ip6.arpa (RFC 3596 section 2.5)."""

from __future__ import annotations

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

IPV4_SUFFIX = "in-addr.arpa."
IPV6_SUFFIX = "ip6.arpa."


def reverse_name(address: Address) -> str:
    """Give the name whose PTR records name `address`, in canonical text."""
    return address.reverse_pointer + "."


def reverse_zones(network: Network) -> tuple[str, ...]:
    """Give the zones that hold the reverse names of `network` and no other: one on a label boundary, else up to 128.

    A label stands for 8 bits of an IPv4 and for 4 of an IPv6 address; a prefix that ends within a label is split
    into the longer prefixes at the next boundary: 10.96.0.0/12 becomes 96.10.in-addr.arpa. to
    111.10.in-addr.arpa.
    """
    bits = 8 if network.version == 4 else 4
    prefix = -(-network.prefixlen // bits) * bits
    return tuple(_zone(subnet, bits) for subnet in network.subnets(new_prefix=prefix))


def is_reverse(zone: str) -> bool:
    """Tell whether canonical `zone` is a reverse zone with at least one address label.

    CoreDNS counts bare `in-addr.arpa.` and `ip6.arpa.` as ordinary zones; so do we.
    """
    return zone.endswith(("." + IPV4_SUFFIX, "." + IPV6_SUFFIX))


def _zone(network: Network, bits: int) -> str:
    labels = reverse_name(network.network_address).split(".")
    return ".".join(labels[(network.max_prefixlen - network.prefixlen) // bits :])
