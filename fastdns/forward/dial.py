"""One question to a server that is named as `HOST:PORT`, over UDP: what sidecar asks. Failures are worded as Go words them."""

from __future__ import annotations

import asyncio
import secrets
import socket
import threading
import time

from fastdns import errors
from fastdns.config import values
from fastdns.dns import constants, messages

TIMEOUT = 2.0  # seconds, as miekg/dns for each of its steps


async def ask(
    server: str, name: str, qtype: constants.Type, *, qclass: constants.Class = constants.Class.IN
) -> tuple[messages.Reply, float]:
    """Ask once; the reply, and how long it took in seconds. Raises UpstreamError; its text is Go's, as far as it goes."""
    address = await _find_address(server)
    loop = asyncio.get_running_loop()
    message_id = secrets.randbelow(0x10000)
    try:
        transport, waiting = await loop.create_datagram_endpoint(lambda: _Waiting(message_id), remote_addr=address)
    except OSError as error:
        raise errors.UpstreamError(f"dial udp {_join(*address)}: connect: {_word(error)}") from error
    where = f"read udp {_join(*transport.get_extra_info('sockname')[:2])}->{_join(*address)}"
    sent = time.monotonic()
    try:
        transport.sendto(messages.encode_query(name, qtype, message_id=message_id, qclass=qclass))
        async with asyncio.timeout(TIMEOUT):
            wire = await waiting.reply
        latency = time.monotonic() - sent
        return messages.read_reply(wire, message_id=message_id), latency
    except TimeoutError:
        raise errors.UpstreamError(f"{where}: i/o timeout") from None
    except OSError as error:
        raise errors.UpstreamError(f"{where}: read: {_word(error)}") from error
    finally:
        transport.close()


async def _find_address(server: str) -> tuple[str, int]:
    """Read `HOST:PORT`, and look the host up if it is a name. Raises UpstreamError."""
    try:
        host, text = values.split_host_port(server)
    except ValueError as error:
        raise errors.UpstreamError(f"dial udp: {error}") from None
    port = values.port_number(text)
    if port is None:
        raise errors.UpstreamError(f"dial udp: address {text}: invalid port")
    if values.is_address(host):
        return host, port
    try:
        async with asyncio.timeout(TIMEOUT):
            return await look_up(host or "localhost"), port
    except TimeoutError:
        raise errors.UpstreamError(f"dial udp: lookup {host}: i/o timeout") from None
    except OSError as error:
        raise errors.UpstreamError(f"dial udp: lookup {host}: {_word(error)}") from error


async def look_up(host: str) -> str:
    """Ask the machine's resolver for an address. Raises OSError.

    It may take half a minute to give up, so it does it in a thread that nobody waits for in the end.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[str] = loop.create_future()

    def tell(address: str, error: OSError | None) -> None:
        if found.done():
            return
        if error is None:
            found.set_result(address)
        else:
            found.set_exception(error)

    def look_up() -> None:
        address, failure = "", None
        try:
            address = str(socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)[0][4][0])
        except UnicodeError:
            failure = OSError("no such host")
        except OSError as error:
            failure = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, address, failure)

    threading.Thread(target=look_up, name=f"look up {host}", daemon=True).start()
    return await found


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _word(error: OSError) -> str:
    if isinstance(error, socket.gaierror) and error.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
        return "no such host"
    return (error.strerror or str(error)).lower()


class _Waiting(asyncio.DatagramProtocol):
    """Waits for the datagram with the right id: one with another may be the late reply to an earlier question."""

    def __init__(self, message_id: int) -> None:
        self.reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._id = message_id.to_bytes(2, "big")

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        if data[:2] == self._id and not self.reply.done():
            self.reply.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.reply.done():
            self.reply.set_exception(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.reply.done():
            self.reply.cancel()
