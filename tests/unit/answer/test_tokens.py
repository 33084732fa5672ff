"""Queries that Python takes over: what it gets, how it ends each of them once."""

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from fastdns._answer import Reason
from fastdns._counters import WorkerSlot
from fastdns._engine import Engine
from tests.unit.engines import REMOTE, World, texts


@pytest.fixture
def world() -> World:
    made = World()
    made.engine.add_python_step(made.block)
    return made


def answer_to(wire: bytes, *addresses: str) -> bytes:
    reply = dns.message.make_response(dns.message.from_wire(wire))
    reply.use_edns(False)
    if addresses:
        reply.answer.append(dns.rrset.from_text(reply.question[0].name, 7, "IN", "A", *addresses))
    return reply.to_wire()


def test_slow_query_is_the_query_without_options(world: World) -> None:
    query = dns.message.make_query("WWW.example", "MX", use_edns=0, payload=1400, options=[], want_dnssec=True)
    token = world.ask_raw(query.to_wire() + b"\0", local=("fd00::5", 53))
    slow = world.slow()
    assert (slow.token, slow.reason, slow.block, slow.step) == (token, Reason.SLOW_STEP, 0, 0)
    assert (slow.remote, slow.local, slow.is_stream) == (REMOTE, "fd00::5", True)
    seen = dns.message.from_wire(slow.wire)
    assert (seen.question, seen.id, seen.flags, seen.payload) == (query.question, query.id, query.flags, 1400)
    assert seen.ednsflags == 0x8000
    assert world.count(WorkerSlot.WORKER_SLOW_QUERIES) == 1
    assert world.engine.slow_queries() == []


def test_reply_gets_id_spelling_and_opt(world: World) -> None:
    query = dns.message.make_query("WWW.example", "A", use_edns=0, flags=dns.flags.RD)
    token = world.ask_raw(query.to_wire())
    assert isinstance(token, int)
    wire = answer_to(world.slow().wire, "192.0.2.1")
    world.engine.reply(token, b"\0\0" + wire[2:].replace(b"WWW", b"www"))
    answer = world.done(token)
    assert (answer.id, answer.question, answer.payload) == (query.id, query.question, 1232)
    assert texts(answer.answer) == ["WWW.example. 7 A 192.0.2.1"]
    assert answer.flags == dns.flags.QR | dns.flags.RD


def test_empty_reply_is_none(world: World) -> None:
    token = world.park("a.example")
    world.engine.reply(token, b"")
    assert world.engine.completed() == [(token, b"")]
    assert world.engine.waiting() == 0


def test_reply_rcode(world: World) -> None:
    token = world.park("a.example", use_edns=0)
    world.engine.reply_rcode(token, dns.rcode.REFUSED, 15)
    answer = world.done(token)
    assert answer.rcode() == dns.rcode.REFUSED and int(answer.options[0].code) == 15


def end_by_reply(engine: Engine, token: int) -> None:
    engine.reply(token, b"")


def end_by_rcode(engine: Engine, token: int) -> None:
    engine.reply_rcode(token, 2)


def end_by_upstream(engine: Engine, token: int) -> None:
    engine.reply_upstream(token, b"")


def end_by_resume(engine: Engine, token: int) -> None:
    engine.resume(token, 1)


ENDS = [end_by_reply, end_by_rcode, end_by_upstream, end_by_resume, Engine.chain]


@pytest.mark.parametrize("end", ENDS)
def test_token_is_good_once(world: World, end) -> None:  # type: ignore[no-untyped-def]
    token = world.park("a.example")
    world.engine.reply_rcode(token, 2)
    with pytest.raises(KeyError):
        end(world.engine, token)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("token", [0, 1, 63, 64, 1 << 32, 2**64 - 1])
def test_token_of_nobody(world: World, end, token: int) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(KeyError):
        end(world.engine, token)


def test_token_of_a_place_used_again_is_another(world: World) -> None:
    first = world.park("a.example")
    world.engine.reply(first, b"")
    second = world.park("b.example")
    assert first != second and first & 0xFFFFFFFF == second & 0xFFFFFFFF
    with pytest.raises(KeyError):
        world.engine.reply(first, b"")


def test_resume_goes_on_behind_the_step(world: World) -> None:
    token = world.park("a.example")
    world.engine.resume(token, 1)
    assert world.done(token).rcode() == dns.rcode.SERVFAIL
    assert world.engine.waiting() == 0


@pytest.mark.parametrize("step", [2, 31, 255])
def test_resume_beyond_the_last_step_fails(world: World, step: int) -> None:
    token = world.park("a.example")
    world.engine.resume(token, step)
    assert world.done(token).rcode() == dns.rcode.SERVFAIL


def test_resume_to_the_same_step_leaves_again(world: World) -> None:
    token = world.park("a.example")
    world.engine.slow_queries()
    world.engine.resume(token, 0)
    assert world.slow().token == token and world.engine.waiting() == 1


def test_resume_while_python_s_queue_is_full_is_answered() -> None:
    world = World(inflight_max=2)
    world.engine.add_python_step(world.block)
    token = world.park("a.example")
    world.park("b.example")
    world.engine.resume(token, 0)
    assert world.done(token).rcode() == dns.rcode.REFUSED
    assert world.engine.waiting() == 1


def test_full_pool_refuses() -> None:
    world = World(inflight_max=2)
    world.engine.add_python_step(world.block)
    for name in "ab":
        world.park(name)
    world.engine.slow_queries()
    assert world.ask("c").rcode() == dns.rcode.REFUSED


def test_step_for_one_type_lets_others_pass() -> None:
    world = World()
    world.engine.add_python_step(world.block, qtype=13)
    assert isinstance(world.park("a.example", "HINFO"), int)
    assert world.ask("a.example").rcode() == dns.rcode.SERVFAIL


def test_reply_without_its_question_is_refused(world: World) -> None:
    token = world.park("a.example")
    with pytest.raises(ValueError, match="no room"):
        world.engine.reply(token, b"\0" * 12)
    world.engine.reply(token, b"")


def test_upstream_s_reply_is_checked(world: World) -> None:
    token = world.park("a.example")
    wire = world.slow().wire
    good = answer_to(wire, "192.0.2.1")
    assert not world.engine.reply_upstream(token, b"")
    assert not world.engine.reply_upstream(token, good[:-1])
    assert not world.engine.reply_upstream(token, good.replace(b"\1a", b"\1b"))
    assert world.engine.reply_upstream(token, good)
    assert texts(world.done(token).answer) == ["a.example. 7 A 192.0.2.1"]


def test_stream_queries_of_a_forward_leave_for_python() -> None:
    world = World()
    world.add_forward(9)
    token = world.park("a.example", stream=True)
    assert world.slow().reason == Reason.SLOW_STREAM_FORWARD
    world.engine.reply_rcode(token, 2, 23)
    assert world.done(token).rcode() == dns.rcode.SERVFAIL
