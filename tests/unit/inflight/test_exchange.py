"""A question's tries: which upstream is asked, when the next one, and when it has failed."""

from __future__ import annotations

import collections
import contextlib
import select

import pytest

from fastdns._counters import GroupSlot
from fastdns._exchange import Failure, Policy
from fastdns._inflight import Asked, Inflight
from tests.peers.process import CLOSED_PORTS
from tests.unit.inflight.upstreams import SECOND, START, Upstream, ask, make, nothing_comes, reply_to, settle, wait


def test_retry_without_edns_asks_the_same_upstream(upstreams: list[Upstream]) -> None:
    inflight = make(upstreams[0], upstreams[1])
    ask(inflight)
    query, client = upstreams[0].take()
    upstreams[0].socket.sendto(reply_to(query, rcode=1), client)
    event = settle(inflight)
    assert event is not None
    assert inflight.retry(event[0], now_ns=START, without_edns=True)
    inflight.flush(START)
    assert len(upstreams[0].take()[0]) == len(query) - 11


def test_retry_asks_each_upstream_once(upstreams: list[Upstream]) -> None:
    inflight = make(*upstreams)
    ask(inflight)
    for at, server in enumerate(upstreams):
        query, client = server.take()
        server.socket.sendto(reply_to(query, rcode=2), client)
        event = settle(inflight)
        assert event is not None
        assert event[1] == at
        assert inflight.retry(event[0], now_ns=START) == (at < 2)
        inflight.flush(START)
    assert event is not None
    assert inflight.release(event[0]) == [7]


def test_silent_upstream_is_left_for_the_next(upstreams: list[Upstream]) -> None:
    inflight = make(upstreams[0], upstreams[1])
    ask(inflight)
    upstreams[0].take()
    due = inflight.deadline()
    assert due is not None
    assert START + 2 * SECOND <= due < START + 2 * SECOND + 10_000_000
    assert inflight.take_event(due - 10_000_000) is None
    assert inflight.take_event(due) is None
    inflight.flush(due)
    query, client = upstreams[1].take()
    assert inflight.failing_upstreams() == [(0, 0)]
    assert inflight.failing_upstreams() == []
    upstreams[1].socket.sendto(reply_to(query), client)
    event = settle(inflight, due)
    assert event is not None
    assert event[1] == 1


def test_hung_upstream_fails_after_two_tries(upstreams: list[Upstream]) -> None:
    """CoreDNS: SERVFAIL after 4.0 s."""
    inflight = make(upstreams[0])
    ask(inflight)
    now = START
    for _ in range(2):
        due = inflight.deadline()
        assert due is not None
        now = due
        event = inflight.take_event(now)
        inflight.flush(now)
    assert event is not None
    assert event[2] == Failure.FAILED_TIMEOUT
    assert 4 * SECOND <= now - START < 4.05 * SECOND
    assert inflight.release(event[0]) == [7]


def test_deadline_ends_it(upstreams: list[Upstream]) -> None:
    inflight = make(upstreams[0], attempts=0)
    ask(inflight)
    now, event = START, None
    while event is None:
        due = inflight.deadline()
        assert due is not None
        now = due
        event = inflight.take_event(now)
        inflight.flush(now)
    assert 5 * SECOND <= now - START < 5.05 * SECOND


def test_refusing_upstream_is_left_at_once(upstreams: list[Upstream]) -> None:
    inflight = make(CLOSED_PORTS[0], upstreams[0])
    ask(inflight)
    wait(inflight)
    inflight.receive(START)
    assert inflight.take_event(START) is None
    inflight.flush(START)
    query, client = upstreams[0].take()
    upstreams[0].socket.sendto(reply_to(query), client)
    event = settle(inflight)
    assert event is not None
    assert event[1:] == (1, reply_to(query))
    assert inflight.failing_upstreams() == [(0, 0)]


@pytest.mark.parametrize("count", [1, 2])
def test_refused_everywhere_fails_soon(count: int) -> None:
    inflight = make(*CLOSED_PORTS[:count])
    for at in range(40):
        ask(inflight, bytes([4]) + b"%04d" % at + b"\0", waiter=at)
    gone = []
    for _ in range(40):
        event = settle(inflight)
        assert event is not None
        assert event[2] == Failure.FAILED_NETWORK
        gone += inflight.release(event[0])
    assert sorted(gone) == list(range(40))


def test_refusal_without_limit_of_attempts_rests_between_rounds() -> None:
    inflight = make(CLOSED_PORTS[0], attempts=0)
    ask(inflight)
    for _ in range(5):
        assert nothing_comes(inflight)
        inflight.flush(START)
        due = inflight.deadline()
        assert due is not None
        assert due >= START + 20_000_000
        assert not select.select([inflight.epoll_fd], [], [], 0)[0]
        inflight.take_event(due)
        inflight.flush(due)


def test_unroutable_upstream_fails_at_once() -> None:
    inflight = Inflight(16)
    inflight.add_group(
        [("255.255.255.255", 53)],  # connect() to it is refused without SO_BROADCAST
        policy=0,
        max_concurrent=0,
        read_timeout_ms=2000,
        max_fails=2,
        max_connect_attempts=2,
        failfast=False,
    )
    ask(inflight)
    event = inflight.take_event(START)
    assert event is not None
    assert event[2] == Failure.FAILED_NETWORK
    assert inflight.open_sockets == 0


def test_ipv6_upstream_is_asked() -> None:
    server = Upstream("::1")
    with contextlib.closing(server):
        inflight = Inflight(16)
        inflight.add_group(
            [("::1", server.port)],
            policy=0,
            max_concurrent=0,
            read_timeout_ms=2000,
            max_fails=2,
            max_connect_attempts=2,
            failfast=False,
        )
        ask(inflight)
        query, client = server.take()
        server.socket.sendto(reply_to(query), client)
        assert settle(inflight) is not None


def test_source_address_is_used(upstreams: list[Upstream]) -> None:
    inflight = Inflight(16)
    inflight.add_group(
        [("127.0.0.1", upstreams[0].port)],
        policy=0,
        max_concurrent=0,
        read_timeout_ms=2000,
        max_fails=2,
        max_connect_attempts=2,
        failfast=False,
        source_address="127.0.0.77",
    )
    ask(inflight)
    assert upstreams[0].take()[1][0] == "127.0.0.77"


def test_upstream_that_is_down_is_passed_over(upstreams: list[Upstream]) -> None:
    inflight = make(upstreams[0], upstreams[1])
    inflight.set_upstream_down(0, 0, True)
    ask(inflight)
    upstreams[1].take()
    inflight.set_upstream_down(0, 0, False)
    ask(inflight, b"\x01b\0")
    upstreams[0].take()


def test_all_down_asks_one_of_them_and_counts(upstreams: list[Upstream]) -> None:
    inflight = make(upstreams[0], upstreams[1])
    for at in range(2):
        inflight.set_upstream_down(0, at, True)
    assert ask(inflight) == Asked.ASK_SENT
    assert inflight.counts(0)[0][GroupSlot.GROUP_HEALTHCHECK_BROKEN] == 1
    due = inflight.deadline()
    assert due is not None
    event = inflight.take_event(due)  # and no other after it
    assert event is not None
    assert event[2] == Failure.FAILED_TIMEOUT


def test_all_down_with_failfast_asks_none(upstreams: list[Upstream]) -> None:
    inflight = make(upstreams[0], upstreams[1], failfast=True)
    for at in range(2):
        inflight.set_upstream_down(0, at, True)
    assert ask(inflight) == Asked.ASK_DEAD
    assert inflight.live == 0
    assert inflight.counts(0)[0][GroupSlot.GROUP_HEALTHCHECK_BROKEN] == 1


def test_max_fails_zero_checks_nothing(upstreams: list[Upstream]) -> None:
    inflight = make(upstreams[0], max_fails=0)
    ask(inflight)
    due = inflight.deadline()
    assert due is not None
    inflight.take_event(due)
    assert inflight.failing_upstreams() == []


def first_asked(policy: int, upstreams: list[Upstream], count: int) -> list[int]:
    inflight = make(*upstreams, policy=policy, questions_max=count)
    for at in range(count):
        ask(inflight, b"\x04%04d\0" % at)
    asked: dict[int, int] = {}
    for at, server in enumerate(upstreams):
        while server.waits():
            asked[int(server.take()[0][13:17])] = at
    return [asked[at] for at in range(count)]


def test_round_robin_takes_turns(upstreams: list[Upstream]) -> None:
    assert first_asked(Policy.POLICY_ROUND_ROBIN, upstreams, 7) == [1, 2, 0, 1, 2, 0, 1]


def test_sequential_starts_with_the_first(upstreams: list[Upstream]) -> None:
    assert first_asked(Policy.POLICY_SEQUENTIAL, upstreams, 5) == [0] * 5


def test_random_is_even(upstreams: list[Upstream]) -> None:
    asked = collections.Counter(first_asked(Policy.POLICY_RANDOM, upstreams, 300))
    assert all(60 < asked[at] < 140 for at in range(3)), asked
