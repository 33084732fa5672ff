"""A TCP proxy between a client and its server, which a test can cut, refuse or hang."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Callable
from typing import Self

from tests.peers.process import free_port


def listen(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port))


class Proxy:
    """127.0.0.1:`port` leads to 127.0.0.1:`target`. cut() ends all connections and refuses new ones until restore().

    `listen` may make its socket elsewhere: in another network namespace.
    """

    def __init__(self, target: int, *, listen: Callable[[int], socket.socket] = listen) -> None:
        self.target = target
        self._listen = listen
        self.port = free_port()
        self.accepted = 0
        self._listener: socket.socket | None = None
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._hanging = threading.Event()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.restore()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def restore(self) -> None:
        self._hanging.clear()
        if self._listener is None:
            self._listener = self._listen(self.port)
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """Refuse and reset, as a server that was killed does."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._lock:
            pairs = set(self._pairs)
        for one in {end for pair in pairs for end in pair}:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def hang(self) -> None:
        """Connections stay, and not one more octet passes until restore()."""
        self._hanging.set()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                self.accepted += 1
                try:
                    server = socket.create_connection(("127.0.0.1", self.target), timeout=5)
                except OSError:
                    client.close()
                    continue
                threading.Thread(target=self._carry, args=(client, server), daemon=True).start()

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        pair = (client, server)
        with self._lock:
            self._pairs.add(pair)
        with contextlib.suppress(OSError), selectors.DefaultSelector() as ready:
            ready.register(client, selectors.EVENT_READ, server)
            ready.register(server, selectors.EVENT_READ, client)
            while all(self._pass_on(key.fileobj, key.data) for key, _ in ready.select(timeout=1)):  # type: ignore[arg-type]  # sockets
                pass
        with self._lock:
            self._pairs.discard(pair)
        client.close()
        server.close()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> bool:
        if self._hanging.is_set():
            self._hanging.wait(0.05)
            return True
        octets = source.recv(65536)
        if octets:
            target.sendall(octets)
        return bool(octets)
