"""Upstreams for tests of fastdns.forward: they answer as the test says, over UDP, TCP or TLS on one port, or over HTTPS."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from fastdns.config import model
from fastdns.forward import exchange
from tests.unit.certificates import Files

QUERY = b"\x12\x34\x01\x00\0\1\0\0\0\0\0\0\x03WWW\x07example\x03org\0\0\1\0\1"
ADDRESS = b"\xc0\x0c\0\1\0\1\0\0\0\x1e\0\4\xc0\0\2\1"

FORWARD = model.Forward(".", (), policy="sequential", force_tcp=True, read_timeout=30.0, max_fails=0)

# What a server does with a query: replies to send at once, None to close the stream.
Behaviour = Callable[[bytes], "list[bytes] | None"]


# What one over HTTPS does with a query: octets of HTTP to send at once, None to close the stream.
WebBehaviour = Callable[[bytes], "bytes | None"]


def reply_to(query: bytes, *, rcode: int = 0, answer: bytes = ADDRESS, flags: int = 0x8180) -> bytes:
    end = query.index(b"\0", 12) + 5
    count = 1 if answer else 0
    return query[:2] + struct.pack("!HHHHH", flags | rcode, 1, count, 0, 0) + query[12:end] + answer


def answering(query: bytes) -> list[bytes]:
    return [reply_to(query)]


def silent(query: bytes) -> list[bytes]:
    return []


def response_to(query: bytes) -> bytes:
    return http(reply_to(query))


def http(body: bytes, *, status: str = "200 OK", kind: str = "application/dns-message", fields: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{fields}\r\n"
    return head.encode() + body


def server_context(files: Files) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    return context


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await test()

    asyncio.run(bounded())


@contextlib.asynccontextmanager
async def forwarder(
    *upstreams: Server | model.Upstream, clock: Callable[[], float] = time.monotonic, **changes: object
) -> AsyncIterator[exchange.Forwarder]:
    places = tuple(found.upstream if isinstance(found, Server) else found for found in upstreams)
    options = {"upstreams": places, "max_connect_attempts": 2 * len(places), **changes}
    forward = dataclasses.replace(FORWARD, **options)  # type: ignore[arg-type]
    made = exchange.Forwarder(forward, set_down=lambda upstream, is_down: None, clock=clock)
    try:
        yield made
    finally:
        await made.close()


@dataclasses.dataclass(slots=True)
class Server:
    port: int
    behaviour: Behaviour
    udp: list[bytes] = dataclasses.field(default_factory=list)  # queries that came
    tcp: list[bytes] = dataclasses.field(default_factory=list)
    connections: int = 0
    resumed: int = 0  # connections whose TLS session was an earlier one's

    @property
    def upstream(self) -> model.Upstream:
        return model.Upstream("127.0.0.1", self.port)

    @property
    def tls_upstream(self) -> model.Upstream:
        return model.Upstream("127.0.0.1", self.port, model.Protocol.TLS)


@dataclasses.dataclass(slots=True)
class WebServer:
    port: int
    behaviour: WebBehaviour
    requests: list[str] = dataclasses.field(default_factory=list)  # heads that came
    queries: list[bytes] = dataclasses.field(default_factory=list)
    connections: int = 0
    resumed: int = 0  # connections whose TLS session was an earlier one's

    @property
    def upstream(self) -> model.Upstream:
        return model.Upstream("127.0.0.1", self.port, model.Protocol.HTTPS)


@contextlib.asynccontextmanager
async def serve_https(files: Files, behaviour: WebBehaviour = response_to) -> AsyncIterator[WebServer]:
    server = WebServer(0, behaviour)
    streams: set[asyncio.Task[None]] = set()

    async def on_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        streams.add(task)
        server.connections += 1
        server.resumed += writer.get_extra_info("ssl_object").session_reused
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while (response := server.behaviour(await read_query(reader))) is not None:
                writer.write(response)
                await writer.drain()
                if b"\r\nConnection: close\r\n" in response:
                    writer.close()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(writer.wait_closed(), 5)
                    break
        writer.transport.abort()

    async def read_query(reader: asyncio.StreamReader) -> bytes:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        server.requests.append(head)
        method, target, _ = head.split(" ", 2)
        if method == "GET":
            query = base64.urlsafe_b64decode(target.partition("?dns=")[2] + "==")
        else:
            query = await reader.readexactly(int(head.lower().partition("content-length:")[2].split()[0]))
        server.queries.append(query)
        return query

    listener = await asyncio.start_server(on_stream, "127.0.0.1", 0, ssl=server_context(files))
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in streams:
            task.cancel()
        await asyncio.gather(*streams, return_exceptions=True)


@contextlib.asynccontextmanager
async def serve(behaviour: Behaviour = answering, *, context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(0, behaviour)
    streams: set[asyncio.Task[None]] = set()

    async def on_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        streams.add(task)
        server.connections += 1
        server.resumed += context is not None and writer.get_extra_info("ssl_object").session_reused
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            await talk(reader, writer)
        writer.transport.abort()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            query = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
            server.tcp.append(query)
            replies = server.behaviour(query)
            if replies is None:
                return
            for reply in replies:
                writer.write(len(reply).to_bytes(2, "big") + reply)
            await writer.drain()

    class Datagrams(asyncio.DatagramProtocol):
        transport: asyncio.DatagramTransport

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport  # type: ignore[assignment]

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:  # type: ignore[override]
            server.udp.append(data)
            for reply in server.behaviour(data) or []:
                self.transport.sendto(reply, addr)

    listener = await asyncio.start_server(on_stream, "127.0.0.1", 0, ssl=context)
    server.port = listener.sockets[0].getsockname()[1]
    loop = asyncio.get_running_loop()
    datagrams, _ = await loop.create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", server.port))
    try:
        yield server
    finally:
        datagrams.close()
        listener.close()
        for task in streams:
            task.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
