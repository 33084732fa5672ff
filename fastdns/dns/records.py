"""Messages taken apart into records and put together again, outside the hot path: names in them are whole.

What comes in was checked for nothing: a reader raises ValueError, IndexError or struct.error for what is cut or broken.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable

from fastdns.dns.constants import Type

HEADER = struct.Struct(">HHHHHH")
POINTER = 0xC0
POINTERS_END = 0x4000  # no pointer leads so far (RFC 1035 section 4.1.4)
NAME_MAX = 255
JUMPS_MAX = 128
FIXED = struct.Struct(">HHIH")  # type, class, TTL, length of the data
# Types whose data hold names that a sender may have compressed (RFC 3597 section 4): octets before, names, octets after.
COMPRESSED = {2: (0, 1), 5: (0, 1), 6: (0, 2), 12: (0, 1), 15: (2, 1), 33: (6, 1), 39: (0, 1)}


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """`owner` and the names in `data` are uncompressed wire."""

    owner: bytes
    rtype: int
    rclass: int
    ttl: int
    data: bytes

    def name_at(self) -> int | None:
        """Where in the data the name is that the record leads to; None: it leads nowhere."""
        match self.rtype:
            case Type.NS | Type.CNAME | Type.SOA | Type.PTR | Type.DNAME:
                return 0
            case Type.MX:
                return 2
            case Type.SRV:
                return 6
            case Type.NAPTR:
                at = 4
                for _ in range(3):  # flags, services, regexp
                    at += 1 + self.data[at]
                return at
        return None


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """A message with one question; OPT is left out."""

    ident: int
    flags: int
    question: bytes  # name, type and class
    answer: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()

    def map_records(self, change: Callable[[Record], Record]) -> Message:
        """The same message with other records."""
        return dataclasses.replace(
            self,
            answer=tuple(map(change, self.answer)),
            authority=tuple(map(change, self.authority)),
            additional=tuple(map(change, self.additional)),
        )


def read_message(wire: bytes) -> Message:
    ident, flags, questions, *counts = HEADER.unpack_from(wire)
    at = start = HEADER.size
    for _ in range(questions):
        at = skip_name(wire, at) + 4
    question = wire[start:at]
    sections: list[tuple[Record, ...]] = []
    for count in counts:
        records = []
        for _ in range(count):
            record, at = read_record(wire, at)
            if record.rtype != Type.OPT:
                records.append(record)
        sections.append(tuple(records))
    return Message(ident, flags, question, *sections)


def write_message(message: Message) -> bytes:
    """Write a message; owners that came before are compressed."""
    wire = bytearray(
        HEADER.pack(
            message.ident, message.flags, 1, len(message.answer), len(message.authority), len(message.additional)
        )
    )
    wire += message.question
    places = {message.question[:-4].lower(): HEADER.size}
    for record in (*message.answer, *message.authority, *message.additional):
        place = places.get(record.owner.lower())
        if place is None and len(wire) < POINTERS_END:
            places[record.owner.lower()] = len(wire)
        wire += record.owner if place is None else struct.pack(">H", POINTER << 8 | place)
        wire += FIXED.pack(record.rtype, record.rclass, record.ttl, len(record.data)) + record.data
    return bytes(wire)


def read_record(wire: bytes, at: int) -> tuple[Record, int]:
    """The record at `at`, and where the next one is."""
    owner, at = read_name(wire, at), skip_name(wire, at)
    rtype, rclass, ttl, size = FIXED.unpack_from(wire, at)
    at += FIXED.size
    if at + size > len(wire):
        raise ValueError("record data are cut")
    return Record(owner, rtype, rclass, ttl, read_data(wire, at, size, rtype)), at + size


def read_data(wire: bytes, at: int, size: int, rtype: int) -> bytes:
    if rtype not in COMPRESSED:
        return wire[at : at + size]
    before, names = COMPRESSED[rtype]
    data, end = wire[at : at + before], at + size
    at += before
    for _ in range(names):
        data += read_name(wire, at)
        at = skip_name(wire, at)
    return data + wire[at:end]


def read_name(wire: bytes, at: int) -> bytes:
    name = b""
    for _ in range(JUMPS_MAX):
        size = wire[at]
        if size & POINTER == POINTER:
            at = (size & ~POINTER) << 8 | wire[at + 1]
        elif size & POINTER:
            raise ValueError("a label of an unknown kind")
        elif size == 0:
            return name + b"\0"
        else:
            name += wire[at : at + 1 + size]
            at += 1 + size
            if len(name) >= NAME_MAX:
                break
    raise ValueError("a name that is too long, or a loop")


def skip_name(wire: bytes, at: int) -> int:
    while wire[at]:
        if wire[at] & POINTER:
            return at + 2
        at += 1 + wire[at]
    return at + 1
