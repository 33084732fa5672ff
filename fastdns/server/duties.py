"""What a worker does beside answering: hosts files, the query log, failures, upstreams that Python asks, the loop probe."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import secrets
import socket
import time
import typing
from collections.abc import Callable, Iterable

from fastdns import _engine, errors
from fastdns._counters import WorkerSlot
from fastdns._exchange import Failure
from fastdns.config import local, model
from fastdns.dns import names
from fastdns.forward import counts as group_counts
from fastdns.forward import exchange
from fastdns.server import compile as compiler
from fastdns.server import failures, hosts, localnames, memory, metrics, querylines, querylog, questions, weights

if typing.TYPE_CHECKING:
    from fastdns.server import worker

logger = logging.getLogger(__name__)
query_logger = logging.getLogger("fastdns.query")

SERVFAIL = 2
EDE_NETWORK = 23
HINFO, TXT = 13, 16
FOLDER_LOOK = 1.0  # seconds between looks into folders of hosts files
PROBE_ATTEMPTS = 30
PROBE_TIMEOUT = 2.0
PROBE_PAUSE = 1.0
LOOP_CHECK = PROBE_ATTEMPTS * PROBE_PAUSE + 5  # seconds from the start in which probes are looked for


class Duties:
    def __init__(self, owner: worker.Worker) -> None:
        self._worker = owner
        self._program = owner.program
        self._engine = owner.engine
        self._started = time.monotonic()
        self._memory = memory.Memory()
        self._is_memory_short = False
        self._sources = [(table, hosts.HostsSource(table.plugin)) for table in self._program.hosts.values()]
        self._names = {table: localnames.NamesSource(plugin) for table, plugin in self._program.names.items()}
        self.queries = querylines.QueryLines(self._program)
        self._loop_probes: dict[str, model.Upstream] = {}  # our questions for loops
        self._timers: list[asyncio.TimerHandle] = []
        self._forwarders: dict[int, exchange.Forwarder] = {}
        self._logs: dict[int, tuple[model.LogRule, ...]] = {}
        self._failures: dict[int, failures.FailureLog] = {}
        # kube-dns says nothing where no upstream does
        self._is_silent = any(
            isinstance(one, model.SkyDns) for block in owner.setup.config.blocks for one in block.plugins
        )
        for number, place in enumerate(self._program.blocks):
            self._prepare_block(number, place)

    def _prepare_block(self, number: int, place: metrics.BlockPlace) -> None:
        for plugin in self._worker.setup.config.blocks[place.block].plugins:
            if isinstance(plugin, model.Log):
                self._logs[number] = plugin.rules
            elif isinstance(plugin, model.Errors):
                self._failures[number] = failures.FailureLog(plugin, self._worker.loop.call_later)

    # --- life -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Before the first query: whatever it needs is there."""
        for table, source in self._sources:
            self._fill(table.table, source.start())
            self._show_hosts(table, source)
            if table.plugin.reload:
                self._repeat(table.plugin.reload, functools.partial(self._refresh, table, source))
        for number, held in self._names.items():
            self._fill(number, held.start())
            self._repeat(FOLDER_LOOK, functools.partial(self._look_into_folders, number, held))
        for weighted in self._program.weighted.values():
            weight_file = weights.WeightSource(weighted, is_talkative=self._worker.setup.index == 0)
            weight_file.start()
            if weight_file.reload:
                self._repeat(weight_file.reload, weight_file.refresh)
        for group, forward in enumerate(self._program.forwards):
            self._forwarders[group] = self._make_forwarder(group, forward)
        self._watch_memory()

    def _fill(self, table: int, found: Iterable[bytes]) -> None:
        """Apply what a table begins with. A long file takes seconds, in which the supervisor must see progress."""
        for delta in found:
            self._engine.apply(table, delta)
            self._worker.counters.add(WorkerSlot.WORKER_HEARTBEAT)

    def on_serving(self) -> None:
        if self._worker.setup.index == 0:
            for block in self._worker.setup.probes:
                self._worker.slow.start(self._probe_loop(block))
        if any(isinstance(step.plugin, local.LoopDetect) for step in self._program.steps.values()):
            self._detect_loops()

    async def stop(self) -> None:
        """Nothing is begun any more; what forwarders ask is given up, and their connections are closed."""
        for timer in self._timers:
            timer.cancel()
        for forwarder in self._forwarders.values():
            await forwarder.close()
        for log in self._failures.values():
            log.close()

    def on_beat(self) -> None:
        """Once a second."""
        dropped = self._worker.lines.dropped + self._engine.dropped_notes()
        self._worker.counters.set(WorkerSlot.WORKER_LOG_DROPPED, dropped)
        self._worker.lines.flush()
        self._watch_memory()

    def _watch_memory(self) -> None:
        """Hold or cut caches while the container nears its limit: an answer less in a cache is better than a process less.

        Until the next look they may take a quarter of what is left, since what they hold answers in grows with them: at any
        rate of new names the limit isn't reached in between.
        """
        use = self._memory.use()
        if use.share > memory.HIGH:
            self._engine.shrink_caches()
            if not self._is_memory_short:
                logger.warning("%.0f%% of the container's memory is used: caches are cut", 100 * use.share)
            self._is_memory_short = True
        else:
            self._engine.grow_caches(use.room // (4 * max(1, len(self._worker.setup.siblings))))
            self._is_memory_short = self._is_memory_short and not use.room

    def check_upstreams(self) -> None:
        """Have those checked that have failed: after each turn in which one may have, as CoreDNS does at once."""
        for group, upstream in self._engine.failing_upstreams():
            self._forwarders[group].health.on_failure(upstream)

    def _repeat(self, seconds: float, action: Callable[[], None]) -> None:
        def turn() -> None:
            self._timers[place] = self._worker.loop.call_later(seconds, turn)
            action()

        place = len(self._timers)
        self._timers.append(self._worker.loop.call_later(seconds, turn))

    # --- hosts --------------------------------------------------------------------------------------------------------

    def _refresh(self, table: compiler.HostsTable, source: hosts.HostsSource) -> None:
        if source.is_changed():
            self._worker.slow.start(self._take_hosts(table, source))

    async def _take_hosts(self, table: compiler.HostsTable, source: hosts.HostsSource) -> None:
        """Read a file, which may be large, in a thread; apply it in steps. Queries are answered meanwhile."""
        for delta in await asyncio.to_thread(lambda: list(source.refresh())):
            self._engine.apply(table.table, delta)
            await asyncio.sleep(0)
        self._show_hosts(table, source)

    def _show_hosts(self, table: compiler.HostsTable, source: hosts.HostsSource) -> None:
        counters = self._worker.counters
        counters.set(table.first_slot + metrics.HOSTS_ENTRIES, source.entries)
        counters.set(table.first_slot + metrics.HOSTS_RELOADED, source.modified_ns // 1_000_000)

    # --- names of our own -----------------------------------------------------------------------------------------------

    def reread(self) -> None:
        """Forget what is cached, and read every file of names again."""
        self._engine.forget_cached()
        for number, held in self._names.items():
            self._worker.slow.start(self._take_names(number, held))

    def _look_into_folders(self, number: int, held: localnames.NamesSource) -> None:
        if held.has_changed():
            self._worker.slow.start(self._take_names(number, held))

    async def _take_names(self, number: int, held: localnames.NamesSource) -> None:
        for delta in await asyncio.to_thread(lambda: list(held.reload())):
            self._engine.apply(number, delta)
            await asyncio.sleep(0)
        self._engine.forget_cached()  # a name that is known now may have been denied

    # --- records of the engine ------------------------------------------------------------------------------------------

    def take_records(self) -> None:
        if self.queries.is_on:
            self.queries.tell_answers()
        elif self._logs:
            self._write_queries()
        if self._failures:
            self._write_failures()

    def _write_queries(self) -> None:
        as_json = self._worker.setup.options.as_json
        for record in self._engine.log_records():
            answered = querylog.read_record(record, bound=self._worker.program.blocks[record[0]].listener.address)
            line = querylog.format_line(self._logs[record[0]], answered)
            if line is not None and as_json:
                query_logger.info("%s", line, extra={"fields": querylog.json_fields(answered)})
            elif line is not None:
                self._worker.lines.write_line(f"[INFO] {line}")
        self._worker.lines.flush()

    def _write_failures(self) -> None:
        for block, rcode, query, failure, group, upstream, _ in self._engine.error_records():
            question = questions.read_question(query)
            if failure == Failure.FAILED_NO_PLUGIN:
                message = f"plugin/{self._program.blocks[block].last_plugin}: no next plugin found"
            else:
                message = self._describe(failure, group, upstream)
            self._failures[block].tell(rcode, question.name, questions.name_type(question.qtype), message)

    def _describe(self, failure: int, group: int, upstream: int) -> str:
        """As Go's network errors read, which patterns of `consolidate` are made for."""
        place = self._program.upstream_slots[group] if group < len(self._program.upstream_slots) else None
        to = place.upstreams[upstream] if place is not None and upstream < len(place.upstreams) else "upstream"
        match failure:
            case Failure.FAILED_TIMEOUT:
                return f"read udp {to}: i/o timeout"
            case Failure.FAILED_NETWORK:
                return f"read udp {to}: read: connection refused"
            case Failure.FAILED_MALFORMED:
                return f"{to}: malformed reply"
            case Failure.FAILED_BROKEN:
                return "no healthy proxies"
            case _:
                return "concurrent queries exceeded maximum"

    # --- upstreams that Python asks ---------------------------------------------------------------------------------------

    def _make_forwarder(self, group: int, forward: model.Forward) -> exchange.Forwarder:
        first = self._program.upstream_slots[group].first
        return exchange.Forwarder(
            forward,
            set_down=lambda upstream, is_down: self._engine.set_upstream_down(group, upstream, is_down),
            counts=group_counts.Counts(self._worker.counters, first),
        )

    async def forward(self, query: _engine.Slow) -> None:
        """A miss that goes upstream over TCP or TLS, or of a client on TCP."""
        group = self._program.steps[query.block, query.step].group
        try:
            reply = await self._forwarders[group].exchange(query.wire, is_stream=query.is_stream)
        except errors.UpstreamError as error:
            self.tell_failure(query, str(error), error.rcode)
            if self._is_silent:
                self._engine.reply(query.token, b"")
            else:
                self._engine.reply_rcode(query.token, error.rcode, EDE_NETWORK)
            return
        if not self._engine.reply_upstream(query.token, reply.wire):
            self._engine.reply_rcode(query.token, SERVFAIL, EDE_NETWORK)

    def tell_failure(self, query: _engine.Slow, message: str, rcode: int = SERVFAIL) -> None:
        """What plugin errors, if the block has it, logs of a query that Python could not answer."""
        log = self._failures.get(query.block)
        if log is not None:
            question = questions.read_question(query.wire)
            log.tell(rcode, question.name, questions.name_type(question.qtype), message)

    # --- plugin loop --------------------------------------------------------------------------------------------------------

    @property
    def is_loop_check_over(self) -> bool:
        return time.monotonic() - self._started > LOOP_CHECK

    async def _probe_loop(self, block: int) -> None:
        """Ask ourselves for a name of our own, again with another while no answer comes, as CoreDNS does."""
        served = self._worker.setup.config.blocks[block]
        zone = "" if served.zone == "." else served.zone
        for _ in range(PROBE_ATTEMPTS):
            name = f"{secrets.randbits(62)}.{self._worker.setup.probes[block]}.{zone}"
            query = questions.make_query(names.to_wire(name), HINFO, ident=secrets.randbits(16))
            if await exchange_datagram(query, served.listeners[0]):
                return
            await asyncio.sleep(PROBE_PAUSE)

    # --- dnsmasq's detection of loops -------------------------------------------------------------------------------------

    def _detect_loops(self) -> None:
        """Send each upstream a question of its own; who gets it back is told by take_loop_probe()."""
        for upstream in dict.fromkeys(one for forward in self._program.forwards for one in forward.upstreams):
            name = f"{secrets.randbits(32):08x}.test."
            self._loop_probes[name] = upstream
            query = questions.make_query(names.to_wire(name), TXT, ident=secrets.randbits(16))
            self._worker.slow.start(send_datagram(query, upstream))

    def take_loop_probe(self, name: str) -> bool:
        """True for a question of _detect_loops, which has come round: its upstream is not asked any more."""
        looping = self._loop_probes.get(name)
        if looping is None:
            return False
        logger.warning("NOT using nameserver %s#%d - query loop detected", looping.address, looping.port)
        for group, forward in enumerate(self._program.forwards):
            for index, upstream in enumerate(forward.upstreams):
                if upstream == looping:
                    self._engine.set_upstream_down(group, index, True)
        for key, spread in self._program.singles.items():
            for index, upstream in enumerate(self._program.forwards[self._program.groups[key]].upstreams):
                if upstream == looping:
                    self._engine.set_upstream_down(spread + index, 0, True)
        return True


async def send_datagram(query: bytes, upstream: model.Upstream) -> None:
    """Ask an upstream, and don't wait for what it says."""
    family = socket.AF_INET6 if ":" in upstream.address else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as one:
        one.setblocking(False)
        one.connect((upstream.address, upstream.port))
        await asyncio.get_running_loop().sock_sendall(one, query)


async def exchange_datagram(query: bytes, listener: model.Listener) -> bool:
    """Ask a listener of ours over UDP; True if an answer came."""
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in listener.address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        one.setblocking(False)
        try:
            one.connect((listener.address or "127.0.0.1", listener.port))
            async with asyncio.timeout(PROBE_TIMEOUT):
                await loop.sock_sendall(one, query)
                return len(await loop.sock_recv(one, 4096)) > 0
        except (OSError, TimeoutError):
            return False
