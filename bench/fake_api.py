"""A Kubernetes API server that only lists and watches: `python -m bench.fake_api --port P --services N`.

Speaks JSON over plain HTTP on 127.0.0.1. Lists are paged, but whole where resourceVersion=0 asks for any version (the
watch cache of a real API server does so too); watches go on from the resourceVersion asked for, send bookmarks, and end
with 410 where it is too old; a streaming list (sendInitialEvents) is served, or with --no-streaming-lists refused.
Besides, for the bench:

    POST /bench/churn?rate=R&seconds=S      change R EndpointSlices a second
    POST /bench/update?service=I&address=A  change the first endpoint of one service
    POST /bench/large?size=N&slices=M&address=A  change the first endpoint of M slices of the Service with N endpoints

Each is answered at once, with the moment of the change (CLOCK_MONOTONIC).
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import dataclasses
import ipaddress
import itertools
import signal
import sys
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

import msgspec

from bench.world import World

HISTORY = 50_000
BOOKMARK_EVERY = 30.0
HEAD_MAX = 65_536
CHUNK = 256  # events written at once
ENDPOINTS = "/api/v1/endpoints"
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
)
encode = msgspec.json.Encoder().encode


@dataclasses.dataclass(slots=True)
class Kind:
    """One resource: its objects in JSON, and what watchers haven't seen."""

    path: str
    api_version: str
    kind: str
    objects: list[bytes]
    watchers: set[asyncio.Queue[bytes]] = dataclasses.field(default_factory=set)
    history: collections.deque[tuple[int, bytes]] = dataclasses.field(
        default_factory=lambda: collections.deque(maxlen=HISTORY)
    )


class Api:
    """The state of the cluster, and the answers to requests about it."""

    def __init__(self, world: World, *, streams_lists: bool = True) -> None:
        self.world = world
        self.streams_lists = streams_lists
        self.version = 1000
        self.oldest = 1000
        self.tasks: set[asyncio.Task[None]] = set()
        services = [encode(world.service(i)) for i in range(world.services)]
        slices = [encode(world.slice(i)) for i in range(world.services)]
        self.large_at: dict[int, int] = {}  # where the slices of a large Service begin
        for size in world.large:
            self.large_at[size] = len(slices)
            services.append(encode(world.large_service(size)))
            slices.extend(encode(one) for one in world.large_slices(size))
        kinds = [
            Kind("/api/v1/namespaces", "v1", "Namespace", [encode(n) for n in world.namespaces()]),
            Kind("/api/v1/services", "v1", "Service", services),
            Kind("/apis/discovery.k8s.io/v1/endpointslices", "discovery.k8s.io/v1", "EndpointSlice", slices),
            Kind("/api/v1/pods", "v1", "Pod", []),
        ]
        self.kinds = {kind.path: kind for kind in kinds}
        self.slices = kinds[2]

    def find(self, path: str) -> Kind | None:
        """The resource at this path. Endpoints, for which kube-dns alone asks, are made when it does, and stay as they are."""
        if path == ENDPOINTS and path not in self.kinds:
            objects = [encode(self.world.endpoints_of(i)) for i in range(self.world.services)]
            self.kinds[path] = Kind(path, "v1", "Endpoints", objects)
        return self.kinds.get(path)

    def page(self, kind: Kind, limit: int, start: int) -> bytes:
        """A list from object `start` on; all of it if `limit` is 0."""
        end = start + limit if limit else len(kind.objects)
        left = max(0, len(kind.objects) - end)
        following = f',"continue":"{end}","remainingItemCount":{left}' if left else ""
        head = f'{{"kind":"{kind.kind}List","apiVersion":"{kind.api_version}"'
        meta = f'"metadata":{{"resourceVersion":"{self.version}"{following}}}'
        return f'{head},{meta},"items":['.encode() + b",".join(kind.objects[start:end]) + b"]}\n"

    def change_slice(self, i: int, addresses: list[str]) -> None:
        """Give service `i` these endpoints and tell the watchers."""
        self.version += 1
        self.tell(i, self.world.slice(i, addresses, self.version))

    def change_large(self, size: int, slices: int, address: str) -> None:
        """Give so many slices of this Service another first endpoint: the first one `address`, each next one the next."""
        first = ipaddress.IPv4Address(address)
        for number in range(min(slices, len(self.world.large_slices(size)))):
            self.version += 1
            changed = self.world.large_slice(size, number, str(first + number), self.version)
            self.tell(self.large_at[size] + number, changed)

    def tell(self, at: int, changed: dict[str, Any]) -> None:
        """Keep a changed slice, and give it to the watchers."""
        self.slices.objects[at] = encode(changed)
        event = event_of(self.slices, "MODIFIED", self.slices.objects[at])
        if len(self.slices.history) == HISTORY:
            self.oldest = self.slices.history[0][0]
        self.slices.history.append((self.version, event))
        for watcher in self.slices.watchers:
            watcher.put_nowait(event)

    async def churn(self, rate: float, seconds: float) -> None:
        """Change slices of headless services, one after another, `rate` a second; those that are probed are left alone."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        headless = itertools.cycle(self.world.churned())
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, begin + number / rate - loop.time()))
            i = next(headless)
            self.change_slice(i, [f"10.64.{number >> 8 & 255}.{number & 255}", *self.world.pods(i)[1:]])

    def events_since(self, kind: Kind, version: int) -> list[bytes]:
        return [event for number, event in kind.history if number > version]


class Connection:
    """One client's connection: requests are answered in turn, a watch ends it."""

    def __init__(self, api: Api, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.api = api
        self.reader = reader
        self.writer = writer

    async def serve(self) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await self.serve_one():
                pass
        self.writer.close()

    async def serve_one(self) -> bool:
        """Answer one request. False: the connection is done with."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, target, _ = head.split("\r\n", 1)[0].split(" ")
        await self.reader.readexactly(content_length(head))
        url = urllib.parse.urlsplit(target)
        query = dict(urllib.parse.parse_qsl(url.query))
        kind = self.api.find(url.path)
        if kind and query.get("watch") in ("true", "1"):
            await self.watch(kind, query)
            return False
        if kind:
            limit, start = int(query.get("limit") or 0), int(query.get("continue") or 0)
            if query.get("resourceVersion") == "0":
                limit = 0
            self.answer(200, self.api.page(kind, limit, start))
        elif method == "POST" and url.path.startswith("/bench/"):
            self.control(url.path, query)
        else:
            self.other(url.path)
        await self.writer.drain()
        return True

    def control(self, path: str, query: dict[str, str]) -> None:
        changed = time.monotonic()
        if path == "/bench/churn":
            task = asyncio.create_task(self.api.churn(float(query["rate"]), min(600.0, float(query["seconds"]))))
            self.api.tasks.add(task)
            task.add_done_callback(self.api.tasks.discard)
        elif path == "/bench/large":
            self.api.change_large(int(query["size"]), int(query["slices"]), query["address"])
        else:
            i = int(query["service"])
            self.api.change_slice(i, [query["address"], *self.api.world.pods(i)[1:]])
        self.answer(200, encode({"changed": changed}))

    def other(self, path: str) -> None:
        if path == "/version":
            self.answer(200, b'{"major":"1","minor":"34","gitVersion":"v1.34.4"}')
            return
        sys.stderr.write(f"404 {path}\n")
        self.answer(404, status(404, "NotFound", "the server could not find the requested resource"))

    def answer(self, code: int, body: bytes) -> None:
        head = f"HTTP/1.1 {code} {'OK' if code == 200 else 'Error'}\r\nContent-Type: application/json\r\n"
        self.writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    async def watch(self, kind: Kind, query: dict[str, str]) -> None:
        """Stream what changes until the client leaves or its timeout passes."""
        version = int(query.get("resourceVersion") or self.api.version)
        streams = query.get("sendInitialEvents") == "true"
        if streams and not self.api.streams_lists:
            self.answer(422, status(422, "Invalid", "sendInitialEvents is forbidden for watch"))
            return
        if version < self.api.oldest and not streams:
            self.answer(410, status(410, "Expired", f"too old resource version: {version} ({self.api.oldest})"))
            return
        self.writer.write(STREAM_HEAD)
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        known = self.initial_events(kind) if streams else iter(self.api.events_since(kind, version))
        kind.watchers.add(queue)
        try:
            await self.stream(kind, known, queue, float(query.get("timeoutSeconds") or 600))
        finally:
            kind.watchers.discard(queue)

    async def stream(self, kind: Kind, known: Iterator[bytes], queue: asyncio.Queue[bytes], seconds: float) -> None:
        """What is known already, then what comes, and bookmarks."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while first := list(itertools.islice(known, CHUNK)):
            await self.write_chunk(first)
        while (left := end - loop.time()) > 0 and not self.reader.at_eof():
            try:
                event = await asyncio.wait_for(queue.get(), min(left, BOOKMARK_EVERY))
            except TimeoutError:
                event = self.bookmark(kind)
            await self.write_chunk([event, *(queue.get_nowait() for _ in range(min(queue.qsize(), CHUNK)))])
        self.writer.write(b"0\r\n\r\n")

    async def write_chunk(self, events: list[bytes]) -> None:
        chunk = b"".join(events)
        self.writer.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
        await self.writer.drain()

    def initial_events(self, kind: Kind) -> Iterator[bytes]:
        """All objects as they are now, and the bookmark that ends them."""
        last = self.bookmark(kind, ',"annotations":{"k8s.io/initial-events-end":"true"}')
        added = (event_of(kind, "ADDED", one) for one in list(kind.objects))
        return itertools.chain(added, [last])

    def bookmark(self, kind: Kind, annotations: str = "") -> bytes:
        meta = f'{{"metadata":{{"resourceVersion":"{self.api.version}"{annotations}}}}}'
        return event_of(kind, "BOOKMARK", meta.encode())


def event_of(kind: Kind, change: str, one: bytes) -> bytes:
    """A line of a watch; `one` is an object without kind and apiVersion, as lists have them."""
    head = f'{{"type":"{change}","object":{{"kind":"{kind.kind}","apiVersion":"{kind.api_version}",'
    return head.encode() + one[1:] + b"}\n"


def content_length(head: str) -> int:
    lines = (line.partition(":") for line in head.lower().split("\r\n"))
    return next((int(value) for name, _, value in lines if name == "content-length"), 0)


def status(code: int, reason: str, text: str) -> bytes:
    return encode(
        {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": text, "code": code}
    )


async def serve(api: Api, port: int) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    connections: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(Connection(api, reader, writer).serve())
        connections.add(task)
        task.add_done_callback(connections.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", port, limit=HEAD_MAX)
    print(f"{api.world.services} services on port {port}", flush=True)
    await stop.wait()
    server.close()
    for task in [*connections, *api.tasks]:
        task.cancel()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.fake_api", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--services", type=int, default=10_000)
    parser.add_argument("--endpoints", type=int, default=3)
    parser.add_argument("--large", type=int, action="append", default=[], help="endpoints of one more headless Service")
    parser.add_argument("--no-streaming-lists", action="store_true")
    arguments = parser.parse_args(argv)
    world = World(arguments.services, arguments.endpoints, large=tuple(arguments.large))
    api = Api(world, streams_lists=not arguments.no_streaming_lists)
    asyncio.run(serve(api, arguments.port))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
