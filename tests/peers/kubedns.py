"""fastdns under kube-dns's command line, and what stands around it: an API server and an upstream."""

from __future__ import annotations

import os
import pathlib
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any, Self

import dns.message
import dns.query

from tests.peers.process import Process, free_port
from tests.peers.servers import ROOT, is_answering

LOOPBACK = "127.0.0.1"
COMMAND = (sys.executable, "-m", "fastdns", "kube-dns")


class KubeDns:
    """One process. `api` are the words that say where the API server is."""

    def __init__(
        self,
        api: Sequence[str],
        *,
        folder: pathlib.Path,
        arguments: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        waits_for_ready: bool = True,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log_path = folder / "log"
        self.port, self.http_port, self.metrics_port = free_port(), free_port(), free_port()
        self._waits_for_ready = waits_for_ready
        self._env = {**os.environ, "PROMETHEUS_PORT": str(self.metrics_port), **(env or {})}
        self._command = [
            *COMMAND,
            *api,
            f"--dns-bind-address={LOOPBACK}",
            f"--dns-port={self.port}",
            f"--healthz-port={self.http_port}",
            "--workers=2",
            *arguments,
        ]
        self.process: Process | None = None

    def __enter__(self) -> Self:
        self.process = Process(self._command, log=self.log_path, env=self._env, cwd=ROOT)
        try:
            if self._waits_for_ready:
                self.process.wait_until(self.is_ready, what="/readiness")
            else:
                self.process.wait_until(lambda: is_answering(self.port), what="its first answer")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self, number: signal.Signals = signal.SIGQUIT) -> int:
        """End it; by SIGQUIT without the seconds in which it would answer on."""
        process, self.process = self.process, None
        return process.stop(number, grace=15.0) if process else 0

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def is_ready(self) -> bool:
        return self.get("/readiness") == (200, "ok\n")

    def ask(self, name: str, rdtype: str = "A", *, tcp: bool = False, **options: Any) -> dns.message.Message:
        """The answer to a question; `options` are those of dnspython's make_query."""
        query = dns.message.make_query(name, rdtype, **options)
        send = dns.query.tcp if tcp else dns.query.udp
        return send(query, LOOPBACK, timeout=10, port=self.port)

    def get(self, path: str, *, port: int = 0) -> tuple[int, str]:
        """A page's status and text; status 0: nobody can connect."""
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{port or self.http_port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""
