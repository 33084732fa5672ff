"""NOTRACK rules in a table of nftables, which the kernel takes away with the process that made it.

The table is owned by our netlink socket (NFT_TABLE_F_OWNER, Linux 5.12): it goes when the socket is closed, also by
SIGKILL, and nobody else's `flush ruleset` touches it. Packets are matched by their own addresses and ports, so a table
of the addresses' family (ip or ip6) is enough. Attributes' integers are in network order.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from fastdns.server import netlink

logger = logging.getLogger(__name__)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_SUBSYSTEM = 10
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_NEWTABLE, _DELTABLE, _NEWCHAIN, _NEWRULE, _GETRULE = (_SUBSYSTEM << 8 | kind for kind in (0, 2, 3, 6, 7))
_FAMILIES = {4: 2, 6: 10}  # NFPROTO_IPV4, NFPROTO_IPV6
_OWNER = 0x2
_PRIORITY_RAW = -300
_HOOKS = {"prerouting": 0, "output": 3}
_PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
_OFFSETS = {4: {"saddr": 12, "daddr": 16}, 6: {"saddr": 8, "daddr": 24}}  # in the network header
_PORTS = {"sport": 0, "dport": 2}  # in the transport header
_REGISTER = struct.pack(">I", 1)
_NETWORK_HEADER, _TRANSPORT_HEADER = 1, 2
_META_L4PROTO = 16
_EQUAL = 0
_LIST_ELEMENT = 1


class Rule(NamedTuple):
    """What is not tracked: packets of one protocol from or to an address and port, at one hook."""

    hook: str  # prerouting or output
    protocol: str
    side: str  # "d": to the address, "s": from it
    address: Address
    port: int


def make_rules(addresses: Sequence[Address], port: int, health_port: int) -> Iterator[Rule]:
    """As node-cache's in iptables' table raw: queries that arrive and answers that leave, and the health probe's."""
    for address in addresses:
        for protocol in ("tcp", "udp"):
            yield Rule("prerouting", protocol, "d", address, port)
            yield Rule("output", protocol, "s", address, port)
            yield Rule("output", protocol, "d", address, port)
        yield Rule("output", "tcp", "d", address, health_port)
        yield Rule("output", "tcp", "s", address, health_port)


class Table:
    """The rules in the kernel. `is_owned`: they go with this process, whatever ends it."""

    def __init__(self, name: str, rules: Sequence[Rule], *, is_owned: bool = True) -> None:
        self.name = name
        self.is_owned = is_owned
        self._rules = list(rules)
        self._family = _FAMILIES[self._rules[0].address.version]
        self._connection: netlink.Connection | None = None

    def ensure(self) -> bool:
        """Have the rules in place; True if something had to be done. Raises OSError."""
        if self._count() == len(self._rules):
            return False
        try:
            self._replace()
        except OSError as error:
            if not self.is_owned or error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise
            logger.warning(
                "this kernel has no tables with an owner: after a SIGKILL the rules stay until the next start"
            )
            self.is_owned = False
            self._replace()
        return True

    def remove(self) -> bool:
        """True if they were there. Raises OSError."""
        try:
            self._send([self._message(_DELTABLE, netlink.text(1, self.name))])
        except OSError as error:
            if not netlink.is_absent(error):
                raise
            return False
        finally:
            self.close()
        return True

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _count(self) -> int:
        """Rules of ours that the kernel holds."""
        body = self._header(self._family) + netlink.text(1, self.name)
        try:
            answers = self._connect().request(netlink.Message(_GETRULE, body, netlink.DUMP))
        except OSError as error:
            if netlink.is_absent(error):
                return 0
            raise
        wanted = self.name.encode() + b"\0"
        return sum(netlink.attributes(one.body[4:]).get(1) == wanted for one in answers)

    def _replace(self) -> None:
        """Put a new table in the place of what there is, in one step."""
        flags = _OWNER if self.is_owned else 0
        new = self._message(_NEWTABLE, netlink.text(1, self.name) + number(2, flags), netlink.CREATE)
        old = self._message(_DELTABLE, netlink.text(1, self.name))
        chains = [self._chain(hook) for hook in _HOOKS]
        rules = [self._rule(rule) for rule in self._rules]
        self._send([new, old, new, *chains, *rules])

    def _send(self, messages: Sequence[netlink.Message]) -> None:
        begin, end = (
            netlink.Message(kind, self._header(socket.AF_UNSPEC, _SUBSYSTEM)) for kind in (_BATCH_BEGIN, _BATCH_END)
        )
        self._connect().send_batch([begin, *messages, end])

    def _connect(self) -> netlink.Connection:
        if self._connection is None:
            self._connection = netlink.Connection(netlink.NETFILTER)
        return self._connection

    def _message(self, kind: int, body: bytes, flags: int = 0) -> netlink.Message:
        return netlink.Message(kind, self._header(self._family) + body, flags | netlink.ACK)

    @staticmethod
    def _header(family: int, resource: int = 0) -> bytes:
        return struct.pack(">BBH", family, 0, resource)  # nfgenmsg

    def _chain(self, hook: str) -> netlink.Message:
        place = netlink.nest(4, number(1, _HOOKS[hook]), number(2, _PRIORITY_RAW & 0xFFFFFFFF))
        body = netlink.text(1, self.name) + netlink.text(3, hook) + place + netlink.text(7, "filter")
        return self._message(_NEWCHAIN, body, netlink.CREATE)

    def _rule(self, rule: Rule) -> netlink.Message:
        body = netlink.text(1, self.name) + netlink.text(2, rule.hook) + netlink.nest(4, *expressions(rule))
        return self._message(_NEWRULE, body, netlink.CREATE | netlink.APPEND)


def expressions(rule: Rule) -> Iterator[bytes]:
    """`meta l4proto P ip daddr A P dport N notrack`, as nft compiles it."""
    yield expression("meta", netlink.attribute(1, _REGISTER) + number(2, _META_L4PROTO))
    yield compare(bytes([_PROTOCOLS[rule.protocol]]))
    octets = rule.address.packed
    yield load(_NETWORK_HEADER, _OFFSETS[rule.address.version][f"{rule.side}addr"], len(octets))
    yield compare(octets)
    yield load(_TRANSPORT_HEADER, _PORTS[f"{rule.side}port"], 2)
    yield compare(struct.pack(">H", rule.port))
    yield expression("notrack", b"")


def load(base: int, offset: int, length: int) -> bytes:
    return expression(
        "payload", netlink.attribute(1, _REGISTER) + number(2, base) + number(3, offset) + number(4, length)
    )


def compare(octets: bytes) -> bytes:
    return expression(
        "cmp", netlink.attribute(1, _REGISTER) + number(2, _EQUAL) + netlink.nest(3, netlink.attribute(1, octets))
    )


def expression(name: str, data: bytes) -> bytes:
    return netlink.nest(_LIST_ELEMENT, netlink.text(1, name), netlink.nest(2, data))


def number(kind: int, value: int) -> bytes:
    return netlink.attribute(kind, struct.pack(">I", value))
