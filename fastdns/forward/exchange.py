"""Questions that the compiled in-flight table can't ask: over TCP, TLS and HTTPS, and over UDP for clients on TCP.

In comes a client's query, out goes an upstream's reply, or UpstreamError with the rcode that the client is owed. The
loop over upstreams is CoreDNS's (plugin/forward/forward.go, ServeDNS); whether one is down is known to Health alone.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
import ssl
import time
from collections.abc import Callable

from fastdns import _stored, errors
from fastdns._message import ReplyStatus
from fastdns._packet import Rcode
from fastdns.config import model
from fastdns.forward import counts as group_counts
from fastdns.forward import health as group_health
from fastdns.forward import http1, https, policy, tcp, tls, udp
from fastdns.forward import question as questions

DEADLINE = 4.0  # seconds for a question as a whole: below a stub resolver's 5 (CoreDNS: 5)
DIAL_TIMEOUT = 2.0  # seconds
CUT_PATIENCE = 2.0  # seconds for a reply over TCP in the place of a truncated one
ALPN: dict[model.Protocol, tuple[str, ...]] = {model.Protocol.TLS: (), model.Protocol.HTTPS: ("http/1.1",)}
QUESTIONS_MAX = 4096  # on their way at once, where max_concurrent does not say less


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """An upstream's message, with an id that means nothing."""

    wire: bytes
    upstream: int

    @property
    def rcode(self) -> int:
        return questions.rcode_of(self.wire)

    @property
    def is_nodata(self) -> bool:
        """NOERROR without an answer, as `next_on_nodata` means it."""
        return self.rcode == Rcode.NOERROR and self.wire[6:8] == b"\0\0"


class Forwarder:
    """One forward plugin's way to its upstreams from Python. Must be closed; made and used inside of an event loop."""

    def __init__(
        self,
        forward: model.Forward,
        *,
        set_down: Callable[[int, bool], None],
        counts: group_counts.Counts | None = None,
        clock: Callable[[], float] = time.monotonic,
        generator: random.Random | None = None,
    ) -> None:
        """Raises OSError: a TLS file can't be used. `set_down` tells the compiled group what health checks found."""
        self._forward = forward
        self._clock = clock
        self._generator = generator or random.SystemRandom()
        self._counts = counts or group_counts.private_counts(len(forward.upstreams))
        self._policy = policy.Policy(forward.policy, count=len(forward.upstreams), generator=self._generator)
        self._contexts = {
            protocol: tls.make_context(forward.tls, alpn=ALPN[protocol])
            for protocol in {upstream.protocol for upstream in forward.upstreams} & ALPN.keys()
        }
        self._pools = [self._make_pool(at) for at in range(len(forward.upstreams))]
        self._asked: dict[tuple[questions.Question, bool], asyncio.Task[Reply]] = {}
        self.health = group_health.Health(
            forward, probe=self._probe, set_down=set_down, counts=self._counts, generator=self._generator
        )

    async def exchange(self, query: bytes, *, is_stream: bool) -> Reply:
        """The reply to a client's query; equal queries share one. Raises UpstreamError."""
        try:
            key = (questions.read_question(query), is_stream)
        except ValueError as error:
            raise errors.UpstreamError(f"proxy: invalid request: {error}", rcode=Rcode.FORMERR) from error
        task = self._asked.get(key)
        if task is not None:
            self._counts.coalesced()
        else:
            self._check_room()
            task = asyncio.create_task(self._ask(*key), name="forward")
            self._asked[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(task)

    def wants_next(self, reply: Reply) -> bool:
        """True if the next forward plugin of the block, if there is one, is to be asked instead."""
        return reply.rcode in self._forward.next or (self._forward.next_on_nodata and reply.is_nodata)

    async def close(self) -> None:
        """Questions on their way are cancelled, connections closed."""
        await self.health.close()
        tasks = list(self._asked.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for pool in self._pools:
            await pool.close()

    # --- one question

    def _check_room(self) -> None:
        limit = min(self._forward.max_concurrent or QUESTIONS_MAX, QUESTIONS_MAX)
        if len(self._asked) >= limit:
            self._counts.rejected()
            raise errors.UpstreamError(f"concurrent queries exceeded maximum {limit}", rcode=Rcode.REFUSED)

    def _forget(self, key: tuple[questions.Question, bool], done: asyncio.Task[Reply]) -> None:
        del self._asked[key]
        if not done.cancelled():
            done.exception()  # whoever asked may have gone; nobody else needs to hear of it

    async def _ask(self, question: questions.Question, is_stream: bool) -> Reply:
        forward = self._forward
        deadline = self._clock() + DEADLINE
        tries = policy.Tries(
            self._policy,
            max_attempts=forward.max_connect_attempts,
            is_down=self.health.is_down,
            failfast=forward.failfast_all_unhealthy_upstreams,
        )
        failure = errors.UpstreamError("no healthy proxies")
        failovers = 0
        while (left := deadline - self._clock()) > 0:
            upstream = tries.next_upstream()
            if tries.is_broken:
                self._counts.broken()
                tries.is_broken = False
            if upstream is None:
                break
            try:
                reply = await self._ask_in_time(upstream, question, is_stream=is_stream, left=left)
            except errors.UpstreamError as error:
                failure = error
                self.health.on_failure(upstream)
                if not tries.may_go_on():
                    break
                continue
            if reply.rcode in forward.failover:
                failovers += 1
                if failovers < len(forward.upstreams):
                    continue
            return reply
        raise failure

    async def _ask_in_time(self, upstream: int, question: questions.Question, *, is_stream: bool, left: float) -> Reply:
        """One try, with its handshakes and repetitions: never longer than what is left for the question."""
        try:
            async with asyncio.timeout(left):
                return await self._ask_upstream(upstream, question, is_stream=is_stream, left=left)
        except TimeoutError:
            name = questions.name_of(self._forward.upstreams[upstream])
            raise errors.UpstreamError(f"read {name}: i/o timeout") from None

    async def _ask_upstream(
        self, upstream: int, question: questions.Question, *, is_stream: bool, left: float
    ) -> Reply:
        """One try: with TCP after a truncated reply over `prefer_udp`, and without EDNS for a server that has none."""
        forward = self._forward
        is_plain = forward.upstreams[upstream].protocol is model.Protocol.DNS
        by_tcp = not is_plain or forward.force_tcp or (is_stream and not forward.prefer_udp)
        until = self._clock() + left
        with_edns = True
        cut = b""
        while True:
            asked_at = self._clock()
            try:
                wire = await self._send(upstream, question, by_tcp=by_tcp, with_edns=with_edns, left=until - asked_at)
            except errors.UpstreamError:
                if is_stream or not cut:
                    raise
                return Reply(cut, upstream)  # its client may ask over TCP itself
            self._counts.exchanged(upstream, rcode=questions.rcode_of(wire), seconds=self._clock() - asked_at)
            if with_edns and questions.rcode_of(wire) == Rcode.FORMERR and self._clock() < until:
                with_edns = False
            elif questions.is_truncated(wire) and not by_tcp and forward.prefer_udp and self._clock() < until:
                by_tcp, cut = True, wire
                until = min(until, self._clock() + CUT_PATIENCE)
            else:
                self._check(upstream, question, wire)
                return Reply(wire, upstream)

    async def _send(
        self, upstream: int, question: questions.Question, *, by_tcp: bool, with_edns: bool, left: float
    ) -> bytes:
        read_timeout = min(self._forward.read_timeout, left)
        if not by_tcp:
            self._counts.connection(upstream, is_reused=False, is_tcp=False)
            return await self._send_udp(upstream, question, with_edns=with_edns, timeout=read_timeout)
        pool = self._pools[upstream]
        for _ in range(tcp.CONNECTIONS_MAX + 1):
            try:
                return await pool.ask(
                    question, with_edns=with_edns, dial_timeout=min(DIAL_TIMEOUT, left), read_timeout=read_timeout
                )
            except tcp.ClosedEarly as error:
                closed = error
        raise closed

    async def _send_udp(self, upstream: int, question: questions.Question, *, with_edns: bool, timeout: float) -> bytes:
        place = self._forward.upstreams[upstream]
        try:
            async with asyncio.timeout(timeout):
                return await udp.ask_upstream(
                    question,
                    address=(place.address, place.port),
                    identifier=self._random_id(),
                    with_edns=with_edns,
                    source_address=self._forward.source_address,
                    mismatched=self._counts.mismatched,
                )
        except TimeoutError:
            raise errors.UpstreamError(f"read udp {questions.name_of(place)}: i/o timeout") from None

    def _check(self, upstream: int, question: questions.Question, wire: bytes) -> None:
        """Raise UpstreamError if the reply is broken."""
        read = _stored.normalise(wire, question.name, question.qtype, question.qclass)
        if read.status in (ReplyStatus.REPLY_MALFORMED, ReplyStatus.REPLY_MISMATCH):
            raise errors.UpstreamError(f"malformed reply from {questions.name_of(self._forward.upstreams[upstream])}")

    async def _probe(self, upstream: int, question: questions.Question) -> bytes:
        """A health check: over TLS, HTTPS or `force_tcp` as questions go, else over UDP, with no OPT as CoreDNS's."""
        timeout = group_health.CHECK_TIMEOUT
        if self._forward.force_tcp or self._forward.upstreams[upstream].protocol is not model.Protocol.DNS:
            return await self._send(upstream, question, by_tcp=True, with_edns=False, left=timeout)
        return await self._send_udp(upstream, question, with_edns=False, timeout=timeout)

    # --- connections

    def _make_pool(self, at: int) -> tcp.Pool | https.Pool:
        upstream = self._forward.upstreams[at]
        name = questions.name_of(upstream)

        def count_use(is_reused: bool) -> None:
            self._counts.connection(at, is_reused=is_reused)

        if upstream.protocol is model.Protocol.HTTPS:
            return https.Pool(
                lambda: self._dial_https(upstream),
                name=name,
                host=tls.authority(upstream, self._forward.tls),
                method=self._forward.doh_method,
                expire=self._forward.expire,
                max_age=self._forward.max_age,
                max_idle=self._forward.max_idle_conns,
                clock=self._clock,
                used=count_use,
                mismatched=self._counts.mismatched,
            )
        return tcp.Pool(
            lambda make: self._dial(upstream, make),
            name=name,
            expire=self._forward.expire,
            max_age=self._forward.max_age,
            max_idle=self._forward.max_idle_conns,
            clock=self._clock,
            random_id=self._random_id,
            used=count_use,
            mismatched=self._counts.mismatched,
        )

    async def _dial(self, upstream: model.Upstream, make: Callable[[], tcp.Connection]) -> tcp.Connection:
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                make,
                upstream.address,
                upstream.port,
                ssl=self._contexts.get(upstream.protocol),
                server_hostname=self._server_name(upstream),
                local_addr=self._local_address,
            )
        except ssl.SSLError as error:
            raise errors.UpstreamError(f"dial tcp {questions.name_of(upstream)}: {tls.describe(error)}") from error
        return connection

    async def _dial_https(self, upstream: model.Upstream) -> http1.Streams:
        return await asyncio.open_connection(
            upstream.address,
            upstream.port,
            limit=http1.HEAD_MAX,
            ssl=self._contexts[upstream.protocol],
            server_hostname=self._server_name(upstream),
            local_addr=self._local_address,
        )

    def _server_name(self, upstream: model.Upstream) -> str | None:
        return tls.server_name(upstream, self._forward.tls) if upstream.protocol in self._contexts else None

    @property
    def _local_address(self) -> tuple[str, int] | None:
        return (self._forward.source_address, 0) if self._forward.source_address else None

    def _random_id(self) -> int:
        return self._generator.getrandbits(16)
