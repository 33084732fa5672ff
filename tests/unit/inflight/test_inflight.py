"""Questions on their way upstream, against sockets that answer, lie, or keep silent. Time is the test's own."""

from __future__ import annotations

import collections
import contextlib
import itertools
import os
import resource
import select
import socket

import pytest

from fastdns._counters import Counters, GroupSlot, UpstreamSlot
from fastdns._exchange import InflightLimit, Policy
from fastdns._inflight import Asked, Inflight
from tests.unit.inflight.upstreams import (
    DEADLINE,
    NAME,
    SECOND,
    START,
    Upstream,
    ask,
    make,
    mismatches,
    nothing_comes,
    reply_to,
    settle,
    wait,
)


def test_query_is_what_was_asked(upstreams: list[Upstream]) -> None:
    inflight = make(upstreams[0])
    assert ask(inflight, wants_dnssec=True, checking_disabled=True, flags=0x0130) == Asked.ASK_SENT
    query, _ = upstreams[0].take()
    assert query[2:4] == b"\x01\x30"  # RD, AD and CD
    assert query[4:12] == b"\0\1\0\0\0\0\0\1"
    assert query[12:] == NAME + b"\0\1\0\1" + b"\0\0\x29\x04\xd0\0\0\x80\0\0\0"


def test_reply_reaches_its_waiters(upstreams: list[Upstream]) -> None:
    inflight = make(upstreams[0])
    ask(inflight, waiter=1)
    assert ask(inflight, waiter=2**64 - 1) == Asked.ASK_JOINED
    query, client = upstreams[0].take()
    upstreams[0].socket.sendto(reply_to(query), client)
    event = settle(inflight)
    assert event is not None
    assert event[1:] == (0, reply_to(query))
    assert inflight.release(event[0]) == [1, 2**64 - 1]
    assert inflight.live == 0
    assert not upstreams[0].waits()
    assert inflight.counts(0)[0][GroupSlot.GROUP_COALESCED] == 1


@pytest.mark.parametrize(
    "other",
    [
        {"name": b"\x03wwx\x07example\x03org\x00"},
        {"wants_dnssec": True},
        {"checking_disabled": True},
        {"flags": 0},
        {"qclass": 3},
    ],
)
def test_other_questions_are_not_joined(upstreams: list[Upstream], other: dict[str, object]) -> None:
    inflight = make(upstreams[0])
    ask(inflight)
    assert ask(inflight, **other) == Asked.ASK_SENT  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "lie",
    [
        lambda reply: bytes([reply[0] ^ 1]) + reply[1:],  # another id
        lambda reply: reply[:2] + b"\x01\x80" + reply[4:],  # QR is 0
        lambda reply: reply[:2] + b"\xa1\x80" + reply[4:],  # another opcode
        lambda reply: reply[:4] + b"\0\0" + reply[6:12],  # no question
        lambda reply: reply[:4] + b"\0\2" + reply[6:],
        lambda reply: reply[:13] + b"x" + reply[14:],  # another name
        lambda reply: reply[:-4] + b"\0\x1c\0\1",  # another type
        lambda reply: reply[:-2] + b"\0\3",  # another class
        lambda reply: reply[:-1],
        lambda reply: reply[:5],
        lambda reply: b"",
        lambda reply: reply[:12] + b"\xc0\x0c\0\1\0\1",
    ],
)
def test_lies_are_dropped_and_the_reply_after_them_counts(upstreams: list[Upstream], lie: object) -> None:
    inflight = make(upstreams[0])
    ask(inflight)
    query, client = upstreams[0].take()
    upstreams[0].socket.sendto(lie(reply_to(query)), client)  # type: ignore[operator]
    assert nothing_comes(inflight)
    assert mismatches(inflight) == 1
    upstreams[0].socket.sendto(reply_to(query), client)
    event = settle(inflight)
    assert event is not None
    assert event[2] == reply_to(query)


def test_reply_from_elsewhere_is_not_seen(upstreams: list[Upstream]) -> None:
    inflight = make(upstreams[0])
    ask(inflight)
    query, client = upstreams[0].take()
    upstreams[1].socket.sendto(reply_to(query), client)
    assert not select.select([inflight.epoll_fd], [], [], 0.1)[0]


def test_reply_in_other_case_counts(upstreams: list[Upstream]) -> None:
    inflight = make(upstreams[0])
    ask(inflight)
    query, client = upstreams[0].take()
    reply = reply_to(query).replace(b"example", b"ExAmPlE")
    upstreams[0].socket.sendto(reply, client)
    event = settle(inflight)
    assert event is not None
    assert event[2] == reply


def test_second_reply_is_dropped(upstreams: list[Upstream]) -> None:
    inflight = make(upstreams[0])
    ask(inflight)
    query, client = upstreams[0].take()
    for _ in range(3):
        upstreams[0].socket.sendto(reply_to(query), client)
    event = settle(inflight)
    assert event is not None
    inflight.release(event[0])
    while select.select([inflight.epoll_fd], [], [], 0)[0]:
        inflight.receive(START)
        assert inflight.take_event(START) is None
    assert mismatches(inflight) == 2


def test_reply_over_our_room_is_truncated(upstreams: list[Upstream]) -> None:
    inflight = make(upstreams[0])
    ask(inflight)
    query, client = upstreams[0].take()
    upstreams[0].socket.sendto(reply_to(query, counts=b"\0\1\0\5\0\0\0\0") + bytes(8192), client)
    event = settle(inflight)
    assert event is not None
    assert event[2] == reply_to(query, flags=0x8380)


def test_bare_formerr_means_no_edns(upstreams: list[Upstream]) -> None:
    inflight = make(upstreams[0])
    ask(inflight)
    query, client = upstreams[0].take()
    upstreams[0].socket.sendto(query[:2] + b"\x81\x81" + bytes(8), client)
    assert nothing_comes(inflight)
    inflight.flush(START)
    again, client = upstreams[0].take()
    assert again[2:] == query[2:11] + b"\0" + query[12:-11]
    upstreams[0].socket.sendto(reply_to(again), client)
    assert settle(inflight) is not None


def test_max_concurrent_counts_questions(upstreams: list[Upstream]) -> None:
    inflight = make(upstreams[0], max_concurrent=2)
    results = [ask(inflight, bytes([1, 97 + at, 0])) for at in range(3)]
    assert results == [Asked.ASK_SENT, Asked.ASK_SENT, Asked.ASK_FULL]
    assert ask(inflight, b"\x01a\0") == Asked.ASK_JOINED
    assert inflight.counts(0)[0][GroupSlot.GROUP_MAX_CONCURRENT_REJECTS] == 1


def test_full_table_says_so(upstreams: list[Upstream]) -> None:
    inflight = make(upstreams[0], questions_max=4)
    results = [ask(inflight, bytes([1, 97 + at, 0])) for at in range(5)]
    assert results == [Asked.ASK_SENT] * 4 + [Asked.ASK_FULL]
    joined = [ask(inflight, b"\x01a\0") for _ in range(13)]
    assert joined == [Asked.ASK_JOINED] * 12 + [Asked.ASK_FULL]


def test_ids_and_ports_are_spread() -> None:
    """10,000 questions: ids even over their range, a port for at most 128 of them, ports over the ephemeral range."""
    server = Upstream()
    server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    pairs = []
    with contextlib.closing(server):
        inflight = make(server, questions_max=16384)
        for at in range(10_000):
            ask(inflight, b"\x05%05d\0" % at)
            query, client = server.take()
            pairs.append((int.from_bytes(query[:2], "big"), client[1]))
        assert inflight.open_sockets <= 768
    assert len(set(pairs)) == len(pairs)
    buckets = collections.Counter(pair[0] >> 8 for pair in pairs)
    expected = len(pairs) / 256
    assert sum((buckets[at] - expected) ** 2 / expected for at in range(256)) < 375  # chi-square, p = 1e-6
    ports = collections.Counter(pair[1] for pair in pairs)
    assert max(ports.values()) <= 128 * 3
    assert len(ports) >= 10_000 // 128
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        low, high = map(int, file.read().split())
    assert (high - low) << 16 >= 1 << 30
    assert max(ports) - min(ports) > (high - low) * 0.8
    steps = collections.Counter(later[1] - earlier[1] for earlier, later in itertools.pairwise(pairs))
    assert steps.most_common(2)[1][1] < 2500


def test_sockets_end_when_idle(upstreams: list[Upstream]) -> None:
    inflight = make(upstreams[0])
    ask(inflight)
    query, client = upstreams[0].take()
    upstreams[0].socket.sendto(reply_to(query), client)
    event = settle(inflight)
    assert event is not None
    inflight.release(event[0])
    assert inflight.open_sockets == 1
    now = inflight.deadline()
    while now is not None:
        inflight.take_event(now)
        last, now = now, inflight.deadline()
    assert inflight.open_sockets == 0
    assert last < START + 12 * SECOND


def test_batches_are_whole(upstreams: list[Upstream]) -> None:
    count = 300
    upstreams[0].socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    inflight = make(upstreams[0], questions_max=count)
    for at in range(count):
        assert inflight.ask(0, b"\x04%04d\0" % at, 1, at, now_ns=START, deadline_ns=DEADLINE) == Asked.ASK_SENT
    inflight.flush(START)
    for _ in range(count):
        query, client = upstreams[0].take()
        upstreams[0].socket.sendto(reply_to(query), client)
    gone: list[int] = []
    read = 0
    while len(gone) < count:
        wait(inflight)
        got = inflight.receive(START)
        assert 0 < got <= InflightLimit.RECEIVE_BATCH
        read += got
        while (event := inflight.take_event(START)) is not None:
            gone += inflight.release(event[0])
    assert sorted(gone) == list(range(count))
    assert read == count
    assert inflight.live == 0


def test_slots_are_written_where_they_are_wanted(upstreams: list[Upstream]) -> None:
    counters = Counters(bytearray(8 * 2000))
    inflight = Inflight(16)
    inflight.add_group(
        [("127.0.0.1", server.port) for server in upstreams[:2]],
        policy=Policy.POLICY_SEQUENTIAL,
        max_concurrent=0,
        read_timeout_ms=2000,
        max_fails=2,
        max_connect_attempts=4,
        failfast=False,
        counters=counters,
        first_slot=100,
    )
    ask(inflight)
    query, client = upstreams[0].take()
    upstreams[0].socket.sendto(reply_to(query, rcode=3), client)
    assert settle(inflight, START + 1000) is not None
    upstream = 100 + GroupSlot.GROUP_SLOTS
    assert counters.get(upstream + UpstreamSlot.UPSTREAM_DURATION_SUM + 3) == 1000
    assert counters.get(upstream + UpstreamSlot.UPSTREAM_CONN_CACHE_MISSES) == 1
    with pytest.raises(IndexError):
        inflight.add_group(
            [("127.0.0.1", 53)],
            policy=0,
            max_concurrent=0,
            read_timeout_ms=2000,
            max_fails=2,
            max_connect_attempts=2,
            failfast=False,
            counters=counters,
            first_slot=1990,
        )


def test_close_fails_what_is_left(upstreams: list[Upstream]) -> None:
    inflight = make(upstreams[0])
    ask(inflight)
    inflight.close()
    assert inflight.open_sockets == 0
    event = inflight.take_event(START)
    assert event is not None
    assert inflight.release(event[0]) == [7]


def test_names_that_cannot_be_are_refused(upstreams: list[Upstream]) -> None:
    inflight = make(upstreams[0])
    assert ask(inflight, b"") == Asked.ASK_DEAD
    assert ask(inflight, bytes(256)) == Asked.ASK_DEAD
    assert inflight.ask(1, NAME, 1, 0, now_ns=START, deadline_ns=DEADLINE) == Asked.ASK_DEAD
    assert inflight.ask(0, NAME, 1, 0, now_ns=START, deadline_ns=START) == Asked.ASK_DEAD
    longest = b"\x3f" + b"a" * 63
    assert ask(inflight, longest * 3 + b"\x3d" + b"a" * 61 + b"\0") == Asked.ASK_SENT
    assert len(upstreams[0].take()[0]) == 12 + 255 + 4 + 11


def test_no_descriptor_left_rests_and_then_goes_on(upstreams: list[Upstream]) -> None:
    """EMFILE is not the upstream's fault: nothing spins, and the question goes out when there is room."""
    inflight = make(upstreams[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        ask(inflight)
        now = START
        for _ in range(3):
            due = inflight.deadline()
            assert due is not None
            assert due >= now + 20_000_000
            now = due
            assert inflight.take_event(now) is None
            inflight.flush(now)
        assert inflight.open_sockets == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    due = inflight.deadline()
    assert due is not None
    inflight.take_event(due)
    inflight.flush(due)
    upstreams[0].take()
    assert inflight.failing_upstreams() == []


def resident_octets() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def test_hung_upstream_costs_little() -> None:
    """20,000 questions to an upstream that hangs: few descriptors, little memory, and each is told within 4.5 s."""
    server = Upstream()
    with contextlib.closing(server):
        inflight = make(server, questions_max=16384)
        before = resident_octets()
        asked, told = 0, 0
        for at in range(20_000):
            result = inflight.ask(0, b"\x05%05d\0" % at, 1, at, now_ns=START, deadline_ns=DEADLINE)
            asked += result == Asked.ASK_SENT
            if at % 64 == 63:
                inflight.flush(START)
        inflight.flush(START)
        assert asked == 16384
        assert inflight.open_sockets <= 768
        assert resident_octets() - before < 10 << 20
        now = START
        while inflight.live:
            due = inflight.deadline()
            assert due is not None
            now = max(now, due)
            while (event := inflight.take_event(now)) is not None:
                told += len(inflight.release(event[0]))
            inflight.flush(now)
        assert told == asked
        assert now - START < 4.5 * SECOND
        assert inflight.open_sockets <= 8
