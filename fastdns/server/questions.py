"""A query's header, question and OPT as Python reads them, of a message that the engine has accepted."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Awaitable, Callable

from fastdns.dns import constants, names

LookUp = Callable[[bytes, int], Awaitable[bytes]]
"""Asks the server itself for a name and a type: the answer's octets, empty if none came."""

HEADER_SIZE = 12
OPT = 41
DO = 0x8000
PLAIN_SIZE = 512  # of an answer to a query without EDNS
RESPONSE, RD = 0x8000, 0x0100


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    id: int
    flags: int
    qname: bytes  # wire, as the asker spelt it
    qtype: int
    qclass: int
    has_edns: bool = False
    wants_dnssec: bool = False
    udp_size: int = PLAIN_SIZE

    @property
    def name(self) -> str:
        """Canonical text."""
        return names.from_wire(self.qname.lower())

    @property
    def opcode(self) -> int:
        return self.flags >> 11 & 15

    @property
    def size(self) -> int:
        """Octets of header and question."""
        return HEADER_SIZE + len(self.qname) + 4


def read_question(wire: bytes) -> Question:
    """Read a query that the engine has accepted: one question, uncompressed, and perhaps an OPT right behind it."""
    ident, flags = struct.unpack_from(">HH", wire)
    end = HEADER_SIZE
    while wire[end]:
        end += wire[end] + 1
    qtype, qclass = struct.unpack_from(">HH", wire, end + 1)
    qname = bytes(wire[HEADER_SIZE : end + 1])
    at = end + 5
    if len(wire) >= at + 11 and wire[at] == 0 and struct.unpack_from(">H", wire, at + 1)[0] == OPT:
        size, _, _, bits = struct.unpack_from(">HBBH", wire, at + 3)
        return Question(ident, flags, qname, qtype, qclass, True, bool(bits & DO), max(size, PLAIN_SIZE))
    return Question(ident, flags, qname, qtype, qclass)


def make_query(qname: bytes, qtype: int, *, ident: int = 0, qclass: int = 1) -> bytes:
    """A query for one name in wire form, recursion desired."""
    return struct.pack(">HHHHHH", ident, RD, 1, 0, 0, 0) + qname + struct.pack(">HH", qtype, qclass)


def name_type(qtype: int) -> str:
    return constants.Type(qtype).name if qtype in TYPES else f"TYPE{qtype}"


def name_class(qclass: int) -> str:
    return constants.Class(qclass).name if qclass in CLASSES else f"CLASS{qclass}"


TYPES = frozenset(constants.Type)
CLASSES = frozenset(constants.Class)
