"""The link that holds node-cache's own addresses: a dummy interface, made, kept and taken away by rtnetlink(7)."""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from collections.abc import Iterable, Sequence

from fastdns import errors
from fastdns.server import netlink

DUMMY = "dummy"
_NEWLINK, _DELLINK, _GETLINK, _NEWADDR = 16, 17, 18, 20
_LINK = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, which flags change
_ADDRESS = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, index
_IFLA_IFNAME, _IFLA_LINKINFO, _IFLA_INFO_KIND = 3, 18, 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_IFA_F_NODAD = 0x02
_IFF_UP = 1

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def ensure_link(name: str, addresses: Iterable[Address], *, kind: str = DUMMY) -> bool:
    """Have a link of that name hold the addresses; True if it had to be made. Raises NodeError.

    A link that is there already is taken as it is. IPv4 addresses are the machine's own on a link that is down, as
    node-cache leaves it; IPv6 addresses only on one that is up.
    """
    failure = "interface_check", f"Error checking {kind} device {name}"
    try:
        with netlink.Connection(socket.NETLINK_ROUTE) as route:
            index = find_link(route, name)
            is_new = index is None
            if index is None:
                failure = "interface_add", f"Failed to add non-existent interface {name}"
                index = make_link(route, name, kind)
            hold_addresses(route, index, list(addresses))
    except OSError as error:
        kind_of_failure, what = failure
        raise errors.NodeError(kind_of_failure, f"{what}: {error.strerror}") from error
    return is_new


def remove_link(name: str) -> bool:
    """True if it was there. Raises OSError."""
    with netlink.Connection(socket.NETLINK_ROUTE) as route:
        index = find_link(route, name)
        if index is not None:
            route.request(netlink.Message(_DELLINK, _LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0)))
    return index is not None


def find_link(route: netlink.Connection, name: str) -> int | None:
    body = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + netlink.text(_IFLA_IFNAME, name)
    try:
        (answer, *_) = route.request(netlink.Message(_GETLINK, body))
    except OSError as error:
        if netlink.is_absent(error):
            return None
        raise
    index: int = _LINK.unpack_from(answer.body)[2]
    return index


def make_link(route: netlink.Connection, name: str, kind: str) -> int:
    info = netlink.nest(_IFLA_LINKINFO, netlink.text(_IFLA_INFO_KIND, kind))
    body = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + netlink.text(_IFLA_IFNAME, name) + info
    route.request(netlink.Message(_NEWLINK, body, netlink.CREATE | netlink.EXCL))
    index = find_link(route, name)
    assert index is not None
    return index


def hold_addresses(route: netlink.Connection, index: int, addresses: Sequence[Address]) -> None:
    if any(address.version == 6 for address in addresses):
        route.request(netlink.Message(_NEWLINK, _LINK.pack(socket.AF_UNSPEC, 0, index, _IFF_UP, _IFF_UP)))
    for address in addresses:
        add_address(route, index, address)


def add_address(route: netlink.Connection, index: int, address: Address) -> None:
    """One that the link has already is left alone."""
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    flags = _IFA_F_NODAD if address.version == 6 else 0
    body = _ADDRESS.pack(family, address.max_prefixlen, flags, 0, index)
    body += netlink.attribute(_IFA_LOCAL, address.packed) + netlink.attribute(_IFA_ADDRESS, address.packed)
    try:
        route.request(netlink.Message(_NEWADDR, body, netlink.CREATE | netlink.EXCL))
    except OSError as error:
        if error.errno != errno.EEXIST:
            raise
