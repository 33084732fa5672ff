"""Replies of upstreams that lie: read, written anew, and given to a client."""

from __future__ import annotations

from fastdns import _message
from tests.differential.questions import Question

NAME = b"\3www\7example\4test\0"
QUERY = Question("www.example.test", "A", size=1232).wire()


def reply(counts: str, records: bytes) -> bytes:
    return bytes.fromhex("0000 8180 0001") + bytes.fromhex(counts) + NAME + bytes.fromhex("0001 0001") + records


A = bytes.fromhex("c00c 0001 0001 0000003c 0004 c0000214")
CNAME = bytes.fromhex("c00c 0005 0001 0000003c 0006") + b"\3cdn\xc0\x10"
SOA = b"\xc0\x10" + bytes.fromhex("0006 0001 0000003c 0020") + b"\2ns\xc0\x10\4host\xc0\x10" + bytes(20)
OPT = bytes.fromhex("00 0029 04d0 00000000 0000")
SEEDS = [
    reply("0001 0000 0001", A + OPT),
    reply("0002 0000 0000", CNAME + b"\3cdn\xc0\x10" + A[2:]),
    reply("0000 0001 0001", SOA + OPT),
    reply("0002 0001 0001", A + A + SOA + OPT),
    reply("0001 0000 0000", bytes.fromhex("c00c 0001 0001 ffffffff 0005 c000021401")),
    reply("ffff 0000 0000", A),
    reply("0001 0000 0000", b"\xc0\x21" + A[2:]),
    bytes.fromhex("0000 8183 0001 0000 0000 0000") + NAME + bytes.fromhex("0001 0001"),
]


def run(data: bytes) -> object:
    stored = _message.normalise(data, NAME, 1)
    if stored.status != _message.ReplyStatus.REPLY_OK:
        return stored.status, len(data) // 64
    assert len(stored.wire) <= 65535
    for offset in stored.ttl_offsets:
        assert 12 <= offset <= len(stored.wire) - 4
    rendered = stored.render(QUERY, age=7, rotation=3)
    assert rendered[:2] == QUERY[:2] and len(rendered) <= 1232
    again = _message.normalise(stored.wire, NAME, 1)
    assert again.status == _message.ReplyStatus.REPLY_OK, "what was written anew must be readable"
    return stored.status, stored.kind, stored.counts, stored.has_soa
