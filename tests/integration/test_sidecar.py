"""sidecar as a process: beside a server of the test's own, and beside the real dnsmasq."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import dns.message
import dns.query
import dns.rcode
import dns.rrset
import pytest

from tests.peers import build
from tests.peers.process import Process, free_port
from tests.peers.servers import ROOT, is_answering

FIGURES = {"hits": 12, "misses": 5, "evictions": 2, "insertions": 7, "cachesize": 1000}


class Server:
    """Answers dnsmasq's figures, and any other name with an address unless it `is_empty`; says nothing if `is_silent`."""

    def __init__(self) -> None:
        self.figures = dict(FIGURES)
        self.is_empty = self.is_silent = False
        self.questions: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                wire, client = self._socket.recvfrom(4096)
                if not self.is_silent:
                    self._socket.sendto(self._answer(dns.message.from_wire(wire)), client)

    def _answer(self, query: dns.message.Message) -> bytes:
        question = query.question[0]
        name = question.name.to_text()
        reply = dns.message.make_response(query)
        if name.endswith(".bind."):
            reply.answer.append(dns.rrset.from_text(name, 0, "CH", "TXT", f'"{self.figures[name.partition(".")[0]]}"'))
        else:
            self.questions.append(question.to_text())
            if self.is_empty:
                reply.set_rcode(dns.rcode.NXDOMAIN)
            else:
                reply.answer.append(dns.rrset.from_text(name, 30, "IN", "A", "192.0.2.1"))
        return reply.to_wire()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


class Sidecar:
    """The process, and its pages."""

    def __init__(self, folder: pathlib.Path, *arguments: str) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "fastdns", "sidecar", "--prometheus-addr=127.0.0.1"]
        command += [f"--prometheus-port={self.port}", "--dnsmasq-addr=127.0.0.1", *arguments]
        self.process = Process(command, log=folder / "sidecar.log", cwd=ROOT)
        self.process.wait_until(lambda: self.get("/healthz")[0] == 200, what="its first page")

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def check(self, label: str) -> tuple[int, str]:
        status, body = self.get(f"/healthcheck/{label}")
        return status, json.loads(body)["Err"] if body.startswith("{") else body

    def metric(self, name: str, path: str = "/metrics") -> float:
        lines = [line.split() for line in self.get(path)[1].splitlines()]
        return next((float(line[1]) for line in lines if line[0] == name), -1.0)

    def wait_until_metric(self, name: str, value: float) -> None:
        self.process.wait_until(lambda: self.metric(name) == value, what=f"{name} {value}")


Start = Callable[..., Sidecar]


@pytest.fixture
def start(tmp_path: pathlib.Path) -> Iterator[Start]:
    """Sidecars that end with the test."""
    started: list[Sidecar] = []

    def begin(*arguments: str) -> Sidecar:
        started.append(Sidecar(tmp_path, *arguments))
        return started[-1]

    yield begin
    for one in started:
        one.process.stop()


def test_a_probe_fails_and_recovers(start: Start, server: Server) -> None:
    server.is_empty = True
    sidecar = start(f"--dnsmasq-port={server.port}", f"--probe=p,127.0.0.1:{server.port},x.example.com,1,SRV")
    wait = sidecar.process.wait_until
    wait(lambda: sidecar.check("p") == (503, 'no RRs for domain "x.example.com."'), what="a failure")
    server.is_empty = False
    wait(lambda: sidecar.check("p") == (200, ""), what="a success")
    assert sidecar.metric("kubedns_probe_p_errors") >= 1
    assert sidecar.metric("kubedns_probe_p_latency_ms_count") >= 1
    server.is_silent = True
    wait(lambda: sidecar.check("p")[1].endswith("i/o timeout"), what="a timeout")
    assert set(server.questions) == {"x.example.com. IN SRV"}


def test_figures_are_added_up_over_a_restart_of_dnsmasq(start: Start, server: Server) -> None:
    sidecar = start(f"--dnsmasq-port={server.port}", "--dnsmasq-poll-interval-ms=20")
    for hits, total in ((12, 12), (20, 20)):
        server.figures["hits"] = hits
        sidecar.wait_until_metric("kubedns_dnsmasq_hits", total)
    server.figures |= {"hits": 5, "misses": 6}
    sidecar.wait_until_metric("kubedns_dnsmasq_misses", 6)
    assert sidecar.metric("kubedns_dnsmasq_hits") == 20
    server.figures["hits"] = 7
    sidecar.wait_until_metric("kubedns_dnsmasq_hits", 22)
    assert sidecar.metric("kubedns_dnsmasq_max_size") == 1000
    assert sidecar.metric("kubedns_dnsmasq_errors") == 0


def test_pages_of_other_names(start: Start, server: Server) -> None:
    sidecar = start(
        f"--dnsmasq_port={server.port}", "--prometheus-namespace=ns1", "--prometheus-path=/stats", "--probe=p,::1,x"
    )
    assert sidecar.get("/metrics") == (404, "404 page not found\n")
    assert sidecar.get("/healthcheck/q") == (404, "404 page not found\n")
    assert sidecar.metric("ns1_probe_p_errors", "/stats") >= 0
    assert sidecar.get("/healthz")[1].startswith("ok (2")


def test_it_ends_at_once_and_well(start: Start, server: Server) -> None:
    server.is_silent = True
    sidecar = start(f"--dnsmasq-port={server.port}", f"--probe=p,127.0.0.1:{server.port},x,1")
    assert sidecar.process.stop(signal.SIGTERM) == 0
    log = sidecar.process.log()
    assert "sidecar.py:" in log
    assert "Traceback" not in log


@pytest.mark.parametrize(("arguments", "code"), [(["--probe=a"], 2), (["--prometheus-port=70000"], 255), (["-h"], 0)])
def test_exit_codes(arguments: list[str], code: int) -> None:
    command = [sys.executable, "-m", "fastdns", "sidecar", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code
    assert "Traceback" not in done.stderr


@pytest.mark.peers("dnsmasq")
def test_beside_the_real_dnsmasq(start: Start, tmp_path: pathlib.Path) -> None:
    port = free_port()
    dnsmasq = Process(
        [build.find("dnsmasq"), "-k", "--conf-file=/dev/null", f"--port={port}", "--listen-address=127.0.0.1",
         "--bind-interfaces", "--no-resolv", "--no-hosts", "--cache-size=321", "--host-record=here.test,192.0.2.9",
         f"--pid-file={tmp_path}/pid", f"--user={os.environ.get('USER') or 'root'}", "--log-facility=-"],
        log=tmp_path / "dnsmasq.log",
    )  # fmt: skip
    try:
        dnsmasq.wait_until(lambda: is_answering(port), what="its first answer")
        sidecar = start(
            f"--dnsmasq-port={port}", "--dnsmasq-poll-interval-ms=50",
            f"--probe=here,127.0.0.1:{port},here.test,1,A", f"--probe=gone,127.0.0.1:{port},gone.test,1,A",
        )  # fmt: skip
        wait = sidecar.process.wait_until
        wait(lambda: sidecar.check("here") == (200, ""), what="a success")
        wait(lambda: sidecar.check("gone") == (503, 'no RRs for domain "gone.test."'), what="a failure")
        sidecar.wait_until_metric("kubedns_dnsmasq_max_size", 321)
        hits = sidecar.metric("kubedns_dnsmasq_hits")
        for _ in range(20):
            dns.query.udp(dns.message.make_query("here.test.", "A"), "127.0.0.1", port=port, timeout=5)
        wait(lambda: sidecar.metric("kubedns_dnsmasq_hits") >= hits + 20, what="20 hits more")
        assert sidecar.metric("kubedns_dnsmasq_errors") == 0
    finally:
        dnsmasq.stop()
