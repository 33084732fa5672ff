"""The supervisor's pages: what /health, /ready and /metrics say, and where they are through reloads."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from fastdns.config import model
from fastdns.server import children, families, frames, generation, pages

logger = logging.getLogger(__name__)

TREE_TIMEOUT = 10.0
REPORT_TIMEOUT = 0.5  # how long the metrics page waits for control's part
SLIM_BUCKETS = len(families.SLIM_BOUNDS) + 1


class Server(Protocol):
    """What the pages look at."""

    current: generation.Generation
    retiring: list[generation.Generation]
    control: children.Child | None

    @property
    def is_ending(self) -> bool: ...
    def processes(self) -> Iterator[children.Child]: ...


class Sites:
    def __init__(self, server: Server) -> None:
        self._server = server
        self._open: dict[pages.Place, pages.PageServer] = {}
        self._prepared: dict[pages.Place, list[socket.socket]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._unready = frozenset[str]()
        self._was_ready: set[str] = set()
        self._is_sticky = True
        self._own = families.Totals()  # counted by the supervisor itself
        self._retired = families.Totals()
        self._report: list[dict[str, Any]] = []
        self._report_came = asyncio.Event()
        self._tree: asyncio.Future[bytes] | None = None

    # --- where pages are --------------------------------------------------------------------------------------------

    async def start(self, config: model.Config) -> None:
        """Raises ListenError."""
        self.prepare(config)
        self._unready = frozenset(["kubernetes"]) if has_kubernetes(config) else frozenset()
        for server in self._install(config):
            await server.start()

    @property
    def was_synced(self) -> bool:
        """Whether the cluster was known once."""
        return "kubernetes" in self._was_ready

    def prepare(self, config: model.Config) -> None:
        """Bind what a configuration needs and isn't bound. Raises ListenError, with nothing newly bound left."""
        try:
            for place in pages.find_places(config):
                if place not in self._open:
                    self._prepared[place] = pages.bind_place(place)
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        for sockets in self._prepared.values():
            for one in sockets:
                one.close()
        self._prepared = {}

    def adopt(self, config: model.Config) -> None:
        for server in self._install(config):
            self._start_soon(server)
        self._open_waiting()

    def _start_soon(self, server: pages.PageServer) -> None:
        task = asyncio.get_running_loop().create_task(server.start())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _open_waiting(self) -> None:
        """Let clients connect where they had to wait for all to be ready."""
        if not self.find_unready():
            for place, server in self._open.items():
                if place.waits and not server.is_started:
                    self._start_soon(server)

    def _install(self, config: model.Config) -> list[pages.PageServer]:
        """Give every place its pages, close those that are not wanted any more; the new servers that are to be started."""
        known: dict[pages.Content, pages.Page] = {
            pages.Content.HEALTH: self._show_health,
            pages.Content.READY: self._show_ready,
            pages.Content.METRICS: self._show_metrics,
            pages.Content.READINESS: self._show_readiness,
            pages.Content.TREE: self._show_tree,
            pages.Content.KUBE_DNS_METRICS: self._show_kubedns_metrics,
        }
        places = pages.find_places(config)
        for place in [place for place in self._open if place not in places]:
            self._open.pop(place).close()
        tls = pages.find_tls(config)
        fresh = {
            place: server.with_tls(tls.get(place))
            for place, server in self._open.items()
            if server.tls != tls.get(place)
        }
        for place, sockets in self._prepared.items():
            fresh[place] = pages.PageServer(sockets, {}, tls=tls.get(place))
        self._prepared = {}
        self._open |= fresh
        for place, contents in places.items():
            self._open[place].pages = {path: known[content] for path, content in contents.items()}
        self._is_sticky = not any(
            isinstance(plugin, model.Ready) and plugin.monitor == "continuously" for plugin in walk(config)
        )
        return [server for place, server in fresh.items() if not place.waits]

    # --- what pages say -----------------------------------------------------------------------------------------------

    async def _show_health(self) -> pages.Answer:
        return pages.Answer(200, b"OK")

    async def _show_ready(self) -> pages.Answer:
        if self._server.is_ending:
            return pages.Answer(503, b"Shutting down")
        missing = self.find_unready()
        if not missing:
            return pages.Answer(200, b"OK")
        logger.info('plugin/ready: Plugins not ready: "%s"', ",".join(missing))
        return pages.Answer(503, ",".join(missing).encode())

    def find_unready(self) -> list[str]:
        """Plugins that can't answer yet. One that once could is not asked again, as `monitor` says."""
        self._note_serving()
        missing = set(self._unready)
        if self._is_sticky:
            missing -= self._was_ready
        if "server" not in self._was_ready:
            missing.add("server")
        return sorted(missing)

    def set_unready(self, names: str) -> None:
        """What control says: the names, comma between, of plugins that wait for their data."""
        self._unready = frozenset(name for name in names.split(",") if name)
        if "kubernetes" not in self._unready:
            self._was_ready.add("kubernetes")
        self.note_serving()

    def note_serving(self) -> None:
        """A worker has begun to serve."""
        self._note_serving()
        self._open_waiting()

    def _note_serving(self) -> None:
        """Workers that die later are replaced within the time of a probe: that is no reason to send clients elsewhere."""
        if self._server.current.is_serving:
            self._was_ready.add("server")

    async def _show_readiness(self) -> pages.Answer:
        if self._server.is_ending:
            return pages.Answer(503, b"shutting down\n")
        return pages.Answer(200, b"ok\n")

    async def _show_tree(self) -> pages.Answer:
        """Control's tree as JSON. Whoever asks while one is on its way gets the same: it is work to make."""
        if self._tree is None:
            control = self._server.control
            if control is None or not control.channel.send(frames.Kind.SHOW_TREE):
                return pages.Answer(503, b"not now\n")
            self._tree = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(TREE_TIMEOUT):
                return pages.Answer(200, await asyncio.shield(self._tree))
        except TimeoutError:
            self._tree = None
            return pages.Answer(503, b"not now\n")

    def take_tree(self, octets: bytes) -> None:
        """What control has answered."""
        waiting, self._tree = self._tree, None
        if waiting is not None and not waiting.done():
            waiting.set_result(octets)

    async def _show_kubedns_metrics(self) -> pages.Answer:
        from fastdns.server import exposition

        await self._ask_control()
        totals = self.sum_counters(ALWAYS_OURS)
        exposition.describe_interpreter(totals)
        named = [("supervisor", os.getpid()), *((child.name, child.pid) for child in self._server.processes())]
        exposition.describe_processes(named, totals)
        return pages.Answer(200, exposition.render_as_go(totals), exposition.CONTENT_TYPE)

    async def _show_metrics(self) -> pages.Answer:
        from fastdns.server import exposition  # its packages are loaded when first asked for

        await self._ask_control()
        totals = self.sum_counters(ALWAYS)
        totals.observe("coredns_health_request_duration_seconds", [0] * SLIM_BUCKETS, 0)
        config = self._server.current.config
        exposition.describe_build(totals)
        exposition.describe_config(config, totals)
        named = [("supervisor", os.getpid()), *((child.name, child.pid) for child in self._server.processes())]
        exposition.describe_processes(named, totals)
        return pages.Answer(200, exposition.render(totals), exposition.CONTENT_TYPE)

    def sum_counters(self, always: Iterable[str]) -> families.Totals:
        """Everything that is counted; the families of `always` are there even if they count nothing."""
        totals = families.Totals()
        for name in always:
            totals.add(name, 0)
        totals.merge(self._retired, gauges=False)
        totals.merge(self._own, gauges=True)
        for one in (*self._server.retiring, self._server.current):
            one.read_counters(totals)
        totals.add("fastdns_server_workers", sum(1 for _ in self._server.current.living()))
        totals.add_foreign(self._report)
        return totals

    # --- what is counted here -----------------------------------------------------------------------------------------

    def count(self, name: str) -> None:
        self._own.add(name, 1)

    def observe_health(self, seconds: float) -> None:
        """How long the event loop took to come round, once a second: what CoreDNS asks its own health page for."""
        bounds = families.SLIM_BOUNDS
        place = next((index for index, bound in enumerate(bounds) if seconds <= bound), len(bounds))
        buckets = [int(index == place) for index in range(SLIM_BUCKETS)]
        self._own.observe("coredns_health_request_duration_seconds", buckets, seconds)

    def keep_counters(self, gone: generation.Generation) -> None:
        gone.read_counters(self._retired)

    async def _ask_control(self) -> None:
        """Have control's figures renewed; those of before do if it is busy."""
        control = self._server.control
        if control is None or not control.channel.send(frames.Kind.REPORT):
            return
        self._report_came.clear()
        try:
            async with asyncio.timeout(REPORT_TIMEOUT):
                await self._report_came.wait()
        except TimeoutError:
            pass

    def take_report(self, octets: bytes) -> None:
        self._report = json.loads(octets)
        self._report_came.set()


ALWAYS_OURS = ("fastdns_server_worker_restarts_total", "fastdns_server_control_restarts_total")
ALWAYS = (
    "coredns_panics_total",
    "coredns_reload_failed_total",
    "coredns_forward_healthcheck_broken_total",
    "coredns_forward_max_concurrent_rejects_total",
    "coredns_health_request_failures_total",
    "coredns_hosts_reload_timestamp_seconds",
    *ALWAYS_OURS,
)


def walk(config: model.Config) -> Iterable[model.Plugin]:
    for block in config.blocks:
        yield from block.plugins


def has_kubernetes(config: model.Config) -> bool:
    return any(isinstance(plugin, model.Kubernetes) for plugin in walk(config))


def find_lameduck(config: model.Config) -> float:
    """Seconds for which it is answered on after the signal to end."""
    having = model.Health | model.KubeDnsPages
    return max((plugin.lameduck for plugin in walk(config) if isinstance(plugin, having)), default=0.0)
