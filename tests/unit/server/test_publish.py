import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator

from fastdns.config import model
from fastdns.server import frames, publish
from fastdns.server.frames import Kind

CLUSTER = model.Kubernetes(zones=("cluster.local.",))
OTHER = model.Kubernetes(zones=("other.",))


class Source:
    def __init__(self, *deltas: bytes, is_synced: bool = True) -> None:
        self.deltas = deltas
        self.is_synced = is_synced

    def snapshot(self) -> Iterator[bytes]:
        yield from self.deltas


class Reader:
    """The worker's end."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.end.setblocking(False)
        self.frames = frames.FrameReader()
        self.messages: list[frames.Message] = []

    async def until(self, kind: Kind) -> list[frames.Message]:
        """Everything that came up to the next message of a kind."""
        while not any(message.kind is kind for message in self.messages):
            self.frames.feed(await asyncio.get_running_loop().sock_recv(self.end, 65536))
            self.messages += self.frames.frames()
        end = next(index for index, message in enumerate(self.messages) if message.kind is kind) + 1
        found, self.messages = self.messages[:end], self.messages[end:]
        return found

    def has_something(self) -> bool:
        try:
            return bool(self.end.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return False


def run(test: Callable[[socket.socket, Reader], Awaitable[None]]) -> None:
    async def main() -> None:
        here, there = socket.socketpair()
        try:
            async with asyncio.timeout(10):
                await test(here, Reader(there))
        finally:
            here.close()
            there.close()

    asyncio.run(main())


def connect(end: socket.socket, *sources: Source, is_fresh: bool = True) -> publish.Link:
    return publish.Link(
        end,
        generation=1,
        index=0,
        tables=list(zip((CLUSTER, OTHER), sources, strict=False)),
        is_fresh=is_fresh,
        on_close=lambda link: None,
    )


def kinds(messages: list[frames.Message]) -> list[tuple[Kind, int, bytes]]:
    return [(message.kind, message.table, message.payload) for message in messages]


def test_fresh_worker_gets_every_table_and_is_told_the_end() -> None:
    async def test(end: socket.socket, reader: Reader) -> None:
        link = connect(end, Source(b"a", b"b"), Source(b"c", is_synced=False))
        assert kinds(await reader.until(Kind.CAUGHT_UP)) == [
            (Kind.BEGIN_SNAPSHOT, 0, b""),
            (Kind.DELTA, 0, b"a"),
            (Kind.DELTA, 0, b"b"),
            (Kind.END_SNAPSHOT, 0, b""),
            (Kind.BEGIN_SNAPSHOT, 1, b""),
            (Kind.DELTA, 1, b"c"),
            (Kind.END_SNAPSHOT, 1, b""),
            (Kind.CAUGHT_UP, 0, b""),
        ]
        assert link.is_caught_up
        link.publish(OTHER, b"d")
        assert kinds(await reader.until(Kind.DELTA)) == [(Kind.DELTA, 1, b"d")]
        link.close()

    run(test)


def test_worker_that_answers_keeps_its_records_until_the_list_is_whole() -> None:
    async def test(end: socket.socket, reader: Reader) -> None:
        source = Source(b"a", is_synced=False)
        link = connect(end, source, is_fresh=False)
        await reader.until(Kind.CAUGHT_UP)
        link.publish(CLUSTER, b"part of a list")
        link.check_synced()
        assert not reader.has_something()
        assert not link.is_caught_up
        source.is_synced = True
        link.check_synced()
        assert [message.kind for message in await reader.until(Kind.CAUGHT_UP)] == [
            Kind.BEGIN_SNAPSHOT,
            Kind.DELTA,
            Kind.END_SNAPSHOT,
            Kind.CAUGHT_UP,
        ]
        link.publish(CLUSTER, b"later")
        assert (await reader.until(Kind.DELTA))[0].payload == b"later"
        link.close()

    run(test)


def test_worker_that_does_not_read_gets_a_new_snapshot_and_holds_up_nobody() -> None:
    async def test(end: socket.socket, reader: Reader) -> None:
        source = Source(b"old")
        link = connect(end, source)
        await reader.until(Kind.CAUGHT_UP)
        source.deltas = (b"new",)
        large = bytes(1024 * 1024)
        for _ in range(40):
            link.publish(CLUSTER, large)
        held = 0
        while (message := (await reader.until(Kind.DELTA))[-1]).payload == large:
            held += 1
        assert message.payload == b"new"
        assert held < 40
        await reader.until(Kind.CAUGHT_UP)
        link.close()

    run(test)


def test_a_worker_is_written_to_while_the_event_loop_has_no_turn() -> None:
    """As long as a list keeps control busy: else the worker waits for records that queue up."""

    async def test(end: socket.socket, reader: Reader) -> None:
        link = connect(end, Source())
        await reader.until(Kind.CAUGHT_UP)
        for _ in range(20):
            link.publish(CLUSTER, bytes(64 * 1024))  # more than a socket holds, and not one turn of the loop
        while reader.has_something():
            reader.end.recv(1 << 20)
        link.publish(CLUSTER, b"next")
        assert reader.has_something()
        link.close()

    run(test)


def test_closed_worker_is_told() -> None:
    async def test(end: socket.socket, reader: Reader) -> None:
        closed = asyncio.Event()
        publish.Link(end, generation=1, index=0, tables=[], is_fresh=True, on_close=lambda link: closed.set())
        reader.end.close()
        await closed.wait()

    run(test)
