"""Questions that go upstream over UDP: coalescing, failover, next, broken replies, silence."""

from collections.abc import Callable

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest

from fastdns._counters import GroupSlot
from tests.unit import deltas, engines
from tests.unit.engines import Upstream, World, texts

SERVFAIL = dns.rcode.SERVFAIL


def ede(answer: dns.message.Message) -> list[int]:
    return [int(option.code) for option in answer.options if isinstance(option, dns.edns.EDEOption)]


def world_of(*upstreams: Upstream, **options: object) -> World:
    world = World()
    world.add_forward(*(upstream.port for upstream in upstreams), **options)  # type: ignore[arg-type]
    return world


def test_reply_is_given_with_the_client_s_id_spelling_and_flags(upstream: Upstream) -> None:
    world = world_of(upstream)
    token = world.park("WwW.Example", flags=dns.flags.RD | dns.flags.CD)
    asked = upstream.reply("7 A 192.0.2.1")
    (answer,) = world.wait(token)
    assert texts(answer.answer) == ["WwW.Example. 7 A 192.0.2.1"]
    assert answer.flags & 0xFFFF == dns.flags.QR | dns.flags.RD | dns.flags.RA | dns.flags.CD
    assert asked.question[0].name.to_text().lower() == "www.example."
    assert answer.edns == -1


def test_equal_questions_are_asked_once(upstream: Upstream) -> None:
    world = world_of(upstream)
    tokens = [world.park(name) for name in ("www.example", "WWW.example", "www.EXAMPLE")]
    upstream.reply("7 A 192.0.2.1")
    answers = world.wait(*tokens)
    assert [answer.question[0].name.to_text() for answer in answers] == ["www.example.", "WWW.example.", "www.EXAMPLE."]
    assert upstream.is_silent()
    assert world.count(engines.GROUP + GroupSlot.GROUP_COALESCED) == 2


@pytest.mark.parametrize("other", [{"rdtype": "AAAA"}, {"want_dnssec": True}, {"flags": dns.flags.CD}])
def test_other_questions_are_asked_apart(upstream: Upstream, other: dict[str, object]) -> None:
    world = world_of(upstream)
    tokens = [world.park("www.example"), world.park("www.example", **other)]  # type: ignore[arg-type]
    for _ in tokens:
        upstream.reply()
    world.wait(*tokens)


def test_failover_asks_the_next_upstream(make_upstream: Callable[[], Upstream]) -> None:
    first, second = make_upstream(), make_upstream()
    world = world_of(first, second, failover=[2])
    token = world.park("www.example")
    first.reply(rcode=2)
    world.turn(lambda: not second.is_silent())
    second.reply("7 A 192.0.2.2")
    assert texts(world.wait(token)[0].answer) == ["www.example. 7 A 192.0.2.2"]


@pytest.mark.parametrize("rcode", [2, 3, 4, 5])
def test_rcode_is_passed_on(upstream: Upstream, rcode: int) -> None:
    world = world_of(upstream)
    token = world.park("www.example")
    upstream.reply(rcode=rcode)
    assert world.wait(token)[0].rcode() == rcode


def test_next_goes_to_the_next_forward(make_upstream: Callable[[], Upstream]) -> None:
    first, second = make_upstream(), make_upstream()
    world = world_of(first, next_rcodes=[3])
    world.add_forward(second.port, first_slot=2000)
    token = world.park("www.example")
    first.reply(rcode=3)
    world.turn(lambda: not second.is_silent())
    second.reply("7 A 192.0.2.2")
    assert world.wait(token)[0].rcode() == dns.rcode.NOERROR


@pytest.mark.parametrize("authority", [(), ("example. 5 SOA a. b. 1 2 3 4 5",)])
def test_next_on_nodata_goes_to_the_next_forward(make_upstream: Callable[[], Upstream], authority: tuple[str]) -> None:
    first, second = make_upstream(), make_upstream()
    world = world_of(first, next_on_nodata=True)
    world.add_forward(second.port, first_slot=2000)
    token = world.park("www.example")
    first.reply(authority=authority)
    world.turn(lambda: not second.is_silent())
    second.reply("7 A 192.0.2.2")
    assert world.wait(token)[0].answer


def test_next_without_another_forward_is_an_ordinary_reply(upstream: Upstream) -> None:
    world = world_of(upstream, next_rcodes=[3])
    token = world.park("www.example")
    upstream.reply(rcode=3)
    assert world.wait(token)[0].rcode() == dns.rcode.NXDOMAIN


def test_next_to_a_group_that_is_full_is_answered(make_upstream: Callable[[], Upstream]) -> None:
    first, second = make_upstream(), make_upstream()
    world = world_of(first, next_rcodes=[3])
    world.add_forward(second.port, first_slot=2000, max_concurrent=1)
    tokens = [world.park("a.example"), world.park("b.example")]
    for _ in tokens:
        first.reply(rcode=3)
    world.turn(lambda: not second.is_silent())
    second.reply("7 A 192.0.2.2")
    rcodes = sorted(int(answer.rcode()) for answer in world.wait(*tokens))
    assert rcodes == [0, 5]
    assert world.engine.waiting() == 0


def test_max_concurrent_refuses(upstream: Upstream) -> None:
    world = world_of(upstream, max_concurrent=1)
    token = world.park("a.example")
    assert world.ask("b.example", stream=False).rcode() == dns.rcode.REFUSED
    assert world.count(engines.GROUP + GroupSlot.GROUP_MAX_CONCURRENT_REJECTS) == 1
    upstream.reply()
    world.wait(token)
    assert isinstance(world.park("b.example"), int)


def test_malformed_reply_asks_another_upstream(make_upstream: Callable[[], Upstream]) -> None:
    first, second = make_upstream(), make_upstream()
    world = world_of(first, second)
    token = world.park("www.example")
    query, client = first.take()
    wire = dns.message.make_response(query).to_wire()
    first.socket.sendto(wire[:6] + b"\0\3" + wire[8:], client)  # 3 answers counted, none there
    world.turn(lambda: not second.is_silent())
    second.reply("7 A 192.0.2.2")
    assert world.wait(token)[0].answer


def test_malformed_replies_alone_are_servfail_with_ede(upstream: Upstream) -> None:
    world = world_of(upstream, max_connect_attempts=1)
    token = world.park("www.example", use_edns=0)
    query, client = upstream.take()
    wire = dns.message.make_response(query).to_wire()
    upstream.socket.sendto(wire[:6] + b"\0\3" + wire[8:], client)
    (answer,) = world.wait(token)
    assert (answer.rcode(), ede(answer)) == (SERVFAIL, [24])


def test_wrong_ids_and_questions_are_waited_over(upstream: Upstream) -> None:
    world = world_of(upstream)
    token = world.park("www.example")
    query, client = upstream.take()
    good = dns.message.make_response(query)
    for wrong in (b"", b"12345", b"\0\0" + good.to_wire()[2:], good.to_wire().replace(b"example", b"examplf")):
        upstream.socket.sendto(wrong, client)
    upstream.socket.sendto(good.to_wire(), client)
    assert world.wait(token)[0].rcode() == dns.rcode.NOERROR


def test_silence_is_servfail_with_ede_at_the_deadline(upstream: Upstream) -> None:
    world = World()
    world.block = world.add_block(deadline_ms=100)
    world.listen(world.block)
    world.add_forward(upstream.port, read_timeout_ms=50)
    token = world.park("www.example", use_edns=0)
    (answer,) = world.wait(token)
    assert (answer.rcode(), ede(answer)) == (SERVFAIL, [22])
    assert world.engine.waiting() == 0


def test_refused_connection_goes_to_the_next_upstream(make_upstream: Callable[[], Upstream]) -> None:
    first, second = make_upstream(), make_upstream()
    first.close()
    world = world_of(first, second)
    token = world.park("www.example")
    world.turn(lambda: not second.is_silent())
    second.reply("7 A 192.0.2.2")
    assert world.wait(token)[0].answer


def test_excluded_names_are_not_forwarded(upstream: Upstream) -> None:
    world = world_of(upstream, excluded=["internal.example"])
    assert world.ask("a.internal.example", stream=False).rcode() == SERVFAIL
    assert isinstance(world.park("internal.example.org"), int)


def test_fallthrough_leads_upstream(upstream: Upstream) -> None:
    world = engines.cluster()
    world.add_forward(upstream.port)
    token = world.park("9.9.9.9.in-addr.arpa", "PTR")
    upstream.reply("7 PTR nine.example.")
    assert texts(world.wait(token)[0].answer) == ["9.9.9.9.in-addr.arpa. 7 PTR nine.example."]


def test_truncated_reply_is_passed_on(upstream: Upstream) -> None:
    world = world_of(upstream)
    token = world.park("www.example")
    upstream.reply(flags=dns.flags.TC)
    assert world.wait(token)[0].flags & dns.flags.TC


def test_failure_is_noted_for_the_errors_plugin(upstream: Upstream) -> None:
    world = World()
    world.block = world.add_block(deadline_ms=60, errors=True)
    world.listen(world.block)
    world.add_forward(upstream.port, read_timeout_ms=40)
    world.wait(world.park("www.example"))
    ((block, rcode, query, _, group, _, remote),) = world.engine.error_records()
    assert (block, rcode, group, remote) == (world.block, 2, 0, engines.REMOTE)
    assert query[12:] == deltas.name("www.example") + b"\0\1\0\1"
