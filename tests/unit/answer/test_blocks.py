"""Which server block a query belongs to, what it counts there, and what is noted of it."""

import dns.message
import dns.rcode
import pytest

from fastdns._counters import BlockSlot, Counters, WorkerSlot, find_type_slot
from fastdns._engine import Engine
from fastdns._exchange import Failure
from fastdns._plan import Manner
from tests.unit import deltas, engines
from tests.unit.engines import BLOCK, World

ZONES = [".", "local", "cluster.local", "org"]


@pytest.fixture
def world() -> World:
    """A block for each zone, whose answer tells it by its SOA's TTL; the root has none."""
    made = World()
    blocks = []
    for at, zone in enumerate(ZONES[1:], 1):
        made.block = made.add_block(zone, counters=BLOCK + 200 * at)
        made.add_table(deltas.zone(".", ttl=at) + deltas.synced())
        blocks.append(made.block)
    made.listen(*blocks)
    return made


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("a.cluster.local", 2), ("cluster.local", 2), ("CLUSTER.LOCAL", 2), ("xcluster.local", 1), ("local", 1),
        ("a.b.local", 1), ("x.org", 3),
    ],
)  # fmt: skip
def test_longest_zone_answers(world: World, name: str, zone: int) -> None:
    assert world.ask(name).authority[0].ttl == zone


@pytest.mark.parametrize("name", [".", "com", "locals", "a.locals"])
def test_no_block_is_refused(world: World, name: str) -> None:
    assert world.ask(name).rcode() == dns.rcode.REFUSED
    assert world.count(WorkerSlot.WORKER_UNDECIDED + BlockSlot.BLOCK_RESPONSES + 5) == 1


@pytest.mark.parametrize(("name", "zone"), [("cluster.local", 1), ("a.cluster.local", 2), ("local", 1), ("org", 3)])
def test_ds_is_the_parent_s(world: World, name: str, zone: int) -> None:
    assert world.ask(name, "DS").authority[0].ttl == zone


@pytest.mark.parametrize(("manners", "rcode"), [(0, dns.rcode.SERVFAIL), (Manner.END_REFUSED, dns.rcode.REFUSED)])
def test_block_without_steps_ends_as_it_is_told(manners: int, rcode: dns.rcode.Rcode) -> None:
    made = World()
    made.engine.set_manners(made.block, manners)
    assert made.ask("a.example").rcode() == rcode


def test_what_no_step_ends_is_noted() -> None:
    made = World()
    made.block = made.add_block("example", counters=BLOCK + 200, errors=True)
    made.listen(made.block)
    assert made.ask("a.example").rcode() == dns.rcode.SERVFAIL
    ((block, rcode, question, failure, *_),) = made.engine.error_records()
    assert (block, rcode, failure) == (made.block, dns.rcode.SERVFAIL, Failure.FAILED_NO_PLUGIN)
    assert b"\1a\7example\0" in question


def test_no_such_listener(world: World) -> None:
    with pytest.raises(IndexError):
        world.engine.ask(b"\0" * 12, 99)


def test_answers_are_counted() -> None:
    world = engines.cluster()
    query = dns.message.make_query("kubernetes.default.svc.cluster.local", "A", want_dnssec=True).to_wire()
    answer = world.ask_raw(query)
    assert isinstance(answer, bytes)
    world.ask_raw(dns.message.make_query("none.cluster.local", "SRV").to_wire(), remote=("fd00::9", 1))
    tcp4_a = (1 * 2 + 0) * 20 + find_type_slot(1)
    tcp6_srv = (1 * 2 + 1) * 20 + find_type_slot(33)
    slots = [BlockSlot.BLOCK_REQUESTS + tcp4_a, BlockSlot.BLOCK_REQUESTS + tcp6_srv, BlockSlot.BLOCK_DO_REQUESTS]
    slots += [BlockSlot.BLOCK_RESPONSES + 0, BlockSlot.BLOCK_RESPONSES + 3]
    assert [world.count(BLOCK + slot) for slot in slots] == [1] * 5
    durations = sum(world.count(BLOCK + BlockSlot.BLOCK_DURATION + at) for at in range(17))
    assert durations == 2 and world.count(BLOCK + BlockSlot.BLOCK_DURATION_SUM) > 0


def test_sizes_are_summed() -> None:
    world = engines.cluster()
    query = dns.message.make_query("kubernetes.default.svc.cluster.local", "A").to_wire()
    answer = world.ask_raw(query)
    assert isinstance(answer, bytes)
    assert world.count(BLOCK + BlockSlot.BLOCK_REQUEST_SIZE_SUM + 1) == len(query)
    assert world.count(BLOCK + BlockSlot.BLOCK_RESPONSE_SIZE_SUM + 1) == len(answer)


def test_own_look_ups_are_not_counted() -> None:
    world = engines.cluster()
    world.ask("kubernetes.default.svc.cluster.local", stream=False)
    assert world.count(BLOCK + BlockSlot.BLOCK_RESPONSES) == 0


@pytest.mark.parametrize("wire", [b"\0" * 12, b"\0\1\x28\0" + b"\0" * 8])
def test_broken_queries_are_counted_outside_of_blocks(wire: bytes) -> None:
    world = engines.cluster()
    assert world.ask_raw(wire)
    counted = sum(world.count(WorkerSlot.WORKER_UNDECIDED + BlockSlot.BLOCK_RESPONSES + at) for at in range(24))
    assert counted == 1


def test_late_answers_are_counted() -> None:
    world = World()
    world.engine.add_python_step(world.block)
    token = world.park("a.example", stream=True)
    assert world.count(BLOCK + BlockSlot.BLOCK_RESPONSES + 2) == 0
    world.engine.reply_rcode(token, 2)
    assert world.count(BLOCK + BlockSlot.BLOCK_RESPONSES + 2) == 1


def logging_world() -> World:
    world = World()
    world.block = world.add_block(log=True)
    world.listen(world.block)
    world.add_table(deltas.example_cluster())
    return world


def test_log_record() -> None:
    world = logging_world()
    query = dns.message.make_query("None.cluster.local", "A", use_edns=0, payload=1400, want_dnssec=True)
    answer = world.ask_raw(query.to_wire(), local=("127.0.0.2", 53))
    ((block, seconds, remote, local, is_stream, wire, rcode, flags, size, asked, is_nodata, step),) = (
        world.engine.log_records()
    )
    assert isinstance(answer, bytes)
    assert (block, remote, local, is_stream, rcode) == (world.block, engines.REMOTE, "127.0.0.2", True, 3)
    assert (size, asked, flags) == (len(answer), len(query.to_wire()), int.from_bytes(answer[2:4], "big"))
    assert 0 < seconds < 5
    assert (is_nodata, step) == (False, 255)
    seen = dns.message.from_wire(wire)
    assert (seen.id, seen.question, seen.payload) == (query.id, query.question, 1400)


def test_log_records_are_bounded() -> None:
    world = logging_world()
    query = dns.message.make_query("none.cluster.local", "A").to_wire()
    for _ in range(65536 + 10):
        world.ask_raw(query)
    assert world.engine.dropped_notes() == 10
    assert len(world.engine.log_records()) == 65536
    world.ask_raw(query)
    assert len(world.engine.log_records()) == 1


@pytest.mark.parametrize("start", [8192 - 100, 1 << 40])
def test_counters_out_of_range_are_refused(start: int) -> None:
    with pytest.raises((ValueError, OverflowError)):
        World().add_block(counters=start)


def test_too_few_counters() -> None:
    with pytest.raises(ValueError, match="too few"):
        Engine(Counters(bytearray(800)))


def test_unknown_numbers_are_refused() -> None:
    engine = World().engine
    for call in (
        lambda: engine.add_listener([7]), lambda: engine.add_table_step(0, 3, fallthrough=[]),
        lambda: engine.add_cache_step(0, 3), lambda: engine.add_python_step(9), lambda: engine.apply(3, b""),
    ):  # fmt: skip
        with pytest.raises(IndexError):
            call()
