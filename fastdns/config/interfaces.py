"""The network interfaces of this machine and their addresses, read from the kernel over netlink (rtnetlink(7))."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator

_RTM_NEWADDR = 20
_RTM_GETADDR = 22
_NLM_F_REQUEST_DUMP = 0x301
_NLMSG_DONE = 3
_IFA_ADDRESS = 1
_IFA_LOCAL = 2
_HEADER = struct.Struct("=IHHII")
_ADDRESS = struct.Struct("=BBBBI")
_ATTRIBUTE = struct.Struct("=HH")


def addresses() -> dict[str, tuple[str, ...]]:
    """Give every interface with its addresses; a link-local IPv6 address carries its zone (`fe80::1%eth0`)."""
    found: dict[str, tuple[str, ...]] = {name: () for _, name in socket.if_nameindex()}
    for index, address in _dump():
        name = socket.if_indextoname(index)
        zone = f"%{name}" if address.version == 6 and address.is_link_local else ""
        found[name] = (*found.get(name, ()), f"{address}{zone}")
    return found


def _dump() -> Iterator[tuple[int, ipaddress.IPv4Address | ipaddress.IPv6Address]]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        request = _HEADER.pack(_HEADER.size + _ADDRESS.size, _RTM_GETADDR, _NLM_F_REQUEST_DUMP, 1, 0)
        netlink.send(request + _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0))
        while True:
            datagram = netlink.recv(65536)
            for kind, body in _messages(datagram):
                if kind == _NLMSG_DONE:
                    return
                if kind == _RTM_NEWADDR:
                    yield from _address(body)


def _messages(datagram: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position + _HEADER.size <= len(datagram):
        length, kind, *_ = _HEADER.unpack_from(datagram, position)
        if length < _HEADER.size:
            return
        yield kind, datagram[position + _HEADER.size : position + length]
        position += _align(length)


def _address(body: bytes) -> Iterator[tuple[int, ipaddress.IPv4Address | ipaddress.IPv6Address]]:
    """Give the interface's number and its own address: IFA_LOCAL where the link is point to point, else IFA_ADDRESS."""
    *_, index = _ADDRESS.unpack_from(body)
    attributes: dict[int, bytes] = {}
    position = _ADDRESS.size
    while position + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, position)
        if length < _ATTRIBUTE.size:
            break
        attributes[kind] = body[position + _ATTRIBUTE.size : position + length]
        position += _align(length)
    octets = attributes.get(_IFA_LOCAL, attributes.get(_IFA_ADDRESS, b""))
    if len(octets) in (4, 16):
        yield index, ipaddress.ip_address(octets)


def _align(length: int) -> int:
    return (length + 3) & ~3
