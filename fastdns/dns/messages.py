"""Whole messages outside the hot path: a query to send, the addresses of an answer. The one door to dnslib."""

from __future__ import annotations

import struct

import dnslib  # type: ignore[import-untyped]  # it has no types

from fastdns.dns import constants, names

_HEADER = struct.Struct("!6H")
_RECURSION_DESIRED = 0x0100


def encode_query(name: str, qtype: constants.Type, *, message_id: int) -> bytes:
    """Write a query with recursion desired. Raises ValueError for a name that is none."""
    question = names.to_wire(name) + struct.pack("!2H", qtype, constants.Class.IN)
    return _HEADER.pack(message_id, _RECURSION_DESIRED, 1, 0, 0, 0) + question


def read_addresses(wire: bytes, *, message_id: int) -> tuple[str, ...]:
    """Give the A and AAAA records of an answer, in its order. Raises OSError for what is no answer to `message_id`."""
    try:
        message = dnslib.DNSRecord.parse(wire)
    except dnslib.DNSError as error:
        raise OSError(f"a malformed answer: {error}") from error
    if message.header.id != message_id:
        raise OSError("an answer to another question")
    wanted = (constants.Type.A, constants.Type.AAAA)
    return tuple(str(record.rdata) for record in message.rr if record.rtype in wanted)
