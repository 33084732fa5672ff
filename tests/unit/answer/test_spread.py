"""Several upstreams asked at once: the first that answers, those that refuse, the favourite."""

from __future__ import annotations

from collections.abc import Callable

import dns.rcode
import pytest

from fastdns._counters import WorkerSlot
from tests.unit.engines import OPTIONS, Upstream, World, texts

MakeUpstream = Callable[[], Upstream]


def make_world(*upstreams: Upstream, always: bool = False, **options: object) -> World:
    world = World()
    chosen = OPTIONS | {"max_fails": 0, "max_connect_attempts": 1} | options
    whole = world.engine.add_group([("127.0.0.1", one.port) for one in upstreams], first_slot=700, **chosen)  # type: ignore[arg-type]
    groups = [
        world.engine.add_group([("127.0.0.1", one.port)], first_slot=2000 + 450 * place, **chosen)  # type: ignore[arg-type]
        for place, one in enumerate(upstreams)
    ]
    spread = world.engine.add_spread(groups[0], len(upstreams), failover=[2, 5], always=always)
    world.engine.add_forward_step(
        world.block, whole, zone=b"\0", excluded=[], next_rcodes=[], next_on_nodata=False, spread=spread
    )
    return world


def test_the_first_to_answer_is_believed_and_asked_from_then_on(make_upstream: MakeUpstream) -> None:
    slow, fast = make_upstream(), make_upstream()
    world = make_world(slow, fast)
    token = world.park("one.test")
    slow.take()
    fast.reply("7 A 192.0.2.2")
    (answer,) = world.wait(token)
    assert texts(answer.answer) == ["one.test. 7 A 192.0.2.2"]
    token = world.park("two.test")
    fast.reply("7 A 192.0.2.2")
    world.wait(token)
    assert slow.is_silent()
    assert world.count(WorkerSlot.WORKER_FORWARDED) == 2
    assert world.count(WorkerSlot.WORKER_UPSTREAM_ANSWERS) == 2


def test_a_late_answer_goes_to_nobody(make_upstream: MakeUpstream) -> None:
    slow, fast = make_upstream(), make_upstream()
    world = make_world(slow, fast, always=True)
    token = world.park("one.test")
    fast.reply("7 A 192.0.2.2")
    world.wait(token)
    slow.reply("7 A 192.0.2.1")
    other = world.park("two.test")
    fast.reply("7 A 192.0.2.2")
    slow.reply("7 A 192.0.2.1")
    (answer,) = world.wait(other)
    assert answer.question[0].name.to_text() == "two.test."


@pytest.mark.parametrize("rcode", [dns.rcode.REFUSED, dns.rcode.SERVFAIL])
def test_one_that_refuses_is_waited_past(make_upstream: MakeUpstream, rcode: dns.rcode.Rcode) -> None:
    refusing, good = make_upstream(), make_upstream()
    world = make_world(refusing, good)
    token = world.park("one.test")
    refusing.reply(rcode=rcode)
    good.reply("7 A 192.0.2.2")
    (answer,) = world.wait(token)
    assert texts(answer.answer) == ["one.test. 7 A 192.0.2.2"]


def test_a_favourite_that_refuses_leads_to_the_others(make_upstream: MakeUpstream) -> None:
    first, second = make_upstream(), make_upstream()
    world = make_world(first, second)
    token = world.park("one.test")
    second.take()
    first.reply("7 A 192.0.2.1")
    world.wait(token)
    token = world.park("two.test")
    first.reply(rcode=dns.rcode.REFUSED)
    world.turn(lambda: not second.is_silent())
    second.reply("7 A 192.0.2.2")
    (answer,) = world.wait(token)
    assert texts(answer.answer) == ["two.test. 7 A 192.0.2.2"]


def test_when_all_refuse_the_last_is_believed(make_upstream: MakeUpstream) -> None:
    first, second = make_upstream(), make_upstream()
    world = make_world(first, second)
    token = world.park("one.test")
    first.reply(rcode=dns.rcode.REFUSED)
    second.reply(rcode=dns.rcode.REFUSED)
    (answer,) = world.wait(token)
    assert answer.rcode() == dns.rcode.REFUSED


def test_one_that_is_silent_is_waited_past(make_upstream: MakeUpstream) -> None:
    silent, good = make_upstream(), make_upstream()
    world = make_world(silent, good, read_timeout_ms=200)
    token = world.park("one.test")
    good.reply("7 A 192.0.2.2")
    (answer,) = world.wait(token)
    assert texts(answer.answer) == ["one.test. 7 A 192.0.2.2"]


def test_when_all_are_silent_it_fails(make_upstream: MakeUpstream) -> None:
    world = make_world(make_upstream(), make_upstream(), read_timeout_ms=1)
    (answer,) = world.wait(world.park("one.test"))
    assert answer.rcode() == dns.rcode.SERVFAIL


def test_a_spread_needs_its_groups() -> None:
    world = World()
    with pytest.raises(IndexError, match="no groups 0 to 2"):
        world.engine.add_spread(0, 2, failover=[], always=False)
