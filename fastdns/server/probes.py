"""A probe of sidecar: one name asked of one server again and again; what came of it last, and how it went in all."""

from __future__ import annotations

import asyncio
import bisect
import dataclasses
import json
import logging
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from fastdns import errors
from fastdns.config import sidecar
from fastdns.dns import constants, messages
from fastdns.forward import dial
from fastdns.server import pages

logger = logging.getLogger(__name__)

BOUNDS_MS = tuple(0.25 * 2**power for power in range(16))  # to 8 seconds
JSON = "application/json"
DETAIL = 17  # of logging: what klog says at -v=3, below INFO by that number

Ask = Callable[[str, str, constants.Type], Awaitable[tuple[messages.Reply, float]]]
Sleep = Callable[[float], Awaitable[None]]


@dataclasses.dataclass(slots=True)
class Latencies:
    """A histogram in milliseconds: `buckets` are not cumulative, the last is for all above BOUNDS_MS."""

    buckets: list[int] = dataclasses.field(default_factory=lambda: [0] * (len(BOUNDS_MS) + 1))
    sum: float = 0.0

    def observe(self, milliseconds: float) -> None:
        self.buckets[bisect.bisect_left(BOUNDS_MS, milliseconds)] += 1
        self.sum += milliseconds


class Probe:
    """Success is a reply with any answer record, whatever its rcode and type, as sidecar has it."""

    def __init__(
        self,
        options: sidecar.Probe,
        *,
        ask: Ask = dial.ask,
        sleep: Sleep = asyncio.sleep,
        random_number: Callable[[], float] = random.random,
    ) -> None:
        self.options = options
        self.error = "waiting for first probe"
        self.latency = 0.0  # seconds
        self.errors = 0
        self.latencies = Latencies()
        self._ask = ask
        self._sleep = sleep
        self._random_number = random_number

    async def run(self) -> None:
        """Probe for ever: first after a part of the interval, so that not all probes are sent at one moment."""
        await self._sleep(self._random_number() * self.options.interval)
        while True:
            latency = await self.probe()
            await self._sleep(max(0.0, self.options.interval - latency))

    async def probe(self) -> float:
        """Ask once and remember what came of it; how long it took."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            reply, latency = await self._ask(self.options.server, self.options.name, self.options.qtype)
            if not reply.answers:
                raise errors.UpstreamError(f'no RRs for domain "{self.options.name}"')
        except errors.UpstreamError as error:
            logger.log(DETAIL, "DNS resolution error for %s: %s", self.options.label, error)
            self.error, self.latency = str(error), 0.0
            self.errors += 1
            return loop.time() - started
        self.error, self.latency = "", latency
        self.latencies.observe(latency * 1000)
        return latency

    async def page(self) -> pages.Answer:
        """Tell the state as /healthcheck/LABEL does."""
        state = {"IsOk": not self.error, "LatencySeconds": self.latency or 0, "Err": self.error}
        body = json.dumps(state, separators=(",", ":"), ensure_ascii=False).encode()
        return pages.Answer(503 if self.error else 200, body, JSON)

    def tell(self, namespace: str) -> Iterator[dict[str, Any]]:
        """Give the metric families, as families.Totals.add_foreign takes them. `namespace` ends in `_`, or is empty."""
        label = self.options.label
        histogram = {"buckets": list(self.latencies.buckets), "sum": self.latencies.sum}
        yield {
            "name": f"{namespace}probe_{label}_latency_ms",
            "kind": "histogram",
            "help": f"Latency of the DNS probe request {label}",
            "labels": (),
            "bounds": BOUNDS_MS,
            "series": [((), histogram)],
        }
        yield {
            "name": f"{namespace}probe_{label}_errors",
            "kind": "counter",
            "help": f"Count of errors in name resolution of {label}",
            "labels": (),
            "bounds": (),
            "series": [((), self.errors)],
        }
