"""One question over UDP from Python: health checks, and `prefer_udp` for clients on TCP. A fresh port each time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fastdns import errors
from fastdns.forward import question as questions


async def ask_upstream(
    question: questions.Question,
    *,
    address: tuple[str, int],
    identifier: int,
    with_edns: bool = True,
    source_address: str = "",
    mismatched: Callable[[], None] = lambda: None,
) -> bytes:
    """The reply. The caller sets the time limit. Raises UpstreamError: the network says that there will be none."""
    loop = asyncio.get_running_loop()
    try:
        transport, waiting = await loop.create_datagram_endpoint(
            lambda: _Waiting(question, identifier, with_edns=with_edns, mismatched=mismatched),
            remote_addr=address,
            local_addr=(source_address, 0) if source_address else None,
        )
    except OSError as error:
        raise errors.UpstreamError(f"dial udp {address[0]}:{address[1]}: {error.strerror or error}") from error
    try:
        transport.sendto(questions.write_query(question, identifier, with_edns=with_edns))
        return await waiting.reply
    except OSError as error:
        raise errors.UpstreamError(f"read udp {address[0]}:{address[1]}: {error.strerror or error}") from error
    finally:
        transport.close()


class _Waiting(asyncio.DatagramProtocol):
    def __init__(
        self, question: questions.Question, identifier: int, *, with_edns: bool, mismatched: Callable[[], None]
    ) -> None:
        self.reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._question = question
        self._id = identifier.to_bytes(2, "big")
        self._with_edns = with_edns
        self._mismatched = mismatched

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        is_ours = data[:2] == self._id and (
            questions.is_reply(self._question, data) or (self._with_edns and questions.refuses_edns(data))
        )
        if not is_ours:
            self._mismatched()
        elif not self.reply.done():
            self.reply.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.reply.done():
            self.reply.set_exception(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.reply.done():
            self.reply.cancel()
