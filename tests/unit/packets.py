"""Messages written octet by octet, right and wrong, for tests of what reads queries."""

from __future__ import annotations

import struct
from collections.abc import Sequence

NAME = b"\x0akubernetes\x07default\x03svc\x07cluster\x05local\0"
A, OPT, TSIG = 1, 41, 250


def header(flags: int = 0, *counts: int) -> bytes:
    """Id 0xBEEF; counts of question, answer, authority, additional: 1, 0, 0, 0 unless given."""
    four = (*counts, *(1, 0, 0, 0)[len(counts) :])
    return struct.pack(">6H", 0xBEEF, flags, *four)


def question(name: bytes = NAME, qtype: int = A, qclass: int = 1) -> bytes:
    return name + struct.pack(">HH", qtype, qclass)


def query(name: bytes = NAME, qtype: int = A, qclass: int = 1, flags: int = 0) -> bytes:
    return header(flags) + question(name, qtype, qclass)


def record(rtype: int = A, data: bytes = b"\1\2\3\4", owner: bytes = b"\0", rdlen: int | None = None) -> bytes:
    return owner + struct.pack(">HHIH", rtype, 1, 0, len(data) if rdlen is None else rdlen) + data


def option(code: int, data: bytes = b"", size: int | None = None) -> bytes:
    return struct.pack(">HH", code, len(data) if size is None else size) + data


def opt(
    *options: bytes, size: int = 1232, version: int = 0, flags: int = 0, owner: bytes = b"\0", rdlen: int | None = None
) -> bytes:
    data = b"".join(options)
    length = len(data) if rdlen is None else rdlen
    return owner + struct.pack(">HHBBHH", OPT, size, 0, version, flags, length) + data


def with_additional(*records: bytes, flags: int = 0, qtype: int = A, count: int | None = None) -> bytes:
    counted = len(records) if count is None else count
    return header(flags, 1, 0, 0, counted) + question(qtype=qtype) + b"".join(records)


def labels(sizes: Sequence[int], root: bytes = b"\0") -> bytes:
    return b"".join(bytes([size]) + b"x" * size for size in sizes) + root
