"""The slow path of a worker: queries that the engine hands to Python, and our own look-ups.

Whatever happens here, the asker is answered exactly once: a step that fails answers SERVFAIL.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import struct
import typing
from collections.abc import Coroutine

from fastdns import _counters, _engine
from fastdns._answer import Reason
from fastdns._counters import WorkerSlot
from fastdns.config import local, model
from fastdns.dns import constants
from fastdns.server import chase, metrics, questions, skydns, statistics, whoami

if typing.TYPE_CHECKING:
    from fastdns.server import compile as compiler
    from fastdns.server import worker

logger = logging.getLogger(__name__)

SERVFAIL = 2
QR, AA, RA = 0x8000, 0x0400, 0x0080
EDE_OTHER, EDE_NETWORK = 0, 23
CHASE_DEPTH = 8
LOOKUP_TIMEOUT = 5.0
SEEN_MAX = 64  # names of probes that are counted; there is one in 2 seconds


class SlowPath:
    def __init__(self, owner: worker.Worker) -> None:
        self._worker = owner
        self._engine = owner.engine
        self._tasks: set[asyncio.Task[None]] = set()
        self._lookups: dict[int, asyncio.Future[bytes]] = {}
        self._depths: dict[int, int] = {}  # of look-ups that a chase began, by token
        self._seen: dict[str, int] = {}
        self._skydns = make_skydns(owner.setup.config, owner.program, owner.counters)

    def take(self) -> None:
        """Begin what has come, and hand over what is done."""
        while True:
            begun = self._engine.slow_queries()
            done = self._engine.completed()
            if not begun and not done:
                return
            for query in begun:
                self._begin(query)
            for token, answer in done:
                self._complete(token, answer)

    def start(self, work: Coroutine[None, None, None]) -> None:
        """Run a coroutine that this worker owns."""
        task = self._worker.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)

    async def look_up(self, qname: bytes, qtype: int, block: int, *, depth: int) -> bytes:
        """Ask our own server block's listener, as any client would; empty if no answer came."""
        listener = self._worker.program.listeners[self._worker.program.blocks[block].listener]
        query = questions.make_query(qname, qtype, ident=secrets.randbits(16))
        answer = self._engine.ask(query, listener, is_stream=False, no_limit=True)
        if isinstance(answer, bytes):
            return answer
        waiting = self._lookups[answer] = self._worker.loop.create_future()
        self._depths[answer] = depth
        try:
            self._worker.settle()
            async with asyncio.timeout(LOOKUP_TIMEOUT):
                answer_late: bytes = await waiting
                return answer_late
        except TimeoutError:
            return b""
        finally:
            self._lookups.pop(answer, None)
            self._depths.pop(answer, None)

    # --- by the reason of a query -----------------------------------------------------------------------------------

    def _begin(self, query: _engine.Slow) -> None:
        try:
            if query.reason in (Reason.SLOW_RARE, Reason.SLOW_CHAOS):
                self.start(self._guard(query, self._ask_skydns(query)))
            elif query.reason == Reason.SLOW_CHASE:
                self.start(self._guard(query, self._chase(query)))
            elif query.reason == Reason.SLOW_STREAM_FORWARD:
                self.start(self._guard(query, self._worker.duties.forward(query)))
            else:
                self._take_step(query)
        except Exception:
            self._fail(query)

    def _take_step(self, query: _engine.Slow) -> None:
        step = self._worker.program.steps[query.block, query.step]
        match step.plugin:
            case model.Whoami():
                self._engine.reply(query.token, whoami.describe(query))
            case model.SkyDns():
                self.start(self._guard(query, self._ask_skydns(query)))
            case model.Loop():
                self._check_loop(query, step.block)
                self._engine.resume(query.token, query.step + 1)
            case local.Statistics():
                self._take_class(query, step.plugin)
            case local.NoWindows():
                self._take_windows(query)
            case local.LoopDetect():
                if not self._worker.duties.take_loop_probe(questions.read_question(query.wire).name):
                    self._engine.resume(query.token, query.step + 1)
                else:
                    self._engine.reply(query.token, b"")
            case local.QueryLog():
                self._worker.duties.queries.tell_query(query)
                self._engine.resume(query.token, query.step + 1)
                self._worker.duties.queries.tell_forwarding(query)
            case _:
                raise TypeError(f"no step of Python for {type(step.plugin).__name__}")

    def _take_class(self, query: _engine.Slow, plugin: local.Statistics) -> None:
        """Class CHAOS is answered here; others are forwarded, since nothing we hold is of them."""
        question = questions.read_question(query.wire)
        if question.qclass == constants.Class.CH:
            counts = self._worker.count_statistics()
            self._engine.reply(query.token, statistics.answer(query.wire, counts, is_told=plugin.is_told))
            return
        forwards = [
            step
            for (block, step), found in self._worker.program.steps.items()
            if block == query.block and isinstance(found.plugin, model.Forward)
        ]
        if forwards:
            self._engine.resume(query.token, min(forwards))
        else:
            self._engine.reply_rcode(query.token, constants.Rcode.REFUSED)

    def _take_windows(self, query: _engine.Slow) -> None:
        question = questions.read_question(query.wire)
        if question.qtype == constants.Type.ANY and b"_" not in question.qname:
            self._engine.resume(query.token, query.step + 1)
            return
        head = query.wire[:2] + struct.pack(">HHHHH", QR | AA | RA, 1, 0, 0, 0)
        self._engine.reply(query.token, head + query.wire[questions.HEADER_SIZE : question.size])

    async def _guard(self, query: _engine.Slow, work: Coroutine[None, None, None]) -> None:
        """Answer for a step that fails."""
        try:
            await work
        except Exception:
            self._fail(query)
        self._worker.settle()

    def _fail(self, query: _engine.Slow) -> None:
        self._worker.counters.add(WorkerSlot.WORKER_PANICS)
        logger.exception("a query failed in Python: %s", Reason(query.reason).name)
        with contextlib.suppress(KeyError):  # it was answered before the failure
            self._engine.reply_rcode(query.token, SERVFAIL, EDE_OTHER)

    async def _chase(self, query: _engine.Slow) -> None:
        """Follow a CNAME out of the cluster: its answer is appended, or the CNAME goes alone (as CoreDNS)."""
        found = self._engine.chain(query.token)
        if found is None:
            self._engine.reply_rcode(query.token, SERVFAIL)
            return
        answer, target = found
        depth = self._depths.get(query.token, 0) + 1
        if depth <= CHASE_DEPTH:
            qtype = questions.read_question(query.wire).qtype
            answer = chase.append_answer(answer, await self.look_up(target, qtype, query.block, depth=depth))
        self._engine.reply(query.token, answer)

    async def _ask_skydns(self, query: _engine.Slow) -> None:
        """One of kube-dns's rare answers."""
        assert self._skydns is not None

        async def look_up(qname: bytes, qtype: int) -> bytes:
            return await self.look_up(qname, qtype, query.block, depth=1)

        answer = await self._skydns.answer(query, look_up)
        if answer is None:
            self._engine.resume(query.token, query.step + 1)
        else:
            self._engine.reply(query.token, answer)

    # --- plugin loop --------------------------------------------------------------------------------------------------

    def _check_loop(self, query: _engine.Slow, block: int) -> None:
        """A probe of ours that comes a second time came round: somebody forwards to us what we forward.

        CoreDNS waits for the third time; but a question that is already asked upstream is not asked again here.
        """
        name = questions.read_question(query.wire).name
        mark = self._worker.setup.probes.get(block, "")
        if not mark or mark not in name.split(".")[1:2] or self._worker.duties.is_loop_check_over:
            return
        self._seen[name] = self._seen.get(name, 0) + 1
        if len(self._seen) > SEEN_MAX:
            self._seen.clear()
        if self._seen.get(name, 0) > 1:
            served = self._worker.setup.config.blocks[block]
            here = metrics.join_host(served.listeners[0].address, served.listeners[0].port)
            self._worker.end_server(
                f"plugin/loop: Loop ({metrics.join_host(*query.remote)} -> {here}) detected for zone "
                f'"{served.zone}", see https://coredns.io/plugins/loop#troubleshooting. Query: "HINFO {name}"'
            )

    # --- ends -----------------------------------------------------------------------------------------------------------

    def _complete(self, token: int, answer: bytes) -> None:
        waiting = self._lookups.get(token)
        if waiting is not None:
            if not waiting.done():
                waiting.set_result(answer)
        else:
            self._worker.tcp.complete(token, answer)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("a task of the worker failed", exc_info=task.exception())


def make_skydns(config: model.Config, program: compiler.Program, counters: _counters.Counters) -> skydns.SkyDns | None:
    """What answers kube-dns's rare questions, under its command line."""
    found = [one for block in config.blocks for one in block.plugins if isinstance(one, model.SkyDns)]
    if not found:
        return None
    engine, table = program.engine, 0  # kube-dns has one cluster
    return skydns.SkyDns(
        found[0],
        engine,
        table,
        serial=lambda: engine.table_stats(table)["serial"],
        version=lambda: (counters.get(WorkerSlot.WORKER_DELTAS), engine.table_stats(table)),
    )


def draw_probes(config: model.Config) -> dict[int, str]:
    """For each block with plugin loop the label that marks its probes: the same in all workers."""
    return {
        index: str(secrets.randbits(62))
        for index, block in enumerate(config.blocks)
        if any(isinstance(plugin, model.Loop) for plugin in block.plugins)
    }
