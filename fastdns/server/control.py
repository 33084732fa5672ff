"""The control process: follows the clusters, gives every worker their records, reads the configuration again.

All work on JSON happens here, so that no query waits for it. It may die: workers keep what they have, and the next control
lists the clusters again and sends snapshots that swap in.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import hashlib
import json
import logging
import os
import pickle
import socket
import struct
import typing
from collections.abc import Iterator, Mapping

from fastdns import errors
from fastdns.config import interfaces, model
from fastdns.server import compile as compiler
from fastdns.server import frames, output, publish, reload, sources, worker
from fastdns.server.frames import Kind

if typing.TYPE_CHECKING:
    from fastdns.kubernetes import cluster as clusters

logger = logging.getLogger(__name__)

LOOK = 0.1  # seconds between looks at who has caught up, while somebody hasn't
BEAT = 1.0  # between signs of life
ADOPTION_TIMEOUT = 60.0


@dataclasses.dataclass(frozen=True, slots=True)
class Setup:
    config: model.Config
    generation: int
    source: sources.Source
    state_dir: str
    output: worker.Options


def main(setup: Setup, channel: frames.Channel) -> int:
    output.start_style(setup.output)
    asyncio.run(Control(setup, channel).run())
    return 0


class Control:
    def __init__(self, setup: Setup, channel: frames.Channel) -> None:
        self._setup = setup
        self._channel = channel
        self._configs = {setup.generation: setup.config}
        self._serving = setup.generation
        self._clusters: dict[model.Kubernetes, clusters.Cluster] = {}
        self._links: set[publish.Link] = set()
        self._verdict: asyncio.Future[str] | None = None
        self._status: str | None = None
        self._next_look: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = loop.create_future()
        self._reloader = reload.Reloader(
            self._setup.config,
            load=self._load,
            adopt=self._adopt,
            on_failure=lambda: self._tell(Kind.RELOAD_FAILED),
            name=self._setup.source.name,
        )
        await self._start_clusters(self._setup.config)
        if isinstance(self._setup.source, sources.KubeDns):
            self._start_kubedns(self._setup.source)
        loop.add_reader(self._channel.fileno(), self._on_message)
        reloading = loop.create_task(self._reloader.run())
        self._beat()
        await self._ended
        reloading.cancel()
        await asyncio.gather(*(one.stop() for one in self._clusters.values()), return_exceptions=True)

    def _load(self) -> model.Config:
        if not self._setup.source.is_readable_again:
            return self._configs[self._serving]
        return self._setup.source.load()

    def _on_message(self) -> None:
        messages = self._channel.receive()
        if messages is None:
            os._exit(0)  # the supervisor is gone
        for message in messages:
            match message.kind:
                case Kind.WORKER:
                    self._connect(socket.socket(fileno=message.fds[0]), message.payload)
                case Kind.RELOAD:
                    if message.payload == b"if changed":
                        self._reloader.look_soon()
                    else:
                        self._reloader.ask()
                case Kind.ADOPTED:
                    self._settle("")
                case Kind.REJECTED:
                    self._settle(message.payload[4:].decode() or "rejected")
                case Kind.REOPEN:
                    output.reopen(message.fds[0])
                case Kind.REPORT:
                    self._report()
                case Kind.SHOW_TREE:
                    self._show_tree()
                case Kind.STOP if not self._ended.done():
                    self._ended.set_result(None)

    def _tell(self, kind: Kind, payload: bytes = b"", *, fds: tuple[int, ...] = ()) -> None:
        if not self._channel.send(kind, payload, fds=fds):
            logger.error("the supervisor does not take %s", kind.name)

    # --- clusters and workers ---------------------------------------------------------------------------------------

    async def _start_clusters(self, config: model.Config) -> list[model.Kubernetes]:
        """Follow what is not followed yet."""
        wanted = [one for one in compiler.find_clusters(config) if one not in self._clusters]
        for plugin in wanted:
            self._clusters[plugin] = self._make_cluster(plugin, config)
            await self._clusters[plugin].start()
        if has_federations(config):
            for one in self._clusters.values():
                one.follow_place()
        return wanted

    def _make_cluster(self, plugin: model.Kubernetes, config: model.Config) -> clusters.Cluster:
        from fastdns.kubernetes import cluster as clusters  # without a kubernetes plugin it is never loaded

        return clusters.Cluster(
            plugin,
            on_delta=lambda delta: self._publish(plugin, delta),
            local_ips=find_local_ips(config, plugin),
            state_path=find_state_path(self._setup.state_dir, plugin),
        )

    async def _stop_clusters(self, plugins: list[model.Kubernetes]) -> None:
        gone = [self._clusters.pop(plugin) for plugin in plugins]
        await asyncio.gather(*(one.stop() for one in gone), return_exceptions=True)

    def _publish(self, plugin: model.Kubernetes, delta: bytes) -> None:
        for link in list(self._links):
            link.publish(plugin, delta)

    def _connect(self, end: socket.socket, payload: bytes) -> None:
        generation, index, is_fresh = struct.unpack(">II?", payload)
        config = self._configs.get(generation)
        if config is None:
            end.close()
            return
        tables = [(plugin, self._clusters[plugin]) for plugin in compiler.find_clusters(config)]
        self._links.add(
            publish.Link(
                end,
                generation=generation,
                index=index,
                tables=tables,
                is_fresh=is_fresh,
                on_close=self._on_link_closed,
            )
        )
        self._look()

    def _on_link_closed(self, link: publish.Link) -> None:
        """If the worker lives, it has refused what came: it is asked to be connected again."""
        self._links.discard(link)
        where = struct.pack(">II", link.generation, link.index)
        asyncio.get_running_loop().call_later(1.0, lambda: self._tell(Kind.RECONNECT, where))

    # --- what the supervisor hears ------------------------------------------------------------------------------------

    def _beat(self) -> None:
        asyncio.get_running_loop().call_later(BEAT, self._beat)
        self._look()
        self._tell(Kind.ALIVE)

    def _look(self) -> None:
        """Tell the supervisor who is unready, and look again soon while somebody has not caught up."""
        for link in list(self._links):  # one whose worker is gone leaves them meanwhile
            link.check_synced()
        self._tell_status(",".join(self._find_unready()))
        if self._next_look is not None:
            self._next_look.cancel()
            self._next_look = None
        if self._status or not all(link.is_caught_up for link in self._links):
            self._next_look = asyncio.get_running_loop().call_later(LOOK, self._look)

    def _tell_status(self, status: str) -> None:
        if status != self._status:
            self._status = status
            self._tell(Kind.STATUS, status.encode())
            if not status:
                gc.freeze()  # a collection of all that a list made would hold updates up for 90 ms at 10,000 Services

    def _find_unready(self) -> Iterator[str]:
        serving = compiler.find_clusters(self._configs[self._serving])
        links = [link for link in self._links if link.generation == self._serving]
        is_synced = all(self._clusters[plugin].is_synced for plugin in serving)
        is_sent = self._status == "" or all(link.is_caught_up for link in links)
        if serving and not (is_synced and is_sent):
            yield "kubernetes"

    def _report(self) -> None:
        families = [family for one in self._clusters.values() for family in one.report().as_json()]
        fd = frames.share_octets(json.dumps(families).encode())
        self._tell(Kind.METRICS, fds=(fd,))
        os.close(fd)

    def _show_tree(self) -> None:
        """kube-dns's page /cache."""
        tree: dict[str, object] = next((one.tree.dump() for one in self._clusters.values()), {})
        fd = frames.share_octets(json.dumps(tree, indent="\t", ensure_ascii=False).encode())
        self._tell(Kind.TREE, fds=(fd,))
        os.close(fd)

    # --- kube-dns -----------------------------------------------------------------------------------------------------

    def _start_kubedns(self, source: sources.KubeDns) -> None:
        """Follow its ConfigMap, if it is to be had from the API server; give up if the cluster can't be listed."""
        loop = asyncio.get_running_loop()
        if source.flags.config_map:
            self._follow_configmap(source, loop)
        loop.call_later(source.flags.initial_sync_timeout, self._check_first_sync)

    def _follow_configmap(self, source: sources.KubeDns, loop: asyncio.AbstractEventLoop) -> None:
        def take(data: Mapping[str, str]) -> None:
            source.take(data)
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._reloader.look_soon)

        for one in self._clusters.values():
            one.hold_sync()
            one.follow_configmap(source.flags.config_map_namespace, source.flags.config_map, take)
        self._reloader.on_looked = self._release_sync

    def _release_sync(self) -> None:
        for one in self._clusters.values():
            one.release_sync()

    def _check_first_sync(self) -> None:
        if self._find_first_unsynced():
            self._tell(
                Kind.FATAL, b"Timeout waiting for initialization: services and endpoints were not listed in time"
            )

    def _find_first_unsynced(self) -> bool:
        return not all(one.is_synced for one in self._clusters.values())

    # --- reload -------------------------------------------------------------------------------------------------------

    async def _adopt(self, config: model.Config) -> None:
        """Have the supervisor serve `config`. Raises FastdnsError if it can't; then nothing has changed."""
        added = await self._start_clusters(config)
        try:
            await self._wait_synced(added)
            number = max(self._configs) + 1
            self._configs[number] = config
            reason = await self._propose(number, config)
            if reason:
                del self._configs[number]
                raise errors.ListenError(reason)
        except BaseException:
            await self._stop_clusters(added)
            raise
        self._serving = number
        self._configs = {number: config}
        for link in [link for link in self._links if link.generation != number]:
            self._links.discard(link)
            link.close()
        wanted = compiler.find_clusters(config)
        await self._stop_clusters([plugin for plugin in self._clusters if plugin not in wanted])

    async def _wait_synced(self, added: list[model.Kubernetes]) -> None:
        """Let new clusters be listed before workers that need them start; not longer than a start would wait."""
        patience = max((plugin.startup_timeout for plugin in added), default=0.0)
        deadline = asyncio.get_running_loop().time() + patience
        while asyncio.get_running_loop().time() < deadline:
            if all(self._clusters[plugin].is_synced for plugin in added):
                return
            await asyncio.sleep(LOOK)

    async def _propose(self, number: int, config: model.Config) -> str:
        """Why the supervisor won't have it; empty if it serves."""
        self._verdict = asyncio.get_running_loop().create_future()
        fd = frames.share_octets(pickle.dumps(config))
        self._tell(Kind.CONFIG, struct.pack(">I", number), fds=(fd,))
        os.close(fd)
        try:
            async with asyncio.timeout(ADOPTION_TIMEOUT):
                return await self._verdict
        except TimeoutError:
            return "the supervisor does not answer"

    def _settle(self, reason: str) -> None:
        if self._verdict is not None and not self._verdict.done():
            self._verdict.set_result(reason)


def has_federations(config: model.Config) -> bool:
    return any(
        isinstance(plugin, model.SkyDns) and bool(plugin.federations)
        for block in config.blocks
        for plugin in block.plugins
    )


def find_local_ips(config: model.Config, plugin: model.Kubernetes) -> list[str]:
    """The addresses that a cluster's blocks answer on, loopback left out: zones name the server by them."""
    bound = {listener.address for block in config.blocks if plugin in block.plugins for listener in block.listeners}
    if "" in bound:
        bound |= {address for held in interfaces.addresses().values() for address in held}
    plain = (address.partition("%")[0] for address in bound if address)
    return sorted(address for address in plain if not address.startswith("127.") and address != "::1")


def find_state_path(state_dir: str, plugin: model.Kubernetes) -> str:
    if not state_dir:
        return ""
    name = hashlib.sha256(repr(plugin).encode()).hexdigest()[:16]
    return os.path.join(state_dir, f"cluster-{name}.state")
