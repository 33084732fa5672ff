"""DNS over HTTPS (RFC 8484): connections that are kept, one question at a time on each of them.

It runs on the worker's event loop, and not with a blocking client in threads: these would take turns at the interpreter
with what answers everybody else, and could not be called back when a question's time is over.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

from fastdns import errors
from fastdns.forward import http1, tls
from fastdns.forward import question as questions

PATH = "/dns-query"  # as CoreDNS's: another one can't be given
CONTENT_TYPE = "application/dns-message"
CONNECTIONS_MAX = 32  # per upstream; further questions wait until one of them is free


class Pool:
    """The connections to one upstream. `dial` opens one; `host` is the authority that requests name."""

    def __init__(
        self,
        dial: Callable[[], Awaitable[http1.Streams]],
        *,
        name: str,
        host: str,
        method: str,
        expire: float,
        max_age: float,
        max_idle: int,
        clock: Callable[[], float],
        used: Callable[[bool], None] = lambda is_reused: None,
        mismatched: Callable[[], None] = lambda: None,
    ) -> None:
        self._dial = dial
        self._name = name
        self._host = host
        self._method = method
        self._expire = expire
        self._max_age = max_age
        self._max_idle = max_idle
        self._clock = clock
        self._used = used
        self._mismatched = mismatched
        self._room = asyncio.Semaphore(CONNECTIONS_MAX)
        self._idle: list[http1.Connection] = []  # the last one was used last
        self._busy: set[http1.Connection] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._idle) + len(self._busy)

    async def ask(
        self, question: questions.Question, *, with_edns: bool, dial_timeout: float, read_timeout: float
    ) -> bytes:
        """The reply, its TTLs less the age that it has. Raises UpstreamError."""
        request = write_request(
            questions.write_query(question, 0, with_edns=with_edns), method=self._method, host=self._host
        )
        try:
            async with self._slot(read_timeout):
                response = await self._exchange(request, dial_timeout=dial_timeout, read_timeout=read_timeout)
            return self._read_message(question, response, with_edns=with_edns)
        except TimeoutError:
            raise self._failure("i/o timeout") from None
        except (OSError, http1.ResponseError) as error:
            raise self._failure(str(error)) from error

    async def close(self) -> None:
        self._is_closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in [*self._idle, *self._busy]:
            connection.close()
        self._idle.clear()

    # --- one question

    @contextlib.asynccontextmanager
    async def _slot(self, timeout: float) -> AsyncIterator[None]:
        async with asyncio.timeout(timeout):
            await self._room.acquire()
        try:
            yield
        finally:
            self._room.release()

    async def _exchange(self, request: bytes, *, dial_timeout: float, read_timeout: float) -> http1.Response:
        """Ask on a connection that is open; if that turns out to be closed, so may be the others: on a fresh one."""
        self.sweep()
        if self._idle:
            try:
                return await self._exchange_on(self._idle.pop(), request, read_timeout)
            except http1.ClosedEarlyError:
                self._close_idle(keep=0)
        return await self._exchange_on(await self._open(dial_timeout), request, read_timeout)

    async def _open(self, timeout: float) -> http1.Connection:
        try:
            async with asyncio.timeout(timeout):
                return http1.Connection(await self._dial(), clock=self._clock)
        except TimeoutError:
            raise self._failure(f"dial tcp {self._name}: i/o timeout") from None
        except ssl.SSLError as error:
            raise self._failure(tls.describe(error)) from error
        except OSError as error:
            raise self._failure(f"dial tcp {self._name}: connect: {error.strerror or error}") from error

    async def _exchange_on(self, connection: http1.Connection, request: bytes, timeout: float) -> http1.Response:
        self._used(connection.served > 0)
        self._busy.add(connection)
        try:
            async with asyncio.timeout(timeout):
                response = await connection.exchange(request)
        except BaseException:
            connection.close()  # a response that is still to come must not be taken for another question's
            raise
        finally:
            self._busy.discard(connection)
        self._keep(connection, response)
        return response

    def _read_message(self, question: questions.Question, response: http1.Response, *, with_edns: bool) -> bytes:
        if response.status != 200:
            raise http1.ResponseError(f"unexpected HTTP status {response.status}")
        kind = response.fields.get("content-type", "")
        if kind.partition(";")[0].strip().lower() != CONTENT_TYPE:
            raise http1.ResponseError(f"unexpected content type {kind[:64]!r}")
        message = response.body
        if not questions.is_reply(question, message) and not (with_edns and questions.refuses_edns(message)):
            self._mismatched()
            raise http1.ResponseError("not the reply to the question")
        return questions.age_reply(message, response.age) if response.age else message

    def _failure(self, cause: str) -> errors.UpstreamError:
        """As Go's net/url has it, which patterns of `consolidate` are made for."""
        return errors.UpstreamError(f'{self._method.capitalize()} "https://{self._name}{PATH}": {cause}')

    # --- connections that wait

    def _keep(self, connection: http1.Connection, response: http1.Response) -> None:
        if self._is_closed or response.is_last or self._is_old(connection):
            connection.close()
            return
        self._idle.append(connection)
        if self._max_idle:
            self._close_idle(keep=self._max_idle)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(self._expire, self._on_timer)

    def _close_idle(self, *, keep: int) -> None:
        while len(self._idle) > keep:
            self._idle.pop(0).close()

    def _on_timer(self) -> None:
        self._sweeper = None
        self.sweep()
        if self._idle and not self._is_closed:
            self._sweeper = asyncio.get_running_loop().call_later(self._expire, self._on_timer)

    def sweep(self) -> None:
        """Close what was idle for longer than `expire`, or is closed already."""
        now = self._clock()
        kept = []
        for connection in self._idle:
            if not connection.is_open or now - connection.used_at > self._expire or self._is_old(connection):
                connection.close()
            else:
                kept.append(connection)
        self._idle = kept

    def _is_old(self, connection: http1.Connection) -> bool:
        return self._max_age > 0 and self._clock() - connection.opened_at > self._max_age


def write_request(message: bytes, *, method: str, host: str) -> bytes:
    """A question by POST, or by GET, which caches on the way may answer (RFC 8484 section 4.1)."""
    if method == "GET":
        target = f"{PATH}?dns={base64.urlsafe_b64encode(message).rstrip(b'=').decode()}"
        return f"GET {target} HTTP/1.1\r\nHost: {host}\r\nAccept: {CONTENT_TYPE}\r\n\r\n".encode()
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: {host}\r\nAccept: {CONTENT_TYPE}\r\n"
        f"Content-Type: {CONTENT_TYPE}\r\nContent-Length: {len(message)}\r\n\r\n"
    )
    return head.encode() + message
