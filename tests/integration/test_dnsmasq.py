"""dnsmasq's command as a process: signals, files that change, several servers, loops, limits, its log and its ends."""

from __future__ import annotations

import os
import pathlib
import pwd
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import dns.exception
import dns.message
import dns.query
import dns.rcode
import pytest

from tests.conformance.dnsmasq import servers, upstream
from tests.peers.process import free_port, wait_until

COMMAND = [sys.executable, "-m", "fastdns.cli.dnsmasq"]
ENV = {**os.environ, "PYTHONPATH": str(servers.ROOT)}


@pytest.fixture(name="folder")
def make_folder(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "hosts.d").mkdir()
    return tmp_path


class World:
    def __init__(
        self, arguments: str, folder: pathlib.Path, *, user: str = "root", log: pathlib.Path | str = "-"
    ) -> None:
        words = ["--no-hosts", *arguments.split()]
        self.upstreams = servers.Upstreams(words)
        self.server = servers.ours(words, folder=folder, upstreams=self.upstreams, user=user, log=log)

    def __enter__(self) -> World:
        self.upstreams.__enter__()
        self.server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.__exit__()
        self.upstreams.__exit__()

    def ask(self, question: str, *, is_silent: bool = False) -> tuple[str, ...]:
        return servers.ask(self.server, question, self.upstreams, is_silent=is_silent).lines

    def wait_for(self, question: str, line: str) -> None:
        wait_until(lambda: line in self.ask(question), what=f"{line} for {question}")


def exit_of(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60, env=ENV, check=False)


# --- signals and files ------------------------------------------------------------------------------------------------


def test_hangup_empties_the_cache(folder: pathlib.Path) -> None:
    with World("--no-resolv --server={u1}", folder) as world:
        assert "u1: A" in world.ask("www.example.com A")
        assert "u1: A" not in world.ask("www.example.com A")
        world.server.send_signal(signal.SIGHUP)
        world.wait_for("www.example.com A", "u1: A")


def test_hosts_files_are_read_again_on_hangup(folder: pathlib.Path) -> None:
    (folder / "more").write_text("192.0.3.1 one.test\n")
    with World("--no-resolv --addn-hosts={folder}/more", folder) as world:
        assert "answer: one.test. IN A 192.0.3.1" in world.ask("one.test A")
        (folder / "more").write_text("192.0.3.7 one.test\n")
        world.server.send_signal(signal.SIGHUP)
        world.wait_for("one.test A", "answer: one.test. IN A 192.0.3.7")


def test_folders_of_hosts_files_are_watched(folder: pathlib.Path) -> None:
    with World("--no-resolv --hostsdir={folder}/hosts.d", folder) as world:
        assert world.ask("late.test A") == ("REFUSED RD RA",)
        (folder / "hosts.d" / "a").write_text("192.0.3.9 late.test\n")
        world.wait_for("late.test A", "answer: late.test. IN A 192.0.3.9")
        (folder / "hosts.d" / "a").unlink()
        world.wait_for("late.test A", "REFUSED RD RA")


def test_servers_file_is_read_again_on_hangup(folder: pathlib.Path) -> None:
    with upstream.Upstream(upstream.SECOND) as second:
        (folder / "servers").write_text("")
        with World("--no-resolv --servers-file={folder}/servers", folder) as world:
            assert world.ask("x.test A") == ("REFUSED RD RA",)
            (folder / "servers").write_text(f"server=127.0.0.1#{second.port}\n")
            world.server.send_signal(signal.SIGHUP)
            world.wait_for("x.test A", "answer: x.test. IN A 192.0.2.222")


def test_empty_resolv_file_refuses(folder: pathlib.Path) -> None:
    (folder / "resolv").write_text("")
    with World("--resolv-file={folder}/resolv", folder) as world:
        assert world.ask("www.example.com A") == ("REFUSED RD RA",)


def test_statistics_are_told_on_signal(folder: pathlib.Path) -> None:
    with World("--no-resolv --server={u1} --host-record=h.test,192.0.2.1", folder) as world:
        for question in ("www.example.com A", "www.example.com A", "h.test A"):
            world.ask(question)
        world.server.send_signal(signal.SIGUSR1)
        port = world.upstreams.running["{u1}"].port
        for line in (
            "cache size 150, 0/1 cache insertions re-used unexpired cache entries.",
            "queries forwarded 1, queries answered locally 2",
            f"server 127.0.0.1#{port}: queries sent 1, retried 0, failed 0, nxdomain replies 0, avg. latency ",
        ):
            wait_until(lambda line=line: line in world.server.log(), what=line)  # type: ignore[misc]


def test_the_log_file_is_opened_again(folder: pathlib.Path) -> None:
    """A log that logrotate has moved away is followed by a new one, in every process."""
    log = folder / "dnsmasq.log"
    with World("--no-resolv --host-record=h.test,192.0.2.1 --log-queries", folder, log=log) as world:
        world.ask("h.test A")
        wait_until(lambda: "query[A] h.test" in log.read_text(), what="a line of the first query")
        log.rename(folder / "dnsmasq.log.1")
        world.server.send_signal(signal.SIGUSR2)
        wait_until(log.exists, what="a new log")
        wait_until(lambda: world.ask("h.test A") and "query[A] h.test" in log.read_text(), what="a line in the new log")
        world.server.send_signal(signal.SIGUSR1)
        wait_until(lambda: "queries forwarded 0" in log.read_text(), what="statistics in the new log")


def test_ends_with_zero_on_term(folder: pathlib.Path) -> None:
    with World("--no-resolv", folder) as world:
        assert world.server.process is not None
        assert world.server.process.stop() == 0


# --- several servers ----------------------------------------------------------------------------------------------------


def test_all_servers_are_asked(folder: pathlib.Path) -> None:
    with World("--no-resolv --all-servers --server={u2} --server={silent}", folder) as world:
        for number in range(3):
            query = dns.message.make_query(f"n{number}.test", "A")
            dns.query.udp(query, "127.0.0.1", port=world.server.port, timeout=10)
        silent = world.upstreams.running["{silent}"]
        asked: list[str] = []

        def has_been_asked() -> bool:
            asked.extend(silent.take())
            return len(asked) >= 3

        wait_until(has_been_asked, what="the silent server's questions")


def test_the_first_to_answer_is_asked_from_then_on(folder: pathlib.Path) -> None:
    with World("--no-resolv --server={silent} --server={u2}", folder) as world:
        silent = world.upstreams.running["{silent}"]
        assert "answer: first.test. IN A 192.0.2.222" in world.ask("first.test A")
        silent.take()
        for number in range(5):
            assert f"answer: n{number}.test. IN A 192.0.2.222" in world.ask(f"n{number}.test A")
        assert not silent.take()


def test_a_server_that_refuses_leads_to_another(folder: pathlib.Path) -> None:
    with World("--no-resolv --server={refusing} --server={u2}", folder) as world:
        for number in range(4):
            assert f"answer: n{number}.test. IN A 192.0.2.222" in world.ask(f"n{number}.test A")


def test_all_that_refuse_are_believed(folder: pathlib.Path) -> None:
    with World("--no-resolv --server={refusing} --server=127.0.0.1#1", folder) as world:
        assert world.ask("x.test A")[0] == "REFUSED RD RA"


def test_questions_on_their_way_are_bounded(folder: pathlib.Path) -> None:
    with World("--no-resolv --server={silent} --dns-forward-max=3", folder) as world:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            client.connect(("127.0.0.1", world.server.port))
            for number in range(8):
                client.send(dns.message.make_query(f"n{number}.test", "A").to_wire())
            answers = [dns.message.from_wire(client.recv(4096)).rcode() for _ in range(5)]
        assert answers == [dns.rcode.REFUSED] * 5


def test_a_server_that_comes_round_is_left_out(folder: pathlib.Path) -> None:
    port = free_port()
    command = [
        *COMMAND,
        *("-k", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root", f"--pid-file={folder}/pid"),
        *("--log-facility=-", "--listen-address=127.0.0.1", f"--port={port}", f"--server=127.0.0.1#{port}"),
        "--dns-loop-detect",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=ENV)
    try:
        told = f"NOT using nameserver 127.0.0.1#{port} - query loop detected"
        wait_until(lambda: told in (folder / "log").read_text(), what=told)
        query = dns.message.make_query("x.test", "A")
        assert dns.query.udp(query, "127.0.0.1", port=port, timeout=10).rcode() == dns.rcode.REFUSED
    finally:
        process.terminate()
        assert process.wait(20) == 0


# --- the log of queries -----------------------------------------------------------------------------------------------


def test_queries_are_logged(folder: pathlib.Path) -> None:
    with World("--no-resolv --server={u1} --host-record=h.test,192.0.2.1 --log-queries", folder) as world:
        for question in ("alias.example.com A", "alias.example.com A", "h.test A", "none.example.com A"):
            world.ask(question)
        for line in (
            "query[A] alias.example.com from 127.0.0.1",
            "forwarded alias.example.com to 127.0.0.1",
            "reply alias.example.com is <CNAME>",
            "reply www.example.com is 192.0.2.53",
            "cached www.example.com is 192.0.2.53",
            "config h.test is 192.0.2.1",
            "reply none.example.com is NXDOMAIN",
        ):
            wait_until(lambda line=line: line in world.server.log(), what=line)  # type: ignore[misc]


# --- how it begins and ends -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--test", "--conf-file=/dev/null"], 0, "dnsmasq: syntax check OK."),
        (["--nonsense"], 1, "dnsmasq: bad command line options: try --help"),
        (["--conf-file=/nonexistent"], 3, "dnsmasq: cannot read /nonexistent: No such file or directory"),
        (["--conf-file=/dev/null", "--dhcp-range=10.0.0.1,10.0.0.9"], 1, "fastdns does DNS only: dhcp-range"),
    ],
)
def test_what_it_says_before_it_ends(arguments: list[str], status: int, said: str) -> None:
    ended = exit_of(*arguments)
    assert ended.returncode == status
    assert said in ended.stderr


@pytest.mark.parametrize("argument", ["--version", "-v", "--help", "-w"])
def test_what_it_shows(argument: str) -> None:
    shown = exit_of(argument)
    assert shown.returncode == 0
    assert "nsmasq" in shown.stdout


@pytest.fixture(name="taken_port")
def take_port() -> Iterator[int]:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", port))
        yield port


def test_a_port_that_is_taken(taken_port: int, folder: pathlib.Path) -> None:
    ended = exit_of(
        *("-k", "--conf-file=/dev/null", "--listen-address=127.0.0.1", f"--port={taken_port}"),
        *("--bind-interfaces", f"--pid-file={folder}/pid"),
    )
    assert ended.returncode == 2
    assert "dnsmasq: failed to create listening socket" in ended.stderr


def test_every_process_becomes_the_user(folder: pathlib.Path) -> None:
    wanted = pwd.getpwnam("nobody").pw_uid if os.getuid() == 0 else os.getuid()  # only root can become somebody else
    with World("--no-resolv --host-record=h.test,192.0.2.1", folder, user="nobody") as world:
        assert "answer: h.test. IN A 192.0.2.1" in world.ask("h.test A")
        assert world.server.process is not None
        pid = world.server.process.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        assert len(children) >= 2
        assert {os.stat(f"/proc/{one}").st_uid for one in (pid, *children)} == {wanted}


def test_goes_into_the_background(folder: pathlib.Path) -> None:
    port = free_port()
    ended = exit_of(
        *("--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root", f"--pid-file={folder}/pid"),
        *(
            f"--log-facility={folder}/log",
            "--listen-address=127.0.0.1",
            f"--port={port}",
            "--address=/a.test/192.0.2.1",
        ),
    )
    assert ended.returncode == 0, ended.stderr
    pid = int((folder / "pid").read_text())
    try:
        answer = dns.query.udp(dns.message.make_query("a.test", "A"), "127.0.0.1", port=port, timeout=20)
        assert answer.answer[0][0].to_text() == "192.0.2.1"
        assert "started, version" in (folder / "log").read_text()
    finally:
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not pathlib.Path(f"/proc/{pid}").exists(), what="its end")
