"""DNS over TCP (RFC 7766): length-framed, pipelined, answers may overtake one another; bounded in every direction.

One table of connections in each worker. It is full at CONNECTIONS_MAX, or at CLIENT_MAX for one client: then the connection
that has been idle longest makes room. A sweep twice a second closes what dawdles.

Most connections live for one query. So they are bare sockets in an epoll of their own, which the loop watches: a transport
costs more than all the rest of such a connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ipaddress
import select
import socket
import struct
import time
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
WRITE_LOW = WRITE_HIGH // 4  # they are read again
WRITE_MAX = 1024 * 1024  # the client does not read at all: it is cut off
HEADER_SIZE = 12
LENGTH_SIZE = 2
FAREWELL = 0.5  # seconds for a client to close its side after we have closed ours
RECEIVE_MAX = 16 * 1024  # octets that one client may have read before it is another's turn
TURN = 64  # sockets that are served before it is the turn of what else the worker does
ACCEPT_BATCH = 32  # connections accepted in one turn of the loop
ACCEPT_PAUSE = 0.1  # seconds after one could not be: what waits is kept by the kernel


@dataclasses.dataclass(frozen=True, slots=True)
class Listening:
    """A socket that listens; `local` is its address, unless it has all of them."""

    socket: socket.socket
    number: int
    local: tuple[str, int] | None


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
        self.poll = select.epoll()
        self.waiting: dict[int, Connection] = {}  # by token
        self._open: dict[int, Connection] = {}  # by descriptor, in the order of their last activity
        self._by_client: dict[str, int] = {}
        self._listening: dict[int, Listening] = {}  # by descriptor
        self._late: dict[Connection, None] = {}  # have got answers that are still to be sent
        self._sweep: asyncio.TimerHandle | None = None
        loop.add_reader(self.poll.fileno(), self._on_events)

    def listen(self, one: socket.socket, listener: int) -> None:
        """Accept what comes to a socket that listens already, and stays the caller's to close."""
        local = one.getsockname()[:2]
        is_wildcard = ipaddress.ip_address(local[0].partition("%")[0]).is_unspecified
        self._listening[one.fileno()] = Listening(one, listener, None if is_wildcard else local)
        self.poll.register(one, select.EPOLLIN)

    def stop_listening(self) -> None:
        for fileno in self._listening:
            with contextlib.suppress(FileNotFoundError):  # in an ACCEPT_PAUSE
                self.poll.unregister(fileno)
        self._listening = {}

    def _on_events(self) -> None:
        """Serve those who have something; then those who arrive, since they may get the descriptor of one that goes."""
        ready = self.poll.poll(0, TURN)
        for fileno, events in ready:
            if fileno in self._open:
                self._open[fileno].on_events(events)
        for fileno, _ in ready:
            if fileno in self._listening:
                self._accept(self._listening[fileno])
        self.settle()

    def _accept(self, listening: Listening) -> None:
        """Take in some of those who wait; then read, since by now most have sent their query."""
        arrived = []
        for _ in range(ACCEPT_BATCH):
            try:
                client, remote = listening.socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                break
            except OSError:
                self._pause_accepting(listening)
                break
            local = listening.local or client.getsockname()[:2]
            arrived.append(Connection(self, client, listening.number, remote[:2], local))
            self._add(arrived[-1])
        for one in arrived:
            one.read()

    def _pause_accepting(self, listening: Listening) -> None:
        """Without descriptors for them, those who come wait in the kernel: the loop would call at once again."""
        self.counters.add(WorkerSlot.WORKER_ACCEPT_FAILURES)
        self.poll.unregister(listening.socket)
        self.loop.call_later(ACCEPT_PAUSE, self._accept_again, listening)

    def _accept_again(self, listening: Listening) -> None:
        if listening in self._listening.values():
            self.poll.register(listening.socket, select.EPOLLIN)

    @property
    def is_busy(self) -> bool:
        """True while a client is owed something."""
        return bool(self._open)

    def finish(self) -> None:
        """Let every connection end as soon as it is owed nothing."""
        for one in list(self._open.values()):
            one.finish()

    def complete(self, token: int, answer: bytes) -> bool:
        """Hand over an answer that came late; False if it is for none of these connections."""
        connection = self.waiting.pop(token, None)
        if connection is None:
            return False
        connection.answer_late(answer)
        if not self._late:
            self.loop.call_soon(self._send_late)
        self._late[connection] = None
        return True

    def _send_late(self) -> None:
        """Late answers come many at a time: each connection's are sent in one go."""
        late, self._late = self._late, {}
        for one in late:
            one.advance()
        self.settle()

    def _add(self, one: Connection) -> None:
        self.counters.add(WorkerSlot.WORKER_TCP_ACCEPTED)
        while self._by_client.get(one.client, 0) >= CLIENT_MAX and self._evict(one.client):
            pass
        while len(self._open) >= CONNECTIONS_MAX and self._evict(""):
            pass
        self._open[one.fileno] = one
        self._by_client[one.client] = self._by_client.get(one.client, 0) + 1
        self.poll.register(one.fileno, select.EPOLLIN)
        self._show_count()
        if self._sweep is None:
            self._sweep = self.loop.call_later(SWEEP, self._close_dawdlers)

    def remove(self, one: Connection) -> None:
        """Forget a connection that is about to close its socket."""
        self.poll.unregister(one.fileno)
        del self._open[one.fileno]
        self._by_client[one.client] -= 1
        if not self._by_client[one.client]:
            del self._by_client[one.client]
        self._show_count()

    def touch(self, one: Connection) -> None:
        """Note activity: it goes to the end of the order."""
        del self._open[one.fileno]
        self._open[one.fileno] = one

    def _evict(self, client: str) -> bool:
        """Close the connection (of a client, if it is named) that was idle longest; the owed ones go last."""
        candidates = [one for one in self._open.values() if not client or one.client == client]
        victim = next((one for one in candidates if not one.pending), candidates[0] if candidates else None)
        if victim is None:
            return False
        self.counters.add(WorkerSlot.WORKER_TCP_EVICTED)
        victim.abort()
        return True

    def _close_dawdlers(self) -> None:
        now = time.monotonic()
        for one in list(self._open.values()):
            if one.is_overdue(now):
                self.counters.add(WorkerSlot.WORKER_TCP_TIMEOUTS)
                one.close()
        self._sweep = self.loop.call_later(SWEEP, self._close_dawdlers) if self._open else None

    def _show_count(self) -> None:
        self.counters.set(WorkerSlot.WORKER_TCP_CONNECTIONS, len(self._open))


class Connection:
    """One client: octets in, queries to the engine, answers out. Its socket is only used without waiting (MSG_DONTWAIT)."""

    __slots__ = (
        "_active", "_begun", "_has_ended", "_has_left", "_held", "_is_closed", "_is_closing", "_is_ending", "_is_full",
        "_listener", "_local", "_remote", "_socket", "_table", "_unsent", "_watched", "client", "fileno", "pending",
    )  # fmt: skip

    def __init__(
        self, table: Connections, client: socket.socket, listener: int, remote: tuple[str, int], local: tuple[str, int]
    ) -> None:
        self.client = remote[0]
        self.fileno = client.fileno()
        self.pending = 0  # queries that the engine has not answered
        self._table = table
        self._socket = client
        self._listener = listener
        self._remote = remote
        self._local = local
        self._watched = select.EPOLLIN
        self._held = bytearray()  # octets of queries
        self._unsent = bytearray()  # octets of answers
        self._active = self._begun = time.monotonic()
        self._has_ended = False  # the client has closed its side
        self._is_ending = False  # it has, or we are to leave
        self._has_left = False  # our side is closed, or will be when all is sent
        self._is_full = False  # the client reads too slowly
        self._is_closing = False  # the socket is closed when all is sent, or is already
        self._is_closed = False

    # --- the socket ---------------------------------------------------------------------------------------------------

    def on_events(self, events: int) -> None:
        if events & (select.EPOLLERR | select.EPOLLHUP):  # reset, or closed by both
            self.abort()
            return
        if events & select.EPOLLOUT:
            self.advance()
        if events & select.EPOLLIN:
            self.read()

    def read(self) -> None:
        if self._is_closed:
            return
        try:
            octets = self._socket.recv(RECEIVE_MAX, socket.MSG_DONTWAIT)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.abort()
            return
        if not octets:  # a client that has closed its side still gets what it asked for
            self._has_ended = self._is_ending = True
        elif not self._has_left:
            if not self._held:
                self._begun = time.monotonic()
            self._held += octets
        self.advance()

    def _send(self) -> None:
        """Send what the client takes; look whether it takes enough."""
        try:
            del self._unsent[: self._socket.send(self._unsent, socket.MSG_DONTWAIT)]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self.abort()
            return
        waiting = len(self._unsent)
        self._is_full = waiting > (WRITE_LOW if self._is_full else WRITE_HIGH)
        if waiting > WRITE_MAX:
            self.abort()

    def _watch(self) -> None:
        """Read while there is room for answers; write when some could not be sent."""
        can_read = not (self._is_full or self._has_ended or self._is_closing) and self.pending < PENDING_MAX
        wanted = select.EPOLLIN * can_read | select.EPOLLOUT * bool(self._unsent)
        if wanted != self._watched:
            self._watched = wanted
            self._table.poll.modify(self.fileno, wanted)

    # --- queries ------------------------------------------------------------------------------------------------------

    def advance(self) -> None:
        """Send what is owed and ask what is whole, as far as it goes; then wait for the client, or end."""
        if self._unsent:
            self._send()
        if self._held:
            self._ask_all()
        if not self._is_closed:
            self._end_if_done()
        if not self._is_closed:
            self._watch()

    def _ask_all(self) -> None:
        """Ask what is whole, as long as there is room for the answers."""
        if self._has_left or self._is_closing:
            return
        at = 0
        while len(self._held) - at >= LENGTH_SIZE and self.pending < PENDING_MAX and not self._is_full:
            (size,) = struct.unpack_from(">H", self._held, at)
            if size < HEADER_SIZE:
                self.close()
                return
            if len(self._held) - at < LENGTH_SIZE + size:
                break
            wire = bytes(self._held[at + LENGTH_SIZE : at + LENGTH_SIZE + size])
            at += LENGTH_SIZE + size
            self._ask(wire)
        if at:
            del self._held[:at]
            self._note_activity()
        if self._unsent:
            self._send()

    def _ask(self, wire: bytes) -> None:
        answer = self._table.engine.ask(wire, self._listener, remote=self._remote, local=self._local, is_stream=True)
        if isinstance(answer, int):
            self.pending += 1
            self._table.waiting[answer] = self
        else:
            self._unsent += frame(answer)

    def answer_late(self, answer: bytes) -> None:
        """Take an answer; the table has it sent."""
        self.pending -= 1
        if not self._is_closing:
            self._unsent += frame(answer)
            self._note_activity()

    def _note_activity(self) -> None:
        self._active = self._begun = time.monotonic()
        self._table.touch(self)

    # --- the end --------------------------------------------------------------------------------------------------------

    def is_overdue(self, now: float) -> bool:
        if self._held and not self.pending and not self._is_full and now - self._begun > MESSAGE_TIMEOUT:
            return True
        return not self.pending and now - self._active > IDLE_TIMEOUT

    def finish(self) -> None:
        """Answer what has come, then close our side first: what was written arrives before the reset of a closed port."""
        self._is_ending = True
        self.advance()

    def close(self) -> None:
        """Close when all is sent; at once if the client does not read, or has not read since the last call."""
        if not self._unsent or self._is_full or self._is_closing:
            self.abort()
            return
        self._is_closing = True
        self._held.clear()
        self._active = time.monotonic()
        self._watch()

    def abort(self) -> None:
        if self._is_closed:
            return
        self._is_closed = self._is_closing = True
        self._held.clear()
        self._unsent.clear()
        self._table.remove(self)
        self._socket.close()

    def _end_if_done(self) -> None:
        is_done = self._is_ending and not self.pending
        if is_done and not (self._has_ended or self._has_left):
            self._has_left = True
            self._table.loop.call_later(FAREWELL, self.close)
        if self._unsent:
            return
        if self._is_closing or (is_done and self._has_ended):
            self.abort()
        elif self._has_left:
            self._shut_down()

    def _shut_down(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:  # it has left already
            self.abort()


def frame(answer: bytes) -> bytes:
    """An empty answer is none."""
    return struct.pack(">H", len(answer)) + answer if answer else b""
