"""What a worker does beside answering, in a worker that runs here."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable

import dns.message
import pytest

from fastdns import _counters
from fastdns._counters import CacheSlot, GroupSlot, UpstreamSlot
from fastdns.forward import exchange
from fastdns.server import configuration, frames, memory, metrics, output, worker
from tests.peers.process import CLOSED_PORTS
from tests.unit.forward import servers

CHECKS = GroupSlot.GROUP_SLOTS + UpstreamSlot.UPSTREAM_HEALTHCHECK_FAILURES
QUERY = dns.message.make_query("www.example.org", "A").to_wire()


@contextlib.asynccontextmanager
async def serving(corefile: str) -> AsyncIterator[worker.Worker]:
    """A worker without listening sockets; it is told to leave in the end, and must."""
    config = configuration.parse(corefile)
    setup = worker.Setup(
        config=config,
        index=0,
        counters=_counters.Counters(bytearray(8 * metrics.lay_out(config).slots)),
        udp={listener: () for block in config.blocks for listener in block.listeners},
        tcp={listener: () for block in config.blocks for listener in block.listeners},
        probes={},
        is_first=True,
        waits=False,
        options=worker.Options(),
    )
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel = frames.Channel(here)
    loop = asyncio.get_running_loop()
    made = worker.Worker(setup, channel, output.Output(2), loop)
    running = asyncio.create_task(made.run())
    try:
        yield made
        frames.Channel(there).send(frames.Kind.DRAIN)
        async with asyncio.timeout(10):
            await running
    finally:
        loop.remove_reader(channel.fileno())
        loop.remove_reader(made.engine.upstream_fd)
        here.close()
        there.close()


async def until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not claim():
            await asyncio.sleep(0.005)


def forwarding(port: int) -> str:
    return f". {{\nforward . 127.0.0.1:{port} {{\nmax_connect_attempts 1\n}}\n}}\n"


def test_failed_upstream_is_checked_without_a_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker.Worker, "_on_tick", lambda made: None)

    async def run() -> None:
        async with serving(forwarding(CLOSED_PORTS[0])) as made:
            (listener,) = made.program.listeners.values()
            first = made.program.upstream_slots[0].first
            made.engine.ask(QUERY, listener, is_stream=False)
            await until(lambda: made.counters.get(first + CHECKS) > 0)

    asyncio.run(run())


def test_forwarders_are_closed_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    close = exchange.Forwarder.close

    async def note(forwarder: exchange.Forwarder) -> None:
        await close(forwarder)
        closed.append(forwarder)

    monkeypatch.setattr(exchange.Forwarder, "close", note)

    async def run() -> None:
        async with serving(forwarding(CLOSED_PORTS[0])) as made:
            (listener,) = made.program.listeners.values()
            first = made.program.upstream_slots[0].first
            made.engine.ask(QUERY, listener, is_stream=False)
            await until(lambda: made.counters.get(first + CHECKS) > 0)
        assert len(closed) == 1
        assert asyncio.all_tasks() == {asyncio.current_task()}  # its health check is over too

    asyncio.run(run())


def test_short_memory_cuts_the_caches_and_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    use = memory.Use(500, 1000)
    monkeypatch.setattr(memory.Memory, "use", lambda made: use)
    queries = [dns.message.make_query(f"n{number}.example.org", "A").to_wire() for number in range(20)]

    async def run() -> None:
        nonlocal use
        async with (
            servers.serve() as upstream,
            serving(f". {{\nforward . 127.0.0.1:{upstream.port}\ncache\n}}\n") as made,
        ):
            (listener,) = made.program.listeners.values()
            (cache,) = metrics.lay_out(made.setup.config).caches.values()

            def entries() -> int:
                made.engine.on_tick()
                return made.counters.get(cache.first + CacheSlot.CACHE_ENTRIES)

            for query in queries:
                made.engine.ask(query, listener, is_stream=False)
            await until(lambda: entries() == len(queries))
            made.duties.on_beat()
            assert entries() == len(queries)
            use = memory.Use(950, 1000)
            for _ in range(20):
                made.duties.on_beat()
            assert entries() < 3

    with caplog.at_level("WARNING"):
        asyncio.run(run())
    assert caplog.text.count("95% of the container's memory is used: caches are cut") == 1
