"""A worker process: reads its sockets, answers through its Engine, takes records from control, and does what needs Python.

Everything happens in callbacks of one uvloop. A batch of queries is one call into C; records are applied in small steps, a
frame or a few at a time, so that batches come between.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import socket
import time
from collections.abc import Iterator

import uvloop

from fastdns import _counters, _udp, errors
from fastdns._counters import WorkerSlot, WorkerState
from fastdns.config import model
from fastdns.server import compile as compiler
from fastdns.server import duties, frames, inheritance, listeners, metrics, output, slow, statistics, tcp
from fastdns.server.frames import Kind

logger = logging.getLogger(__name__)

RECORDS_STEP = 32 * 1024  # octets of records that are read at once
RECORDS_TURN = 5e-4  # seconds of applying them, and then as long as one takes, before queries get their turn again
RECORDS_PATIENCE = 3.0  # seconds that a worker waits for records before it serves without them
QUIET = 0.1  # seconds without a datagram after which a socket that nobody reads any more counts as empty
QUIET_MAX = 2.0
DRAIN_MAX = 6.0
TICK_MAX = 250  # milliseconds
HEARTBEAT = 1.0
MILLISECOND = 1e-3

HOLD_NS = 100_000  # that datagrams may gather in under load


@dataclasses.dataclass(frozen=True, slots=True)
class Options(output.Style):
    """`hold_ns` is how long datagrams may gather under load (see _coalescing)."""

    hold_ns: int = HOLD_NS


@dataclasses.dataclass(frozen=True, slots=True)
class Setup:
    """What a worker is forked with."""

    config: model.Config
    index: int
    counters: _counters.Counters
    udp: dict[model.Listener, tuple[socket.socket, ...]]
    tcp: dict[model.Listener, tuple[socket.socket, ...]]
    probes: dict[int, str]  # of plugin loop, by the index of the block
    is_first: bool  # nobody answers before it: it does not wait for records
    waits: bool  # others answer until it is told to serve
    options: Options
    previous: model.Config | None = None  # what was served before a reload, when its cache is kept
    siblings: tuple[memoryview, ...] = ()  # the counters of all workers of this configuration, its own among them

    def sockets(self) -> Iterator[socket.socket]:
        for group in (self.udp, self.tcp):
            for row in group.values():
                yield from row


def main(setup: Setup, channel: frames.Channel) -> int:
    """Serve until told to leave, or until the supervisor is gone; the exit status."""
    has_debug = any(isinstance(plugin, model.Debug) for block in setup.config.blocks for plugin in block.plugins)
    level = logging.DEBUG if has_debug else setup.options.level
    lines = output.start_style(dataclasses.replace(setup.options, level=level))
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    worker = Worker(setup, channel, lines, loop)
    loop.run_until_complete(worker.run())
    lines.flush()
    return 0


class Worker:
    def __init__(
        self, setup: Setup, channel: frames.Channel, lines: output.Output, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.setup = setup
        self.loop = loop
        self.counters = setup.counters
        for gauge in (WorkerSlot.WORKER_STATE, WorkerSlot.WORKER_TCP_CONNECTIONS):
            self.counters.set(gauge, 0)
        self.program = compiler.build(setup.config, setup.counters)
        self.engine = self.program.engine
        self.channel = channel
        self.lines = lines
        self.is_serving = False
        self.is_draining = False
        self._is_prepared = False
        self._udp: dict[int, _udp.UdpListener] = {}
        self._ended: asyncio.Future[None] = loop.create_future()
        self._records = frames.FrameReader()
        self._stream: socket.socket | None = None
        self._tick: asyncio.TimerHandle | None = None
        self.tcp = tcp.Connections(self.engine, self.counters, self.settle, loop)
        self.slow = slow.SlowPath(self)
        self.duties = duties.Duties(self)

    # --- life -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        self.loop.add_reader(self.channel.fileno(), self._on_message)
        self.duties.start()
        self.engine.on_upstream_work = self._on_upstream_work
        self.loop.add_reader(self.engine.upstream_fd, self.engine.on_upstream_readable)
        self._on_tick()
        self._beat()
        if self.setup.is_first or not self.program.clusters:
            self._begin()
        else:
            self.loop.call_later(RECORDS_PATIENCE, self._serve_anyhow)
        await self._ended

    def _begin(self) -> None:
        """Serve, or say that it could."""
        if not self.setup.waits:
            self.serve()
        elif not self._is_prepared:
            self._is_prepared = True
            self.channel.send(Kind.PREPARED)

    def serve(self) -> None:
        """Read the sockets from now on."""
        if self.is_serving or self.is_draining:
            return
        self.is_serving = True
        for listener, number in self.program.listeners.items():
            for place, one in enumerate(self.setup.udp[listener]):
                own = compiler.add_listener(self.program, listener) if place else number
                listeners.set_fragments(one, allowed=self.program.udp_max > compiler.UDP_OURS)
                udp = _udp.UdpListener(self.engine, own, one.fileno(), self.settle, self.setup.options.hold_ns)
                self._udp[one.fileno()] = udp
                self.loop.add_reader(one.fileno(), udp.on_readable)
            for one in self.setup.tcp[listener]:
                self.tcp.listen(one, number)
        self.counters.set(WorkerSlot.WORKER_STATE, WorkerState.WORKER_SERVING)
        self.channel.send(Kind.SERVING)
        self.duties.on_serving()

    def _serve_anyhow(self) -> None:
        if not self.is_serving and not self._is_prepared:
            logger.warning("no records came in time; serving without them")
            self._begin()

    def _on_message(self) -> None:
        messages = self.channel.receive()
        if messages is None:
            os._exit(0)  # the supervisor is gone: nothing keeps our sockets or replaces us
        for message in messages:
            if message.kind is Kind.RECORDS:
                self._take_stream(socket.socket(fileno=message.fds[0]))
            elif message.kind is Kind.SERVE:
                self.serve()
            elif message.kind is Kind.DRAIN:
                if message.payload == b"bequeath":
                    self._bequeath()
                self.slow.start(self._drain(wait=message.payload == b"wait"))
            elif message.kind is Kind.INHERIT:
                self._inherit(message.fds[0])
            elif message.kind is Kind.REOPEN:
                output.reopen(message.fds[0])
            elif message.kind is Kind.REREAD:
                self.duties.reread()

    async def _drain(self, *, wait: bool) -> None:
        """Stop reading, answer what is held, leave. `wait`: nobody reads the sockets afterwards, so empty them first."""
        self.is_draining = True
        self.counters.set(WorkerSlot.WORKER_STATE, WorkerState.WORKER_DRAINING)
        began = time.monotonic()
        while wait and time.monotonic() < min(began + QUIET_MAX, max(began, self._last_heard()) + QUIET):
            await asyncio.sleep(QUIET / 5)
        self.tcp.stop_listening()
        for fileno in self._udp:
            self.loop.remove_reader(fileno)
        await asyncio.sleep(QUIET / 5)  # what clients on TCP have sent is read in this time
        self.tcp.finish()
        limit = time.monotonic() + DRAIN_MAX
        while (self.engine.waiting() or self.tcp.is_busy) and time.monotonic() < limit:
            self.settle()
            await asyncio.sleep(0.01)
        self.settle()
        await self.duties.stop()
        self.counters.set(WorkerSlot.WORKER_STATE, WorkerState.WORKER_DONE)
        if not self._ended.done():
            self._ended.set_result(None)

    def _bequeath(self) -> None:
        fd = frames.share_octets(inheritance.dump(self.program))
        self.channel.send(Kind.BEQUEATH, fds=(fd,))
        os.close(fd)

    def _inherit(self, fd: int) -> None:
        octets = frames.take_octets(fd)
        if self.setup.previous is not None:
            kept = inheritance.load(self.program, octets, self.setup.previous, now=int(time.monotonic()))
            logger.info("%d cached answers are kept", kept)

    # --- queries -------------------------------------------------------------------------------------------------------

    def _last_heard(self) -> float:
        """When a datagram last came, by the monotonic clock."""
        return max((udp.heard for udp in self._udp.values()), default=0.0)

    def _on_upstream_work(self) -> None:
        self.duties.check_upstreams()
        self.settle()

    def _on_tick(self) -> None:
        wait = min(self.engine.on_tick(), TICK_MAX)
        self.duties.check_upstreams()
        self._tick = self.loop.call_later(wait * MILLISECOND, self._on_tick)
        self.settle()

    def _tick_in(self, wait: int) -> None:
        """Let the next tick come in `wait` milliseconds at the latest."""
        if self._tick is not None and self._tick.when() > self.loop.time() + wait * MILLISECOND:
            self._tick.cancel()
            self._tick = self.loop.call_later(wait * MILLISECOND, self._on_tick)

    def settle(self) -> None:
        """Take from the engine what is for Python, and send what has become an answer."""
        self.slow.take()
        self.duties.take_records()
        self.engine.flush()
        wait = self.engine.take_alarm()
        if wait:
            self._tick_in(wait)

    def _beat(self) -> None:
        self.counters.add(WorkerSlot.WORKER_HEARTBEAT)
        self.duties.on_beat()
        self.loop.call_later(HEARTBEAT, self._beat)

    # --- records -------------------------------------------------------------------------------------------------------

    def _take_stream(self, stream: socket.socket) -> None:
        """Records come from here from now on: of a control that has just started, or of the first."""
        self._drop_stream()
        stream.setblocking(False)
        self._stream, self._records = stream, frames.FrameReader()
        self.loop.add_reader(stream.fileno(), self._on_records)

    def _drop_stream(self) -> None:
        if self._stream is not None:
            self.loop.remove_reader(self._stream.fileno())
            self._stream.close()
            self._stream = None

    def _on_records(self) -> None:
        assert self._stream is not None
        try:
            octets = self._stream.recv(RECORDS_STEP)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            octets = b""
        if not octets:
            self._drop_stream()  # control is gone; what we have goes on answering
            return
        self._records.feed(octets)
        if not self._apply_frames():
            self.loop.remove_reader(self._stream.fileno())
            self.loop.call_soon(self._apply_rest, self._stream)

    def _apply_rest(self, stream: socket.socket) -> None:
        """Apply what a turn was too short for; then read on."""
        if stream is not self._stream:
            return
        if not self._apply_frames():
            self.loop.call_soon(self._apply_rest, stream)
        elif stream is self._stream:
            self.loop.add_reader(stream.fileno(), self._on_records)

    def _apply_frames(self) -> bool:
        """Apply the records that are here, for a turn. True: none is left."""
        ends = time.monotonic() + RECORDS_TURN
        try:
            for message in self._records.frames():
                self._apply(message)
                if time.monotonic() > ends:
                    return False
        except (errors.FrameError, errors.TableError, IndexError, ValueError) as error:
            logger.error("records that make no sense: %s", error)
            self._drop_stream()  # control sees it, and is given a new stream by the supervisor when it asks
        return True

    def _apply(self, message: frames.Message) -> None:
        match message.kind:
            case Kind.BEGIN_SNAPSHOT:
                self.engine.begin_snapshot(message.table)
            case Kind.DELTA:
                self.engine.apply(message.table, message.payload)
                self.counters.add(WorkerSlot.WORKER_DELTAS)
            case Kind.END_SNAPSHOT:
                self.engine.end_snapshot(message.table)
            case Kind.CAUGHT_UP:
                self._begin()
            case _:
                raise errors.FrameError(f"{message.kind.name} among records")

    def count_statistics(self) -> statistics.Counts:
        """What dnsmasq counts, of all workers."""
        self.engine.on_tick()  # its gauges are renewed
        return statistics.count(self.setup.config, metrics.lay_out(self.setup.config), self.setup.siblings)

    def end_server(self, text: str) -> None:
        """Something is so wrong that the whole server ends with `text`."""
        self.channel.send(Kind.FATAL, text.encode())
