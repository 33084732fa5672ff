"""The floor as a process: `python -m bench.floor echo --port P` or `forward --port P --upstream Q`.

What `forward` sends on to has to listen before it is asked: libuv ends the poll of a socket at its first error, "refused" too.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket

import uvloop

from bench import _floor

BUFFER = 4 << 20
ADDRESS_RECORD = b"\xc0\x0c\0\x01\0\x01\0\0\0\x1e\0\x04\x0a\x60\0\x0a"


def main(argv: list[str] | None = None) -> int:
    arguments = parse(argv)
    uvloop.run(serve(arguments))
    return 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.floor", description=__doc__)
    parser.add_argument("kind", choices=["echo", "forward"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", type=int, default=0, help="port that `forward` sends on to")
    parser.add_argument("--extra", type=int, default=len(ADDRESS_RECORD), help="octets that an echo adds")
    return parser.parse_args(argv)


async def serve(arguments: argparse.Namespace) -> None:
    """Serve until SIGTERM."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    with udp_socket() as client, udp_socket() as upstream:
        client.bind(("127.0.0.1", arguments.port))
        if arguments.kind == "echo":
            loop.add_reader(client.fileno(), _floor.Echo(client.fileno(), tail(arguments.extra)).on_readable)
        else:
            upstream.connect(("127.0.0.1", arguments.upstream))
            forwarder = _floor.Forwarder(client.fileno(), upstream.fileno())
            loop.add_reader(client.fileno(), forwarder.on_client_readable)
            loop.add_reader(upstream.fileno(), forwarder.on_upstream_readable)
        await stop.wait()


def udp_socket() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        made.setsockopt(socket.SOL_SOCKET, option, BUFFER)
    return made


def tail(extra: int) -> bytes:
    """An address record, cut or filled to `extra` octets."""
    return ADDRESS_RECORD[:extra] + bytes(max(0, extra - len(ADDRESS_RECORD)))


if __name__ == "__main__":
    raise SystemExit(main())
