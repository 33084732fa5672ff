"""Questions over HTTPS against servers that answer, lie, die or dawdle."""

from __future__ import annotations

import asyncio
import dataclasses
import socket

import pytest

from fastdns import errors
from fastdns.config import model
from fastdns.forward import exchange, https
from tests.peers.process import CLOSED_PORTS
from tests.unit.certificates import Files
from tests.unit.forward.servers import (
    QUERY,
    WebServer,
    forwarder,
    http,
    reply_to,
    response_to,
    run,
    serve,
    serve_https,
)

PATIENCE = 30.0  # seconds of read_timeout where nothing is late on purpose
GOOD = b"\xc0\0\2\1"  # the address in servers.reply_to


def trusting(files: Files, **changes: object) -> dict[str, object]:
    tls = model.Tls(ca=str(files[0]), server_name="dns.example")
    return {"tls": tls, "force_tcp": False, "read_timeout": PATIENCE, **changes}


def query_for(name: str) -> bytes:
    return QUERY[:12] + bytes([len(name)]) + name.encode() + b"\0\0\1\0\1"


async def ask(made: exchange.Forwarder, query: bytes = QUERY) -> exchange.Reply:
    return await made.exchange(query, is_stream=False)


async def fail(made: exchange.Forwarder) -> str:
    with pytest.raises(errors.UpstreamError) as caught:
        await ask(made)
    assert caught.value.rcode == 2
    return str(caught.value)


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_question_goes_as_rfc_8484_says(files: Files, method: str) -> None:
    async def test() -> None:
        async with (
            serve_https(files) as server,
            forwarder(server.upstream, **trusting(files, doh_method=method)) as made,
        ):
            assert GOOD in (await ask(made)).wire
            (head,) = server.requests
            assert head.startswith("POST /dns-query HTTP/1.1\r\n" if method == "POST" else "GET /dns-query?dns=AAABAA")
            assert f"\r\nHost: dns.example:{server.port}\r\n" in head
            assert "\r\nAccept: application/dns-message\r\n" in head
            assert ("\r\nContent-Type: application/dns-message\r\n" in head) == (method == "POST")
            assert server.queries[0][:2] == b"\0\0"  # the id, for caches (section 4.1)

    run(test)


def test_connection_is_used_again_and_expires(files: Files) -> None:
    async def test() -> None:
        now = 0.0
        async with serve_https(files) as server:
            made = exchange.Forwarder(
                dataclasses.replace(
                    model.Forward(".", (server.upstream,), expire=10.0),
                    tls=model.Tls(ca=str(files[0]), server_name="dns.example"),
                ),
                set_down=lambda upstream, is_down: None,
                clock=lambda: now,
            )
            for _ in range(3):
                await ask(made)
            assert server.connections == 1
            now = 11.0
            await ask(made)
            assert server.connections == 2
            await made.close()

    run(test)


def test_many_at_once_share_bounded_connections(files: Files) -> None:
    async def test() -> None:
        async with serve_https(files) as server, forwarder(server.upstream, **trusting(files)) as made:
            replies = await asyncio.gather(*(ask(made, query_for(f"n{at}")) for at in range(200)))
            assert all(GOOD in reply.wire for reply in replies)
            assert len(server.queries) == 200
            assert server.connections <= https.CONNECTIONS_MAX

    run(test)


def test_second_connection_resumes_the_session_of_the_first(files: Files) -> None:
    async def test() -> None:
        def last(query: bytes) -> bytes:
            return http(reply_to(query), fields="Connection: close\r\n")

        async with serve_https(files, last) as server, forwarder(server.upstream, **trusting(files)) as made:
            for _ in range(3):
                await ask(made)
            assert (server.connections, server.resumed) == (3, 2)

    run(test)


@pytest.mark.parametrize(
    "fault", [{"server_name": "other.example"}, {"server_name": ""}, {"ca": ""}], ids=["name", "address", "authority"]
)
def test_server_that_proves_nothing_is_not_asked(files: Files, fault: dict[str, str]) -> None:
    async def test() -> None:
        tls = dataclasses.replace(model.Tls(ca=str(files[0]), server_name="dns.example"), **fault)
        async with serve_https(files) as server, forwarder(server.upstream, **trusting(files, tls=tls)) as made:
            assert "tls: failed to verify certificate: x509: " in await fail(made)
            assert server.queries == []

    run(test)


def test_expired_certificate_is_refused(certificates: dict[str, Files]) -> None:
    async def test() -> None:
        files = certificates["expired"]
        async with serve_https(files) as server, forwarder(server.upstream, **trusting(files)) as made:
            assert "expired" in await fail(made)

    run(test)


def test_plain_server_gets_no_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "DIAL_TIMEOUT", 0.5)  # it waits for the end of what it takes for a long query

    async def test() -> None:
        async with serve() as server:
            place = model.Upstream("127.0.0.1", server.port, model.Protocol.HTTPS)
            async with forwarder(place) as made:
                await fail(made)
            assert server.udp == []
            assert all(QUERY[12:16].lower() not in query for query in server.tcp)

    run(test)


def test_name_of_the_upstream_wins(files: Files) -> None:
    async def test() -> None:
        async with serve_https(files) as server:
            place = dataclasses.replace(server.upstream, server_name="dns.example")
            async with forwarder(place, **trusting(files, tls=model.Tls(ca=str(files[0])))) as made:
                assert GOOD in (await ask(made)).wire

    run(test)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda reply: http(reply, status="500 Internal Server Error"), "unexpected HTTP status 500"),
        (lambda reply: http(b"", status="404 Not Found"), "unexpected HTTP status 404"),
        (lambda reply: http(reply, status="302 Found", fields="Location: /\r\n"), "unexpected HTTP status 302"),
        (lambda reply: http(reply, kind="text/html"), "unexpected content type 'text/html'"),
        (lambda reply: http(reply).replace(b"Content-Type", b"X-Type"), "unexpected content type ''"),
        (lambda reply: http(b""), "not the reply to the question"),
        (lambda reply: http(reply.replace(b"example", b"exampla")), "not the reply to the question"),
        (lambda reply: http(reply[:-1]), "malformed reply"),
        (lambda reply: b"SSH-2.0-OpenSSH\r\n\r\n", "malformed HTTP response"),
        (lambda reply: b"HTTP/1.1 2x0 OK\r\n\r\n", "malformed HTTP response"),
        (lambda reply: b"HTTP/1.1 100 Continue\r\n\r\n" * 9, "too many interim responses"),
        (lambda reply: b"HTTP/1.1 200 OK\r\nX: " + b"x" * 40_000 + b"\r\n\r\n", "the head is too long"),
        (lambda reply: framed("Content-Length: 70000"), "the body is too long"),
        (lambda reply: framed("Content-Length: -1"), "malformed length '-1'"),
        (lambda reply: framed("Content-Length: 0x10"), "malformed length '0x10'"),
        (lambda reply: framed("Transfer-Encoding: gzip, chunked"), "unsupported transfer encoding"),
        (lambda reply: framed("Transfer-Encoding: chunked", b"zz\r\n"), "malformed length 'zz'"),
        (lambda reply: framed("Transfer-Encoding: chunked", b"1\r\nabc\r\n"), "malformed chunked body"),
        (lambda reply: framed("Transfer-Encoding: chunked", b"fffe\r\n" + b"x" * 65534 + b"\r\n9\r\n"), "too long"),
        (lambda reply: framed("Transfer-Encoding: chunked", b"0\r\n" + b"a: b\r\n" * 999 + b"\r\n"), "trailer fields"),
    ],
)
def test_response_that_is_no_answer_is_left_for_the_next(files: Files, make, message: str) -> None:
    async def test() -> None:
        async with serve_https(files, lambda query: make(reply_to(query))) as liar, serve_https(files) as good:
            async with forwarder(liar.upstream, **trusting(files)) as made:
                assert message in await fail(made)
            async with forwarder(liar.upstream, good.upstream, **trusting(files)) as made:
                assert (await ask(made)).upstream == 1

    run(test)


def framed(field: str, body: bytes = b"") -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: application/dns-message\r\n{field}\r\n\r\n".encode() + body


@pytest.mark.parametrize(
    "make",
    [
        lambda reply: http(reply, kind="Application/DNS-Message; charset=x"),
        lambda reply: b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + http(reply),
        lambda reply: (
            framed("Transfer-Encoding: Chunked", b"5;a=b\r\n%b\r\n%X\r\n%b\r\n0\r\nT: x\r\n\r\n")
            % (reply[:5], len(reply) - 5, reply[5:])
        ),
    ],
    ids=["parameters", "interim", "chunked"],
)
def test_response_in_another_form_is_taken(files: Files, make) -> None:
    async def test() -> None:
        async with serve_https(files, lambda query: make(reply_to(query))) as server:
            async with forwarder(server.upstream, **trusting(files)) as made:
                for _ in range(2):
                    assert GOOD in (await ask(made)).wire
            assert server.connections == 1

    run(test)


def test_body_may_end_with_the_stream(files: Files) -> None:
    async def test() -> None:
        async with serve_https(files, lambda query: framed("Connection: close", reply_to(query))) as server:
            async with forwarder(server.upstream, **trusting(files)) as made:
                for _ in range(2):
                    assert GOOD in (await ask(made)).wire
            assert server.connections == 2

    run(test)


async def wait_for(condition) -> None:
    while not condition():
        await asyncio.sleep(0.01)


def test_age_of_a_cached_response_is_taken_off_the_ttl(files: Files) -> None:
    async def test() -> None:
        def aged(query: bytes) -> bytes:
            return http(reply_to(query), fields="Age: 10\r\n")

        async with serve_https(files, aged) as server, forwarder(server.upstream, **trusting(files)) as made:
            assert (await ask(made)).wire[-10:-6] == b"\0\0\0\x14"  # 30 - 10

    run(test)


def test_server_that_closes_after_each_response_is_dialled_again(files: Files) -> None:
    async def test() -> None:
        seen: list[bytes] = []

        def closing(query: bytes) -> bytes | None:
            seen.append(query)
            return response_to(query) if len(seen) % 2 else None  # every second query finds the connection closed

        async with serve_https(files, closing) as server, forwarder(server.upstream, **trusting(files)) as made:
            for _ in range(3):
                assert GOOD in (await ask(made)).wire
            assert server.connections == 3

    run(test)


def test_request_timeout_of_an_idle_connection_is_asked_again(files: Files) -> None:
    async def test() -> None:
        def impatient(query: bytes) -> bytes:
            is_reused = len(server.queries) == 2
            return http(b"", status="408 Request Timeout") if is_reused else response_to(query)

        async with serve_https(files, impatient) as server:
            async with forwarder(server.upstream, **trusting(files)) as made:
                for _ in range(2):
                    assert GOOD in (await ask(made)).wire
            assert server.connections == 2

    run(test)


def test_server_that_closes_without_an_answer_fails(files: Files) -> None:
    async def test() -> None:
        async with serve_https(files, lambda query: None) as server:
            async with forwarder(server.upstream, **trusting(files)) as made:
                assert await fail(made) == f'Post "https://127.0.0.1:{server.port}/dns-query": EOF'
            assert len(server.queries) == 2  # max_connect_attempts

    run(test)


def test_half_a_response_and_then_silence_times_out(files: Files) -> None:
    async def test() -> None:
        def half(query: bytes) -> bytes:
            return response_to(query)[:-1]

        options = trusting(files, read_timeout=0.2)
        async with serve_https(files, half) as server, forwarder(server.upstream, **options) as made:
            assert "i/o timeout" in await fail(made)

    run(test)


def test_late_response_is_nobody_elses(files: Files) -> None:
    """A question that was given up closes its connection: the next one must not be given what comes for the first."""

    async def test() -> None:
        async with serve_https(files, lambda query: b"") as server:
            async with forwarder(server.upstream, **trusting(files, read_timeout=0.2, max_connect_attempts=1)) as made:
                await fail(made)
                server.behaviour = response_to
                assert GOOD in (await ask(made, query_for("other"))).wire
            assert server.connections == 2

    run(test)


def test_slow_server_is_left_within_the_deadline(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "DEADLINE", 0.3)

    async def test() -> None:
        async with (
            serve_https(files, lambda query: b"") as server,
            forwarder(server.upstream, **trusting(files)) as made,
        ):
            assert "i/o timeout" in await fail(made)

    run(test)


def test_refusing_upstream_is_left_at_once(files: Files) -> None:
    async def test() -> None:
        closed = model.Upstream("127.0.0.1", CLOSED_PORTS[0], model.Protocol.HTTPS)
        async with serve_https(files) as server:
            async with forwarder(closed, server.upstream, **trusting(files)) as made:
                assert (await ask(made)).upstream == 1
            async with forwarder(closed, **trusting(files)) as made:
                assert "dial tcp 127.0.0.1:1: connect: " in await fail(made)

    run(test)


def test_half_open_tls_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "DIAL_TIMEOUT", 0.2)

    async def test() -> None:
        with socket.socket() as mute:
            mute.bind(("127.0.0.1", 0))
            mute.listen()
            place = model.Upstream("127.0.0.1", mute.getsockname()[1], model.Protocol.HTTPS)
            async with forwarder(place) as made:
                assert "i/o timeout" in await fail(made)

    run(test)


def test_formerr_means_no_edns(files: Files) -> None:
    async def test() -> None:
        def old(query: bytes) -> bytes:
            return response_to(query) if query[11] == 0 else http(query[:2] + b"\x81\x81" + bytes(8))

        async with serve_https(files, old) as server, forwarder(server.upstream, **trusting(files)) as made:
            assert GOOD in (await ask(made)).wire

    run(test)


def test_health_check_goes_over_https_too(files: Files) -> None:
    async def test() -> None:
        def failing(query: bytes) -> bytes:
            return http(b"", status="500 Internal Server Error")

        told: list[tuple[int, bool]] = []
        async with serve_https(files, failing) as server:
            made = checked(server, files, told)
            with pytest.raises(errors.UpstreamError):
                await ask(made)
            await wait_for(lambda: told == [(0, True)])
            server.behaviour = response_to
            await wait_for(lambda: told == [(0, True), (0, False)])
            assert server.queries[-1][12:17] == b"\0\0\2\0\1"  # `. NS IN`
            await made.close()

    run(test)


def checked(server: WebServer, files: Files, told: list[tuple[int, bool]]) -> exchange.Forwarder:
    forward = model.Forward(
        ".",
        (server.upstream,),
        max_connect_attempts=1,
        health_check=model.HealthCheck(0.01),
        tls=model.Tls(ca=str(files[0]), server_name="dns.example"),
    )
    return exchange.Forwarder(forward, set_down=lambda upstream, is_down: told.append((upstream, is_down)))
