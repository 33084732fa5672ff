from __future__ import annotations

import asyncio
import contextlib
import socket

from fastdns.config import model
from fastdns.server import control, frames, publish, sources, worker
from fastdns.server.frames import Kind
from tests.unit.server.test_publish import CLUSTER, Reader, Source


def test_workers_that_are_gone_do_not_keep_the_others_from_their_records() -> None:
    """All three wait for a cluster to be listed; two are gone when it is."""

    async def main(stop: contextlib.ExitStack) -> None:
        ends = [stop.enter_context(end) for _ in range(4) for end in socket.socketpair()]
        channel, workers, readers = frames.Channel(ends[0]), ends[2::2], ends[3::2]
        setup = control.Setup(model.Config((), ""), 1, sources.Corefile(), "", worker.Options())
        one = control.Control(setup, channel)
        one._status = ""  # serving
        source = Source(b"delta", is_synced=False)
        one._links = {
            publish.Link(
                end,
                generation=1,
                index=index,
                tables=[(CLUSTER, source)],
                is_fresh=False,
                on_close=one._on_link_closed,
            )
            for index, end in enumerate(workers)
        }
        for gone in readers[1:]:
            gone.close()
        source.is_synced = True
        one._look()
        assert [link.index for link in one._links] == [0]
        async with asyncio.timeout(10):
            assert b"delta" in [message.payload for message in await Reader(readers[0]).until(Kind.END_SNAPSHOT)]

    with contextlib.ExitStack() as stop:
        asyncio.run(main(stop))
