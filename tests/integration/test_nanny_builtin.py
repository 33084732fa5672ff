"""dnsmasq-nanny whose dnsmasq is this server: another ConfigMap loses no query and no cached answer."""

from __future__ import annotations

import json
import os
import pathlib
import pwd
import signal
import sys
import threading
from collections.abc import Callable, Iterator

import dns.message
import dns.query
import dns.rcode
import pytest

from tests.integration.test_options import Upstream
from tests.peers.process import Process, free_port
from tests.peers.servers import ROOT, is_answering

COMMAND = str(ROOT / "fastdns" / "__main__.py")  # as `python -m fastdns` is started, so dnsmasq is this command


class Nanny:
    def __init__(
        self, folder: pathlib.Path, *own: str, arguments: tuple[str, ...] = (), pid_file: pathlib.Path | str = ""
    ) -> None:
        self.config = folder / "config"
        self.config.mkdir()
        self.port = free_port()
        self._command = [sys.executable, "-m", "fastdns", "dnsmasq-nanny", "-v=2", "-syncInterval=100ms"]
        self._command += [f"-dnsmasqExec={COMMAND}", f"-configDir={self.config}", *own, "--", "-k"]
        self._command += ["--conf-file=/dev/null", f"--port={self.port}", "--listen-address=127.0.0.1"]
        self._command += ["--bind-interfaces", "--no-hosts", f"--pid-file={pid_file}", "--log-facility=-", *arguments]
        self._log = folder / "log"

    def start(self) -> None:
        self.process = Process(self._command, log=self._log, cwd=ROOT)

    def wait(self) -> None:
        self.process.wait_until(lambda: is_answering(self.port), what="its first answer")

    def write(self, **keys: object) -> None:
        for key, value in keys.items():
            (self.config / f".{key}").write_text(json.dumps(value))
            (self.config / f".{key}").rename(self.config / key)

    def ask(self, name: str) -> str:
        reply = dns.query.udp(dns.message.make_query(name, "A"), "127.0.0.1", port=self.port, timeout=5)
        return reply.answer[0][0].to_text() if reply.answer else dns.rcode.to_text(reply.rcode())

    def wait_for_log(self, text: str, count: int = 1) -> None:
        self.process.wait_until(lambda: self._log.read_text().count(text) >= count, what=text)


Make = Callable[..., Nanny]


@pytest.fixture
def make(tmp_path: pathlib.Path) -> Iterator[Make]:
    """Nannies that end with the test."""
    made: list[Nanny] = []

    def begin(*own: str, arguments: tuple[str, ...] = (), pid_file: pathlib.Path | str = "") -> Nanny:
        made.append(Nanny(tmp_path, *own, arguments=arguments, pid_file=pid_file))
        return made[-1]

    yield begin
    for one in made:
        one.process.stop()


def test_it_has_the_pid_file_and_the_user_of_its_dnsmasq(make: Make, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "dnsmasq.pid"
    nanny = make(arguments=("--user=nobody", "--no-resolv", "--address=/a.test/192.0.2.1"), pid_file=file)
    nanny.start()
    nanny.wait()
    assert int(file.read_text()) == nanny.process.pid
    wanted = pwd.getpwnam("nobody").pw_uid if os.getuid() == 0 else os.getuid()  # only root can become somebody else
    children = pathlib.Path(f"/proc/{nanny.process.pid}/task/{nanny.process.pid}/children").read_text().split()
    assert {os.stat(f"/proc/{pid}").st_uid for pid in (nanny.process.pid, *children)} == {wanted}


@pytest.fixture
def upstreams() -> Iterator[list[Upstream]]:
    made = [Upstream(), Upstream(number=102), Upstream(number=103)]
    yield made
    for upstream in made:
        upstream.close()


def test_a_changed_configmap_loses_no_query_and_no_answer(make: Make, upstreams: list[Upstream]) -> None:
    nanny = make("-restartDnsmasq=true", arguments=("--cache-size=1000",))
    root, one, other = (f"127.0.0.1:{upstream.port}" for upstream in upstreams)
    nanny.write(upstreamNameservers=[root], stubDomains={"stub.test": [one]})
    nanny.start()
    nanny.wait()
    lost: list[str] = []
    is_over = threading.Event()

    def keep_asking() -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            try:
                nanny.ask(f"n{number}.example.org")
            except Exception as error:
                lost.append(repr(error))

    asking = threading.Thread(target=keep_asking)
    try:
        assert nanny.ask("x-300.example.org") == "192.0.2.1"
        assert nanny.ask("x-300.stub.test") == "192.0.2.102"
        asking.start()
        nanny.write(stubDomains={"stub.test": [other]})
        nanny.wait_for_log(" cached answers are kept")
        assert nanny.ask("x-300.example.org") == "192.0.2.1"
        assert nanny.ask("x-300.stub.test") == "192.0.2.103"
        assert upstreams[0].asked["x-300.example.org."] == 1
        nanny.write(stubDomains={})
        nanny.wait_for_log(" cached answers are kept", 2)
        assert nanny.ask("x-300.stub.test") == "192.0.2.1"
    finally:
        is_over.set()
        if asking.ident is not None:
            asking.join()
    assert lost == []
    assert nanny.process.stop() == 0


def test_a_bad_configmap_changes_nothing(make: Make, upstreams: list[Upstream]) -> None:
    nanny = make("-restartDnsmasq=true")
    nanny.write(upstreamNameservers=[f"127.0.0.1:{upstreams[1].port}"])
    nanny.start()
    nanny.wait()
    nanny.write(upstreamNameservers=["dns.example"])
    nanny.wait_for_log(
        "Invalid configuration for upstreamNameservers, ignoring update: address dns.example: missing port"
    )
    assert nanny.ask("x.example.org") == "192.0.2.102"


def test_without_restart_a_change_is_only_logged(make: Make, upstreams: list[Upstream]) -> None:
    nanny = make()
    nanny.write(upstreamNameservers=[f"127.0.0.1:{upstreams[1].port}"])
    nanny.start()
    nanny.wait()
    nanny.write(upstreamNameservers=[f"127.0.0.1:{upstreams[2].port}"])
    nanny.wait_for_log("Not restarting dnsmasq (--restartDnsmasq=false)")
    assert nanny.ask("x.example.org") == "192.0.2.102"


def test_statistics_are_logged(make: Make) -> None:
    nanny = make("-logInterval=200ms", arguments=("--no-resolv",))
    nanny.start()
    nanny.wait_for_log("queries forwarded ", 2)


@pytest.mark.parametrize("argument", ["--no-such-option", "--port=70000", "--version"])
def test_arguments_that_dnsmasq_would_not_run_with_are_fatal(make: Make, argument: str) -> None:
    nanny = make(arguments=(argument,))
    nanny.start()
    assert nanny.process.wait(60.0) == 255
    assert "Could not start dnsmasq with initial configuration: dnsmasq: " in nanny.process.log()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_order(make: Make, number: signal.Signals) -> None:
    nanny = make(arguments=("--no-resolv",))
    nanny.start()
    nanny.wait()
    assert nanny.process.stop(number) == 0
    assert not is_answering(nanny.port)
