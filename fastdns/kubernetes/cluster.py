"""Cluster: everything that one `kubernetes` plugin knows, from its source to deltas for the workers.

A model.Kubernetes comes in; operations of the name tables' delta format go out, by a callback in the event loop's
thread. The source is an API server (a Reflector for each resource, in threads) or manifests (files that are looked at
each second).
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import logging
import os
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence

from fastdns import errors
from fastdns.config import model
from fastdns.kubernetes import (
    client,
    configmap,
    manifests,
    metrics,
    nodeplace,
    objects,
    reflector,
    skycache,
    state,
    treecache,
)
from fastdns.kubernetes.objects import Kind
from fastdns.kubernetes.reflector import Change, Op

logger = logging.getLogger(__name__)

STATE_INTERVAL = 60.0
MANIFESTS_INTERVAL = 1.0
SERIAL_INTERVAL = 60.0
PLACE_PAUSE, PLACE_INTERVAL = 0.5, 10.0  # seconds between looks for a node's place, at first and later
STATE_STEP = 500
"""Entries of the state file that are written before the event loop gets its turn."""
BATCHES_WAITING = 4
"""Batches of changes of one resource that may wait for the event loop; the reflector waits then."""

OnDelta = Callable[[bytes], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Status:
    """How well the cluster is known. `waiting` says what is missing, and why; it is empty once all lists are there."""

    is_synced: bool
    waiting: tuple[str, ...]
    objects: dict[str, int]
    from_snapshot: bool


class Cluster:
    """One plugin's cluster. `start` and `stop` it in an event loop; use it from that loop's thread only.

    `on_delta` gets operations, in order, at most 64 KiB at a time except for one larger operation; they start from what
    `snapshot` gives to an empty table. `local_ips` are the addresses that the server answers on, loopback left out.
    `state_path` is a file in the state directory, or empty.
    """

    def __init__(
        self,
        config: model.Kubernetes,
        *,
        on_delta: OnDelta,
        local_ips: Iterable[str] = (),
        state_path: str = "",
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self.metrics = metrics.Metrics()
        self.tree: treecache.TreeCache | skycache.SkyCache
        if config.dialect is model.Dialect.KUBEDNS:
            self.tree = skycache.SkyCache(config, clock=clock, complain=logger.warning)
        else:
            self.tree = treecache.TreeCache(config, local_ips=local_ips, clock=clock, complain=logger.warning)
        self._on_delta = on_delta
        self._state_path = state_path
        self._clock = clock
        self._monotonic = monotonic
        self._reflectors: list[reflector.Reflector] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = threading.Event()
        self._client: client.Client | None = None
        self._listing: set[Kind] = set()
        self._listed: set[Kind] = set()
        self._from_snapshot = False
        self._is_changed = False
        self._is_place_wanted = False
        self._is_held = False
        self._configmap: configmap.Follower | None = None

    # --- what others ask ---------------------------------------------------------------------------------------------

    @property
    def is_synced(self) -> bool:
        """Whether every list was complete once. It stays so while the API server is away."""
        return self.tree.is_synced

    def snapshot(self) -> Iterator[bytes]:
        """Operations that fill an empty table. Deltas that come meanwhile apply to it afterwards."""
        return self.tree.snapshot()

    def status(self) -> Status:
        waiting = [
            f"{one.resource.kind}: {one.failure or 'listing'}"
            for one in self._reflectors
            if one.resource.kind not in self._listed
        ]
        if not self._reflectors and not self.is_synced:
            waiting = ["manifests: not read yet"]
        counts = {str(kind): self.tree.count(kind) for kind in self._kinds()}
        return Status(self.is_synced, tuple(waiting), counts, self._from_snapshot)

    def report(self) -> metrics.Metrics:
        """The metrics, gauges brought up to now."""
        now = self._monotonic()
        for kind in self._kinds():
            self.metrics.set(metrics.OBJECTS, self.tree.count(kind), str(kind))
        for one in self._reflectors:
            resource = str(one.resource.kind)
            self.metrics.set(metrics.SYNCED, float(one.resource.kind in self._listed), resource)
            if one.heard_at is not None:
                self.metrics.set(metrics.DATA_AGE, now - one.heard_at, resource)
        self.metrics.set(metrics.FROM_SNAPSHOT, float(self._from_snapshot))
        return self.metrics

    # --- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to list and watch; returns at once."""
        if self.config.manifests:
            self._own(self._follow_manifests())
            return
        self._start_reflectors(asyncio.get_running_loop())
        if isinstance(self.tree, skycache.SkyCache):
            self._own(self._keep_serial())
        elif self._state_path:
            self._own(self._stand_in())
            self._own(self._keep_state())

    def hold_sync(self) -> None:
        """Don't be synced before `release_sync`, even if every list is complete."""
        self._is_held = True

    def release_sync(self) -> None:
        self._is_held = False
        self._check_synced()
        self._send()

    def follow_configmap(self, namespace: str, name: str, take: configmap.Take) -> None:
        """Give `take` the keys of a ConfigMap, in another thread, now and each time that they change."""
        if self._client is not None and self._configmap is None:
            self._configmap = configmap.Follower(self._client, namespace=namespace, name=name, take=take)
            self._configmap.start()

    def follow_place(self) -> None:
        """Find out where a node is, which federations need: once, and then for ever."""
        if not self._is_place_wanted and isinstance(self.tree, skycache.SkyCache) and self._client is not None:
            self._is_place_wanted = True
            self._own(self._find_place(self.tree, self._client))

    async def stop(self) -> None:
        """End all watches, and wait for them a little; what is known stays, and can still be asked for."""
        self._stopping.set()
        if self._configmap is not None:
            self._configmap.stop()
        for one in self._reflectors:
            one.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await asyncio.to_thread(self._join)

    def _join(self) -> None:
        for one in self._reflectors:
            one.join(1.0)
        if self._client is not None:
            self._client.close()

    def _own(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(_log_end)
        self._tasks.append(task)

    def _kinds(self) -> list[Kind]:
        if self._reflectors:
            return [one.resource.kind for one in self._reflectors]
        unused = {Kind.ENDPOINTS} if self.config.multicluster else {Kind.ENDPOINTS, Kind.SERVICEIMPORTS}
        return [kind for kind in Kind if kind not in unused]

    # --- from an API server ------------------------------------------------------------------------------------------

    def _start_reflectors(self, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client.Client(self.config, counts=self.metrics, wait=self._stopping.wait, clock=self._clock)
        if self.config.dialect is model.Dialect.KUBEDNS:
            wanted = reflector.plain_resources()
        else:
            wanted = reflector.resources(
                pods=self.config.pods == "verified",
                endpoints=not self.config.noendpoints,
                imports=bool(self.config.multicluster),
                labels=self.config.labels,
                namespace_labels=self.config.namespace_labels,
            )
        for resource in wanted:
            one = reflector.Reflector(
                resource, self._client, self._deliverer(loop), counts=self.metrics, complain=logger.warning
            )
            self._reflectors.append(one)
            one.start()

    def _deliverer(self, loop: asyncio.AbstractEventLoop) -> reflector.Deliver:
        """What a reflector's thread calls: hands changes to the loop, and waits when too many are on their way."""
        free = threading.BoundedSemaphore(BATCHES_WAITING)

        def take(changes: Sequence[Change]) -> None:
            try:
                self._take(changes)
            finally:
                free.release()

        def deliver(changes: Sequence[Change]) -> None:
            while not free.acquire(timeout=0.5):
                if self._stopping.is_set():
                    return
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(take, changes)

        return deliver

    def _take(self, changes: Sequence[Change]) -> None:
        """Apply changes, send what they alter, count how long they took to get here."""
        if self._stopping.is_set():
            return
        for change in changes:
            self._apply(change)
        self._send()
        for change in changes:
            if change.kind not in self._listing and isinstance(change.item, objects.EndpointSlice | objects.Endpoints):
                self._observe_programming(change.item)

    def _apply(self, change: Change) -> None:
        kind = change.kind
        if change.op is Op.PUT and change.item is not None:
            self._put(kind, change.item)
        elif change.op is Op.GONE:
            self.tree.remove(kind, change.namespace, change.name, uid=change.uid)
        elif change.op is Op.KEEP:
            self.tree.keep(kind, change.namespace, change.name)
        elif change.op is Op.BEGIN:
            self._listing.add(kind)
            self.tree.begin_list(kind)
        else:
            self._end_list(kind)

    def _put(self, kind: Kind, item: objects.AnyObject) -> None:
        """Apply an object. One that meets a bug of ours stays as it was, and costs no other."""
        try:
            self.tree.apply(kind, item)
        except Exception:
            logger.exception("%s: not applied: %r", kind, item)
            self.tree.keep(kind, item.namespace, item.name)

    def _end_list(self, kind: Kind) -> None:
        gone = self.tree.end_list(kind)
        if gone and kind in self._listed:
            logger.info("%s: %d objects were gone when listed again", kind, gone)
        self._listing.discard(kind)
        self._listed.add(kind)
        self._check_synced()

    def _check_synced(self) -> None:
        if self._is_held or not self._listed:
            return
        if self._listed.issuperset(self._kinds()) and not self.tree.is_synced:
            self.tree.set_synced(True)
            self._from_snapshot = False
            logger.info("synced: %s", ", ".join(f"{self.tree.count(one)} {one}" for one in self._kinds()))

    def _send(self) -> None:
        for frame in self.tree.drain_frames():
            self._is_changed = True
            self._on_delta(frame)

    def _observe_programming(self, item: objects.EndpointSlice | objects.Endpoints) -> None:
        """The SLI `dns_programming_latency`: since the change that the endpoints controller wrote down."""
        if not item.trigger_time:
            return
        name = item.service_name if isinstance(item, objects.EndpointSlice) else item.name
        headless = self.tree.is_headless(item.namespace, name)
        if headless is None:
            return
        try:
            since = datetime.datetime.fromisoformat(item.trigger_time).timestamp()
        except ValueError:
            logger.warning("endpoints %s/%s: %r is no time", item.namespace, item.name, item.trigger_time)
            return
        kind = "headless_with_selector" if headless else "cluster_ip"
        self.metrics.observe(metrics.PROGRAMMING_DURATION, max(self._clock() - since, 0.0), kind)

    # --- kube-dns alone ----------------------------------------------------------------------------------------------

    async def _keep_serial(self) -> None:
        """The SOA's serial moves with the hour, whatever the cluster does."""
        while True:
            await asyncio.sleep(SERIAL_INTERVAL)
            self._send()

    async def _find_place(self, tree: skycache.SkyCache, api: client.Client) -> None:
        complaint = ""
        pause = PLACE_PAUSE
        while True:
            try:
                place = await asyncio.to_thread(nodeplace.find_place, api)
                if place:
                    tree.set_place(place)
                    self._send()
                    return
                text = "no node has the labels of a zone and a region"
            except errors.ApiError as error:
                text = str(error)
            if text != complaint:
                logger.warning("federations: %s", text)
                complaint = text
            await asyncio.sleep(pause)
            pause = min(2 * pause, PLACE_INTERVAL)

    # --- from files --------------------------------------------------------------------------------------------------

    async def _follow_manifests(self) -> None:
        source = manifests.Manifests(
            self.config.manifests,
            labels=self.config.labels,
            namespace_labels=self.config.namespace_labels,
            complain=logger.warning,
        )
        while True:
            if await asyncio.to_thread(source.poll) or not self.is_synced:
                self._take_manifests(source.current())
            await asyncio.sleep(MANIFESTS_INTERVAL)

    def _take_manifests(self, found: dict[Kind, list[objects.AnyObject]]) -> None:
        is_kubedns = self.config.dialect is model.Dialect.KUBEDNS
        slices = Kind.ENDPOINTS if found[Kind.ENDPOINTS] or is_kubedns else Kind.ENDPOINTSLICES
        wanted = [Kind.NAMESPACES, Kind.SERVICES]
        wanted += [] if self.config.noendpoints and not self.config.multicluster else [slices]
        wanted += [Kind.SERVICEIMPORTS] if self.config.multicluster else []
        wanted += [Kind.PODS] if self.config.pods == "verified" else []
        for kind in wanted:
            self.tree.begin_list(kind)
            for item in found[kind]:
                self._put(kind, item)
            self.tree.end_list(kind)
        self.tree.set_synced(True)
        self._send()

    # --- the state file ----------------------------------------------------------------------------------------------

    async def _stand_in(self) -> None:
        """If the API server doesn't answer at first, answer from what was saved; names not in it stay SERVFAIL."""
        deadline = self._monotonic() + self.config.startup_timeout
        while not self.is_synced:
            is_late = self._monotonic() >= deadline and not any(self.tree.count(kind) for kind in self._kinds())
            if is_late or any(one.failure for one in self._reflectors):
                await self._load_state()
                return
            await asyncio.sleep(0.05)

    async def _load_state(self) -> None:
        try:
            header, entries = await asyncio.to_thread(state.read, self._state_path, state.options_of(self.config))
        except state.StateError as error:
            logger.warning("no state to start from: %s", error)
            return
        for count, entry in enumerate(entries):
            if Kind(str(entry[0])) not in self._listed:
                self.tree.restore(entry)
            if count % STATE_STEP == 0:
                self._send()
                await asyncio.sleep(0)
        self._send()
        if not self.is_synced:
            self._from_snapshot = True
            saved = datetime.datetime.fromtimestamp(header.saved_at, datetime.UTC).isoformat(timespec="seconds")
            logger.warning("the API server can't be reached: answering from the state saved at %s", saved)

    async def _keep_state(self) -> None:
        while True:
            await asyncio.sleep(STATE_INTERVAL)
            if self._is_changed and self.is_synced:
                self._is_changed = False
                await self.save_state()

    async def save_state(self) -> None:
        """Write what is known to the state file, a part at a time."""
        header = state.Header(state.options_of(self.config), self._clock(), self.tree.serial)
        writer = None
        try:
            writer = state.Writer(self._state_path, header)
            for step in self._state_steps():
                writer.write(step)
                await asyncio.sleep(0)
            await asyncio.to_thread(writer.finish)
            writer = None
        except (OSError, state.StateError) as error:
            logger.warning("state not saved: %s", error)
        finally:
            if writer is not None:
                writer.abandon()

    def _state_steps(self) -> Iterator[list[state.Entry]]:
        step: list[state.Entry] = []
        for kind in self._kinds():
            for entry in self.tree.entries(kind):
                step.append(entry)
                if len(step) == STATE_STEP:
                    yield step
                    step = []
        yield step


def _log_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        logger.error("kubernetes: a task has ended", exc_info=task.exception())


def state_path(folder: str, number: int) -> str:
    """The state file of a Corefile's kubernetes plugin, counted from 0; empty without a state directory."""
    return os.path.join(folder, f"kubernetes-{number}.state") if folder else ""
