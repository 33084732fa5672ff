"""DNS servers under test and beside it: CoreDNS and fastdns with one and the same Corefile, knot as their upstream.

A Corefile names what differs between two servers on one machine by the environment: {$PORT}, {$HEALTH}, {$READY} and
{$METRICS} are ports of each server's own, the rest is the caller's. Both are asked at 127.0.0.1.
"""

from __future__ import annotations

import os
import pathlib
import signal
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Self

from tests.peers import build
from tests.peers.process import Process, free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROBE = b"\0\1\1\0\0\1\0\0\0\0\0\0\0\0\2\0\1"  # `. NS IN`


def is_answering(port: int, *, timeout: float = 0.3) -> bool:
    """True if something comes back over UDP, whatever it says."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(timeout)
        client.connect(("127.0.0.1", port))
        try:
            client.send(PROBE)
            return bool(client.recv(65535))
        except OSError:
            return False


class DnsServer:
    """A program that reads a Corefile."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: pathlib.Path,
        corefile: str,
        env: Mapping[str, str],
        waits_for_ready: bool = True,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.corefile = folder / "Corefile"
        self.corefile.write_text(corefile)
        self.port = free_port()
        ports = {name: str(free_port()) for name in ("HEALTH", "READY", "METRICS")}
        self._ready_port = int(ports["READY"])
        self._metrics_port = int(ports["METRICS"])
        self._waits_for_ready = waits_for_ready and "{$READY}" in corefile
        self._command = [*command, "-conf", str(self.corefile), "-dns.port", str(self.port)]
        self._env = {**os.environ, **env, **ports, "PORT": str(self.port)}
        self.process: Process | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self.process = Process(self._command, log=self.folder / "log", env=self._env, cwd=ROOT)
        try:
            self.process.wait_until(lambda: is_answering(self.port), what="its first answer")
            if self._waits_for_ready:  # CoreDNS is ready before it listens, and we listen before we are ready
                self.process.wait_until(self.is_ready, what="/ready")
        except BaseException:
            self.stop()
            raise

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.process is None:
            return 0
        process, self.process = self.process, None
        return process.stop(number, grace=15.0)

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._ready_port}/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._metrics_port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())


class CoreDns(DnsServer):
    def __init__(self, **arguments: object) -> None:
        super().__init__([build.find("coredns")], **arguments)  # type: ignore[arg-type]  # the same keywords


class Fastdns(DnsServer):
    def __init__(self, *, workers: int = 2, **arguments: object) -> None:
        command = [sys.executable, "-m", "fastdns.cli.fastdns", "--workers", str(workers)]
        super().__init__(command, **arguments)  # type: ignore[arg-type]  # the same keywords


class Knot:
    """Knot DNS with one zone, as an upstream that knows an answer to everything: its zone is the root."""

    def __init__(self, *, folder: pathlib.Path, zone: str) -> None:
        self.folder = folder
        self.zone = zone
        self.port = free_port()
        self.process: Process | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "root.zone").write_text(self.zone)
        (self.folder / "knot.conf").write_text(
            f"server:\n  rundir: {self.folder}\n  listen: 127.0.0.1@{self.port}\n  udp-workers: 1\n  tcp-workers: 1\n"
            f"database:\n  storage: {self.folder}\n"
            f"zone:\n- domain: .\n  storage: {self.folder}\n  file: root.zone\n  zonefile-sync: -1\n  journal-content: none\n"
            "log:\n- target: stderr\n  any: warning\n"
        )
        self.process = Process([build.find("knotd"), "-c", str(self.folder / "knot.conf")], log=self.folder / "log")
        self.process.wait_until(lambda: is_answering(self.port), what="its first answer")
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.process.stop()
