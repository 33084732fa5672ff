"""Process 1: holds the sockets and the shared memory, starts control and workers, replaces what dies, ends in order.

It reads no Corefile after the start, no JSON and no query, and waits for nobody: what it does is done in callbacks of
one event loop. A reload comes from control as a Config that is known to be good.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import enum
import logging
import os
import pickle
import signal
import struct
import time
from collections.abc import Callable, Iterator

from fastdns import errors
from fastdns.config import model
from fastdns.server import children, companion, control, frames, listeners, output, sites, sources, statistics, worker
from fastdns.server.frames import Kind
from fastdns.server.generation import Generation, Seat, Stage, bind_missing, find_listeners, note_death

logger = logging.getLogger(__name__)

TICK = 1.0
ADOPTION_TIMEOUT = 30.0
DRAIN_TIMEOUT = 8.0
CONTROL_SILENCE = 60  # ticks without a sign of life
HOPELESS = 3  # deaths of a worker before any has ever served
CONTROL_DELAYS = (0.1, 0.5, 1.0, 2.0, 5.0)
FORCED = 2  # exit status after a second signal, as CoreDNS


class Signals(enum.Enum):
    """Whose meaning signals have."""

    COREDNS = "coredns"  # SIGUSR1 reloads
    KUBEDNS = "kube-dns"  # and SIGINT after SIGTERM does nothing more
    DNSMASQ = "dnsmasq"  # SIGHUP forgets and reads files of names again, SIGUSR1 tells statistics


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """`fatal_status` is the exit status when something makes serving hopeless. With `keeps_cache` a reload keeps what is
    cached, but for names that have other upstreams then. `on_bound` is called when the sockets are there and no other
    process is: rights that only they needed can be given up. `log_file` is opened again on SIGUSR2."""

    source: sources.Source = dataclasses.field(default_factory=sources.Corefile)
    workers: int = 1
    state_dir: str = ""
    pidfile: str = ""
    fatal_status: int = 1
    keeps_cache: bool = False
    worker: worker.Options = dataclasses.field(default_factory=worker.Options)
    signals: Signals = Signals.COREDNS
    log_file: str = ""
    on_bound: Callable[[], None] = lambda: None


class Supervisor:
    def __init__(self, config: model.Config, options: Options, *, beside: companion.Companion | None = None) -> None:
        self.options = options
        self._beside = beside
        self.bound: dict[model.Listener, listeners.BoundListener] = {}
        self.retiring: list[Generation] = []
        self.next: Generation | None = None
        self.control: children.Child | None = None
        self.control_deaths = 0
        self.control_silence = 0
        self.ended_by: set[str] = set()  # signals, by what is logged of them
        self.loop = asyncio.new_event_loop()
        self.sites = sites.Sites(self)
        self._config = config
        self._exit_status = 0
        self._is_reload_owed = False
        self._waiting: dict[str, asyncio.TimerHandle] = {}

    # --- from the start to the end --------------------------------------------------------------------------------

    def run(self, *, on_started: Callable[[], None] = lambda: None) -> int:
        """Serve until told to end; the exit status. Raises ListenError if it can't begin."""
        asyncio.set_event_loop(self.loop)
        self.bound = bind_missing(find_listeners(self._config), {}, self.options.workers)
        self.loop.run_until_complete(self.sites.start(self._config))
        self.options.on_bound()
        for number, handler in self._handlers():
            self.loop.add_signal_handler(number, handler)
        self.current = self._make_generation(1, self._config)
        self._start_control()
        for seat in self.current.seats:
            self._start_worker(self.current, seat, is_first=True)
        on_started()
        self._tick_due = self.loop.time() + TICK
        self.loop.call_at(self._tick_due, self._tick)
        self.loop.run_forever()
        return self._exit_status

    def _handlers(self) -> Iterator[tuple[signal.Signals, Callable[[], object]]]:
        yield signal.SIGCHLD, self._on_child
        is_dnsmasq = self.options.signals is Signals.DNSMASQ
        said = "exiting on receipt of SIGTERM" if is_dnsmasq else "SIGTERM: Shutting down servers then terminating"
        yield signal.SIGTERM, lambda: self._on_end(said)
        yield signal.SIGINT, lambda: self._on_end("SIGINT: Shutting down")
        yield signal.SIGQUIT, self._on_quit
        yield signal.SIGUSR2, self._reopen_log
        if is_dnsmasq:
            yield signal.SIGUSR1, self._tell_statistics
            yield signal.SIGHUP, self._on_hangup
        else:
            yield signal.SIGUSR1, self._on_reload
            yield signal.SIGHUP, lambda: None  # sent by terminals that go away

    def _on_end(self, text: str) -> None:
        """The first signal ends it in order, a second one at once: of kube-dns's, which hears none, the same one again."""
        is_first, is_again = not self.ended_by, text in self.ended_by
        is_forced = is_again or (not is_first and self.options.signals is not Signals.KUBEDNS)
        self.ended_by.add(text)
        logger.info("%s", "Force quit" if is_forced else text)
        if is_first:
            self._end = self.loop.create_task(self._shut_down())
        elif is_forced:
            self.stop(FORCED)

    def _on_quit(self) -> None:
        logger.info("SIGQUIT: Quitting process immediately")
        self.stop(0)

    async def _shut_down(self) -> None:
        """Not ready any more, but answering, for the lameduck time; then answer what has come, and leave."""
        lameduck = sites.find_lameduck(self.current.config)
        if lameduck:
            logger.info("plugin/health: Going into lameduck mode for %s", format_seconds(lameduck))
            await asyncio.sleep(lameduck)
        self._abandon_next("the server ends")
        self._tell_control(Kind.STOP)
        for bound in self.bound.values():
            bound.close_tcp()
        self.current.drain(wait=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_TIMEOUT):
                while not all(generation.is_gone for generation in self._generations()):
                    await asyncio.sleep(0.02)
        self.stop(0)

    def stop(self, status: int) -> None:
        """End at once."""
        self._exit_status = status
        for child in self.processes():
            child.kill()
        if self.options.pidfile:
            with contextlib.suppress(OSError):
                os.unlink(self.options.pidfile)
        self.loop.stop()

    @property
    def is_ending(self) -> bool:
        return bool(self.ended_by)

    def processes(self) -> Iterator[children.Child]:
        if self.control is not None:
            yield self.control
        for generation in self._generations():
            yield from generation.living()

    def _generations(self) -> list[Generation]:
        return [*self.retiring, self.current, *([self.next] if self.next else [])]

    # --- workers --------------------------------------------------------------------------------------------------

    def _make_generation(self, number: int, config: model.Config, previous: model.Config | None = None) -> Generation:
        bound = {listener: self.bound[listener] for listener in find_listeners(config)}
        own = self.options
        return Generation(number, config, workers=own.workers, bound=bound, options=own.worker, previous=previous)

    def _start_worker(self, generation: Generation, seat: Seat, *, is_first: bool) -> None:
        if seat.child is not None or generation not in self._generations():
            return
        generation.start_worker(seat, is_first=is_first, waits=generation is self.next)
        assert seat.child is not None
        self.loop.add_reader(seat.child.channel, self._on_worker, generation, seat, seat.child)
        if self.control is not None:
            generation.connect(seat, self.control, is_fresh=True)

    def _on_worker(self, generation: Generation, seat: Seat, child: children.Child) -> None:
        for message in self._receive(child):
            if message.kind is Kind.SERVING and seat.child is child and seat.stage is not Stage.DRAINING:
                seat.stage, seat.has_served = Stage.SERVING, True
                self.sites.note_serving()
            elif message.kind is Kind.PREPARED and seat.child is child and generation is self.next:
                seat.stage = Stage.PREPARED
                if generation.is_prepared:
                    self._adopt_next()
            elif message.kind is Kind.BEQUEATH:
                self._pass_on(generation, seat, message)
            elif message.kind is Kind.FATAL:
                self._give_up(message)

    def _give_up(self, message: frames.Message) -> None:
        logger.critical("%s", message.payload.decode("utf-8", "replace"))
        self.stop(self.options.fatal_status)

    def _pass_on(self, generation: Generation, seat: Seat, message: frames.Message) -> None:
        """Give what a retiring worker has cached to the one that has its sockets now."""
        heir = self.current.seats[seat.index].child
        if heir is not None and generation is not self.current:
            heir.channel.send(Kind.INHERIT, fds=message.fds)
        frames.close_all(message.fds)

    def _receive(self, child: children.Child) -> list[frames.Message]:
        """Messages of a child; one whose channel is closed or broken is killed, if it still lives."""
        try:
            messages = child.channel.receive()
        except errors.FrameError:
            messages = None
        if messages is None:
            self.loop.remove_reader(child.channel)
            child.kill()
        return messages or []

    def _on_child(self) -> None:
        for pid, status in children.reap():
            if self.control is not None and self.control.pid == pid:
                self._on_control_death(status)
            if self._beside is not None and self._beside.pid == pid:
                self._on_companion_death(self._beside, status)
            for generation in self._generations():
                seat = generation.find_seat(pid)
                if seat is not None:
                    self._on_worker_death(generation, seat, status)

    def _on_worker_death(self, generation: Generation, seat: Seat, status: int) -> None:
        assert seat.child is not None
        name, pid, was_stage = seat.child.name, seat.child.pid, seat.stage
        self.loop.remove_reader(seat.child.channel)
        delay = note_death(seat, time.monotonic())
        if was_stage is Stage.DRAINING:
            self._retire_gone()
        elif generation is self.next:
            self._abandon_next(f"{name} {children.describe_end(status)}")
        elif not self.is_ending or not self._is_draining():
            self.sites.count("fastdns_server_worker_restarts_total")
            logger.error("%s (process %d) %s; another takes its place", name, pid, children.describe_end(status))
            if seat.short_lives >= HOPELESS and not any(one.has_served for one in generation.seats):
                logger.critical("no worker can start")
                self.stop(1)
            self.loop.call_later(delay, lambda: self._start_worker(generation, seat, is_first=False))

    def _on_companion_death(self, beside: companion.Companion, status: int) -> None:
        beside.note_death(status)
        if not self.is_ending:
            self.loop.call_later(TICK, lambda: None if self.is_ending else beside.spawn())

    def _is_draining(self) -> bool:
        return any(seat.stage is Stage.DRAINING for seat in self.current.seats)

    # --- control --------------------------------------------------------------------------------------------------

    def _start_control(self) -> None:
        if self.is_ending:
            return
        setup = control.Setup(
            config=self.current.config,
            generation=self.current.number,
            source=self.options.source,
            state_dir=self.options.state_dir,
            output=self.options.worker,
        )
        child = children.spawn("control", lambda channel: control.main(setup, channel))
        self.control, self.control_silence = child, 0
        self.loop.add_reader(child.channel, self._on_control, child)
        for seat in self.current.seats:
            self.current.connect(seat, child, is_fresh=False)
        self._abandon_next("control was restarted")
        if self._is_reload_owed:
            self._is_reload_owed = False
            self._tell_control(Kind.RELOAD)

    def _on_control_death(self, status: int) -> None:
        assert self.control is not None
        if self.is_ending:
            self.loop.remove_reader(self.control.channel)
            self.control = None
            return
        end = children.describe_end(status)
        logger.error("control (process %d) %s; another takes its place", self.control.pid, end)
        self.loop.remove_reader(self.control.channel)
        self.control.channel.close()
        self.control = None
        self.sites.count("fastdns_server_control_restarts_total")
        delay = CONTROL_DELAYS[min(self.control_deaths, len(CONTROL_DELAYS) - 1)]
        self.control_deaths += 1
        self.loop.call_later(delay, self._start_control)

    def _on_control(self, child: children.Child) -> None:
        for message in self._receive(child):
            self.control_silence = 0
            if message.kind is Kind.CONFIG:
                self._prepare(message)
            elif message.kind is Kind.STATUS:
                self.sites.set_unready(message.payload.decode())
            elif message.kind is Kind.RELOAD_FAILED:
                self.sites.count("coredns_reload_failed_total")
            elif message.kind is Kind.RECONNECT:
                self._reconnect(*struct.unpack(">II", message.payload))
            elif message.kind is Kind.FATAL and not self.sites.was_synced:
                self._give_up(message)
            elif message.kind is Kind.TREE:
                self.sites.take_tree(frames.take_octets(message.fds[0]))
            elif message.kind is Kind.METRICS:
                self.sites.take_report(frames.take_octets(message.fds[0]))

    def _reconnect(self, number: int, index: int) -> None:
        if number == self.current.number and self.control is not None:
            self.current.connect(self.current.seats[index], self.control, is_fresh=False)

    def _tell_control(self, kind: Kind, payload: bytes = b"") -> None:
        if self.control is not None and not self.control.channel.send(kind, payload):
            self.control.kill()

    # --- reload ---------------------------------------------------------------------------------------------------

    def _on_reload(self) -> None:
        logger.info("SIGUSR1: Reloading")
        self._is_reload_owed = self.control is None  # the next one is told
        self._tell_control(Kind.RELOAD)

    def _on_hangup(self) -> None:
        """As dnsmasq: the caches are emptied, files of names read again; servers too, if a file of them has changed."""
        self.current.reread()
        self._tell_control(Kind.RELOAD, b"if changed")

    def _reopen_log(self) -> None:
        """As dnsmasq, after the file was moved away: every process writes to the file that has its name now."""
        if not self.options.log_file:
            return
        try:
            fd = output.open_file(self.options.log_file)
        except OSError as error:
            logger.error("cannot open log %s: %s", self.options.log_file, error.strerror)
            return
        for child in self.processes():
            child.channel.send(Kind.REOPEN, fds=(fd,))
        output.reopen(fd)

    def _tell_statistics(self) -> None:
        counts = statistics.count(self.current.config, self.current.layout, self.current.counters())
        for line in statistics.describe_for_log(counts, unix_time=int(time.time())):
            logger.info("%s", line)

    def _prepare(self, message: frames.Message) -> None:
        """Start workers for a new configuration; the present ones go on answering until all of these do."""
        (number,) = struct.unpack(">I", message.payload)
        config = pickle.loads(frames.take_octets(message.fds[0]))
        if self.next is not None or self.is_ending:
            self._reject(number, "another reload is under way")
            return
        try:
            self.bound |= bind_missing(find_listeners(config), self.bound, self.options.workers)
            self.sites.prepare(config)
        except errors.ListenError as error:
            self._reject(number, str(error))
            return
        previous = self.current.config if self.options.keeps_cache else None
        self.next = self._make_generation(number, config, previous)
        for seat in self.next.seats:
            self._start_worker(self.next, seat, is_first=False)
        self._later("adoption", ADOPTION_TIMEOUT, lambda: self._abandon_next("its workers did not start in time"))

    def _adopt_next(self) -> None:
        """The present workers stop reading, the new ones begin: nobody gets an old answer after a new one."""
        assert self.next is not None
        self._cancel("adoption")
        self.retiring.append(self.current)
        self.current, self.next = self.next, None
        self.sites.adopt(self.current.config)
        retired = self.retiring[-1]
        retired.drain(wait=False, bequeath=self.options.keeps_cache)
        self.current.serve()
        self.loop.call_later(DRAIN_TIMEOUT, lambda: self._kill_all(retired))
        self._tell_control(Kind.ADOPTED, struct.pack(">I", self.current.number))

    def _abandon_next(self, reason: str) -> None:
        if self.next is None:
            return
        self._cancel("adoption")
        abandoned, self.next = self.next, None
        self.retiring.append(abandoned)
        for seat in abandoned.seats:
            seat.stage = Stage.DRAINING
        self._kill_all(abandoned)
        self.sites.abandon()
        self._reject(abandoned.number, reason)
        self._retire_gone()

    def _reject(self, number: int, reason: str) -> None:
        self._close_unused()
        self.sites.count("coredns_reload_failed_total")
        self._tell_control(Kind.REJECTED, struct.pack(">I", number) + reason.encode())

    def _kill_all(self, generation: Generation) -> None:
        for child in generation.living():
            child.kill()

    def _retire_gone(self) -> None:
        """Keep the counters of generations whose last worker has left, and forget the rest."""
        for generation in [one for one in self.retiring if one.is_gone]:
            self.retiring.remove(generation)
            self.sites.keep_counters(generation)
        self._close_unused()

    def _close_unused(self) -> None:
        used = {listener for generation in self._generations() for listener in find_listeners(generation.config)}
        for listener in [one for one in self.bound if one not in used]:
            self.bound.pop(listener).close()

    # --- time -----------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        lag = max(0.0, self.loop.time() - self._tick_due)
        self.sites.observe_health(lag)
        self._tick_due = self.loop.time() + TICK
        self.loop.call_at(self._tick_due, self._tick)
        for generation in self._generations():
            for seat in generation.find_stalled():
                if seat.child is not None and not seat.child.is_killed:
                    logger.error("%s (process %d) makes no progress", seat.child.name, seat.child.pid)
                    seat.child.kill()
        self.control_silence += 1
        if self.control is not None and self.control_silence > CONTROL_SILENCE:
            self.control.kill()

    def _later(self, name: str, delay: float, action: Callable[[], None]) -> None:
        self._waiting[name] = self.loop.call_later(delay, action)

    def _cancel(self, name: str) -> None:
        handle = self._waiting.pop(name, None)
        if handle is not None:
            handle.cancel()


def format_seconds(seconds: float) -> str:
    """As Go prints a duration of whole or broken seconds."""
    return f"{seconds:g}s"
