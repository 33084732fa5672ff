"""The slow path of a worker: queries that the engine hands to Python, and our own look-ups.

Whatever happens here, the asker is answered exactly once: a step that fails answers SERVFAIL.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import secrets
import struct
import typing
from collections.abc import Coroutine

from fastdns import _counters, _engine
from fastdns._answer import Reason
from fastdns._counters import WorkerSlot
from fastdns.config import filters, local, model, rewriting, templates
from fastdns.dns import constants, records
from fastdns.server import chase, metrics, questions, rewrite, skydns, statistics, template, whoami
from fastdns.server import filters as filtering

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
        return answer if isinstance(answer, bytes) else await self._wait(answer, depth)

    async def ask_behind(self, query: _engine.Slow, wire: bytes) -> bytes:
        """Ask the steps behind a query's another question; empty if no answer came."""
        answer = self._engine.ask_behind(query.token, wire)
        return answer if isinstance(answer, bytes) else await self._wait(answer, self._depths.get(query.token, 0))

    async def _wait(self, answer: int, depth: int) -> bytes:
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
            case rewriting.Rewrite():
                self._take_rewrite(query, step.plugin)
            case filters.Local():
                if filtering.is_localhost(questions.read_question(query.wire).name):
                    self._count(query, step.plugin, metrics.LOCALHOST)
                self._engine.reply(query.token, filtering.answer_local(query))
            case filters.Dns64():
                if filtering.wants_translation(step.plugin, query):
                    self.start(self._guard(query, self._translate(query, step.plugin)))
                else:
                    self._engine.resume(query.token, query.step + 1)
            case filters.Any():
                self._engine.reply(query.token, filtering.answer_any(query))
            case filters.Acl():
                self._take_acl(query, step.plugin)
            case filters.Chaos():
                answer = filtering.answer_chaos(step.plugin, query)
                if answer is None:
                    self._engine.reply_rcode(query.token, constants.Rcode.REFUSED)
                else:
                    self._engine.reply(query.token, answer)
            case filters.Minimal():
                self.start(self._guard(query, self._shorten(query)))
            case filters.Header():
                self.start(self._guard(query, self._change_flags(query, step.plugin)))
            case templates.Template():
                self.start(self._guard(query, self._fill_template(query, step.plugin)))
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

    def _take_acl(self, query: _engine.Slow, plugin: filters.Acl) -> None:
        action, zone = filtering.decide(plugin, query)
        server = self._server_of(query)
        if action == "allow":
            self._count(query, plugin, metrics.ACL_ALLOWED, server, "")
            self._engine.resume(query.token, query.step + 1)
        else:
            self._count(query, plugin, metrics.ACL_COUNTS[action], server, zone, "")
            wire, options = filtering.refuse(action, query)
            self._engine.reply(query.token, wire, options=options)

    async def _translate(self, query: _engine.Slow, plugin: filters.Dns64) -> None:
        """A question for AAAA; where there is none, for A, from the whole server."""
        found = await self.ask_behind(query, query.wire)
        if not found:
            self._engine.reply(query.token, b"")
            return
        message = records.read_message(found)
        if filtering.needs_translation(plugin, message):
            question = questions.read_question(query.wire)
            other = await self._look_up_for(query)(question.qname, constants.Type.A)
            if not other:
                self._engine.reply_rcode(query.token, SERVFAIL)
                return
            server = self._server_of(query)
            self._count(query, plugin, metrics.TRANSLATED, server)
            message = filtering.translate(plugin, message, records.read_message(other))
        self._engine.reply(query.token, records.write_message(message))

    async def _shorten(self, query: _engine.Slow) -> None:
        found = await self.ask_behind(query, query.wire)
        wire = records.write_message(filtering.shorten(records.read_message(found))) if found else b""
        self._engine.reply(query.token, wire)

    async def _change_flags(self, query: _engine.Slow, plugin: filters.Header) -> None:
        found = await self.ask_behind(query, filtering.change_query(query.wire, plugin.query))
        if not found:
            self._engine.reply(query.token, b"")
            return
        message = records.read_message(found)
        flags = filtering.change_flags(message.flags, plugin.response)
        wire = records.write_message(dataclasses.replace(message, flags=flags))
        self._engine.reply(query.token, wire, keep_rd=True)

    def _take_rewrite(self, query: _engine.Slow, plugin: rewriting.Rewrite) -> None:
        rewritten = rewrite.rewrite_question(plugin, questions.read_question(query.wire))
        if rewritten is None:
            self._engine.resume(query.token, query.step + 1)
        else:
            self.start(self._guard(query, self._rewrite(query, rewritten)))

    async def _rewrite(self, query: _engine.Slow, rewritten: rewrite.Rewritten) -> None:
        """Ask for something else, and answer as if that had not been."""
        question = questions.read_question(query.wire)
        try:
            other = rewrite.make_query(query.wire, question, rewritten)
        except ValueError:  # no name any more
            self._worker.duties.tell_failure(query, f"invalid name after rewrite: {rewritten.name}")
            self._engine.reply_rcode(query.token, SERVFAIL)
            return
        if rewritten.qclass != constants.Class.IN:
            self._engine.reply_rcode(query.token, constants.Rcode.REFUSED)
            return
        found = await self.ask_behind(query, other)
        if found:
            answer = await rewrite.rewrite_answer(
                records.read_message(found), rewritten, question, self._look_up_for(query)
            )
            self._engine.reply(query.token, records.write_message(answer))
        else:
            self._engine.reply(query.token, b"")

    async def _fill_template(self, query: _engine.Slow, plugin: templates.Template) -> None:
        """An answer that is made of the question; the block's cache, if it stands before, keeps and bounds it."""
        try:
            answer = await template.answer_query(plugin, query, self._look_up_for(query))
        except template.Failure:
            self._engine.reply_rcode(query.token, SERVFAIL)
            return
        except ValueError as error:
            self._worker.duties.tell_failure(query, str(error))
            self._engine.reply_rcode(query.token, SERVFAIL)
            return
        if answer is None:
            self._engine.resume(query.token, query.step + 1)
            return
        wire = records.write_message(answer.message)
        if not (self._is_cached(query) and not answer.options and self._engine.reply_upstream(query.token, wire)):
            self._engine.reply(query.token, wire, options=answer.options)

    def _is_cached(self, query: _engine.Slow) -> bool:
        plugins = self._worker.setup.config.blocks[self._block_of(query)].plugins
        return any(isinstance(plugin, model.Cache) for plugin in plugins)

    def _block_of(self, query: _engine.Slow) -> int:
        """Of the configuration; the engine has one for each of its listeners."""
        return self._worker.program.blocks[query.block].block

    def _server_of(self, query: _engine.Slow) -> str:
        """The server that a query's plugins are counted for: that of the first zone of their Corefile block."""
        config = self._worker.setup.config
        owner = metrics.key_of(config, self._block_of(query), 0).owner
        return metrics.name_server(config.blocks[owner].listeners[0])

    def _count(self, query: _engine.Slow, plugin: model.Plugin, family: str, *labels: str) -> None:
        config, block = self._worker.setup.config, self._block_of(query)
        position = config.blocks[block].plugins.index(plugin)
        place = self._worker.program.counts[metrics.key_of(config, block, position)]
        self._worker.counters.add(place.slot_of(family, *labels))

    def _look_up_for(self, query: _engine.Slow) -> questions.LookUp:
        """How the plugin that has a query asks the whole server for another name; of a chain that is too long, nothing."""
        depth = self._depths.get(query.token, 0) + 1

        async def look_up(qname: bytes, qtype: int) -> bytes:
            return await self.look_up(qname, qtype, query.block, depth=depth) if depth <= CHASE_DEPTH else b""

        return look_up

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
        answer, target, stays_ours = found
        depth = self._depths.get(query.token, 0) + 1
        if depth <= CHASE_DEPTH:
            qtype = questions.read_question(query.wire).qtype
            end = await self.look_up(target, qtype, query.block, depth=depth)
            answer = chase.append_answer(answer, end, keeps_flags=stays_ours)
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
