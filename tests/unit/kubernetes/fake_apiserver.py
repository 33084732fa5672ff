"""An API server that lists and watches from memory, and misbehaves by script.

It speaks HTTP over plain sockets, so that a fault can be any octets: `faults` holds, for a verb, what the next requests meet.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import socket
import socketserver
import threading
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

LIST, WATCH = "LIST", "WATCH"


@dataclasses.dataclass(frozen=True)
class Fault:
    """What one request meets instead of its answer, or of the rest of it."""

    status: int = 0
    reason: str = ""
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    body: bytes | None = None  # of a 200 answer, instead of the true one
    lines: tuple[bytes, ...] = ()  # a watch that says this, then ends
    cut_at: int | None = None  # the connection is reset after so many octets of the answer
    split: int = 0  # the answer comes in pieces of so many octets
    silent: bool = False  # after the head nothing comes, and the connection stays
    close: bool = False  # a watch ends at once


@dataclasses.dataclass(frozen=True)
class Request:
    verb: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]


class FakeApiServer:
    """Objects by path, their history, and what was asked."""

    def __init__(self) -> None:
        self.faults: dict[str, collections.deque[Fault | None]] = {
            LIST: collections.deque(),
            WATCH: collections.deque(),
        }
        self.requests: list[Request] = []
        self.tokens: set[str] | None = None  # those that are let in; None: everybody is
        self.missing: set[str] = set()  # paths that are 404
        self.version = 100
        self.oldest = 0  # of the history that is kept
        self.changed = threading.Condition()
        self._objects: dict[str, dict[tuple[str, str], dict[str, Any]]] = collections.defaultdict(dict)
        self._history: list[tuple[int, str, str, dict[str, Any]]] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.fake = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.is_closing = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self.is_closing = True
        with self.changed:
            self.changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._server.drop_connections()

    def count(self, verb: str) -> int:
        return sum(request.verb == verb for request in self.requests)

    # --- objects -------------------------------------------------------------------------------------------------------

    def put(self, path: str, body: dict[str, Any], *, seen: bool = True) -> None:
        """Create or change an object. Not `seen`: watches are never told."""
        metadata = body["metadata"]
        key = metadata.get("namespace", ""), metadata["name"]
        with self.changed:
            self.version += 1
            metadata["resourceVersion"] = str(self.version)
            event = "MODIFIED" if key in self._objects[path] else "ADDED"
            self._objects[path][key] = json.loads(json.dumps(body))
            if seen:
                self._history.append((self.version, event, path, self._objects[path][key]))
            self.changed.notify_all()

    def delete(self, path: str, namespace: str, name: str, *, seen: bool = True) -> None:
        with self.changed:
            self.version += 1
            gone = self._objects[path].pop((namespace, name))
            if seen:
                last = {**gone, "metadata": {**gone["metadata"], "resourceVersion": str(self.version)}}
                self._history.append((self.version, "DELETED", path, last))
            self.changed.notify_all()

    def say(self, path: str, event: str, body: dict[str, Any]) -> None:
        """Tell watches something that is not in the store."""
        with self.changed:
            self.version += 1
            body.setdefault("metadata", {}).setdefault("resourceVersion", str(self.version))
            self._history.append((self.version, event, path, body))
            self.changed.notify_all()

    def compact(self) -> None:
        """Forget the history: a watch from before is told 410."""
        with self.changed:
            self.version += 1
            self.oldest = self.version
            self._history.clear()

    def restore(self, version: int) -> None:
        """Go back in time, as after a restored etcd: versions start again from here, and nobody is told."""
        with self.changed:
            self.version = version
            self._history.clear()

    def drop_connections(self) -> None:
        self._server.drop_connections()

    # --- answers -------------------------------------------------------------------------------------------------------

    def page(self, request: Request) -> bytes:
        with self.changed:
            items = [body for _, body in sorted(self._objects[request.path].items())]
            start = int(request.query.get("continue", "0"))
            limit = int(request.query.get("limit", "0")) or len(items)
            metadata: dict[str, Any] = {"resourceVersion": str(self.version)}
            if start + limit < len(items):
                metadata["continue"] = str(start + limit)
            return json.dumps({"kind": "List", "metadata": metadata, "items": items[start : start + limit]}).encode()

    def events(self, request: Request) -> Iterator[bytes]:
        """Lines of a watch, until its time is over. An empty one: nothing new yet."""
        version = int(request.query["resourceVersion"])
        end = time.monotonic() + float(request.query.get("timeoutSeconds", "60"))
        if version < self.oldest:
            status = {"kind": "Status", "code": 410, "reason": "Expired", "message": f"too old: {version}"}
            yield event_line("ERROR", status)
            return
        at = 0
        while time.monotonic() < end and not self.is_closing:
            with self.changed:
                new, at = self._history[at:], len(self._history)
                if not new:
                    self.changed.wait(0.02)
            for number, event, path, body in new:
                if number > version and path == request.path:
                    yield event_line(event, body)
            yield b""


def event_line(event: str, body: object) -> bytes:
    return json.dumps({"type": event, "object": body}).encode() + b"\n"


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    fake: FakeApiServer

    def __init__(self, *arguments: Any) -> None:
        self.open: set[socket.socket] = set()
        super().__init__(*arguments)

    def drop_connections(self) -> None:
        for connection in list(self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is no news."""


class _Handler(socketserver.StreamRequestHandler):
    server: _Server
    fault: Fault
    sent: int

    def handle(self) -> None:
        self.server.open.add(self.connection)
        try:
            while self._one():
                pass
        except OSError:
            pass
        finally:
            self.server.open.discard(self.connection)

    def _one(self) -> bool:
        """One request; whether the connection stays."""
        first = self.rfile.readline().decode().split()
        if len(first) < 2:
            return False
        headers = {}
        while line := self.rfile.readline().decode().strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        parts = urllib.parse.urlsplit(first[1])
        query = dict(urllib.parse.parse_qsl(parts.query))
        request = Request(WATCH if query.get("watch") else LIST, parts.path, query, headers)
        self.server.fake.requests.append(request)
        return self._answer(request)

    def _answer(self, request: Request) -> bool:
        fake, self.sent = self.server.fake, 0
        waiting = fake.faults[request.verb]
        self.fault = (waiting.popleft() if waiting else None) or Fault()
        status = self.fault.status
        if (
            fake.tokens is not None
            and request.headers.get("authorization", "").removeprefix("Bearer ") not in fake.tokens
        ):
            status = 401
        if request.path in fake.missing:
            status = 404
        if status:
            body = {"kind": "Status", "code": status, "reason": self.fault.reason, "message": "as the script says"}
            return self._whole(status, json.dumps(body).encode())
        if request.verb == WATCH:
            self._watch(request)
            return False
        return self._whole(200, fake.page(request) if self.fault.body is None else self.fault.body)

    def _whole(self, status: int, body: bytes) -> bool:
        extra = "".join(f"{name}: {value}\r\n" for name, value in self.fault.headers.items())
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
        self.wfile.write(head.encode())
        if self.fault.silent:
            self._hang()
        self._send(body)
        return True

    def _watch(self, request: Request) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        if self.fault.silent:
            self._hang()
        lines: Iterator[bytes] = iter(self.fault.lines)
        if not self.fault.lines and not self.fault.close:
            lines = self.server.fake.events(request)
        for line in lines:
            if line:
                self._send(b"%x\r\n%s\r\n" % (len(line), line))
        self._send(b"0\r\n\r\n")

    def _send(self, octets: bytes) -> None:
        if self.fault.cut_at is not None and self.sent + len(octets) > self.fault.cut_at:
            self.wfile.write(octets[: max(self.fault.cut_at - self.sent, 0)])
            self._reset()
        self.sent += len(octets)
        step = self.fault.split or len(octets)
        for at in range(0, len(octets), step):
            self.wfile.write(octets[at : at + step])
            self.wfile.flush()

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.connection.close()
        raise ConnectionResetError

    def _hang(self) -> None:
        while not self.server.fake.is_closing:
            time.sleep(0.02)
        raise ConnectionResetError
