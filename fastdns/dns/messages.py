"""Whole messages outside the hot path: a query to send, the records of an answer. The one door to dnslib."""

from __future__ import annotations

import dataclasses
import re
import struct

import dnslib  # type: ignore[import-untyped]  # it has no types

from fastdns.dns import constants, names, records

_HEADER = struct.Struct("!6H")
_RECURSION_DESIRED = 0x0100
_TTL = 3600  # of a record that has none, as in CoreDNS
_TTL_TEXT = re.compile(r"([0-9]+[smhdwSMHDW]?)+")
_TTL_PART = re.compile(r"([0-9]+)([smhdwSMHDW]?)")
_PARENTHESES = re.compile(r'("(?:\\.|[^"\\])*"|\\.)|[()]')  # they only join lines, outside of quotes
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """The answer section of a message, in its order: `texts` has the strings of each TXT record, None for another type."""

    addresses: tuple[str, ...]
    texts: tuple[tuple[bytes, ...] | None, ...]

    @property
    def answers(self) -> int:
        return len(self.texts)


def read_record(text: str) -> records.Record:
    """Read a line of a zone file; its TTL is an hour if it names none. Raises ValueError for what is no record."""
    words = _PARENTHESES.sub(lambda match: match[1] or " ", text).split(maxsplit=3)
    if not words:
        raise ValueError("no record: an empty text")
    fixed = [one for one in words[1:3] if _is_ttl_or_class(one)]
    ttl = next((_seconds(one) for one in fixed if one[0].isdigit()), _TTL)
    rclass = next((one.upper() for one in fixed if not one[0].isdigit()), "IN")
    rest = " ".join(words[1 + len(fixed) :])
    try:
        (found,) = dnslib.RR.fromZone(f"{names.canonical(words[0])} {ttl} {rclass} {rest}")
        message = dnslib.DNSRecord(rr=[found]).pack()
    except (dnslib.DNSError, dnslib.buffer.BufferError, ValueError, IndexError, TypeError) as error:
        raise ValueError(f"no record: {text!r}: {error}") from error
    return records.read_message(message).answer[0]


def _is_ttl_or_class(word: str) -> bool:
    return _TTL_TEXT.fullmatch(word) is not None or word.upper() in ("IN", "CH", "HS")


def _seconds(text: str) -> int:
    """Read `3600` or `1h30m`."""
    return sum(int(number) * _UNITS[unit.lower() or "s"] for number, unit in _TTL_PART.findall(text))


def encode_query(
    name: str, qtype: constants.Type, *, message_id: int, qclass: constants.Class = constants.Class.IN
) -> bytes:
    """Write a query with recursion desired. Raises ValueError for a name that is none."""
    question = names.to_wire(name) + struct.pack("!2H", qtype, qclass)
    return _HEADER.pack(message_id, _RECURSION_DESIRED, 1, 0, 0, 0) + question


def read_answer(wire: bytes) -> list[tuple[str, int, str]]:
    """Give (owner without final dot, type, data as text) of the answer section. Raises OSError for what is no message."""
    try:
        message = dnslib.DNSRecord.parse(wire)
    except dnslib.DNSError as error:
        raise OSError(f"a malformed answer: {error}") from error
    return [(str(record.rname).rstrip(".") or ".", int(record.rtype), str(record.rdata)) for record in message.rr]


def read_addresses(wire: bytes, *, message_id: int) -> tuple[str, ...]:
    """Give the A and AAAA records of an answer, in its order. Raises OSError for what is no answer to `message_id`."""
    return read_reply(wire, message_id=message_id).addresses


def read_reply(wire: bytes, *, message_id: int) -> Reply:
    """Read an answer. Raises OSError for what is no answer to `message_id`."""
    try:
        message = dnslib.DNSRecord.parse(wire)
    except (dnslib.DNSError, ValueError) as error:  # the latter for text that is none, in some types
        raise OSError(f"a malformed answer: {error}") from error
    if message.header.id != message_id:
        raise OSError("an answer to another question")
    wanted = (constants.Type.A, constants.Type.AAAA)
    is_text = constants.Type.TXT
    return Reply(
        addresses=tuple(str(record.rdata) for record in message.rr if record.rtype in wanted),
        texts=tuple(tuple(record.rdata.data) if record.rtype == is_text else None for record in message.rr),
    )
