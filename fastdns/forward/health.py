"""Health of the upstreams of one forward plugin: CoreDNS's plugin/pkg/proxy/health.go and plugin/pkg/up.

A check runs only after a query has failed, and then again and again until one succeeds. Each failed check counts; with
more than `max_fails` of them the upstream is down, in Python and in the compiled group alike, until a check succeeds.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from fastdns import errors
from fastdns._packet import Class, Flag, Type
from fastdns.config import model
from fastdns.forward import counts as group_counts
from fastdns.forward import question as questions

logger = logging.getLogger(__name__)

CHECK_TIMEOUT = 1.0  # seconds, as CoreDNS's
JITTER = 0.1  # of the interval, either way, so that workers and servers don't check in step

Probe = Callable[[int, questions.Question], Awaitable[bytes]]


class Health:
    """Which upstreams are down. `probe` asks one by its own protocol, and raises UpstreamError if that fails."""

    def __init__(
        self,
        forward: model.Forward,
        *,
        probe: Probe,
        set_down: Callable[[int, bool], None],
        counts: group_counts.Counts | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        generator: random.Random | None = None,
    ) -> None:
        self._forward = forward
        self._probe = probe
        self._set_down = set_down
        self._counts = counts or group_counts.private_counts(len(forward.upstreams))
        self._sleep = sleep
        self._generator = generator or random.SystemRandom()
        self._fails = [0] * len(forward.upstreams)
        self._checks: dict[int, asyncio.Task[None]] = {}
        self._question = check_question(forward.health_check)

    def is_down(self, upstream: int) -> bool:
        return 0 < self._forward.max_fails < self._fails[upstream]

    def on_failure(self, upstream: int) -> None:
        """A query has failed there: check it, unless that is being done already."""
        if self._forward.max_fails and upstream not in self._checks:
            self._checks[upstream] = asyncio.create_task(self._check(upstream), name=f"health check {upstream}")

    async def close(self) -> None:
        checks = list(self._checks.values())
        for check in checks:
            check.cancel()
        await asyncio.gather(*checks, return_exceptions=True)

    async def _check(self, upstream: int) -> None:
        try:
            while not await self._succeeds(upstream):
                self._note_fail(upstream)
                interval = self._forward.health_check.interval
                await self._sleep(interval * self._generator.uniform(1 - JITTER, 1 + JITTER))
            self._note_success(upstream)
        finally:
            del self._checks[upstream]

    async def _succeeds(self, upstream: int) -> bool:
        """Any reply will do, whatever its rcode."""
        try:
            async with asyncio.timeout(2 * CHECK_TIMEOUT):
                await self._probe(upstream, self._question)
        except (errors.UpstreamError, TimeoutError, OSError) as error:
            logger.debug("health check of %s failed: %s", questions.name_of(self._forward.upstreams[upstream]), error)
            return False
        return True

    def _note_fail(self, upstream: int) -> None:
        self._counts.check_failed(upstream)
        was_down = self.is_down(upstream)
        self._fails[upstream] += 1
        if self.is_down(upstream) and not was_down:
            logger.warning("upstream %s is down", questions.name_of(self._forward.upstreams[upstream]))
            self._set_down(upstream, True)

    def _note_success(self, upstream: int) -> None:
        was_down = self.is_down(upstream)
        self._fails[upstream] = 0
        if was_down:
            logger.info("upstream %s is up again", questions.name_of(self._forward.upstreams[upstream]))
            self._set_down(upstream, False)


def check_question(check: model.HealthCheck) -> questions.Question:
    """`DOMAIN IN NS`, with or without RD."""
    labels = [label.encode("ascii") for label in check.domain.lower().rstrip(".").split(".") if label]
    name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    flags = Flag.RD if check.recursion_desired else 0
    return questions.Question(name, Type.NS, Class.IN, flags, False)
