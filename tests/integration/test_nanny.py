"""dnsmasq-nanny as a process, around programs of the test's own and around the real dnsmasq."""

from __future__ import annotations

import functools
import json
import os
import pathlib
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import dns.exception
import dns.message
import dns.query
import dns.rcode
import pytest

from tests.integration.test_options import Upstream
from tests.peers import build
from tests.peers.process import Process, free_port, wait_until
from tests.peers.servers import ROOT, is_answering

# A dnsmasq that writes a line for its start and one for its end; it takes a while to end.
PROGRAM = """#!{python}
import json, os, pathlib, signal, sys, time
log = pathlib.Path({log!r}).open("a")
def tell(what):
    print(json.dumps([what, os.getpid(), sys.argv[1:]]), file=log, flush=True)
def end(*_):
    time.sleep(0.2)
    tell("end")
    os._exit(0)
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGUSR1, lambda *_: tell("usr1"))
tell("start")
print("a word on stdout", flush=True)
print("a word on stderr", file=sys.stderr, flush=True)
while True:
    signal.pause()
"""


class Nanny:
    """The process, its folder of configuration, and what its programs wrote."""

    def __init__(
        self, folder: pathlib.Path, *arguments: str, program: str = PROGRAM, own: tuple[str, ...] = ()
    ) -> None:
        self.log = folder / "programs"
        self.log.touch()
        self.config = folder / "config"
        self.config.mkdir(exist_ok=True)
        path = folder / "dnsmasq"
        path.write_text(program.format(python=sys.executable, log=str(self.log)))
        path.chmod(0o755)
        command = [sys.executable, "-m", "fastdns", "dnsmasq-nanny", "-v=2", "-syncInterval=30ms"]
        command += [f"-configDir={self.config}", f"-dnsmasqExec={path}", *own, "--", *arguments]
        self.process = Process(command, log=folder / "nanny.log", cwd=ROOT)

    def lines(self, what: str) -> list[list[str]]:
        """The arguments of each program that started, or ended."""
        return [line[2] for line in self._read() if line[0] == what]

    def pids(self) -> list[int]:
        return [line[1] for line in self._read() if line[0] == "start"]

    def events(self) -> list[str]:
        return [line[0] for line in self._read()]

    def wait(self, condition: Callable[[], object], what: str) -> None:
        self.process.wait_until(condition, what=what)

    def wait_for_starts(self, count: int) -> list[str]:
        """The arguments of the last of so many programs."""
        self.wait(lambda: len(self.lines("start")) >= count, f"start {count}")
        assert len(self.lines("start")) == count
        return self.lines("start")[-1]

    def logged(self, text: str) -> bool:
        return re.search(text, self.process.log_path.read_text()) is not None

    def _read(self) -> list[Any]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


Start = Callable[..., Nanny]


@pytest.fixture
def start(tmp_path: pathlib.Path) -> Iterator[Start]:
    """Nannies that end with the test."""
    started: list[Nanny] = []

    def begin(*arguments: str, **keywords: Any) -> Nanny:
        started.append(Nanny(tmp_path, *arguments, **keywords))
        return started[-1]

    yield begin
    for one in started:
        one.process.stop()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def write_upstreams(nanny: Nanny, *servers: str) -> None:
    """Replace the file in one step, so that no half of it is read."""
    new = nanny.config / ".new"
    new.write_text(json.dumps(servers))
    new.rename(nanny.config / "upstreamNameservers")


def test_arguments_are_passed_on_and_output_is_logged(start: Start) -> None:
    nanny = start("-k", "--server=/a/1.1.1.1", "--", "x y")
    assert nanny.wait_for_starts(1) == ["-k", "--server=/a/1.1.1.1", "--", "x y"]
    nanny.wait(lambda: nanny.logged(r"\] a word on stdout") and nanny.logged(r"\] a word on stderr"), "its output")


def test_a_changed_configmap_restarts_only_after_the_end(start: Start) -> None:
    nanny = start("-k", own=("-restartDnsmasq=true",))
    assert nanny.wait_for_starts(1) == ["-k"]
    write_upstreams(nanny, "1.1.1.1:53")
    assert nanny.wait_for_starts(2) == ["-k", "--server", "1.1.1.1#53", "--no-resolv"]
    write_upstreams(nanny, "bad")
    nanny.wait(
        lambda: nanny.logged(r"\] Invalid configuration for upstreamNameservers, ignoring update: address bad: missing port"),
        "the complaint",
    )  # fmt: skip
    write_upstreams(nanny, "1.1.1.1:53")
    nanny.wait_for_starts(3)
    assert nanny.events() == ["start", "end", "start", "end", "start"]


def test_without_restart_a_change_is_only_logged(start: Start) -> None:
    nanny = start("-k")
    nanny.wait_for_starts(1)
    write_upstreams(nanny, "1.1.1.1")
    nanny.wait(lambda: nanny.logged(r"\] Not restarting dnsmasq \(--restartDnsmasq=false\)"), "the line")
    assert nanny.events() == ["start"]


def test_a_bad_configmap_at_the_start_leaves_the_defaults(start: Start, tmp_path: pathlib.Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "stubDomains").write_text('{"Foo": ["1.1.1.1"]}')
    nanny = start("-k", own=("-restartDnsmasq",))
    assert nanny.wait_for_starts(1) == ["-k"]
    assert nanny.logged(
        r'\] Error getting initial config, using default: stubDomains: invalid domain name: "Foo"'
    )  # fmt: skip


def test_a_folder_that_comes_late(start: Start, tmp_path: pathlib.Path) -> None:
    late = tmp_path / "late"
    nanny = start("-k", own=("-restartDnsmasq", f"-configDir={late}"))
    nanny.wait_for_starts(1)
    nanny.wait(lambda: nanny.logged(rf"\] Error loading config from {late}: {late}: No such file or directory"), "that")
    late.mkdir()
    (late / ".new").write_text('{"a.local": ["::1"]}')
    (late / ".new").rename(late / "stubDomains")
    assert nanny.wait_for_starts(2) == ["-k", "--server", "/a.local/::1"]
    assert nanny.process.log_path.read_text().count("Error loading config") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_of_the_nanny_is_that_of_the_program(start: Start, number: signal.Signals) -> None:
    nanny = start("-k")
    nanny.wait_for_starts(1)
    assert nanny.process.stop(number) == 0
    assert nanny.events() == ["start", "end"]
    assert not is_alive(nanny.pids()[0])


def test_a_program_that_won_t_end_is_killed(start: Start) -> None:
    stubborn = PROGRAM.replace("signal.signal(signal.SIGTERM, end)", "signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    nanny = start("-k", program=stubborn)
    nanny.wait_for_starts(1)
    assert nanny.process.stop(grace=30.0) == 0
    assert not is_alive(nanny.pids()[0])


def test_what_a_wrapper_started_ends_with_it(start: Start, tmp_path: pathlib.Path) -> None:
    inner = tmp_path / "inner"
    inner.write_text(PROGRAM.format(python=sys.executable, log=str(tmp_path / "programs")))
    inner.chmod(0o755)
    nanny = start("-k", program=f'#!/bin/sh\n"{inner}" wrapped "$@"\n', own=("-restartDnsmasq",))
    assert nanny.wait_for_starts(1) == ["wrapped", "-k"]
    write_upstreams(nanny, "1.1.1.1")
    nanny.wait_for_starts(2)
    assert nanny.events() == ["start", "end", "start"]
    assert nanny.process.stop() == 0
    assert not any(map(is_alive, nanny.pids()))


def test_a_killed_nanny_leaves_no_program(start: Start) -> None:
    nanny = start("-k")
    nanny.wait_for_starts(1)
    nanny.process.send_signal(signal.SIGKILL)
    wait_until(lambda: not is_alive(nanny.pids()[0]), what="the end of the program")


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("#!/bin/sh\nexit 0\n", "dnsmasq exited: <nil>"),
        ("#!/bin/sh\necho last words\nexit 3\n", "dnsmasq exited: exit status 3"),
        ("#!/bin/sh\nkill -9 $$\n", "dnsmasq exited: signal: killed"),
        ("#!/nowhere\n", "Could not start dnsmasq with initial configuration: "),
    ],
)
def test_a_program_that_ends_by_itself_is_fatal(start: Start, program: str, told: str) -> None:
    nanny = start("-k", program=program)
    assert nanny.process.wait(30.0) == 255
    assert nanny.logged(rf"F\d{{4}} .*\] {told}")
    assert nanny.logged(r"\] last words") == ("last words" in program)


def test_statistics_are_asked_for(start: Start) -> None:
    nanny = start("-k", own=("-logInterval=50ms",))
    nanny.wait(lambda: nanny.events().count("usr1") >= 2, "two signals")


def test_names_are_looked_up(start: Start, tmp_path: pathlib.Path) -> None:
    kubedns = Upstream(number=9)
    try:
        (tmp_path / "config").mkdir()
        servers = ["ns.foo.svc.cluster.local", "nx.foo.svc.cluster.local", "localhost"]
        (tmp_path / "config" / "stubDomains").write_text(json.dumps({"a.local": servers}))
        nanny = start("-k", own=(f"-kubednsServer=127.0.0.1:{kubedns.port}",))
        started = nanny.wait_for_starts(1)
        assert started[:5] == ["-k", "--server", "/a.local/192.0.2.9", "--server", "/a.local/nx.foo.svc.cluster.local"]
        assert started[5:] in (["--server", "/a.local/127.0.0.1"], ["--server", "/a.local/::1"])
        assert nanny.logged(r'\] Name "nx.foo.svc.cluster.local" does not resolve to any IPs')
    finally:
        kubedns.close()


@pytest.mark.peers("dnsmasq")
def test_around_the_real_dnsmasq(start: Start, tmp_path: pathlib.Path) -> None:
    one, other = Upstream(number=1), Upstream(number=2)
    port = free_port()

    def ask(name: str) -> str:
        query = dns.message.make_query(name, "A")
        reply = dns.query.udp(query, "127.0.0.1", port=port, timeout=2)
        return reply.answer[0][0].to_text() if reply.answer else dns.rcode.to_text(reply.rcode())

    try:
        (tmp_path / "config").mkdir()
        (tmp_path / "config" / "upstreamNameservers").write_text(json.dumps([f"127.0.0.1:{one.port}"]))
        real = f'#!/bin/sh\nexec {build.find("dnsmasq")} "$@"\n'
        nanny = start(
            "-k", "--conf-file=/dev/null", f"--port={port}", "--listen-address=127.0.0.1", "--bind-interfaces",
            "--no-hosts", "--user=root", "--log-facility=-", f"--pid-file={tmp_path}/pid",
            program=real, own=("-restartDnsmasq",),
        )  # fmt: skip
        nanny.wait(lambda: is_answering(port), "its first answer")
        assert ask("first.example.org") == "192.0.2.1"
        for upstream in (other, one, other, one, other):
            write_upstreams(nanny, f"127.0.0.1:{upstream.port}")
            expected = "192.0.2.2" if upstream is other else "192.0.2.1"
            nanny.wait(functools.partial(answered, ask, expected), expected)
        assert nanny.logged(r"\] dnsmasq\[\d+\]: started, version")
        assert not nanny.logged("failed to create listening socket")
        assert nanny.process.stop() == 0
        assert not is_answering(port)
    finally:
        one.close()
        other.close()


def answered(ask: Callable[[str], str], wanted: str) -> bool:
    """Tell whether a name that was never asked before has this answer; nothing answers between two programs."""
    try:
        return ask(f"x{time.monotonic_ns()}.example.org") == wanted
    except (OSError, dns.exception.Timeout):
        return False
