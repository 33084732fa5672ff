"""Questions over TCP and TLS against upstreams that answer, lie, die or dawdle."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from collections.abc import Callable

import pytest

from fastdns import errors
from fastdns._counters import Counters, GroupSlot, UpstreamSlot
from fastdns.config import model
from fastdns.forward import counts, exchange
from tests.peers.process import CLOSED_PORTS
from tests.unit.certificates import Files
from tests.unit.forward import servers
from tests.unit.forward.servers import FORWARD, QUERY, answering, forwarder, reply_to, run, serve, silent


def query_for(name: str) -> bytes:
    return QUERY[:12] + bytes([len(name)]) + name.encode() + b"\0\0\1\0\1"


def test_client_on_tcp_is_asked_over_tcp() -> None:
    async def test() -> None:
        async with serve() as server, forwarder(server, force_tcp=False) as made:
            reply = await made.exchange(QUERY, is_stream=True)
            assert reply.wire[12:] == reply_to(QUERY.lower())[12:]
            assert (len(server.udp), len(server.tcp)) == (0, 1)
            assert server.tcp[0].endswith(b"\0\0\x29\x04\xd0\0\0\0\0\0\0")

    run(test)


def test_connection_is_used_again_and_expires() -> None:
    async def test() -> None:
        now = 0.0
        async with serve() as server, forwarder(server, expire=10.0, clock=lambda: now) as made:
            for moment in (0.0, 9.0, 18.0):
                now = moment
                await made.exchange(QUERY, is_stream=True)
            assert server.connections == 1
            now = 29.0
            await made.exchange(QUERY, is_stream=True)
            assert server.connections == 2

    run(test)


def test_max_age_ends_a_busy_connection() -> None:
    async def test() -> None:
        now = 0.0
        async with serve() as server, forwarder(server, max_age=20.0, clock=lambda: now) as made:
            for moment in (0.0, 9.0, 18.0, 27.0, 36.0):
                now = moment
                await made.exchange(QUERY, is_stream=True)
            assert server.connections == 2

    run(test)


def test_replies_may_overtake_one_another() -> None:
    async def test() -> None:
        held: list[bytes] = []

        def reverse(query: bytes) -> list[bytes]:
            held.append(query)
            return [reply_to(kept) for kept in reversed(held)] if len(held) == 3 else []

        async with serve(reverse) as server, forwarder(server) as made:
            names = ["a", "bb", "ccc"]
            replies = await asyncio.gather(*(made.exchange(query_for(name), is_stream=True) for name in names))
            assert [
                reply.wire[13 : 13 + len(name)].decode() for reply, name in zip(replies, names, strict=True)
            ] == names
            assert server.connections == 1

    run(test)


def test_many_at_once_share_few_connections() -> None:
    async def test() -> None:
        async with serve() as server, forwarder(server) as made:
            await asyncio.gather(*(made.exchange(query_for(f"n{at}"), is_stream=True) for at in range(1000)))
            assert len(server.tcp) == 1000
            assert server.connections <= 8

    run(test)


def test_equal_queries_are_asked_once() -> None:
    async def test() -> None:
        async with serve() as server, forwarder(server) as made:
            replies = await asyncio.gather(*(made.exchange(QUERY, is_stream=True) for _ in range(50)))
            assert len(server.tcp) == 1
            assert len({reply.wire for reply in replies}) == 1

    run(test)


def test_asker_that_goes_leaves_the_others() -> None:
    async def test() -> None:
        async with serve() as server, forwarder(server) as made:
            first = asyncio.create_task(made.exchange(QUERY, is_stream=True))
            second = asyncio.create_task(made.exchange(QUERY, is_stream=True))
            await asyncio.sleep(0)
            first.cancel()
            assert (await second).rcode == 0

    run(test)


@pytest.mark.parametrize(
    "lie",
    [
        lambda reply: bytes([reply[0] ^ 1]) + reply[1:],
        lambda reply: reply[:2] + b"\x01\x80" + reply[4:],
        lambda reply: reply[:13] + b"x" + reply[14:],
        lambda reply: reply[:5],
        lambda reply: b"",
    ],
)
@pytest.mark.parametrize("is_stream", [True, False])
def test_lies_are_dropped_and_the_reply_after_them_counts(lie: Callable[[bytes], bytes], is_stream: bool) -> None:
    async def test() -> None:
        def lying(query: bytes) -> list[bytes]:
            return [lie(reply_to(query)), reply_to(query)]

        async with serve(lying) as server, forwarder(server, force_tcp=is_stream) as made:
            assert (await made.exchange(QUERY, is_stream=is_stream)).rcode == 0

    run(test)


def test_server_that_closes_after_each_reply_is_dialled_again() -> None:
    async def test() -> None:
        seen: list[bytes] = []

        def closing(query: bytes) -> list[bytes] | None:
            seen.append(query)
            return [reply_to(query)] if len(seen) % 2 else None  # every second query finds the connection closed

        async with serve(closing) as server, forwarder(server) as made:
            for _ in range(4):
                assert (await made.exchange(QUERY, is_stream=True)).rcode == 0
            assert server.connections >= 3

    run(test)


CLOSED = model.Upstream("127.0.0.1", CLOSED_PORTS[0])


@pytest.mark.parametrize("is_stream", [True, False])
def test_refusing_upstream_is_left_at_once(is_stream: bool) -> None:
    async def test() -> None:
        async with serve() as server, forwarder(CLOSED, server, force_tcp=is_stream) as made:
            assert (await made.exchange(QUERY, is_stream=is_stream)).upstream == 1

    run(test)


def test_refused_everywhere_says_so() -> None:
    async def test() -> None:
        async with forwarder(CLOSED) as made:
            with pytest.raises(errors.UpstreamError, match=f"dial tcp 127.0.0.1:{CLOSED.port}: connect: ") as caught:
                await made.exchange(QUERY, is_stream=True)
            assert caught.value.rcode == 2

    run(test)


def test_silent_upstream_is_left_for_the_next() -> None:
    async def test() -> None:
        async with serve(silent) as dead, serve() as server, forwarder(dead, server, read_timeout=0.2) as made:
            assert (await made.exchange(QUERY, is_stream=True)).upstream == 1

    run(test)


def test_silent_upstream_times_out() -> None:
    async def test() -> None:
        async with serve(silent) as server, forwarder(server, read_timeout=0.2) as made:
            with pytest.raises(errors.UpstreamError, match="i/o timeout"):
                await made.exchange(QUERY, is_stream=True)
            assert len(server.tcp) == 2  # max_connect_attempts

    run(test)


def test_broken_reply_is_left_for_the_next() -> None:
    async def test() -> None:
        def broken(query: bytes) -> list[bytes]:
            return [reply_to(query)[:-1]]

        async with serve(broken) as liar, serve() as server, forwarder(liar, server) as made:
            assert (await made.exchange(QUERY, is_stream=True)).upstream == 1

    run(test)


def test_failover_tries_each_and_gives_the_last() -> None:
    async def test() -> None:
        def failing(query: bytes) -> list[bytes]:
            return [reply_to(query, rcode=2, answer=b"")]

        async with serve(failing) as bad, serve() as good:
            async with forwarder(bad, good, failover=(2,)) as made:
                assert (await made.exchange(QUERY, is_stream=True)).upstream == 1
            async with forwarder(bad, bad, failover=(2,)) as made:
                assert (await made.exchange(QUERY, is_stream=True)).rcode == 2
            assert len(bad.tcp) == 3

    run(test)


def test_formerr_means_no_edns() -> None:
    async def test() -> None:
        def old(query: bytes) -> list[bytes]:
            return [reply_to(query)] if query[11] == 0 else [query[:2] + b"\x81\x81" + bytes(8)]

        async with serve(old) as server, forwarder(server) as made:
            assert (await made.exchange(QUERY, is_stream=True)).rcode == 0

    run(test)


def test_prefer_udp_takes_tcp_when_truncated() -> None:
    async def test() -> None:
        def short(query: bytes) -> list[bytes]:
            is_first = not server.tcp
            return [reply_to(query, flags=0x8380, answer=b"") if is_first else reply_to(query)]

        async with serve() as server, forwarder(server, force_tcp=False, prefer_udp=True) as made:
            server.behaviour = short
            reply = await made.exchange(QUERY, is_stream=True)
            assert reply.wire[2:4] == b"\x81\x80"
            assert (len(server.udp), len(server.tcp)) == (1, 1)

    run(test)


def test_prefer_udp_gives_the_truncated_reply_where_tcp_says_nothing() -> None:
    """To a client on UDP, which can ask over TCP itself; it means nothing to one on TCP."""

    async def test() -> None:
        def by_udp_alone(query: bytes) -> list[bytes]:
            return [] if server.tcp else [reply_to(query, flags=0x8380, answer=b"")]

        async with serve() as server, forwarder(server, force_tcp=False, prefer_udp=True, read_timeout=0.2) as made:
            server.behaviour = by_udp_alone
            assert (await made.exchange(QUERY, is_stream=False)).wire[2] & 0x02
            server.tcp.clear()
            with pytest.raises(errors.UpstreamError, match="i/o timeout"):
                await made.exchange(QUERY, is_stream=True)

    run(test)


def test_max_concurrent_refuses() -> None:
    async def test() -> None:
        async with serve(silent) as server, forwarder(server, max_concurrent=1, read_timeout=0.2) as made:
            first = asyncio.create_task(made.exchange(QUERY, is_stream=True))
            await asyncio.sleep(0)
            with pytest.raises(errors.UpstreamError, match="concurrent queries exceeded maximum 1") as caught:
                await made.exchange(query_for("other"), is_stream=True)
            assert caught.value.rcode == 5
            with pytest.raises(errors.UpstreamError):
                await first

    run(test)


def test_what_is_no_query_is_formerr() -> None:
    async def test() -> None:
        async with serve() as server, forwarder(server) as made:
            with pytest.raises(errors.UpstreamError) as caught:
                await made.exchange(QUERY[:20], is_stream=True)
            assert caught.value.rcode == 1

    run(test)


def test_next_is_wanted_for_its_rcodes_and_nodata() -> None:
    async def test() -> None:
        async with serve() as server, forwarder(server, next=(3,), next_on_nodata=True) as made:
            wire = reply_to(QUERY)
            assert not made.wants_next(exchange.Reply(wire, 0))
            assert made.wants_next(exchange.Reply(reply_to(QUERY, rcode=3, answer=b""), 0))
            assert made.wants_next(exchange.Reply(reply_to(QUERY, answer=b""), 0))

    run(test)


def test_close_ends_what_is_on_its_way() -> None:
    async def test() -> None:
        async with serve(silent) as server, forwarder(server) as made:
            asked = asyncio.create_task(made.exchange(QUERY, is_stream=True))
            while not server.tcp:
                await asyncio.sleep(0.01)
            await made.close()
            with pytest.raises(asyncio.CancelledError):
                await asked
            assert asyncio.all_tasks() - {asyncio.current_task()} <= {
                task for task in asyncio.all_tasks() if "forward" not in task.get_name()
            }

    run(test)


def test_slots_are_written() -> None:
    async def test() -> None:
        counters = Counters(bytearray(8 * 1000))
        async with serve() as server:
            made = exchange.Forwarder(
                dataclasses.replace(FORWARD, upstreams=(server.upstream,)),
                set_down=lambda upstream, is_down: None,
                counts=counts.Counts(counters, 10),
            )
            for _ in range(2):
                await made.exchange(QUERY, is_stream=True)
            await made.close()
        upstream = 10 + GroupSlot.GROUP_SLOTS
        assert counters.get(upstream + UpstreamSlot.UPSTREAM_CONN_CACHE_MISSES + 1) == 1
        assert counters.get(upstream + UpstreamSlot.UPSTREAM_CONN_CACHE_HITS + 1) == 1
        assert counters.get(upstream + UpstreamSlot.UPSTREAM_DURATION_SUM) > 0

    run(test)


# --- TLS


@pytest.mark.parametrize("is_stream", [True, False])
def test_tls_upstream_answers(certificates: dict[str, Files], is_stream: bool) -> None:
    async def test() -> None:
        files = certificates["good"]
        options = model.Tls(ca=str(files[0]), server_name="dns.example")
        async with serve(context=servers.server_context(files)) as server:
            async with forwarder(server.tls_upstream, force_tcp=False, tls=options) as made:
                for _ in range(2):
                    assert (await made.exchange(QUERY, is_stream=is_stream)).rcode == 0
            assert server.connections == 1
            assert server.udp == []

    run(test)


def test_second_connection_resumes_the_session_of_the_first(files: Files) -> None:
    async def test() -> None:
        options = model.Tls(ca=str(files[0]), server_name="dns.example")
        async with serve(context=servers.server_context(files)) as server:
            async with forwarder(server.tls_upstream, tls=options, expire=0.0) as made:
                for _ in range(3):
                    await made.exchange(QUERY, is_stream=False)
            assert (server.connections, server.resumed) == (3, 2)

    run(test)


@pytest.mark.parametrize("fault", ["name", "address", "authority"])
def test_tls_upstream_that_proves_nothing_is_not_asked(certificates: dict[str, Files], fault: str) -> None:
    async def test() -> None:
        files = certificates["good"]
        options = {
            "name": model.Tls(ca=str(files[0]), server_name="other.example"),
            "address": model.Tls(ca=str(files[0])),
            "authority": model.Tls(server_name="dns.example"),
        }[fault]
        async with serve(context=servers.server_context(files)) as server:
            async with forwarder(server.tls_upstream, tls=options) as made:
                with pytest.raises(errors.UpstreamError, match="tls: failed to verify certificate: x509: "):
                    await made.exchange(QUERY, is_stream=False)
            assert server.tcp == server.udp == []

    run(test)


def test_expired_certificate_is_refused(certificates: dict[str, Files]) -> None:
    async def test() -> None:
        files = certificates["expired"]
        async with serve(context=servers.server_context(files)) as server:
            options = model.Tls(ca=str(files[0]), server_name="dns.example")
            async with forwarder(server.tls_upstream, tls=options) as made:
                with pytest.raises(errors.UpstreamError, match="expired"):
                    await made.exchange(QUERY, is_stream=False)

    run(test)


def test_server_name_of_the_upstream_wins(certificates: dict[str, Files]) -> None:
    async def test() -> None:
        files = certificates["good"]
        async with serve(context=servers.server_context(files)) as server:
            place = dataclasses.replace(server.tls_upstream, server_name="dns.example")
            async with forwarder(place, tls=model.Tls(ca=str(files[0]))) as made:
                assert (await made.exchange(QUERY, is_stream=False)).rcode == 0

    run(test)


def test_plain_server_for_tls_gets_no_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "DIAL_TIMEOUT", 0.5)  # it waits for the end of what it takes for a long query

    async def test() -> None:
        async with serve(answering) as server, forwarder(server.tls_upstream) as made:
            with pytest.raises(errors.UpstreamError):
                await made.exchange(QUERY, is_stream=False)
            assert server.udp == []
            assert all(QUERY[12:16].lower() not in query for query in server.tcp)

    run(test)


def test_half_open_tls_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "DIAL_TIMEOUT", 0.2)

    async def test() -> None:
        with socket.socket() as mute:
            mute.bind(("127.0.0.1", 0))
            mute.listen()
            place = model.Upstream("127.0.0.1", mute.getsockname()[1], model.Protocol.TLS)
            async with forwarder(place) as made:
                with pytest.raises(errors.UpstreamError, match="i/o timeout"):
                    await made.exchange(QUERY, is_stream=False)

    run(test)
