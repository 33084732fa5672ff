"""DNS over TCP (RFC 7766): length-framed, pipelined, answers may overtake one another; bounded in every direction.

One table of connections in each worker. It is full at CONNECTIONS_MAX, or at CLIENT_MAX for one client: then the connection
that has been idle longest makes room. A sweep twice a second closes what dawdles.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
import typing
from collections import Counter
from collections.abc import Callable

from fastdns import _counters, _engine
from fastdns._counters import WorkerSlot

CONNECTIONS_MAX = 1000
CLIENT_MAX = 50
IDLE_TIMEOUT = 10.0
MESSAGE_TIMEOUT = 3.0  # from the first octet of a message to its last
SWEEP = 0.5
PENDING_MAX = 128  # queries of one connection that wait for their answers
WRITE_HIGH = 256 * 1024  # octets that wait to be written: no more queries are read
WRITE_MAX = 1024 * 1024  # the client does not read at all: it is cut off
HEADER_SIZE = 12
LENGTH_SIZE = 2
FAREWELL = 0.5  # seconds for a client to close its side after we have closed ours
ACCEPT_BATCH = 32  # connections accepted in one turn of the loop
ACCEPT_PAUSE = 0.1  # seconds after one could not be: what waits is kept by the kernel


class Connections:
    """All TCP clients of a worker."""

    def __init__(
        self,
        engine: _engine.Engine,
        counters: _counters.Counters,
        settle: Callable[[], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.engine = engine
        self.counters = counters
        self.settle = settle
        self.loop = loop
        self.waiting: dict[int, Connection] = {}  # by token
        self._open: dict[Connection, None] = {}  # in the order of their last activity
        self._by_client: Counter[str] = Counter()
        self._listening: dict[socket.socket, int] = {}  # and each one's number as a listener
        self._arriving: set[asyncio.Task[typing.Any]] = set()
        self._sweep: asyncio.TimerHandle | None = None

    def listen(self, one: socket.socket, listener: int) -> None:
        """Accept what comes to a socket that listens already, and stays the caller's to close."""
        self._listening[one] = listener
        self.loop.add_reader(one, self._accept, one)

    def stop_listening(self) -> None:
        for one in self._listening:
            self.loop.remove_reader(one)
        self._listening = {}

    def _accept(self, one: socket.socket) -> None:
        """Take in some of those who wait. Without descriptors for them, wait too: the loop would call at once again.

        (uvloop's own server closes them without a word, and tells nobody.)
        """
        for _ in range(ACCEPT_BATCH):
            try:
                client, _ = one.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                self.counters.add(WorkerSlot.WORKER_ACCEPT_FAILURES)
                self.loop.remove_reader(one)
                self.loop.call_later(ACCEPT_PAUSE, self._accept_again, one)
                return
            task = self.loop.create_task(self._welcome(client, self._listening[one]))
            self._arriving.add(task)
            task.add_done_callback(self._arriving.discard)

    def _accept_again(self, one: socket.socket) -> None:
        if one in self._listening:
            self.loop.add_reader(one, self._accept, one)

    async def _welcome(self, client: socket.socket, listener: int) -> None:
        try:
            await self.loop.connect_accepted_socket(lambda: Connection(self, listener), client)
        except OSError:  # it has left already
            self.counters.add(WorkerSlot.WORKER_ACCEPT_FAILURES)
            client.close()

    @property
    def is_busy(self) -> bool:
        """True while a client is owed something."""
        return bool(self._open or self._arriving)

    def finish(self) -> None:
        """Let every connection end as soon as it is owed nothing."""
        for one in list(self._open):
            one.finish()

    def complete(self, token: int, answer: bytes) -> bool:
        """Hand over an answer that came late; False if it is for none of these connections."""
        connection = self.waiting.pop(token, None)
        if connection is None:
            return False
        connection.answer_late(answer)
        return True

    def add(self, one: Connection) -> None:
        self.counters.add(WorkerSlot.WORKER_TCP_ACCEPTED)
        while self._by_client[one.client] >= CLIENT_MAX and self._evict(one.client):
            pass
        while len(self._open) >= CONNECTIONS_MAX and self._evict(""):
            pass
        self._open[one] = None
        self._by_client[one.client] += 1
        self._show_count()
        if self._sweep is None:
            self._sweep = self.loop.call_later(SWEEP, self._close_dawdlers)

    def remove(self, one: Connection) -> None:
        if one not in self._open:
            return
        del self._open[one]
        self._by_client[one.client] -= 1
        if not self._by_client[one.client]:
            del self._by_client[one.client]
        self._show_count()

    def touch(self, one: Connection) -> None:
        """Note activity: it goes to the end of the order."""
        if one in self._open:
            del self._open[one]
            self._open[one] = None

    def _evict(self, client: str) -> bool:
        """Close the connection (of a client, if it is named) that was idle longest; the owed ones go last."""
        candidates = [one for one in self._open if not client or one.client == client]
        victim = next((one for one in candidates if not one.pending), candidates[0] if candidates else None)
        if victim is None:
            return False
        self.counters.add(WorkerSlot.WORKER_TCP_EVICTED)
        self.remove(victim)
        victim.abort()
        return True

    def _close_dawdlers(self) -> None:
        now = time.monotonic()
        for one in list(self._open):
            if one.is_overdue(now):
                self.counters.add(WorkerSlot.WORKER_TCP_TIMEOUTS)
                one.close()
        self._sweep = self.loop.call_later(SWEEP, self._close_dawdlers) if self._open else None

    def _show_count(self) -> None:
        self.counters.set(WorkerSlot.WORKER_TCP_CONNECTIONS, len(self._open))


class Connection(asyncio.Protocol):
    """One client: octets in, queries to the engine, answers out."""

    def __init__(self, table: Connections, listener: int) -> None:
        self.client = ""
        self.pending = 0  # queries that the engine has not answered
        self._table = table
        self._listener = listener
        self._held = bytearray()
        self._active = self._begun = time.monotonic()
        self._is_ending = False  # the client has closed its side, or we are to leave
        self._has_left = False  # our side is closed
        self._is_full = False  # the client reads too slowly

    # --- the transport's calls --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = typing.cast(asyncio.Transport, transport)  # uvloop's are no subclass
        self._remote = (transport.get_extra_info("peername") or ("", 0))[:2]
        self._local = (transport.get_extra_info("sockname") or ("", 0))[:2]
        self.client = self._remote[0]
        self._transport.set_write_buffer_limits(high=WRITE_HIGH)
        self._table.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._table.remove(self)

    def data_received(self, data: bytes) -> None:
        if self._has_left:
            return
        if not self._held:
            self._begun = time.monotonic()
        self._held += data
        self._ask_all()

    def eof_received(self) -> bool:
        """A client that has closed its side still gets what it asked for."""
        self._is_ending = True
        self._close_if_done()
        return True

    def pause_writing(self) -> None:
        self._is_full = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._is_full = False
        self._resume()

    # --- queries ------------------------------------------------------------------------------------------------------

    def _ask_all(self) -> None:
        """Ask what is whole, as long as there is room for the answers."""
        at = 0
        out: list[bytes] = []
        while len(self._held) - at >= LENGTH_SIZE and self.pending < PENDING_MAX and not self._is_full:
            (size,) = struct.unpack_from(">H", self._held, at)
            if size < HEADER_SIZE:
                self._transport.close()
                return
            if len(self._held) - at < LENGTH_SIZE + size:
                break
            wire = bytes(self._held[at + LENGTH_SIZE : at + LENGTH_SIZE + size])
            at += LENGTH_SIZE + size
            out += self._ask(wire)
        if at:
            del self._held[:at]
            self._note_activity()
        if out:
            self._transport.write(b"".join(out))
            self._check_buffer()
        self._table.settle()
        if self.pending >= PENDING_MAX:
            self._transport.pause_reading()
        self._close_if_done()

    def _ask(self, wire: bytes) -> list[bytes]:
        """The framed answer, if it is there at once."""
        answer = self._table.engine.ask(wire, self._listener, remote=self._remote, local=self._local, is_stream=True)
        if isinstance(answer, int):
            self.pending += 1
            self._table.waiting[answer] = self
            return []
        return frame(answer)

    def answer_late(self, answer: bytes) -> None:
        self.pending -= 1
        if self._transport.is_closing():
            return
        self._note_activity()
        for octets in frame(answer):
            self._transport.write(octets)
        self._check_buffer()
        if self.pending == PENDING_MAX - 1:
            self._resume()
        self._close_if_done()

    def _resume(self) -> None:
        if self._is_full or self._transport.is_closing():
            return
        self._transport.resume_reading()
        if self._held:
            self._ask_all()

    def _note_activity(self) -> None:
        self._active = self._begun = time.monotonic()
        self._table.touch(self)

    def _check_buffer(self) -> None:
        if self._transport.get_write_buffer_size() > WRITE_MAX:
            self.abort()

    # --- the end --------------------------------------------------------------------------------------------------------

    def is_overdue(self, now: float) -> bool:
        if self._held and not self.pending and not self._is_full and now - self._begun > MESSAGE_TIMEOUT:
            return True
        return not self.pending and now - self._active > IDLE_TIMEOUT

    def finish(self) -> None:
        """Answer what has come, then close our side first: what was written arrives before the reset of a closed port."""
        self._is_ending = True
        self._close_if_done()

    def close(self) -> None:
        if self._is_full:
            self.abort()  # it would never be flushed
        elif not self._transport.is_closing():
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def _close_if_done(self) -> None:
        if not self._is_ending or self._has_left or self.pending or self._transport.is_closing():
            return
        self._has_left = True
        if self._transport.can_write_eof():
            self._transport.write_eof()
            self._table.loop.call_later(FAREWELL, self.close)
        else:
            self._transport.close()


def frame(answer: bytes) -> list[bytes]:
    """An empty answer is none."""
    return [struct.pack(">H", len(answer)), answer] if answer else []
