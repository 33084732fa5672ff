import asyncio
import pathlib
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from fastdns import errors
from fastdns.config import model
from fastdns.server import pages
from tests.unit.certificates import Files, make_certificate


async def say_ok() -> pages.Answer:
    return pages.Answer(200, b"OK")


async def say_unready() -> pages.Answer:
    return pages.Answer(503, b"kubernetes")


@asynccontextmanager
async def serving() -> AsyncIterator[int]:
    sockets = pages.bind_place(pages.Place("127.0.0.1", 0))
    server = pages.PageServer(sockets, {"/health": say_ok, "/ready": say_unready})
    await server.start()
    port = sockets[0].getsockname()[1]
    try:
        yield port
    finally:
        server.close()


def run_against(client: Callable[[int], Awaitable[None]]) -> None:
    async def main() -> None:
        async with serving() as port, asyncio.timeout(5):
            await client(port)

    asyncio.run(main())


def get(port: int, path: str, method: str = "GET") -> tuple[int, bytes]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.mark.parametrize(
    ("path", "method", "expected"),
    [
        ("/health", "GET", (200, b"OK")),
        ("/health?x=1", "GET", (200, b"OK")),
        ("/health", "HEAD", (200, b"")),
        ("/ready", "GET", (503, b"kubernetes")),
        ("/", "GET", (404, b"404 page not found\n")),
        ("/metrics/x", "GET", (404, b"404 page not found\n")),
        ("/health", "POST", (405, b"")),
    ],
)
def test_pages(path: str, method: str, expected: tuple[int, bytes]) -> None:
    async def client(port: int) -> None:
        assert await asyncio.to_thread(get, port, path, method) == expected

    run_against(client)


def test_connection_is_kept_for_the_next_request() -> None:
    async def client(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.readuntil(b"OK\r\n")).startswith(b"HTTP/1.1 200")
            assert (await reader.readuntil(b"\r\n\r\nOK")).endswith(b"OK")
        writer.write(b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b"OK")
        writer.close()

    run_against(client)


@pytest.mark.parametrize("rubbish", [b"\r\n\r\n", b"GET\r\n\r\n", b"\xff\xfe\r\n\r\n", b"GET / SIP/2.0\r\n\r\n"])
def test_no_request_is_refused(rubbish: bytes) -> None:
    async def client(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(rubbish)
        assert (await reader.read()).startswith(b"HTTP/1.1 400 Bad Request\r\n")
        writer.close()

    run_against(client)


def test_endless_head_is_cut() -> None:
    async def client(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000)
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()

    run_against(client)


def test_probe_is_answered_while_somebody_holds_all_connections() -> None:
    async def client(port: int) -> None:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3 * pages.CONNECTIONS_MAX)]
        for _, writer in held:
            writer.write(b"GET /health HTTP/1.1\r\nHost")
        assert await asyncio.to_thread(get, port, "/health") == (200, b"OK")
        with suppress(ConnectionResetError):
            assert await held[0][0].read() == b"", "the oldest has made room"
        for _, writer in held:
            writer.close()

    run_against(client)


def test_taken_place_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(errors.ListenError, match="Address already in use"):
            pages.bind_place(pages.Place("127.0.0.1", taken.getsockname()[1]))


def test_pages_of_one_address_share_it() -> None:
    plugins = (model.Health(), model.Ready(port=8080), model.Prometheus("", 9153), model.Errors())
    block = model.ServerBlock(".", (model.Listener("", 53),), plugins, "Corefile", 1)
    assert pages.find_places(model.Config((block, block), "")) == {
        pages.Place("", 8080): {"/health": pages.Content.HEALTH, "/ready": pages.Content.READY},
        pages.Place("", 9153): {"/metrics": pages.Content.METRICS},
    }


# --- TLS


async def fetch(port: int, *, ca: pathlib.Path, client: Files | None = None) -> bytes:
    context = ssl.create_default_context(cafile=str(ca))
    if client is not None:
        context.load_cert_chain(*client)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    writer.write(b"GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n")
    try:
        return await reader.read()
    finally:
        writer.transport.abort()


@asynccontextmanager
async def serving_tls(tls: model.WebTls) -> AsyncIterator[int]:
    sockets = pages.bind_place(pages.Place("127.0.0.1", 0))
    port = sockets[0].getsockname()[1]
    plain = pages.PageServer(sockets, {})
    await plain.start()
    server = plain.with_tls(tls)
    server.pages = {"/metrics": say_ok}
    await server.start()
    try:
        yield port
    finally:
        server.close()


def test_page_behind_tls_takes_a_renewed_certificate(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    old, new = (make_certificate(tmp_path, name, "IP:127.0.0.1") for name in ("old", "new"))
    served = tmp_path / "served.pem", tmp_path / "served.key"

    def install(files: Files) -> None:
        for source, target in zip(files, served, strict=True):
            target.write_text(source.read_text())

    async def main() -> None:
        install(old)
        async with serving_tls(model.WebTls(*map(str, served))) as port, asyncio.timeout(30):
            assert (await fetch(port, ca=old[0])).endswith(b"OK")
            served[0].write_text("half of a certificate")
            assert (await fetch(port, ca=old[0])).endswith(b"OK")
            install(new)
            assert (await fetch(port, ca=new[0])).endswith(b"OK")
            with pytest.raises(ssl.SSLCertVerificationError):
                await fetch(port, ca=old[0])

    asyncio.run(main())
    assert "the certificate of before is kept" in caplog.text


def test_client_without_a_certificate_is_turned_away(tmp_path: pathlib.Path) -> None:
    server, client = (make_certificate(tmp_path, name, "IP:127.0.0.1") for name in ("server", "client"))

    async def main() -> None:
        tls = model.WebTls(*map(str, server), str(client[0]), is_client_required=True)
        async with serving_tls(tls) as port, asyncio.timeout(30):
            assert (await fetch(port, ca=server[0], client=client)).endswith(b"OK")
            with suppress(ssl.SSLError, ConnectionError):  # TLS 1.3 tells it with the first octets that are read
                assert await fetch(port, ca=server[0]) == b""

    asyncio.run(main())
