"""Deltas that control would never send: applied to a table up to the bad operation, and the table goes on answering."""

from __future__ import annotations

import contextlib
import ctypes

from fastdns import _names, errors

ZONE = b"\7cluster\5local\0"
SOA = b"\7\2ns\3dns" + b"\x0b\nhostmaster" + bytes(16)
NAMES = [
    ZONE,
    b"\1a\1b\3svc" + ZONE,
    b"\1x\1a\1b\3svc" + ZONE,
    b"\4_tcp\1a\1b\3svc" + ZONE,
    b"\0",
    b"\1*\1b\3svc" + ZONE,
]


def zone(name: bytes = ZONE) -> bytes:
    return b"\3" + name + bytes.fromhex("0000 0400 0400 0400 0000001e") + len(SOA).to_bytes(2, "big") + SOA


def put(name: bytes, *sets: bytes, flags: int = 0) -> bytes:
    data = flags.to_bytes(2, "big") + bytes([len(sets)]) + b"".join(sets)
    return b"\1" + name + len(data).to_bytes(4, "big") + data


def record_set(rtype: int, form: int, count: int, octets: bytes) -> bytes:
    head = rtype.to_bytes(2, "big") + bytes([form]) + (30).to_bytes(4, "big") + count.to_bytes(2, "big")
    return head + len(octets).to_bytes(4, "big") + octets


PORT = b"\0\x50\4http\3tcp"
GROUP = b"\1" + PORT + (2).to_bytes(4, "big") + b"\4\x0a\0\0\1\0" + b"\4\x0a\0\0\2\5web-0"
OWNER = b"\1a\1b\3svc"
SERVICE = bytes([len(OWNER)]) + OWNER + b"\1" + b"\0\0" + b"\0\1" + GROUP
SEEDS = [
    zone() + put(NAMES[1], record_set(1, 0, 2, bytes(8))) + b"\5\1" + b"\4\0\0\0\7",
    zone() + put(NAMES[1], record_set(33, 4, 0, SERVICE)) + b"\6" + ZONE,
    put(NAMES[5], record_set(16, 1, 1, b"\0\6\5hello")) + b"\2" + NAMES[5],
    zone() + put(NAMES[1], record_set(12, 2, 1, b"\0\2\1a"), record_set(28, 0, 1, bytes(16))),
    zone(b"\0") + put(b"\0", record_set(5, 3, 1, b"\0\2\1a")),
    zone() + put(NAMES[1], record_set(33, 3, 1, b"\0\x08" + bytes(6) + b"\1a")) + put(NAMES[2], flags=32) + b"\5\1",
    b"\2" + NAMES[2],
    b"",
]


def run(data: bytes) -> object:
    table = _names.NameTable()
    exact = (ctypes.c_char * len(data)).from_buffer_copy(data)  # a block of exactly its size: an octet too far is seen
    failed = False
    table.begin_snapshot()
    for _ in range(2):  # the same again: every operation replaces what it made
        try:
            table.apply(exact)
        except errors.TableError:
            failed = True
    table.end_snapshot()
    with contextlib.suppress(errors.TableError):
        table.apply(exact)
    found = [table.find(name) for name in NAMES]
    entries = [len(table.entries(name, 20)) for name in NAMES]
    held = [table.holds(name) for name in NAMES]
    while table.reclaim(10):
        pass
    stats = table.stats()
    return (
        failed,
        stats["names"],
        stats["synced"],
        tuple(answer and (answer[1], answer[2], tuple(answer[3])) for answer in found),
        tuple(entries),
        tuple(one and (one[0], len(one[1])) for one in held),
    )
