"""Queries against a table made from a delta, both hostile: every answer is a message within its size that fits its query.

Input: one octet of options, u16 size of the delta, the delta, then the query.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import socket

from fastdns import _message, _packet, _stored, errors
from fastdns._answer import Reason
from fastdns._counters import Counters, System
from fastdns._engine import Engine
from fastdns._plan import Manner
from fastdns._rrset import Form
from fastdns._udp import UdpListener
from tests.fuzz import fuzz_trie
from tests.unit import deltas

ASKED = [
    ("kubernetes.default.svc.cluster.local", 33),
    ("hl.default.svc.cluster.local", 1),
    ("_http._tcp.hl.default.svc.cluster.local", 33),
    ("a.hl.default.svc.cluster.local", 28),
    ("in.default.svc.cluster.local", 1),
    ("gone.default.svc.cluster.local", 28),
    ("out.default.svc.cluster.local", 1),
    ("10-0-0-1.default.pod.cluster.local", 1),
    ("2001-db8--1.default.pod.cluster.local", 33),
    ("1.0.96.10.in-addr.arpa", 12),
    ("cluster.local", 6),
    ("cluster.local", 2),
    ("none.cluster.local", 16),
]
NAME_SERVERS = deltas.put(
    "cluster.local",
    deltas.record_set(2, Form.ZONED, 30, 1, deltas.sized(deltas.labels("kubernetes.default.svc"))),
)

KUBE_DNS = (
    deltas.zone(".", flags=1760)  # all that only kube-dns has
    + deltas.put(
        "_p._t.a", deltas.record_set(33, Form.PRIMARY_ZONED, 30, 1, deltas.sized(bytes(6) + deltas.labels("a")))
    )
    + deltas.put("a", deltas.record_set(1, Form.FIXED, 30, 80, bytes(320)), flags=24)
    + deltas.put("rev", deltas.record_set(12, Form.PRIMARY_ZONED, 30, 1, deltas.sized(deltas.labels("a"))), flags=128)
    + deltas.synced()
)
MADE_IN_PYTHON = (Reason.SLOW_RARE, Reason.SLOW_CHAOS)
MANNERS = Manner.REFUSE_ANY | Manner.REFUSE_UNSYNCED | Manner.CHAOS_IN_PYTHON | Manner.ANY_CLASS | Manner.NO_OPT


def seed(delta: bytes, name: str, qtype: int, options: int = 0) -> bytes:
    edns = b"\0\0\x29\x04\xd0\0\0\x80\0\0\0" if options & 1 else b""
    head = b"\1\2\1\0\0\1\0\0\0\0\0" + bytes([options & 1])
    query = head + deltas.name(name) + qtype.to_bytes(2, "big") + b"\0\1" + edns
    return bytes([options]) + len(delta).to_bytes(2, "big") + delta + query


SEEDS = [seed(deltas.example_cluster() + NAME_SERVERS, name, qtype, at % 4) for at, (name, qtype) in enumerate(ASKED)]
SEEDS += [seed(delta, "a.b.svc.cluster.local", 1, 1) for delta in fuzz_trie.SEEDS]
SEEDS += [
    seed(deltas.zone(".") + deltas.put("*", deltas.cname("a.b")) + deltas.put("a.b", deltas.cname("*")), "x", 1),
    seed(deltas.zone(".", flags=28) + deltas.put("*.b", deltas.cname("x")), "b", 1, 3),
    seed(KUBE_DNS, "_p._t.a", 33, 2),
    seed(KUBE_DNS, "a", 1, 3),
    seed(KUBE_DNS, "*.a", 33),
    seed(KUBE_DNS, "rev", 16),
    seed(KUBE_DNS, "ns", 2, 4),
    seed(KUBE_DNS, "a", 255, 4),
    seed(KUBE_DNS, "a", 1, 7),
]


SERVER = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
CLIENT = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for one in (SERVER, CLIENT):
    one.bind(("127.0.0.1", 0))
    one.setblocking(False)


def ask_over_udp(engine: Engine, listener: int, query: bytes) -> bytes | None:
    """The answer to a datagram; None if there is none, yet."""
    udp = UdpListener(engine, listener, SERVER.fileno(), lambda: None)
    CLIENT.sendto(query, SERVER.getsockname())
    udp.on_readable()
    for slow in engine.slow_queries():
        engine.reply(slow.token, slow.wire[:2] + b"\x84\0" + slow.wire[4:])
    engine.flush()
    try:
        return CLIENT.recv(65535)
    except BlockingIOError:
        return None


def check_size(answer: bytes, query: bytes, options: int) -> None:
    status, _, _, _, _, _, size, _, _ = _packet.inspect_query(query)
    most = 512 if options & 2 else 4096
    assert len(answer) <= (min(size, most) if status is _packet.QueryStatus.QUERY_OK else 512)


def make_engine(delta: ctypes.Array[ctypes.c_char], options: int) -> tuple[Engine, int]:
    engine = Engine(Counters(mmap.mmap(-1, 8 * 1024)), inflight_max=4)
    block = engine.add_block(
        b"\0", udp_max=512 if options & 2 else 4096, rotate=True, deadline_ms=1, log=True, errors=True, counters=256
    )
    table = engine.add_table()
    engine.add_table_step(block, table, fallthrough=[])
    if options & 4:
        engine.set_manners(block, MANNERS, gate=table)
        engine.count_system(block, System.SYSTEM_AUTH, counters=512)
    with contextlib.suppress(errors.TableError):
        engine.apply(table, delta)
    return engine, engine.add_listener([block])


def check_answer(answer: bytes, query: bytes) -> int:
    """Every answer reads as one to its query; the broken ones that a query is refused with have no records."""
    assert answer[:2] == query[:2]
    status, _, _, name, qtype, qclass, *_ = _packet.inspect_query(query)
    if status is not _packet.QueryStatus.QUERY_OK:
        assert answer[6:10] == bytes(4)
        return -1
    read = _stored.normalise(answer, name, qtype, qclass)
    assert read.status is not _message.ReplyStatus.REPLY_MISMATCH, answer
    return answer[3] & 15


def run(data: bytes) -> object:
    options = data[0] if data else 0
    size = int.from_bytes(data[1:3], "big")
    delta, query = data[3 : 3 + size], data[3 + size :]
    engine, listener = make_engine((ctypes.c_char * len(delta)).from_buffer_copy(delta), options)
    exact = (ctypes.c_char * len(query)).from_buffer_copy(query)
    rcodes = []
    for is_stream in (False, True):
        answer = engine.ask(exact, listener, remote=("fd00::1", 53), is_stream=is_stream)
        if isinstance(answer, int):
            (slow,) = engine.slow_queries()
            assert slow.reason in MADE_IN_PYTHON or engine.chain(slow.token) is not None
            engine.reply_rcode(slow.token, 2, 22)
            ((_, answer),) = engine.completed()
        rcodes.append(check_answer(answer, query) if answer else None)
    datagram = ask_over_udp(engine, listener, query) if len(query) <= 4096 else None
    if datagram is not None:
        check_size(datagram, query, options)
        rcodes.append(check_answer(datagram, query))
    engine.log_records()
    return (*rcodes, len(datagram or b"") // 100, engine.table_stats(0)["names"], options & 3)
