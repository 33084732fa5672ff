"""dnsmasq's own figures, which it answers as TXT records of class CHAOS, added up over its restarts."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Protocol

from fastdns import errors
from fastdns.config import values
from fastdns.dns import constants, messages
from fastdns.forward import dial

logger = logging.getLogger(__name__)

# As sidecar asks for them, in this order: (the name before .bind, the metric, its help).
FIGURES = (
    ("hits", "hits", "Number of DNS cache hits (from start of process)"),
    ("misses", "misses", "Number of DNS cache misses (from start of process)"),
    ("evictions", "evictions", "Counter of DNS cache evictions (from start of process)"),
    ("insertions", "insertions", "Counter of DNS cache insertions (from start of process)"),
    ("cachesize", "max_size", "Maximum size of the DNS cache"),
)
_NUMBER = re.compile(rb"[+-]?[0-9]{1,18}")


class Ask(Protocol):
    """What dial.ask is."""

    def __call__(
        self, server: str, name: str, qtype: constants.Type, *, qclass: constants.Class
    ) -> Awaitable[tuple[messages.Reply, float]]: ...


class Figures:
    """Counters that never fall: when dnsmasq's does, it began anew, and counting goes on from there."""

    def __init__(
        self,
        server: str,
        interval: float,
        *,
        ask: Ask = dial.ask,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.server = server
        self.interval = interval
        self.errors = 0
        self.counts = dict.fromkeys((metric for _name, metric, _help in FIGURES), 0)
        self._last = dict(self.counts)
        self._ask = ask
        self._sleep = sleep

    async def run(self) -> None:
        """Ask for ever, every `interval` seconds."""
        while True:
            await self.poll()
            await self._sleep(self.interval)

    async def poll(self) -> None:
        """Ask for all figures; with one missing none counts."""
        try:
            figures = {metric: await self._ask_figure(f"{name}.bind.") for name, metric, _help in FIGURES}
        except errors.UpstreamError as error:
            logger.warning("Error getting metrics from dnsmasq: %s", error)
            self.errors += 1
            return
        for metric, value in figures.items():
            self.counts[metric] += max(0, value - self._last[metric])
            self._last[metric] = max(0, value)

    async def _ask_figure(self, name: str) -> int:
        reply, _latency = await self._ask(self.server, name, constants.Type.TXT, qclass=constants.Class.CH)
        if reply.answers != 1:
            raise errors.UpstreamError(f"invalid number of Answer records for {name}: {reply.answers}")
        texts = reply.texts[0]
        if texts is None:
            raise errors.UpstreamError(f"missing TXT record for {name}")
        if len(texts) != 1:
            raise errors.UpstreamError(f"invalid number of TXT records for {name}: {len(texts)}")
        if not _NUMBER.fullmatch(texts[0]):
            shown = values.quote(texts[0].decode("ascii", "backslashreplace"))
            raise errors.UpstreamError(f"strconv.ParseInt: parsing {shown}: invalid syntax")
        return int(texts[0])

    def tell(self, namespace: str) -> Iterator[dict[str, Any]]:
        """Give the metric families, as families.Totals.add_foreign takes them. `namespace` ends in `_`, or is empty."""
        figures = [(metric, help, self.counts[metric]) for _name, metric, help in FIGURES]
        for metric, help, count in (
            *figures, ("errors", "Number of errors that have occurred getting metrics", self.errors)
        ):  # fmt: skip
            yield {
                "name": f"{namespace}dnsmasq_{metric}",
                "kind": "counter",
                "help": help,
                "labels": (),
                "bounds": (),
                "series": [((), count)],
            }
