"""A client that asks at a steady rate and checks every single answer."""

from __future__ import annotations

import collections
import contextlib
import selectors
import socket
import struct
import threading
import time
from typing import Self

from tests.differential.questions import Question

SOCKETS = 16  # each is hashed to one worker by its port
LOST_AFTER = 3.0
TICK = 0.002
BURST = 64  # questions before answers are read again: a client that fell behind must not overrun the kernel's buffers
Expected = dict[str, frozenset[str]]  # name -> its IPv4 addresses; empty: NXDOMAIN


class Load:
    """`rate` A questions a second for the names of `expected`, round and round; `faults` describes wrong and lost answers."""

    def __init__(self, port: int, expected: Expected, *, rate: int = 2000) -> None:
        self.asked = 0
        self.answered = 0
        self.faults: list[str] = []
        self._port, self._rate = port, rate
        self._cases = [(name, Question(name, "A").wire(), addresses) for name, addresses in expected.items()]
        self._waiting: list[dict[int, tuple[float, int]]] = [{} for _ in range(SOCKETS)]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def summary(self) -> str:
        kinds = collections.Counter(fault.split(":")[0] for fault in self.faults)
        return f"{self.asked} asked, {self.answered} answered, faults {dict(kinds)}, the first: {self.faults[:5]}"

    def _run(self) -> None:
        with contextlib.ExitStack() as stack, selectors.DefaultSelector() as ready:
            sockets = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(SOCKETS)]
            for index, client in enumerate(sockets):
                client.connect(("127.0.0.1", self._port))
                client.setblocking(False)
                ready.register(client, selectors.EVENT_READ, index)
            began = time.monotonic()
            ends = 0.0
            while True:
                now = time.monotonic()
                if self._stopping.is_set():
                    ends = ends or now + LOST_AFTER
                else:
                    for _ in range(min(BURST, int((now - began) * self._rate) - self.asked)):
                        self._ask(sockets)
                for key, _ in ready.select(TICK):
                    self._receive(sockets[key.data], key.data)
                self._give_up(now)
                if ends and (now > ends or not any(self._waiting)):
                    break
            self._give_up(time.monotonic() + 2 * LOST_AFTER)

    def _ask(self, sockets: list[socket.socket]) -> None:
        index = self.asked % SOCKETS
        case = self.asked % len(self._cases)
        number = (self.asked // SOCKETS) & 0xFFFF
        self.asked += 1
        self._waiting[index][number] = (time.monotonic(), case)
        try:
            sockets[index].send(struct.pack("!H", number) + self._cases[case][1][2:])
        except OSError as error:
            self._fault(f"not sent: {error}")
            self._waiting[index].pop(number)

    def _receive(self, client: socket.socket, index: int) -> None:
        while True:
            try:
                reply = client.recv(4096)
            except BlockingIOError:
                return
            except OSError as error:
                self._fault(f"not received: {error}")
                return
            found = self._waiting[index].pop(int.from_bytes(reply[:2], "big"), None)
            if found is None:
                continue
            self.answered += 1
            name, wire, addresses = self._cases[found[1]]
            rcode, told = reply[3] & 15, addresses_of(reply, len(wire))
            if rcode != (0 if addresses else 3) or told != addresses:
                self._fault(f"wrong: {name} has {sorted(addresses)}, told rcode {rcode} {sorted(told)}")

    def _give_up(self, now: float) -> None:
        for waiting in self._waiting:
            for number in [number for number, (asked, _) in waiting.items() if now - asked > LOST_AFTER]:
                self._fault(f"lost: {self._cases[waiting.pop(number)[1]][0]}")

    def _fault(self, text: str) -> None:
        self.faults.append(text)


def addresses_of(reply: bytes, question_end: int) -> frozenset[str]:
    """The A records of an answer whose owners point to the question, as CoreDNS and we write them."""
    told = set()
    at = question_end
    for _ in range(int.from_bytes(reply[6:8], "big")):
        if reply[at : at + 4] != b"\xc0\x0c\0\1":
            return frozenset({"not an A record of the question"})
        told.add(socket.inet_ntoa(reply[at + 12 : at + 16]))
        at += 16
    return frozenset(told)
