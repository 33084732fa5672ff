"""HTTP/1.1 (RFC 9112), as much of it as a client of DNS over HTTPS needs: a connection, a request, its response."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable

HEAD_MAX = 16 * 1024  # octets of status line and fields, and of one line of a chunked body
BODY_MAX = 0xFFFF  # octets: a DNS message has no more
TRAILER_MAX = 64  # fields after a chunked body
INTERIM_MAX = 4  # responses of status 1xx before the one that counts
REQUEST_TIMEOUT = 408  # what some servers say on a connection that was idle for too long for them
BODILESS = (204, 304)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class ClosedEarlyError(Exception):
    """The peer closed a connection that had served before, without a word about this request: ask again on another."""


class ResponseError(Exception):
    """What came is no HTTP response, or one that carries no DNS message."""


@dataclasses.dataclass(frozen=True, slots=True)
class Response:
    """`is_last`: the peer takes no other request on this connection."""

    status: int
    fields: dict[str, str]
    body: bytes
    is_last: bool

    @property
    def age(self) -> int:
        """Seconds that an HTTP cache kept it for (RFC 9111 section 5.1)."""
        text = self.fields.get("age", "0")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


class Connection:
    """A stream of requests and responses, one pair after the other."""

    def __init__(self, streams: Streams, *, clock: Callable[[], float]) -> None:
        self.opened_at = self.used_at = clock()
        self.served = 0  # responses that came
        self._reader, self._writer = streams
        self._clock = clock

    @property
    def is_open(self) -> bool:
        return not (self._reader.at_eof() or self._reader.exception() or self._writer.is_closing())

    async def exchange(self, request: bytes) -> Response:
        """The response. The caller sets the time limit, and closes the connection unless this returns.

        Raises ClosedEarlyError, ResponseError and OSError.
        """
        try:
            self._writer.write(request)
            await self._writer.drain()
            response = await read_response(self._reader)
        except asyncio.LimitOverrunError as error:
            raise ResponseError("the head is too long") from error
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            if self.served and not getattr(error, "partial", b""):
                raise ClosedEarlyError from error
            raise ConnectionError("EOF") from error
        if self.served and response.status == REQUEST_TIMEOUT:
            raise ClosedEarlyError
        self.served += 1
        self.used_at = self._clock()
        return response

    def close(self) -> None:
        self._writer.transport.abort()


async def read_response(reader: asyncio.StreamReader) -> Response:
    """Raises IncompleteReadError at the stream's end, LimitOverrunError for a long head, else ResponseError."""
    for _ in range(INTERIM_MAX):
        version, status, fields = read_head(await reader.readuntil(b"\r\n\r\n"))
        if status >= 200:
            break
    else:
        raise ResponseError("too many interim responses")
    is_framed = status in BODILESS or "content-length" in fields or "transfer-encoding" in fields
    is_last = not is_framed or version == "HTTP/1.0" or "close" in fields.get("connection", "").lower()
    return Response(status, fields, await read_body(reader, status, fields), is_last)


def read_head(head: bytes) -> tuple[str, int, dict[str, str]]:
    """(version, status, fields by their lower-case names)."""
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    code = rest.partition(" ")[0]
    if version not in ("HTTP/1.1", "HTTP/1.0") or len(code) != 3 or not (code.isascii() and code.isdigit()):
        raise ResponseError(f"malformed HTTP response {first[:64]!r}")
    pairs = (line.partition(":") for line in lines if line)
    return version, int(code), {name.lower(): value.strip() for name, _, value in pairs}


async def read_body(reader: asyncio.StreamReader, status: int, fields: dict[str, str]) -> bytes:
    """RFC 9112 section 6.3: chunked before a length, a length before the end of the stream."""
    if status in BODILESS:
        return b""
    if "transfer-encoding" in fields:
        if fields["transfer-encoding"].lower() != "chunked":
            raise ResponseError(f"unsupported transfer encoding {fields['transfer-encoding'][:64]!r}")
        return await read_chunks(reader)
    if "content-length" in fields:
        return await reader.readexactly(read_size(fields["content-length"], 10))
    body = b""
    while block := await reader.read(BODY_MAX + 1 - len(body)):
        body += block
        if len(body) > BODY_MAX:
            raise ResponseError("the body is too long")
    return body


async def read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := read_size((await read_line(reader)).partition(";")[0].strip(), 16):
        if len(body) + size > BODY_MAX:
            raise ResponseError("the body is too long")
        body += await reader.readexactly(size)
        if await reader.readexactly(2) != b"\r\n":
            raise ResponseError("malformed chunked body")
    for _ in range(TRAILER_MAX):
        if not await read_line(reader):
            return body
    raise ResponseError("too many trailer fields")


async def read_line(reader: asyncio.StreamReader) -> str:
    return (await reader.readuntil(b"\r\n"))[:-2].decode("latin-1")


def read_size(text: str, base: int) -> int:
    digits = "0123456789abcdef"[:base]
    if not 0 < len(text) <= 8 or text.lower().strip(digits):
        raise ResponseError(f"malformed length {text[:64]!r}")
    size = int(text, base)
    if size > BODY_MAX:
        raise ResponseError("the body is too long")
    return size
