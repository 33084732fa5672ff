"""A reflector that follows a fake API server, and what it has been told, as a plain dictionary."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fastdns.config import model
from fastdns.kubernetes import client, metrics, reflector
from fastdns.kubernetes.objects import Kind
from fastdns.kubernetes.reflector import Change, Op
from tests.unit.kubernetes.fake_apiserver import FakeApiServer

PATH = "/api/v1/services"


def until(holds: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "still not so"
        time.sleep(0.002)


class Follower:
    """`known` is what the changes make of an empty store; `emptied` counts how often it lost everything."""

    def __init__(self, server: FakeApiServer, **options: Any) -> None:
        self.known: dict[tuple[str, str], str] = {}
        self.changes: list[Change] = []
        self.pauses: list[float] = []
        self.said: list[str] = []
        self.emptied = 0
        self._listed: set[tuple[str, str]] | None = None
        self.counts = metrics.Metrics()
        resource = options.pop("resource", reflector.Resource(Kind.SERVICES, PATH))
        config = model.Kubernetes(zones=("cluster.local.",), endpoint=server.url, **options.pop("config", {}))
        access = options.pop("access", None) or client.load_access
        self.client = client.Client(config, counts=self.counts, load=access)
        self.stopping = threading.Event()
        self.reflector = reflector.Reflector(
            resource,
            self.client,
            self.deliver,
            counts=self.counts,
            wait=self.pause,
            chance=options.pop("chance", lambda low, high: low),
            complain=self.said.append,
            **options,
        )

    def pause(self, seconds: float) -> bool:
        """Every wait of the reflector, a thousand times shorter."""
        self.pauses.append(seconds)
        return self.stopping.wait(seconds / 1000)

    def deliver(self, changes: Sequence[Change]) -> None:
        for change in changes:
            self.changes.append(change)
            self._take(change)

    def _take(self, change: Change) -> None:
        item = change.item
        key = (item.namespace, item.name) if item is not None else (change.namespace, change.name)
        if change.op is Op.BEGIN:
            self._listed = set()
        elif change.op is Op.END:
            assert self._listed is not None
            self._drop(set(self.known) - self._listed)
            self._listed = None
        elif change.op is Op.GONE:
            self._drop({key} & set(self.known))
        else:
            if item is not None:
                self.known[key] = item.resource_version
            if self._listed is not None:
                self._listed.add(key)

    def _drop(self, keys: set[tuple[str, str]]) -> None:
        had = bool(self.known)
        for key in keys:
            del self.known[key]
        self.emptied += had and not self.known

    @property
    def names(self) -> set[str]:
        return {name for _, name in self.known}


@contextlib.contextmanager
def following(server: FakeApiServer, **options: Any) -> Iterator[Follower]:
    follower = Follower(server, **options)
    follower.reflector.start()
    try:
        yield follower
    finally:
        follower.stopping.set()
        follower.reflector.stop()
        follower.reflector.join(5)
        follower.client.close()


def put(server: FakeApiServer, name: str, **options: Any) -> None:
    body = {"metadata": {"name": name, "namespace": "ns", "uid": f"uid-{name}"}, "spec": {"clusterIP": "10.0.0.1"}}
    server.put(PATH, body, **options)
