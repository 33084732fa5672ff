"""Messages that kube-dns's rare answers become: records with whole names in, a compressed message that fits out."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterable, Sequence

IN, CHAOS = 1, 3
A, CNAME, SOA, TXT, AAAA, SRV = 1, 5, 6, 16, 28, 33
QR, TC = 0x8000, 0x0200
HEADER_SIZE = 12
RECORD_MIN = 16  # octets: an address with a compressed owner
POINTER, POINTER_MAX = 0xC000, 0x3FFF
_SRV_HEAD = 6  # octets before the target, which must not be compressed (RFC 2782)


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """`owner` and names in `data` are whole wire names."""

    owner: bytes
    rtype: int
    ttl: int
    data: bytes
    rclass: int = IN


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """What an answer says; `flags` hold the rcode."""

    flags: int
    answer: Sequence[Record] = ()
    authority: Sequence[Record] = ()
    additional: Sequence[Record] = ()


def encode(head: bytes, message: Message, *, limit: int) -> bytes:
    """The message under `head`, a query's header and question, in fewer than `limit` octets.

    As SkyDNS does it: what is too large loses the additional section first, then answers, with TC.
    """
    if len(message.answer) > limit // RECORD_MIN:  # so many don't fit, and are not tried
        message = dataclasses.replace(message, answer=message.answer[: limit // RECORD_MIN + 1], additional=())
    whole = _write(head, message)
    if len(whole) < limit:
        return whole
    whole = _write(head, dataclasses.replace(message, additional=()))
    if len(whole) < limit:
        return whole
    low, high = 0, len(message.answer)  # so many fit, so many don't
    while high - low > 1:
        middle = (low + high) // 2
        if len(_write(head, Message(message.flags | TC, message.answer[:middle]))) < limit:
            low = middle
        else:
            high = middle
    return _write(head, Message(message.flags | TC, message.answer[:low]))


def _write(head: bytes, message: Message) -> bytes:
    sections = (message.answer, message.authority, message.additional)
    out = bytearray(head)
    struct.pack_into(">H", out, 2, QR | message.flags)
    struct.pack_into(">HHHH", out, 4, 1, *map(len, sections))
    places: dict[bytes, int] = {}
    _note_name(places, head[HEADER_SIZE:-4], HEADER_SIZE)
    for section in sections:
        _write_records(out, section, places)
    return bytes(out)


def _write_records(out: bytearray, records: Iterable[Record], places: dict[bytes, int]) -> None:
    for record in records:
        _write_name(out, record.owner, places)
        out += struct.pack(">HHIH", record.rtype, record.rclass, record.ttl, 0)
        start = len(out)
        if record.rtype == CNAME:
            _write_name(out, record.data, places)
        else:
            out += record.data
            if record.rtype == SRV:
                _note_name(places, record.data[_SRV_HEAD:], start + _SRV_HEAD)
        struct.pack_into(">H", out, start - 2, len(out) - start)


def _write_name(out: bytearray, name: bytes, places: dict[bytes, int]) -> None:
    start = len(out)
    at = 0
    while name[at] and name[at:] not in places:
        at += 1 + name[at]
    out += name[:at]
    out += struct.pack(">H", POINTER | places[name[at:]]) if name[at] else b"\0"
    _note_name(places, name, start)


def _note_name(places: dict[bytes, int], name: bytes, start: int) -> None:
    """Remember where a name stands, and what it ends in."""
    at = 0
    while name[at]:
        if start + at <= POINTER_MAX:
            places.setdefault(name[at:], start + at)
        at += 1 + name[at]
