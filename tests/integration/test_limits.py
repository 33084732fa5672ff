"""Limits of a real control group: memory that caches would fill, and a tenth of a processor."""

from __future__ import annotations

import contextlib
import os
import pathlib
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from fastdns.server import cgroups
from tests.differential.questions import Question
from tests.integration.load import Load
from tests.integration.test_processes import NAMES, find_processes, value_of
from tests.peers.process import wait_until
from tests.peers.servers import Fastdns

MEMORY = 80 << 20
HELD = 0.9  # of the memory: caches are held below, whatever else grows
BATCH = 40
NEW_NAMES = 60_000  # whose answers would take as much again as there is
COREFILE = """.:{$PORT} {
    bind 127.0.0.1
    prometheus 127.0.0.1:{$METRICS}
    hosts FOLDER/hosts {
        fallthrough
    }
    cache {
        success 1000000
    }
    forward . 127.0.0.1:UPSTREAM {
        prefer_udp
        max_fails 0
    }
}
"""


class Group:
    """A control group of our own; whoever enters it stays below its limits."""

    def __init__(self, controller: str) -> None:
        self.controller = controller
        self.is_v2 = controller in " ".join(cgroups.read_lines(cgroups.CGROUPS / "cgroup.subtree_control")).split()
        base = cgroups.CGROUPS if self.is_v2 else own_folder(controller)
        self.folder = base / f"fastdns-test-{os.getpid()}-{controller}"
        self.folder.mkdir()

    def limit(self, values: dict[str, str]) -> None:
        for name, value in values.items():
            (self.folder / name).write_text(value)

    def read(self, name: str) -> int:
        return int((self.folder / name).read_text())


def own_folder(controller: str) -> pathlib.Path:
    """Of version 1."""
    for line in cgroups.read_lines(cgroups.MEMBERSHIP):
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return cgroups.CGROUPS / controllers / path.lstrip("/")
    raise FileNotFoundError(controller)


@contextlib.contextmanager
def group(controller: str) -> Iterator[Group]:
    try:
        made = Group(controller)
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        yield made
    finally:
        wait_until(lambda: not (made.folder / "cgroup.procs").read_text(), what="the end of all in the group")
        made.folder.rmdir()


@contextlib.contextmanager
def running(server: Fastdns, *, inside: Group) -> Iterator[None]:
    """The server, in the group from its first instruction."""
    enter = ["sh", "-c", 'echo $$ >"$0" && exec "$@"', str(inside.folder / "cgroup.procs")]
    server._command = [*enter, *server._command]
    with server:
        yield


class BigAnswers(threading.Thread):
    """An upstream that answers every question with 1,000 octets of text."""

    TEXT = b"\xc0\x0c\0\x10\0\1\0\0\x0e\x10\x03\xec" + (b"\xfa" + bytes(250)) * 4

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]

    def run(self) -> None:
        while True:
            query, client = self.socket.recvfrom(4096)
            if not query:
                return
            end = query.index(b"\0", 12) + 5
            head = query[:2] + struct.pack(">5H", 0x8180, 1, 1, 0, 0)
            self.socket.sendto(head + query[12:end] + self.TEXT, client)

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.port))
        self.join()
        self.socket.close()


@pytest.fixture
def upstream() -> Iterator[BigAnswers]:
    made = BigAnswers()
    made.start()
    yield made
    made.close()


@pytest.fixture
def server(tmp_path: pathlib.Path, upstream: BigAnswers) -> Fastdns:
    (tmp_path / "hosts").write_text("".join(f"{one} {name}\n" for name, all_ in NAMES.items() for one in all_))
    corefile = COREFILE.replace("FOLDER", str(tmp_path)).replace("UPSTREAM", str(upstream.port))
    return Fastdns(folder=tmp_path / "server", corefile=corefile, env={}, workers=0)


def ask_new_names(port: int, first: int) -> None:
    """BATCH questions that nobody has asked before, and their answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect(("127.0.0.1", port))
        for number in range(first, first + BATCH):
            client.send(Question(f"x{number}.example.net", "TXT", size=4096).wire())
        for _ in range(BATCH):
            assert len(client.recv(4096)) > 1000


def test_caches_leave_memory_to_live_in(server: Fastdns) -> None:
    """A cache for a gigabyte, in 80 MB: it grows no further below the limit, is cut above a lower one, and nobody is killed."""
    with group("memory") as limited:
        ceiling = "memory.max" if limited.is_v2 else "memory.limit_in_bytes"
        used = "memory.current" if limited.is_v2 else "memory.usage_in_bytes"
        limited.limit({ceiling: str(MEMORY)})
        with running(server, inside=limited):
            before = find_processes(server, "")
            with Load(server.port, NAMES, rate=500) as load:
                for asked in range(0, NEW_NAMES, BATCH):
                    ask_new_names(server.port, asked)
                assert limited.read(used) < HELD * MEMORY
                limited.limit({ceiling: str(int(limited.read(used) * 1.09))})
                wait_until(lambda: "caches are cut" in server.log(), what="the cut")
            assert not load.faults, load.summary()
            assert find_processes(server, "") == before, "somebody was killed"
            assert value_of(server, "fastdns_server_worker_restarts_total") == 0


def test_a_tenth_of_a_processor_serves(server: Fastdns) -> None:
    with group("cpu") as limited:
        tenth = (
            {"cpu.max": "10000 100000"}
            if limited.is_v2
            else {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "10000"}
        )
        limited.limit(tenth)
        with running(server, inside=limited):
            before = find_processes(server, "")
            assert len(find_processes(server, "w")) == 1
            with Load(server.port, NAMES, rate=200) as load:
                wait_until(lambda: load.answered > 600, what="answers")
            assert not load.faults, load.summary()
            assert find_processes(server, "") == before, "the watchdog waits long enough"
