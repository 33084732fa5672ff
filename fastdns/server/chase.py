"""The end of a CNAME's chase: records of one message put behind the answer section of another."""

from __future__ import annotations

import struct
from collections.abc import Iterator

HEADER = struct.Struct(">HHHHHH")
POINTER = 0xC0
NAME_MAX = 255
JUMPS_MAX = 128
RCODE_MASK = 0x000F
FIXED = struct.Struct(">HHIH")  # type, class, TTL, length of the data
# Types whose data hold names that a sender may have compressed (RFC 3597 section 4): octets before, names, octets after.
COMPRESSED = {2: (0, 1), 5: (0, 1), 6: (0, 2), 12: (0, 1), 15: (2, 1), 33: (6, 1), 39: (0, 1)}


def append_answer(answer: bytes, found: bytes) -> bytes:
    """`answer` (no authority, no additional section) with the answer records of `found`; itself if there are none."""
    try:
        records = list(read_answers(found)) if found and not found[3] & RCODE_MASK else []
    except (ValueError, IndexError, struct.error):
        records = []
    ident, flags, questions, count, _, _ = HEADER.unpack_from(answer)
    head = HEADER.pack(ident, flags, questions, count + len(records), 0, 0)
    return head + answer[HEADER.size :] + b"".join(records)


def read_answers(wire: bytes) -> Iterator[bytes]:
    """The records of the answer section, without compression. Raises ValueError or IndexError: cut or broken."""
    _, _, questions, count, _, _ = HEADER.unpack_from(wire)
    at = HEADER.size
    for _ in range(questions):
        at = skip_name(wire, at) + 4
    for _ in range(count):
        owner, at = read_name(wire, at), skip_name(wire, at)
        qtype, qclass, ttl, size = FIXED.unpack_from(wire, at)
        at += FIXED.size
        if at + size > len(wire):
            raise ValueError("record data are cut")
        data = read_data(wire, at, size, qtype)
        yield owner + FIXED.pack(qtype, qclass, ttl, len(data)) + data
        at += size


def read_data(wire: bytes, at: int, size: int, qtype: int) -> bytes:
    if qtype not in COMPRESSED:
        return wire[at : at + size]
    before, names = COMPRESSED[qtype]
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
