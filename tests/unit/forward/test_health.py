"""Health checks run after a failure only, until one succeeds. Their sleep is the test's."""

from __future__ import annotations

import asyncio
import dataclasses
import random

import pytest

from fastdns import errors
from fastdns._counters import Counters, GroupSlot, UpstreamSlot
from fastdns.config import model
from fastdns.forward import counts, health
from fastdns.forward.question import Question

FORWARD = model.Forward(".", (model.Upstream("192.0.2.1", 53), model.Upstream("192.0.2.2", 53)))


class World:
    """Upstreams that fail as often as `failing` says."""

    def __init__(self, forward: model.Forward = FORWARD) -> None:
        self.failing = 0
        self.probed: list[tuple[int, Question]] = []
        self.slept: list[float] = []
        self.told: list[tuple[int, bool]] = []
        self.counters = Counters(bytearray(8 * 1000))
        self.health = health.Health(
            forward,
            probe=self.probe,
            set_down=lambda upstream, is_down: self.told.append((upstream, is_down)),
            counts=counts.Counts(self.counters, 0),
            sleep=self.sleep,
            generator=random.Random(1),
        )

    async def probe(self, upstream: int, question: Question) -> bytes:
        self.probed.append((upstream, question))
        await asyncio.sleep(0)
        if self.failing:
            self.failing -= 1
            raise errors.UpstreamError("read udp: i/o timeout")
        return b""

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    async def settle(self) -> None:
        for _ in range(100):
            await asyncio.sleep(0)


def run(world: World, failures: int, *, upstream: int = 1) -> World:
    async def test() -> None:
        world.failing = failures
        world.health.on_failure(upstream)
        world.health.on_failure(upstream)  # one check at a time
        await world.settle()
        await world.health.close()

    asyncio.run(test())
    return world


def test_one_good_check_ends_it() -> None:
    world = run(World(), 0)
    assert world.probed == [(1, Question(b"\0", 2, 1, 0x100, False))]
    assert world.told == world.slept == []


def test_more_than_max_fails_is_down_until_a_check_succeeds() -> None:
    world = run(World(), 5)
    assert len(world.probed) == 6
    assert world.told == [(1, True), (1, False)]
    assert all(0.45 <= seconds <= 0.55 for seconds in world.slept)
    assert len(set(world.slept)) == 5
    slot = GroupSlot.GROUP_SLOTS + UpstreamSlot.UPSTREAM_SLOTS + UpstreamSlot.UPSTREAM_HEALTHCHECK_FAILURES
    assert world.counters.get(slot) == 5


def test_max_fails_of_them_are_not_enough() -> None:
    assert run(World(), 2).told == []


def test_max_fails_zero_checks_nothing() -> None:
    assert run(World(dataclasses.replace(FORWARD, max_fails=0)), 5).probed == []


def test_options_of_the_check() -> None:
    check = model.HealthCheck(interval=0.5, recursion_desired=False, domain="Example.org.")
    world = run(World(dataclasses.replace(FORWARD, health_check=check)), 0)
    assert world.probed[0][1] == Question(b"\x07example\x03org\0", 2, 1, 0, False)


def test_down_is_known_while_checks_run() -> None:
    async def test() -> None:
        world = World()
        world.failing = 10_000
        world.health.on_failure(0)
        await world.settle()
        assert world.health.is_down(0)
        assert not world.health.is_down(1)
        await world.health.close()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(test())


@pytest.mark.parametrize("fault", [TimeoutError(), OSError("no route")])
def test_any_fault_of_the_network_counts(fault: Exception) -> None:
    async def probe(upstream: int, question: Question) -> bytes:
        raise fault

    async def test() -> None:
        told: list[tuple[int, bool]] = []
        world = World()
        checked = health.Health(
            FORWARD, probe=probe, set_down=lambda upstream, is_down: told.append((upstream, is_down)), sleep=world.sleep
        )
        checked.on_failure(0)
        await world.settle()
        await checked.close()
        assert told == [(0, True)]

    asyncio.run(test())
