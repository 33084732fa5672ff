"""The end of a CNAME's chase: records of one message put behind the answer section of another."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from fastdns.dns import records

RCODE_MASK = 0x000F
AA = 0x0400


def append_answer(answer: bytes, found: bytes, *, keeps_flags: bool = True) -> bytes:
    """`answer` (no authority, no additional section) with the answer records of `found`; itself if there are none.

    Not `keeps_flags`: with records of others it is not authoritative.
    """
    try:
        behind = list(read_answers(found)) if found and not found[3] & RCODE_MASK else []
    except (ValueError, IndexError, struct.error):
        behind = []
    ident, flags, questions, count, _, _ = records.HEADER.unpack_from(answer)
    if behind and not keeps_flags:
        flags &= ~AA
    head = records.HEADER.pack(ident, flags, questions, count + len(behind), 0, 0)
    return head + answer[records.HEADER.size :] + b"".join(behind)


def read_answers(wire: bytes) -> Iterator[bytes]:
    """The records of the answer section, without compression. Raises ValueError or IndexError: cut or broken."""
    _, _, questions, count, _, _ = records.HEADER.unpack_from(wire)
    at = records.HEADER.size
    for _ in range(questions):
        at = records.skip_name(wire, at) + 4
    for _ in range(count):
        record, at = records.read_record(wire, at)
        fixed = records.FIXED.pack(record.rtype, record.rclass, record.ttl, len(record.data))
        yield record.owner + fixed + record.data
