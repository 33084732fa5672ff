"""What is asked of an upstream, made from a client's query; and whether a message is the reply to it.

As in the compiled in-flight table, nothing of the client but its question, RD, AD, CD and DO goes upstream: its options
(cookies, its address, padding) are its own affair with us.
"""

from __future__ import annotations

import dataclasses
import struct

from fastdns import _packet
from fastdns._packet import Flag, QueryStatus, Rcode, Wire
from fastdns.config import model

_PASSED_ON = Flag.RD | Flag.AD | Flag.CD
_DO = 0x8000
_OPT = 41
_NAME_LETTERS = bytes(range(256)).lower()


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """`name` is canonical wire; equal questions may share a reply."""

    name: bytes
    qtype: int
    qclass: int
    flags: int
    wants_dnssec: bool

    @property
    def wire(self) -> bytes:
        return self.name + self.qtype.to_bytes(2, "big") + self.qclass.to_bytes(2, "big")


def read_question(query: bytes) -> Question:
    """What a client's query asks. Raises ValueError: it is none that can be asked on."""
    status, _, flags, name, qtype, qclass, _, _, wants_dnssec = _packet.inspect_query(query)
    if status != QueryStatus.QUERY_OK:
        raise ValueError(f"not a query to be forwarded: {status.name}")
    return Question(name, qtype, qclass, flags & _PASSED_ON, wants_dnssec)


def write_query(question: Question, identifier: int, *, with_edns: bool = True) -> bytes:
    header = identifier.to_bytes(2, "big") + question.flags.to_bytes(2, "big") + b"\0\1\0\0\0\0\0" + bytes([with_edns])
    if not with_edns:
        return header + question.wire
    extended = (_DO if question.wants_dnssec else 0).to_bytes(4, "big")
    opt = b"\0\0\x29" + int(Wire.UDP_OURS).to_bytes(2, "big") + extended + b"\0\0"
    return header + question.wire + opt


def is_reply(question: Question, reply: bytes) -> bool:
    """True if QR, opcode, name (in any case), type and class are a reply's; the id is the caller's to compare."""
    end = Wire.HEADER_SIZE + len(question.name) + 4
    return (
        len(reply) >= end
        and flags_of(reply) & (Flag.QR | Flag.OPCODE_MASK) == Flag.QR
        and reply[4:6] == b"\0\1"
        and reply[12 : end - 4].translate(_NAME_LETTERS) == question.name
        and reply[end - 4 : end] == question.wire[-4:]
    )


def refuses_edns(reply: bytes) -> bool:
    """True for the bare header with FORMERR that servers older than EDNS send (RFC 6891 section 7)."""
    return len(reply) == Wire.HEADER_SIZE and reply[4:6] == b"\0\0" and rcode_of(reply) == Rcode.FORMERR


def flags_of(reply: bytes) -> int:
    return int.from_bytes(reply[2:4], "big")


def rcode_of(reply: bytes) -> int:
    return flags_of(reply) & Flag.RCODE_MASK


def is_truncated(reply: bytes) -> bool:
    return bool(flags_of(reply) & Flag.TC)


def age_reply(reply: bytes, seconds: int) -> bytes:
    """The reply with every TTL less by `seconds`, and 0 at least; as it is if it is broken, which others find out."""
    aged = bytearray(reply)
    try:
        at = _end_of_name(reply, Wire.HEADER_SIZE) + 4
        for _ in range(sum(int.from_bytes(reply[count : count + 2], "big") for count in (6, 8, 10))):
            at = _end_of_name(reply, at)
            rtype, _, ttl, size = struct.unpack_from("!HHIH", reply, at)
            if rtype != _OPT:
                aged[at + 4 : at + 8] = max(0, ttl - seconds).to_bytes(4, "big")
            at += 10 + size
    except (IndexError, struct.error):
        return reply
    return bytes(aged)


def _end_of_name(message: bytes, at: int) -> int:
    while (length := message[at]) & 0xC0 != 0xC0:
        at += length + 1
        if not length:
            return at
    return at + 2


def name_of(upstream: model.Upstream) -> str:
    """As messages and metrics name an upstream."""
    return f"[{upstream.address}]:{upstream.port}" if ":" in upstream.address else f"{upstream.address}:{upstream.port}"
