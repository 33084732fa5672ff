"""One question over UDP to HOST:PORT: the reply, and each failure in Go's words."""

from __future__ import annotations

import asyncio
import re
import socket

import pytest

from fastdns import errors
from fastdns.dns import constants
from fastdns.forward import dial
from tests.unit.forward.servers import Behaviour, answering, reply_to, serve, silent


def ask(behaviour: Behaviour, host: str = "127.0.0.1") -> int:
    async def main() -> int:
        async with serve(behaviour) as server:
            reply, latency = await dial.ask(f"{host}:{server.port}", "www.example.org.", constants.Type.A)
            assert 0 < latency < dial.TIMEOUT
            return reply.answers

    return asyncio.run(main())


def failure(server: str) -> str:
    with pytest.raises(errors.UpstreamError) as raised:
        asyncio.run(dial.ask(server, "www.example.org.", constants.Type.A))
    return str(raised.value)


def test_a_reply() -> None:
    assert ask(answering) == 1


def test_a_host_is_looked_up() -> None:
    assert ask(answering, "localhost") == 1
    assert ask(answering, "") == 1


def test_a_reply_without_records() -> None:
    assert ask(lambda query: [reply_to(query, answer=b"", rcode=3)]) == 0


def test_another_id_is_a_late_reply_to_another_question() -> None:
    assert ask(lambda query: [b"\0\0" + reply_to(query)[2:] if query[:2] != b"\0\0" else b"", reply_to(query)]) == 1


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial, "TIMEOUT", 0.05)
    with pytest.raises(errors.UpstreamError, match=r"^read udp 127\.0\.0\.1:\d+->127\.0\.0\.1:\d+: i/o timeout$"):
        ask(silent)


def test_an_answer_that_is_none() -> None:
    with pytest.raises(errors.UpstreamError, match=r"^read udp .*: read: a malformed answer"):
        ask(lambda query: [query[:2] + b"\x81\x80\0\1\0\1\0\0\0\0"])


def test_a_closed_port() -> None:
    text = failure("127.0.0.1:1")
    assert re.fullmatch(r"read udp 127\.0\.0\.1:\d+->127\.0\.0\.1:1: read: connection refused", text), text


@pytest.mark.parametrize(
    ("server", "text"),
    [
        ("::1", "dial udp: address ::1: too many colons in address"),
        ("[::1]", "dial udp: address [::1]: missing port in address"),
        ("127.0.0.1:x", "dial udp: address x: invalid port"),
        ("127.0.0.1:65536", "dial udp: address 65536: invalid port"),
    ],
)
def test_an_address_that_is_none(server: str, text: str) -> None:
    assert failure(server) == text


@pytest.mark.parametrize(
    ("raised", "text"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "no such host"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "temporary failure"),
        (UnicodeError("label too long"), "no such host"),
    ],
)
def test_a_host_that_is_not_found(raised: Exception, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*arguments: object, **keywords: object) -> None:
        raise raised

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert failure("nosuch:53") == f"dial udp: lookup nosuch: {text}"
