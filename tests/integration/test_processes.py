"""Processes that die, are told to go, or get a new configuration, while clients ask."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.integration.load import Load
from tests.peers.process import wait_until
from tests.peers.servers import Fastdns

NAMES = {f"n{number}.example.org": frozenset({f"192.0.2.{number}"}) for number in range(1, 9)}
COREFILE = """.:{$PORT} {
    bind 127.0.0.1
    errors
    health 127.0.0.1:{$HEALTH} {
        lameduck 500ms
    }
    ready 127.0.0.1:{$READY}
    prometheus 127.0.0.1:{$METRICS}
    hosts FOLDER/hosts {
        reload 100ms
    }
    reload 2s 1s
}
"""
Start = Callable[..., Fastdns]


@pytest.fixture
def start(tmp_path: pathlib.Path) -> Iterator[Start]:
    servers: list[Fastdns] = []

    def begin(corefile: str = COREFILE) -> Fastdns:
        lines = (f"{address} {name}\n" for name, addresses in NAMES.items() for address in addresses)
        (tmp_path / "hosts").write_text("".join(lines))
        server = Fastdns(folder=tmp_path / "server", corefile=corefile.replace("FOLDER", str(tmp_path)), env={})
        servers.append(server)
        server.start()
        return server

    yield begin
    for server in servers:
        server.stop()


def find_processes(server: Fastdns, kind: str) -> list[int]:
    """Ids of the supervisor's children whose name begins so."""
    assert server.process is not None
    pid = server.process.pid
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if read_name(child).startswith(f"fastdns-{kind}")]


def read_name(pid: str) -> str:
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""


def value_of(server: Fastdns, name: str) -> float:
    return sum(
        float(line.split()[-1]) for line in server.metrics().splitlines() if line.split("{")[0].split()[0] == name
    )


def wait_for_change(server: Fastdns, kind: str, before: list[int]) -> None:
    def is_replaced() -> bool:
        now = find_processes(server, kind)
        return len(now) == len(before) and now != before

    wait_until(is_replaced, timeout=10, what=f"another {kind}")


def test_killed_worker_is_replaced_on_its_sockets(start: Start) -> None:
    server = start()
    with Load(server.port, NAMES) as load:
        for _ in range(3):
            before = find_processes(server, "w")
            wait_until(lambda: load.answered > 500, what="answers")
            counted = value_of(server, "coredns_dns_requests_total")
            os.kill(before[0], signal.SIGKILL)
            wait_for_change(server, "w", before)
            assert value_of(server, "coredns_dns_requests_total") >= counted, "counters outlive a worker"
    # What the killed one had read is lost; what waits in its sockets is not. A batch is 64.
    assert len(load.faults) <= 3 * 64, load.summary()
    assert not [fault for fault in load.faults if not fault.startswith("lost")], load.summary()
    assert value_of(server, "fastdns_server_worker_restarts_total") == 3


def test_stopped_worker_is_replaced_by_the_watchdog(start: Start) -> None:
    server = start()
    before = find_processes(server, "w")
    os.kill(before[0], signal.SIGSTOP)
    wait_for_change(server, "w", before)
    with Load(server.port, NAMES) as load:
        wait_until(lambda: load.answered > 200, what="answers")
    assert not load.faults, load.summary()


def test_killed_control_is_replaced_and_no_answer_is_lost(start: Start) -> None:
    server = start()
    with Load(server.port, NAMES) as load:
        before = find_processes(server, "control")
        os.kill(before[0], signal.SIGKILL)
        wait_for_change(server, "control", before)
        wait_until(lambda: load.answered > 500, what="answers")
    assert not load.faults, load.summary()
    assert server.is_ready()
    assert value_of(server, "fastdns_server_control_restarts_total") == 1


def test_sigterm_answers_what_has_come_and_leaves_with_0(start: Start) -> None:
    server = start()
    assert server.process is not None
    process = server.process
    with Load(server.port, NAMES) as load:
        wait_until(lambda: load.answered > 500, what="answers")
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: not server.is_ready(), what="an end of readiness")
        time.sleep(0.3)  # within the lameduck time: everything is answered as before
        answered_in_lameduck = load.answered
    assert answered_in_lameduck > 500
    assert process.wait(10) == 0
    assert not load.faults, load.summary()


def test_second_signal_ends_at_once(start: Start) -> None:
    server = start(COREFILE.replace("500ms", "60s"))
    assert server.process is not None
    process = server.process
    process.send_signal(signal.SIGTERM)
    process.wait_until(lambda: "lameduck" in server.log(), what="the lameduck line")
    process.send_signal(signal.SIGINT)
    assert process.wait(3) == 2


def test_sighup_and_sigusr2_are_ignored_and_sigquit_ends(start: Start) -> None:
    server = start()
    assert server.process is not None
    process = server.process
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGUSR2)
    assert server.is_ready()
    process.send_signal(signal.SIGQUIT)
    assert process.wait(3) == 0


def test_children_end_when_the_supervisor_is_killed(start: Start) -> None:
    server = start()
    assert server.process is not None
    children = find_processes(server, "")
    assert len(children) == 3
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait(5)
    wait_until(
        lambda: not any(read_name(str(child)).startswith("fastdns") for child in children), what="the end of all"
    )


def reload(server: Fastdns, times: int) -> None:
    """Reload, and wait until it is told."""
    assert server.process is not None
    for _ in range(times):
        told = server.log().count("Reloading complete")
        server.process.send_signal(signal.SIGUSR1)
        server.process.wait_until(
            lambda: server.log().count("Reloading complete") > told,  # noqa: B023  # called before the next turn
            what="a reload",
            timeout=20,
        )


def test_reloads_under_load_lose_nothing(start: Start) -> None:
    server = start()
    with Load(server.port, NAMES) as load:
        watched: list[bool] = []
        stopping = threading.Event()

        def watch() -> None:
            while not stopping.is_set():
                watched.append(server.is_ready())
                time.sleep(0.02)

        watcher = threading.Thread(target=watch)
        watcher.start()
        reload(server, 3)
        files = count_files(server)
        counted = value_of(server, "coredns_dns_requests_total")
        reload(server, 7)
        stopping.set()
        watcher.join()
    assert not load.faults, load.summary()
    assert all(watched), "a reload changes nothing about readiness"
    assert value_of(server, "coredns_dns_requests_total") >= counted
    wait_until(lambda: count_files(server) <= files, what="descriptors to be given back")
    wait_until(lambda: len(find_processes(server, "")) == 3, what="replaced workers to leave")


@pytest.mark.peers  # none: it takes a minute
def test_a_thousand_reloads_leave_nothing_behind(start: Start) -> None:
    """Forced ones and changed Corefiles in turn, under load: no query is lost, nothing grows with their number."""
    server = start()
    with Load(server.port, NAMES, rate=500) as load:
        reload(server, 100)
        before = use_of(server)
        for number in range(9):
            server.corefile.write_text(f"{server.corefile.read_text()}# {number}\n")
            reload(server, 100)
        after = use_of(server)
    assert not load.faults, load.summary()
    assert after.files <= before.files + 2
    assert after.threads <= before.threads + 1
    assert after.octets < before.octets + (12 << 20)
    assert value_of(server, "coredns_reload_failed_total") == 0


@dataclasses.dataclass(frozen=True, slots=True)
class Use:
    """What all processes of a server with two workers hold, when those that were replaced have left."""

    octets: int  # of memory; what they share counts once
    files: int
    threads: int


def use_of(server: Fastdns) -> Use:
    assert server.process is not None
    wait_until(lambda: len(find_processes(server, "")) == 3, what="replaced workers to leave", timeout=20)
    folders = [pathlib.Path(f"/proc/{pid}") for pid in (server.process.pid, *find_processes(server, ""))]
    return Use(
        sum(read_pss(folder) for folder in folders),
        sum(len(os.listdir(folder / "fd")) for folder in folders),
        sum(len(os.listdir(folder / "task")) for folder in folders),
    )


def read_pss(folder: pathlib.Path) -> int:
    lines = (folder / "smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))


def count_files(server: Fastdns) -> int:
    assert server.process is not None
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def test_changed_corefile_is_served_and_a_broken_one_is_not(start: Start) -> None:
    server = start()
    assert server.process is not None
    good = server.corefile.read_text()
    with Load(server.port, NAMES) as load:
        server.corefile.write_text(good.replace("errors", "errrors"))
        server.process.wait_until(lambda: "reload failed" in server.log(), what="a failed reload")
        assert value_of(server, "coredns_reload_failed_total") == 1
        server.corefile.write_text(good.replace("reload 100ms", "ttl 77"))
        server.process.wait_until(lambda: "Reloading complete" in server.log(), what="a reload")
    assert not load.faults, load.summary()
    assert "Unknown directive 'errrors'" in server.log()
    assert server.log().count("reload failed") == 1


def test_reload_to_a_taken_port_keeps_the_old_configuration(start: Start) -> None:
    server = start()
    assert server.process is not None
    other = start_other(server)
    try:
        server.corefile.write_text(
            server.corefile.read_text() + f".:{other.getsockname()[1]} {{\n bind 127.0.0.1\n}}\n"
        )
        server.process.wait_until(lambda: "reload failed" in server.log(), what="a failed reload")
    finally:
        other.close()
    assert "Address already in use" in server.log()
    assert server.is_ready()
    with Load(server.port, NAMES) as load:
        wait_until(lambda: load.answered > 100, what="answers")
    assert not load.faults, load.summary()


def start_other(server: Fastdns):  # type: ignore[no-untyped-def]
    import socket

    other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    other.bind(("127.0.0.1", 0))
    return other


def test_hosts_file_is_read_again(start: Start, tmp_path: pathlib.Path) -> None:
    server = start()
    hosts = tmp_path / "hosts"
    hosts.write_text(hosts.read_text().replace("192.0.2.1 ", "192.0.2.99 "))
    expected = {"n1.example.org": frozenset({"192.0.2.99"})}

    def is_changed() -> bool:
        with Load(server.port, expected, rate=200) as load:
            wait_until(lambda: load.asked > 20, what="questions")
        return not load.faults

    wait_until(is_changed, timeout=10, what="the new address from every worker")


def test_blocked_output_delays_no_answer(tmp_path: pathlib.Path) -> None:
    """A pipe that nobody reads fills up; log lines are dropped and counted, queries are not."""
    import subprocess
    import sys

    from tests.peers.process import free_port
    from tests.peers.servers import ROOT, is_answering

    port, metrics = free_port(), free_port()
    (tmp_path / "hosts").write_text("".join(f"{a} {name}\n" for name, all_ in NAMES.items() for a in all_))
    corefile = tmp_path / "Corefile"
    corefile.write_text(
        f".:{port} {{\n bind 127.0.0.1\n log\n prometheus 127.0.0.1:{metrics}\n hosts {tmp_path}/hosts\n}}\n"
    )
    command = [sys.executable, "-m", "fastdns.cli.fastdns", "-conf", str(corefile), "--workers", "1"]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    try:
        wait_until(lambda: is_answering(port), what="the first answer")
        with Load(port, NAMES) as load:
            wait_until(lambda: load.answered > 8000, what="answers", timeout=30)
        assert not load.faults, load.summary()
        from urllib.request import urlopen

        def dropped() -> float:
            with urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=5) as page:
                lines = page.read().decode().splitlines()
            return sum(float(line.split()[1]) for line in lines if line.startswith("fastdns_server_log_dropped_total "))

        wait_until(lambda: dropped() > 0, what="dropped lines to be counted")
    finally:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()
