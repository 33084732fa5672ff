"""An upstream of bench's own: `python -m bench.upstream --port P [--hold N --patience S]`. UDP on 127.0.0.1.

Every name below miss.example has an address, no other name exists: what knot's wildcard says, where there is no knot.
With --hold the questions below held.miss.example are kept until N different ones wait at once, or S seconds after the
first of them; then all are answered, and a line of output tells how many waited.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import socket
import struct

from bench.floor import udp_socket
from bench.servers import HELD_ZONE, MISS_ZONE
from bench.world import NXDOMAIN, OUTSIDE, A

HEADER = 12
BURST = 32  # answers at a time: no receive buffer is overrun
BATCH = 256  # questions read before timers get their turn
RECORD = struct.pack("!HHHIH", 0xC00C, A, 1, 3600, 4) + OUTSIDE.packed
# The SOA of a denial, owned by the root: nobody here looks at it.
SOA = b"\0" + struct.pack("!HHIH", 6, 1, 30, 22) + b"\0\0" + struct.pack("!5I", 1, 7200, 1800, 86400, 30)
Asker = tuple[bytes, tuple[str, int]]


def wire_end(zone: str) -> bytes:
    """How the wire form of a name below this zone ends."""
    return b"".join(bytes([len(label)]) + label.encode() for label in zone.split(".")) + b"\0"


ENDS = wire_end(MISS_ZONE)
HELD_ENDS = wire_end(HELD_ZONE)


def answer(question: bytes) -> bytes:
    """The answer to a query of one question."""
    end = question.index(0, HEADER) + 1
    (qtype,) = struct.unpack_from("!H", question, end)
    exists = question[HEADER:end].lower().endswith(ENDS)
    has_address = exists and qtype == A
    counts = struct.pack("!4H", 1, has_address, not has_address, 0)
    head = question[:2] + bytes([0x85, 0x80 | (0 if exists else NXDOMAIN)]) + counts
    return head + question[HEADER : end + 4] + (RECORD if has_address else SOA)


class Upstream:
    def __init__(self, made: socket.socket, hold: int, patience: float) -> None:
        self.socket = made
        self.hold = hold
        self.patience = patience
        self.held: dict[bytes, list[Asker]] = {}
        self.release: asyncio.Task[None] | None = None
        self.complete = asyncio.Event()

    def on_readable(self) -> None:
        """Answer or keep what waits; the rest gets its turn later."""
        for _ in range(BATCH):
            try:
                packet, asker = self.socket.recvfrom(4096)
            except BlockingIOError:
                return
            if len(packet) > HEADER + 5:
                self.take(packet, asker)

    def take(self, packet: bytes, asker: tuple[str, int]) -> None:
        name = packet[HEADER : packet.index(0, HEADER) + 1].lower()
        if not self.hold or not name.endswith(HELD_ENDS):
            self.socket.sendto(answer(packet), asker)
            return
        self.held.setdefault(name, []).append((packet, asker))
        if self.release is None:
            self.complete.clear()
            self.release = asyncio.create_task(self.release_all())
        if len(self.held) >= self.hold:
            self.complete.set()

    async def release_all(self) -> None:
        """Wait for the last one, not for ever; tell how many there are, and answer each asker."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.complete.wait(), self.patience)
        print(f"held {len(self.held)} at once", flush=True)
        waiting = [one for askers in self.held.values() for one in askers]
        self.held.clear()
        self.release = None
        for start in range(0, len(waiting), BURST):
            for packet, asker in waiting[start : start + BURST]:
                self.socket.sendto(answer(packet), asker)
            await asyncio.sleep(0.001)


async def serve(arguments: argparse.Namespace) -> None:
    """Serve until SIGTERM."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    with udp_socket() as made:
        made.bind(("127.0.0.1", arguments.port))
        loop.add_reader(made.fileno(), Upstream(made, arguments.hold, arguments.patience).on_readable)
        await stop.wait()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.upstream", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--hold", type=int, default=0, metavar="N")
    parser.add_argument("--patience", type=float, default=1.5, metavar="S")
    asyncio.run(serve(parser.parse_args(argv)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
