"""Queries that wait for a slow upstream when the worker that holds them is told to go."""

from __future__ import annotations

import contextlib
import pathlib
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.differential.questions import Question
from tests.peers.servers import Fastdns

DELAY = 0.7
COUNT = 40
COREFILE = """.:{$PORT} {
    bind 127.0.0.1
    forward . 127.0.0.1:UPSTREAM {
        prefer_udp
        max_fails 0
    }
}
"""


class SlowUpstream:
    """Answers every query with 192.0.2.1 after DELAY seconds."""

    def __init__(self) -> None:
        self.asked = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._timers: list[threading.Timer] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                query, client = self._socket.recvfrom(4096)
            except OSError:
                return
            self.asked += 1
            end = query.index(0, 12) + 5
            answer = query[:2] + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0) + query[12:end]
            answer += b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + bytes([192, 0, 2, 1])
            timer = threading.Timer(DELAY, self._send, (answer, client))
            timer.daemon = True
            timer.start()

    def _send(self, answer: bytes, client: tuple[str, int]) -> None:
        with contextlib.suppress(OSError):  # the test is over
            self._socket.sendto(answer, client)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def upstream() -> Iterator[SlowUpstream]:
    one = SlowUpstream()
    yield one
    one.close()


@pytest.fixture
def server(tmp_path: pathlib.Path, upstream: SlowUpstream) -> Iterator[Fastdns]:
    corefile = COREFILE.replace("UPSTREAM", str(upstream.port))
    with Fastdns(folder=tmp_path / "server", corefile=corefile, env={}) as running:
        yield running


def reload(server: Fastdns) -> None:
    assert server.process is not None
    server.process.send_signal(signal.SIGUSR1)
    server.process.wait_until(lambda: "Reloading complete" in server.log(), what="a reload")


def end(server: Fastdns) -> None:
    assert server.process is not None
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(10) == 0


@pytest.mark.parametrize("leave", [reload, end])
def test_what_waits_upstream_is_answered(
    server: Fastdns, upstream: SlowUpstream, leave: Callable[[Fastdns], None]
) -> None:
    before = upstream.asked
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.create_connection(("127.0.0.1", server.port)) as tcp,
    ):
        udp.settimeout(5)
        tcp.settimeout(5)
        udp.connect(("127.0.0.1", server.port))
        for number in range(COUNT):
            wire = struct.pack(">H", number) + Question(f"u{number}.test", "A").wire()[2:]
            udp.send(wire)
            wire = struct.pack(">H", number) + Question(f"t{number}.test", "A").wire()[2:]
            tcp.sendall(struct.pack(">H", len(wire)) + wire)
        deadline = time.monotonic() + 5
        while upstream.asked < before + 2 * COUNT and time.monotonic() < deadline:
            time.sleep(0.01)
        leave(server)
        answers = {udp.recv(4096)[:2] for _ in range(COUNT)}
        stream = tcp.makefile("rb")
        late = set()
        while head := stream.read(2):
            late.add(stream.read(struct.unpack(">H", head)[0])[:2])
    assert len(answers) == COUNT
    assert len(late) == COUNT, "and then the connection is closed"
