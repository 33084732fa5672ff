"""Hostile replies under rules, into a cache of records: what is given is a message that fits its query, now and from the cache.

Input: one octet of options, then the reply to `a.test A`, whose id and question are put in if bit 0 says so.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap

import dns.message
import dns.rrset

from fastdns import _message, _stored
from fastdns._counters import Counters
from fastdns._engine import Engine
from tests.unit import deltas
from tests.unit.engines import CACHE_OPTIONS, OPTIONS

TEN = (bytes([10, 0, 0, 0]), bytes([10, 255, 255, 255]))
NINE = (bytes([9, 0, 0, 0]), bytes([9, 255, 255, 255]))
EIGHT = (bytes([8, 0, 0, 0]), bytes([8, 255, 255, 255]))
SOA = "test. 300 IN SOA ns.test. host.test. 1 2 3 4 60"
NAME = deltas.name("a.test")
QUERY = dns.message.make_query("a.test", "A", use_edns=0, payload=1232)
HEAD = QUERY.to_wire()[: 12 + len(NAME) + 4]


def seed(options: int, *records: str, authority: tuple[str, ...] = (), rcode: int = 0) -> bytes:
    reply = dns.message.make_response(QUERY)
    reply.set_rcode(rcode)  # type: ignore[arg-type]
    for lines, section in ((records, reply.answer), (authority, reply.authority)):
        for line in lines:
            owner, ttl, rdclass, rdtype, data = line.split(" ", 4)
            section.append(dns.rrset.from_text(owner, int(ttl), rdclass, rdtype, data))
    return bytes([options]) + reply.to_wire()


SEEDS = [
    seed(1, "a.test. 7 IN A 192.0.2.1", "a.test. 7 IN A 192.0.2.2"),
    seed(1, "a.test. 7 IN A 10.0.0.1"),
    seed(1, "a.test. 7 IN A 9.0.0.1", "a.test. 7 IN AAAA ::1"),
    seed(1, "a.test. 7 IN A 8.0.0.1"),
    seed(3, "a.test. 9 IN CNAME b.test.", "b.test. 8 IN CNAME c.test.", "c.test. 700 IN A 192.0.2.1"),
    seed(1, "a.test. 9 IN CNAME b.test.", authority=(SOA,)),
    seed(1, "a.test. 9 IN CNAME b.test.", authority=(SOA,), rcode=3),
    seed(1, authority=(SOA,), rcode=3),
    seed(5, authority=(SOA,)),
    seed(1, rcode=3),
    seed(1),
    seed(1, rcode=2),
]


def make_engine(options: int) -> tuple[Engine, int]:
    engine = Engine(Counters(mmap.mmap(-1, 8 * 2048)), inflight_max=4)
    block = engine.add_block(b"\0", udp_max=1232, rotate=True, deadline_ms=1, log=False, errors=False, counters=256)
    engine.set_rules(
        block,
        unblocked=[NAME] if options & 4 else [],
        clear_flags=0x20,
        set_flags=0x80,
        max_ttl=100 if options & 2 else 0,
        hidden=[28],
        ignored=[EIGHT],
        bogus=[NINE],
        blocked=[TEN],
        aliases=[(*TEN, bytes(4), bytes([255, 0, 0, 0]))],
    )
    cache = CACHE_OPTIONS | {"by_record": True, "types": [1], "negative_ttl": 9 if options & 8 else 0}
    engine.add_cache_step(block, engine.add_cache(counters=600, **cache))
    group = engine.add_group([("127.0.0.1", 1)], first_slot=700, **(OPTIONS | {"in_python": True}))
    engine.add_forward_step(block, group, zone=b"\0", excluded=[], next_rcodes=[], next_on_nodata=False)
    return engine, engine.add_listener([block])


def check(answer: bytes) -> int:
    read = _stored.normalise(answer, NAME, 1)
    assert read.status in (_message.ReplyStatus.REPLY_OK, _message.ReplyStatus.REPLY_MALFORMED), answer
    return answer[3] & 15


def run(data: bytes) -> object:
    options = data[0] if data else 0
    reply = data[1:]
    if options & 1 and len(reply) >= len(HEAD):
        reply = reply[:2] + reply[2:12] + HEAD[12:] + reply[len(HEAD) :]
    engine, listener = make_engine(options)
    query = QUERY.to_wire()
    token = engine.ask((ctypes.c_char * len(query)).from_buffer_copy(query), listener, remote=("127.0.0.1", 53))
    assert isinstance(token, int)
    engine.slow_queries()
    if not engine.reply_upstream(token, reply):
        engine.reply_rcode(token, 2)
    ((_, first),) = engine.completed()
    again = engine.ask(query, listener, remote=("127.0.0.1", 53))
    if isinstance(again, int):
        engine.slow_queries()
        with contextlib.suppress(KeyError):
            engine.reply(again, b"")
        return check(first), None
    return check(first), check(again), len(again) // 50
