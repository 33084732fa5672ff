"""Upstreams for tests of fastdns.forward: they answer as the test says, over UDP, TCP or TLS, on one port."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ssl
import struct
from collections.abc import AsyncIterator, Callable

from fastdns.config import model

QUERY = b"\x12\x34\x01\x00\0\1\0\0\0\0\0\0\x03WWW\x07example\x03org\0\0\1\0\1"
ADDRESS = b"\xc0\x0c\0\1\0\1\0\0\0\x1e\0\4\xc0\0\2\1"

# What a server does with a query: replies to send at once, None to close the stream.
Behaviour = Callable[[bytes], "list[bytes] | None"]


def reply_to(query: bytes, *, rcode: int = 0, answer: bytes = ADDRESS, flags: int = 0x8180) -> bytes:
    end = query.index(b"\0", 12) + 5
    count = 1 if answer else 0
    return query[:2] + struct.pack("!HHHHH", flags | rcode, 1, count, 0, 0) + query[12:end] + answer


def answering(query: bytes) -> list[bytes]:
    return [reply_to(query)]


def silent(query: bytes) -> list[bytes]:
    return []


@dataclasses.dataclass(slots=True)
class Server:
    port: int
    behaviour: Behaviour
    udp: list[bytes] = dataclasses.field(default_factory=list)  # queries that came
    tcp: list[bytes] = dataclasses.field(default_factory=list)
    connections: int = 0

    @property
    def upstream(self) -> model.Upstream:
        return model.Upstream("127.0.0.1", self.port)

    @property
    def tls_upstream(self) -> model.Upstream:
        return model.Upstream("127.0.0.1", self.port, model.Protocol.TLS)


@contextlib.asynccontextmanager
async def serve(behaviour: Behaviour = answering, *, context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(0, behaviour)
    streams: set[asyncio.Task[None]] = set()

    async def on_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        streams.add(task)
        server.connections += 1
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
