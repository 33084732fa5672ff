import asyncio
import collections
import contextlib
import ipaddress
import pathlib
import socket
import threading
import urllib.request
from collections.abc import AsyncIterator, Iterator

import pytest

from fastdns import errors
from fastdns.config import nodecache
from fastdns.server import frames, network, node
from fastdns.server.frames import Kind
from fastdns.server.node import Gate, Step
from tests.peers.process import CLOSED_PORTS, free_port


# --- when there are rules ---
def test_rules_are_set_up_with_the_first_answer_and_looked_at_each_interval() -> None:
    gate = Gate(interval=60)
    assert [gate.observe(False, now=now) for now in range(10)] == [Step.NOTHING] * 10
    steps = {now: gate.observe(True, now=now) for now in range(10, 200)}
    assert [now for now, step in steps.items() if step is Step.ENSURE] == [10, 70, 130, 190]
    assert set(steps.values()) == {Step.ENSURE, Step.NOTHING}


def test_rules_are_removed_after_three_misses_in_a_row() -> None:
    gate = Gate(interval=60)
    seen = [gate.observe(answers == "+", now=now) for now, answers in enumerate("+--+--+---------+++")]
    words = "".join({Step.NOTHING: ".", Step.ENSURE: "E", Step.REMOVE: "R"}[step] for step in seen)
    assert words == "E........R......E.."


# --- the probe ---
@pytest.fixture
def answering() -> Iterator[int]:
    """A port whose questions are answered with NOTIMP until the test ends."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                question, client = server.recvfrom(512)
                if question == b"end":
                    return
                server.sendto(question[:2] + b"\x90\x04" + question[4:], client)

        thread = threading.Thread(target=serve)
        thread.start()
        port: int = server.getsockname()[1]
        yield port
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"end", ("127.0.0.1", port))
        thread.join(10)


def test_probe_hears_an_answer(answering: int) -> None:
    assert asyncio.run(node.probe("127.0.0.1", answering, timeout=30))


def test_probe_of_a_closed_port_fails_at_once() -> None:
    assert not asyncio.run(node.probe("127.0.0.1", CLOSED_PORTS[0], timeout=30))


def test_probe_of_a_silent_server_fails_in_time() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        assert not asyncio.run(node.probe("127.0.0.1", silent.getsockname()[1], timeout=0.05))


# --- the keeper ---
class Rules:
    """In the place of the kernel's."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fault: Exception | None = None

    def ensure(self) -> bool:
        self.calls.append("ensure")
        if self.fault is not None:
            raise self.fault
        return True

    def remove(self) -> bool:
        self.calls.append("remove")
        return True


class Run:
    """A keeper with its channel."""

    def __init__(self, folder: pathlib.Path, port: int, **settings: object) -> None:
        (folder / "Corefile.base").write_text(".:53 {\n    bind __PILLAR__LOCAL__DNS__\n}\n")
        self.corefile = folder / "Corefile"
        self.metrics_port = free_port()
        self.rules = Rules()
        self.counts = collections.Counter[str](dict.fromkeys(node.ERROR_TYPES, 0))
        self.here, self.there = frames.open_pair()
        self.settings = nodecache.Settings(
            local_ips=(ipaddress.ip_address("127.0.0.1"),),
            corefile=str(self.corefile),
            base_corefile=str(folder / "Corefile.base"),
            port=port,
            metrics_host="127.0.0.1",
            metrics_port=self.metrics_port,
            sets_up_interface=False,
            interface=f"test{self.metrics_port}",
            **settings,  # type: ignore[arg-type]
        )

    @contextlib.asynccontextmanager
    async def keeping(self) -> AsyncIterator[asyncio.Task[None]]:
        held = network.Network(self.settings, rules=self.rules, count=lambda kind: self.counts.update([kind]))
        setup = node.Setup(self.settings, cluster_dns="10.96.0.10")
        keeper = node.Keeper(setup, self.there, network=held, counts=self.counts)
        async with asyncio.timeout(30):
            task = asyncio.create_task(keeper.run())
            try:
                yield task
            finally:
                self.here.close()
                await task
        self.there.close()

    async def until(self, call: str) -> None:
        while call not in self.rules.calls:
            await asyncio.sleep(0.01)

    async def until_serving(self) -> None:
        while not (messages := self.here.receive()):
            await asyncio.sleep(0.01)
        assert [message.kind for message in messages] == [Kind.SERVING]


def test_everything_is_there_before_the_server_is_started(tmp_path: pathlib.Path, answering: int) -> None:
    async def scenario() -> None:
        run = Run(tmp_path, answering)
        async with run.keeping():
            await run.until_serving()
            assert run.corefile.read_text() == ".:53 {\n    bind 127.0.0.1\n}\n"

    asyncio.run(scenario())


@pytest.mark.parametrize("end", ["STOP", "the supervisor's death"])
def test_rules_come_with_the_answers_and_go_at_the_end(tmp_path: pathlib.Path, answering: int, end: str) -> None:
    async def scenario() -> None:
        run = Run(tmp_path, answering)
        async with run.keeping() as task:
            await run.until("ensure")
            if end == "STOP":
                run.here.send(Kind.STOP)
            else:
                run.here.close()
            await task
        assert run.rules.calls == ["remove", "ensure", "remove"], "what an earlier run has left goes first"

    asyncio.run(scenario())


def test_rules_stay_where_that_is_asked_for(tmp_path: pathlib.Path, answering: int) -> None:
    async def scenario() -> None:
        run = Run(tmp_path, answering, skips_teardown=True)
        async with run.keeping():
            await run.until("ensure")
        assert run.rules.calls == ["remove", "ensure"]

    asyncio.run(scenario())


def test_no_rules_without_a_server(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probed = asyncio.Event()

    async def fail(address: str, port: int) -> bool:
        probed.set()
        return False

    async def scenario() -> None:
        run = Run(tmp_path, CLOSED_PORTS[0])
        async with run.keeping():
            await probed.wait()
        assert "ensure" not in run.rules.calls

    monkeypatch.setattr(node, "probe", fail)
    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (errors.NodeError("iptables_lock", "the lock is held"), "iptables_lock"),
        (errors.NodeError("iptables", "no"), "iptables"),
        (PermissionError(1, "Operation not permitted"), "iptables"),
    ],
)
def test_failures_are_counted_on_the_page(tmp_path: pathlib.Path, answering: int, fault: Exception, kind: str) -> None:
    async def scenario() -> str:
        run = Run(tmp_path, answering)
        run.rules.fault = fault
        url = f"http://127.0.0.1:{run.metrics_port}/metrics"
        async with run.keeping():
            await run.until("ensure")
            while not run.counts[kind]:
                await asyncio.sleep(0.01)
            return await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=30).read().decode())

    page = asyncio.run(scenario())
    for name in node.ERROR_TYPES:
        assert f'coredns_nodecache_setup_errors_total{{errortype="{name}"}} {float(name == kind)}\n' in page


def test_page_that_cannot_be_had_is_told_and_nothing_else_fails(
    tmp_path: pathlib.Path, answering: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        run = Run(tmp_path, answering)
        with socket.create_server(("127.0.0.1", run.metrics_port)):
            async with run.keeping():
                await run.until("ensure")

    asyncio.run(scenario())
    assert "Failed to start metrics handler: listen tcp 127.0.0.1:" in caplog.text


def test_keeper_waits_for_its_turn(tmp_path: pathlib.Path, answering: int) -> None:
    async def scenario() -> None:
        run = Run(tmp_path, answering)
        before = await node.take_turn(run.settings)
        async with run.keeping():
            await asyncio.sleep(0)
            assert not run.corefile.exists()
            before.close()
            await run.until_serving()

    asyncio.run(scenario())


def test_keeper_does_not_wait_for_ever(
    tmp_path: pathlib.Path, answering: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        run = Run(tmp_path, answering)
        with await node.take_turn(run.settings):
            async with run.keeping():
                await run.until_serving()

    monkeypatch.setattr(node, "TURN_TIMEOUT", 0.0)
    asyncio.run(scenario())
    assert "another node-cache of interface test" in caplog.text
