"""Objects as large as the API lets them be: no worker stops answering for long while their records come in."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable

import pytest

from fastdns.dns import deltas
from fastdns.kubernetes.objects import Kind
from tests.unit import engines
from tests.unit.kubernetes import worlds

ENDPOINTS = 1000  # of one EndpointSlice, the API's limit
PAUSE = 0.02  # seconds
ROUNDS = 3


def endpoint(number: int) -> dict[str, object]:
    address = str(ipaddress.ip_address("10.20.0.0") + number)
    return {"addresses": [address], "hostname": f"member-of-a-large-set-{number}", "conditions": {"ready": True}}


def slices(count: int, *, without: int = -1) -> list[worlds.Item]:
    return [
        worlds.slice_of(
            "large",
            *(endpoint(number) for number in range(at * ENDPOINTS, (at + 1) * ENDPOINTS) if number != without),
            ports=[("sql", 5432), ("metrics", 9090)],
            name=f"large-{at}",
        )
        for at in range(count)
    ]


@pytest.mark.parametrize("count", [1, 10])
def test_a_step_of_records_takes_less_than_20_ms(count: int) -> None:
    """The least of a few rounds: what else the machine does only ever makes one longer."""
    longest = []
    for _ in range(ROUNDS):
        tree = worlds.grown(worlds.headless("large", ports=[("sql", 5432), ("metrics", 9090)]))
        world = engines.World()
        table = world.add_table(b"".join(tree.snapshot()))
        tree.drain()
        steps = []
        for items in (slices(count), slices(count, without=7)):
            for item in items:
                worlds.put(tree, item)
            for frame in tree.drain_frames():
                began = time.perf_counter()
                world.engine.apply(table, frame)
                steps.append(time.perf_counter() - began)
        answer = world.ask("member-of-a-large-set-8.large.ns.svc.cluster.local")
        assert engines.texts(answer.answer) == ["member-of-a-large-set-8.large.ns.svc.cluster.local. 30 A 10.20.0.8"]
        assert not world.ask("member-of-a-large-set-7.large.ns.svc.cluster.local").answer
        longest.append(max(steps))
    assert tree.count(Kind.ENDPOINTSLICES) == count
    assert min(longest) < PAUSE


def one_address(number: int) -> dict[str, object]:
    return {"addresses": ["10.20.0.1"], "hostname": f"e{number}"}


def one_hostname(number: int) -> dict[str, object]:
    return {**endpoint(number), "hostname": "same"}


@pytest.mark.parametrize("make", [endpoint, one_address, one_hostname])
@pytest.mark.parametrize("zonal", [False, True])
def test_more_endpoints_than_a_set_counts_are_bounded(make: Callable[[int], dict[str, object]], zonal: bool) -> None:
    """Whoever may write EndpointSlices of one namespace stops the updates of no other."""
    tree = worlds.grown(
        worlds.headless("large", ports=[("sql", 5432)]), worlds.service("late", "10.96.0.1"), zonal=zonal
    )
    for at in range(deltas.RECORDS_MAX // ENDPOINTS + 2):
        endpoints = [make(number) for number in range(at * ENDPOINTS, (at + 1) * ENDPOINTS)]
        worlds.put(tree, worlds.slice_of("large", *endpoints, ports=[("sql", 5432)], name=f"large-{at:02}"))
    world = engines.World()
    table = world.add_table(b"")
    for frame in (*tree.snapshot(), *tree.drain_frames()):
        world.engine.apply(table, frame)
    assert world.ask("large.ns.svc.cluster.local").rcode() == 0
    assert world.ask("1.0.20.10.in-addr.arpa", "PTR").rcode() == 0
    assert engines.texts(world.ask("late.ns.svc.cluster.local").answer) == ["late.ns.svc.cluster.local. 30 A 10.96.0.1"]
