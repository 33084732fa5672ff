"""plugin whoami: who asked, from which port, over which protocol."""

from __future__ import annotations

import ipaddress
import struct

from fastdns import _engine
from fastdns.server import questions

QR, AA = 0x8000, 0x0400
A, AAAA, SRV = 1, 28, 33
OWNER_IS_QNAME = b"\xc0\x0c"
NAME_MAX = 255


def describe(query: _engine.Slow) -> bytes:
    """The answer, as CoreDNS's: nothing in the answer section, the address and `_proto.NAME SRV` in the additional one."""
    question = questions.read_question(query.wire)
    records = []
    if query.remote[0]:
        address = ipaddress.ip_address(query.remote[0].partition("%")[0])
        qtype = A if address.version == 4 else AAAA
        records.append(encode(OWNER_IS_QNAME, qtype, question.qclass, address.packed))
    label = b"\4_tcp" if query.is_stream else b"\4_udp"
    if len(label) + len(question.qname) <= NAME_MAX:
        data = struct.pack(">HHH", 0, 0, query.remote[1]) + b"\0"
        records.append(encode(label + OWNER_IS_QNAME, SRV, question.qclass, data))
    head = struct.pack(">HHHHHH", question.id, QR | AA, 1, 0, 0, len(records))
    return head + query.wire[questions.HEADER_SIZE : question.size] + b"".join(records)


def encode(owner: bytes, qtype: int, qclass: int, data: bytes) -> bytes:
    return owner + struct.pack(">HHIH", qtype, qclass, 0, len(data)) + data
