"""Persistent connections to an upstream over TCP or TLS: pipelined, replies in any order (RFC 7766), a few of them."""

from __future__ import annotations

import asyncio
import dataclasses
import typing
from collections.abc import Awaitable, Callable

from fastdns import errors
from fastdns.forward import question as questions

PIPELINE = 32  # questions on their way on each connection before another one is opened
CONNECTIONS_MAX = 8  # per upstream; then they share whatever comes
QUESTIONS_MAX = 4096  # on their way on one connection


class ClosedEarly(errors.UpstreamError):
    """The peer closed a connection that had served before: it was idle for too long, ask again on another."""


@dataclasses.dataclass(slots=True)
class _Asked:
    question: questions.Question
    with_edns: bool
    reply: asyncio.Future[bytes]


class Connection(asyncio.Protocol):
    """A stream of length-framed messages, with the questions that wait for a reply on it."""

    def __init__(
        self,
        *,
        name: str,
        clock: Callable[[], float],
        random_id: Callable[[], int],
        mismatched: Callable[[], None] = lambda: None,
        idle: Callable[[Connection], None] = lambda connection: None,
    ) -> None:
        self.opened_at = self.used_at = clock()
        self.is_open = False
        self.is_choked = False  # the peer reads more slowly than we write
        self.served = 0  # replies that came
        self._name = name
        self._clock = clock
        self._random_id = random_id
        self._mismatched = mismatched
        self._idle = idle
        self._asked: dict[int, _Asked] = {}
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None

    @property
    def live(self) -> int:
        """Questions that wait for a reply."""
        return len(self._asked)

    async def ask(self, question: questions.Question, *, with_edns: bool) -> bytes:
        """The reply. The caller sets the time limit. Raises UpstreamError: the connection ended first."""
        failure = ClosedEarly if self.served else errors.UpstreamError
        if self._transport is None or not self.is_open:
            raise failure(f"read tcp {self._name}: EOF")
        identifier = self._free_id()
        message = questions.write_query(question, identifier, with_edns=with_edns)
        asked = _Asked(question, with_edns, asyncio.get_running_loop().create_future())
        self._asked[identifier] = asked
        self.used_at = self._clock()
        self._transport.write(len(message).to_bytes(2, "big") + message)
        try:
            return await asked.reply
        except ConnectionError as error:
            raise failure(f"read tcp {self._name}: {error}") from error
        finally:
            self._asked.pop(identifier, None)
            if not self._asked:
                self._idle(self)

    def close(self) -> None:
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    def _free_id(self) -> int:
        if len(self._asked) >= QUESTIONS_MAX:
            raise errors.UpstreamError(f"{self._name}: {QUESTIONS_MAX} questions are waiting on one connection")
        identifier = self._random_id()
        while identifier in self._asked:
            identifier = self._random_id()
        return identifier

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = typing.cast(asyncio.Transport, transport)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        self._received += data
        while len(self._received) >= 2:
            end = 2 + int.from_bytes(self._received[:2], "big")
            if len(self._received) < end:
                return
            message = bytes(self._received[2:end])
            del self._received[:end]
            self._take(message)

    def eof_received(self) -> bool:
        self.is_open = False
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        for asked in self._asked.values():
            if not asked.reply.done():
                asked.reply.set_exception(ConnectionError(str(exc) if exc else "EOF"))
        self._idle(self)

    def pause_writing(self) -> None:
        self.is_choked = True

    def resume_writing(self) -> None:
        self.is_choked = False

    def _take(self, message: bytes) -> None:
        asked = self._asked.get(int.from_bytes(message[:2], "big")) if len(message) >= 2 else None
        if asked is None or asked.reply.done() or not _answers(asked, message):
            self._mismatched()
            return
        self.served += 1
        self.used_at = self._clock()
        asked.reply.set_result(message)


def _answers(asked: _Asked, message: bytes) -> bool:
    return questions.is_reply(asked.question, message) or (asked.with_edns and questions.refuses_edns(message))


class Pool:
    """The connections to one upstream. `dial` opens one: it is given what makes the protocol."""

    def __init__(
        self,
        dial: Callable[[Callable[[], Connection]], Awaitable[Connection]],
        *,
        name: str,
        expire: float,
        max_age: float,
        max_idle: int,
        clock: Callable[[], float],
        random_id: Callable[[], int],
        used: Callable[[bool], None] = lambda is_reused: None,
        mismatched: Callable[[], None] = lambda: None,
    ) -> None:
        self._dial = dial
        self._name = name
        self._expire = expire
        self._max_age = max_age
        self._max_idle = max_idle
        self._clock = clock
        self._random_id = random_id
        self._used = used
        self._mismatched = mismatched
        self._connections: list[Connection] = []
        self._dialling: asyncio.Task[Connection] | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._connections)

    async def ask(
        self, question: questions.Question, *, with_edns: bool, dial_timeout: float, read_timeout: float
    ) -> bytes:
        """The reply. Raises UpstreamError; ClosedEarly: ask again, at most once for each connection."""
        connection = await self._connection(dial_timeout)
        sent_at = self._clock()
        served = connection.served
        try:
            async with asyncio.timeout(read_timeout):
                return await connection.ask(question, with_edns=with_edns)
        except TimeoutError:
            if connection.served == served and connection.opened_at <= sent_at:
                self._drop(connection)  # nothing at all came on it meanwhile
            raise errors.UpstreamError(f"read tcp {self._name}: i/o timeout") from None

    async def close(self) -> None:
        self._is_closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._dialling is not None:
            self._dialling.cancel()
            await asyncio.gather(self._dialling, return_exceptions=True)
        for connection in list(self._connections):
            self._drop(connection)

    async def _connection(self, dial_timeout: float) -> Connection:
        """The one with the least to do; another is opened when all have enough."""
        until = self._clock() + dial_timeout
        while True:
            self.sweep()
            best = min(filter(self._is_usable, self._connections), key=lambda found: found.live, default=None)
            if best is not None and self._has_room(best):
                self._used(True)
                return best
            fresh = await self._dialled(until - self._clock())
            if self._has_room(fresh):
                self._used(False)
                return fresh

    def _is_usable(self, connection: Connection) -> bool:
        return connection.is_open and not connection.is_choked and not self._is_old(connection)

    def _has_room(self, connection: Connection) -> bool:
        return connection.live < PIPELINE or len(self._connections) >= CONNECTIONS_MAX

    async def _dialled(self, timeout: float) -> Connection:
        """A new connection, one at a time for all who want one."""
        if self._is_closed:
            raise errors.UpstreamError(f"dial tcp {self._name}: closed")
        if self._dialling is None:
            self._dialling = asyncio.create_task(self._open(timeout), name=f"dial {self._name}")
        return await asyncio.shield(self._dialling)

    async def _open(self, timeout: float) -> Connection:
        try:
            async with asyncio.timeout(timeout):
                connection = await self._dial(self._make)
        except TimeoutError:
            raise errors.UpstreamError(f"dial tcp {self._name}: i/o timeout") from None
        except OSError as error:
            raise errors.UpstreamError(f"dial tcp {self._name}: connect: {error.strerror or error}") from error
        finally:
            self._dialling = None
        self._connections.append(connection)
        return connection

    def _make(self) -> Connection:
        return Connection(
            name=self._name,
            clock=self._clock,
            random_id=self._random_id,
            mismatched=self._mismatched,
            idle=self._on_idle,
        )

    def _on_idle(self, connection: Connection) -> None:
        if connection not in self._connections:
            return
        idle = sum(not other.live for other in self._connections)
        if not connection.is_open or self._is_old(connection) or (self._max_idle and idle > self._max_idle):
            self._drop(connection)
        elif self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(self._expire, self._on_timer)

    def _on_timer(self) -> None:
        self._sweeper = None
        self.sweep()
        if self._connections and not self._is_closed:
            self._sweeper = asyncio.get_running_loop().call_later(self._expire, self._on_timer)

    def sweep(self) -> None:
        """Close what was idle for longer than `expire`, or is closed already."""
        now = self._clock()
        for connection in list(self._connections):
            is_over = now - connection.used_at > self._expire or self._is_old(connection) or not connection.is_open
            if is_over and not connection.live:
                self._drop(connection)

    def _is_old(self, connection: Connection) -> bool:
        return self._max_age > 0 and self._clock() - connection.opened_at > self._max_age

    def _drop(self, connection: Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
        connection.close()
