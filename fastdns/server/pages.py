"""The pages that probes and Prometheus ask for: a small HTTP/1.1 server, and /health, /ready and /metrics in it.

Pages of one address share its socket. What a page says comes from a callable: this module knows nothing of workers.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import enum
import socket
import typing
from collections.abc import Awaitable, Callable, Iterable, Mapping

from fastdns.config import model
from fastdns.server import listeners

if typing.TYPE_CHECKING:
    import ssl

HEAD_MAX = 8192
READ_TIMEOUT = 5.0  # as CoreDNS's servers of these pages; also how long an idle connection is kept
CONNECTIONS_MAX = 64  # of one address
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}
PLAIN = "text/plain; charset=utf-8"


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    content_type: str = PLAIN


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where a page is served: an IP address or a name, empty for every address.

    With `waits` nobody can connect until all is ready to serve.
    """

    host: str
    port: int
    waits: bool = False


Page = Callable[[], Awaitable[Answer]]
NOT_FOUND = Answer(404, b"404 page not found\n")


class Content(enum.Enum):
    """What a page shows."""

    HEALTH = "health"
    READY = "ready"
    METRICS = "metrics"
    READINESS = "kube-dns's readiness"
    TREE = "kube-dns's cache"
    KUBE_DNS_METRICS = "kube-dns's metrics"


def find_places(config: model.Config) -> dict[Place, dict[str, Content]]:
    """What is served where, by path."""
    places: dict[Place, dict[str, Content]] = {}
    for block in config.blocks:
        for plugin in block.plugins:
            match plugin:
                case model.Health():
                    places.setdefault(Place(plugin.address, plugin.port), {})["/health"] = Content.HEALTH
                case model.Ready():
                    places.setdefault(Place(plugin.address, plugin.port), {})["/ready"] = Content.READY
                case model.Prometheus():
                    places.setdefault(Place(plugin.address, plugin.port), {})["/metrics"] = Content.METRICS
                case model.KubeDnsPages():
                    places |= find_kubedns_places(plugin)
    return places


def find_tls(config: model.Config) -> dict[Place, model.WebTls]:
    """Where pages are behind TLS."""
    plugins = [plugin for block in config.blocks for plugin in block.plugins if isinstance(plugin, model.Prometheus)]
    return {Place(plugin.address, plugin.port): plugin.tls for plugin in plugins if plugin.tls is not None}


def find_kubedns_places(plugin: model.KubeDnsPages) -> dict[Place, dict[str, Content]]:
    """kube-dns serves all its pages on each of its ports."""
    contents = {"/readiness": Content.READINESS, "/cache": Content.TREE}
    places = {Place("", plugin.port, waits=True): contents}
    if plugin.metrics_port:
        contents[plugin.metrics_path] = Content.KUBE_DNS_METRICS
        places[Place("", plugin.metrics_port, waits=True)] = contents
    return places


def bind_place(place: Place) -> list[socket.socket]:
    """Raises ListenError."""
    loopback = ["127.0.0.1", "::1"] if listeners.has_ipv6() else ["127.0.0.1"]
    candidates = loopback if place.host == "localhost" else [place.host]
    with contextlib.ExitStack() as undo:
        bound = []
        for host in candidates:
            for address in listeners.find_addresses(model.Listener(host, place.port)):
                one = undo.enter_context(listeners.open_socket(address, socket.SOCK_STREAM))
                listeners.bind_socket(one, address)
                if not place.waits:
                    listeners.listen_on(one, address)
                bound.append(one)
        undo.pop_all()
    return bound


class PageServer:
    """One place's pages. `pages` may be changed while it serves."""

    def __init__(
        self, sockets: Iterable[socket.socket], pages: Mapping[str, Page], *, tls: model.WebTls | None = None
    ) -> None:
        self.pages = pages
        self.tls = tls
        self.is_started = False
        self._sockets = list(sockets)
        self._servers: list[asyncio.Server] = []
        self._connections: dict[asyncio.StreamWriter, None] = {}  # the oldest first

    async def start(self) -> None:
        """Raises OSError: a file for TLS can't be used any more."""
        context = self._make_context()
        self.is_started = True
        for one in self._sockets:
            self._servers.append(
                await asyncio.start_server(
                    self._serve,
                    sock=one,
                    limit=HEAD_MAX,
                    ssl=context,
                    ssl_handshake_timeout=READ_TIMEOUT if context else None,
                )
            )

    def _make_context(self) -> ssl.SSLContext | None:
        if self.tls is None:
            return None
        from fastdns.server import pagetls  # here, since few need it and it costs memory

        return pagetls.serve_context(self.tls)

    def with_tls(self, tls: model.WebTls | None) -> PageServer:
        """Another server on the same sockets, in the place of this one."""
        other = PageServer([one.dup() for one in self._sockets], {}, tls=tls)
        self.close()
        return other

    def close(self) -> None:
        if not self.is_started:
            for one in self._sockets:
                one.close()
        for server in self._servers:
            server.close()
        for writer in list(self._connections):
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= CONNECTIONS_MAX:
            self._make_room()
        self._connections[writer] = None
        try:
            while await self._serve_request(reader, writer):
                pass
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            pass  # a client that left, dawdled or sent no HTTP
        finally:
            self._connections.pop(writer, None)
            writer.close()

    def _make_room(self) -> None:
        """End the oldest connection: with the newest turned away, who holds all of them would fail every probe."""
        oldest = next(iter(self._connections))
        del self._connections[oldest]
        oldest.transport.abort()

    async def _serve_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; True if the connection stays open."""
        async with asyncio.timeout(READ_TIMEOUT):
            head = await reader.readuntil(b"\r\n\r\n")
        method, path, keep = parse_head(head)
        answer = await self._find_answer(method, path)
        writer.write(encode_answer(answer, with_body=method != "HEAD", keep=keep))
        async with asyncio.timeout(READ_TIMEOUT):
            await writer.drain()
        return keep

    async def _find_answer(self, method: str, path: str) -> Answer:
        if method not in ("GET", "HEAD"):
            return Answer(405 if method else 400, b"")
        page = self.pages.get(path)
        return NOT_FOUND if page is None else await page()


def parse_head(head: bytes) -> tuple[str, str, bool]:
    """(method, path, whether the connection is kept); an empty method is no request. One with a body is the last."""
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return "", "", False
    fields = {name.strip().lower(): value.strip().lower() for name, _, value in (line.partition(":") for line in lines)}
    has_body = fields.get("content-length", "0") != "0" or "transfer-encoding" in fields
    wants_close = "close" in fields.get("connection", "") or words[2] == "HTTP/1.0"
    return words[0], words[1].partition("?")[0], not wants_close and not has_body


def encode_answer(answer: Answer, *, with_body: bool, keep: bool) -> bytes:
    head = (
        f"HTTP/1.1 {answer.status} {REASONS[answer.status]}\r\n"
        f"Content-Type: {answer.content_type}\r\n"
        f"Content-Length: {len(answer.body)}\r\n"
        f"Connection: {'keep-alive' if keep else 'close'}\r\n\r\n"
    )
    return head.encode("ascii") + (answer.body if with_body else b"")
