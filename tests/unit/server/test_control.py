from __future__ import annotations

import asyncio
import contextlib
import socket

from fastdns.config import model
from fastdns.server import control, frames, publish, sources, worker
from fastdns.server.frames import Kind
from tests.unit.server.test_publish import CLUSTER, Reader, Source


def make_control(channel: frames.Channel) -> control.Control:
    setup = control.Setup(model.Config((), ""), 1, sources.Corefile(), "", worker.Options())
    return control.Control(setup, channel)


def link_to(end: socket.socket, one: control.Control, source: Source, index: int = 0) -> publish.Link:
    """To a worker that already answers."""
    tables = [(CLUSTER, source)]
    return publish.Link(end, generation=1, index=index, tables=tables, is_fresh=False, on_close=one._on_link_closed)


def test_workers_that_are_gone_do_not_keep_the_others_from_their_records() -> None:
    """All three wait for a cluster to be listed; two are gone when it is."""

    async def main(stop: contextlib.ExitStack) -> None:
        ends = [stop.enter_context(end) for _ in range(4) for end in socket.socketpair()]
        channel, workers, readers = frames.Channel(ends[0]), ends[2::2], ends[3::2]
        one = make_control(channel)
        one._status = ""  # serving
        source = Source(b"delta", is_synced=False)
        one._links = {link_to(end, one, source, index) for index, end in enumerate(workers)}
        for gone in readers[1:]:
            gone.close()
        source.is_synced = True
        one._look()
        assert [link.index for link in one._links] == [0]
        async with asyncio.timeout(10):
            assert b"delta" in [message.payload for message in await Reader(readers[0]).until(Kind.END_SNAPSHOT)]

    with contextlib.ExitStack() as stop:
        asyncio.run(main(stop))


def test_nobody_is_looked_at_while_all_have_their_records() -> None:
    """Looks cost idle nodes power, and busy ones an answer's time: they end once nothing is waited for."""

    async def main(channel: frames.Channel, end: socket.socket, reader: Reader) -> None:
        one = make_control(channel)
        one._look()
        assert one._next_look is None
        source = Source(b"delta", is_synced=False)
        link = link_to(end, one, source)
        one._links = {link}
        one._look()
        assert one._next_look is not None
        source.is_synced = True
        async with asyncio.timeout(10):
            await reader.until(Kind.END_SNAPSHOT)  # sent by the next look
            while one._next_look is not None:
                await asyncio.sleep(0.01)
        link.close()

    with contextlib.ExitStack() as stop:
        ours, _theirs, end, reader = (stop.enter_context(one) for _ in range(2) for one in socket.socketpair())
        asyncio.run(main(frames.Channel(ours), end, Reader(reader)))
