"""Whole messages outside the hot path: a query to send, the records of an answer. The one door to dnslib."""

from __future__ import annotations

import dataclasses
import struct

import dnslib  # type: ignore[import-untyped]  # it has no types

from fastdns.dns import constants, names

_HEADER = struct.Struct("!6H")
_RECURSION_DESIRED = 0x0100


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """The answer section of a message, in its order: `texts` has the strings of each TXT record, None for another type."""

    addresses: tuple[str, ...]
    texts: tuple[tuple[bytes, ...] | None, ...]

    @property
    def answers(self) -> int:
        return len(self.texts)


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
