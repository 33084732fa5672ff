"""A real API server that restarts, forgets and changes, while clients ask: nothing wrong, nothing lost, changes seen at once."""

from __future__ import annotations

import json
import pathlib
import socket
import statistics
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.differential.questions import Question
from tests.integration.load import Expected, Load, addresses_of
from tests.peers.apiserver import ApiServer
from tests.peers.process import wait_until
from tests.peers.proxy import Proxy
from tests.peers.servers import Fastdns

pytestmark = pytest.mark.peers("kube-apiserver", "etcd", "openssl")
COREFILE = """. {
    bind 127.0.0.1
    errors
    ready 127.0.0.1:{$READY}
    prometheus 127.0.0.1:{$METRICS}
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        kubeconfig {$KUBECONFIG}
        pods insecure
        ttl 30
    }
    loadbalance
}
"""
SERVICES = 40
UPDATES = 200


def service(name: str, ip: str = "") -> dict[str, Any]:
    spec = {"clusterIP": ip or "None", "ports": [{"port": 80}]}
    return {"kind": "Service", "metadata": {"name": name, "namespace": "load"}, "spec": spec}


def endpoint_slice(name: str, *addresses: str) -> dict[str, Any]:
    labels = {"kubernetes.io/service-name": name}
    return {
        "kind": "EndpointSlice",
        "metadata": {"name": f"{name}-1", "namespace": "load", "labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address]} for address in addresses],
        "ports": [{"port": 80, "protocol": "TCP"}],
    }


def name_of(name: str) -> str:
    return f"{name}.load.svc.cluster.local"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with ApiServer(tmp_path_factory.mktemp("apiserver")) as server:
        server.create({"kind": "Namespace", "metadata": {"name": "load"}})
        for number in range(SERVICES):
            server.create(service(f"ip-{number}", f"10.96.7.{number + 1}"))
            server.create(service(f"headless-{number}"))
            server.create(endpoint_slice(f"headless-{number}", f"10.7.0.{number + 1}", f"10.7.1.{number + 1}"))
        yield server


@pytest.fixture(scope="module")
def expected() -> Expected:
    """What stays the same through all of this."""
    same: Expected = {name_of("missing"): frozenset()}
    for number in range(SERVICES):
        same[name_of(f"ip-{number}")] = frozenset({f"10.96.7.{number + 1}"})
        same[name_of(f"headless-{number}")] = frozenset({f"10.7.0.{number + 1}", f"10.7.1.{number + 1}"})
    return same


@pytest.fixture
def proxy(api: ApiServer) -> Iterator[Proxy]:
    with Proxy(api.port) as between:
        yield between


@pytest.fixture
def fastdns(api: ApiServer, proxy: Proxy, tmp_path: pathlib.Path) -> Iterator[Fastdns]:
    config = json.loads(api.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{proxy.port}"
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(config))
    with Fastdns(folder=tmp_path / "fastdns", corefile=COREFILE, env={"KUBECONFIG": str(kubeconfig)}) as server:
        yield server


class Watcher:
    """Many sockets, so that every worker is asked."""

    def __init__(self, port: int, count: int = 32) -> None:
        self._sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
        for client in self._sockets:
            client.connect(("127.0.0.1", port))
            client.settimeout(2)

    def close(self) -> None:
        for client in self._sockets:
            client.close()

    def told(self, name: str) -> list[frozenset[str]]:
        wire = Question(name, "A").wire()
        for client in self._sockets:
            client.send(wire)
        return [addresses_of(client.recv(4096), len(wire)) for client in self._sockets]

    def wait_for(self, name: str, addresses: set[str], *, timeout: float = 30.0, pause: float = 0.02) -> None:
        what = f"{name} = {sorted(addresses)} at every worker"
        wait_until(lambda: set(self.told(name)) == {frozenset(addresses)}, timeout=timeout, what=what, pause=pause)


@pytest.fixture
def watcher(fastdns: Fastdns) -> Iterator[Watcher]:
    made = Watcher(fastdns.port)
    yield made
    made.close()


def test_restart_of_the_api_server(api: ApiServer, fastdns: Fastdns, watcher: Watcher, expected: Expected) -> None:
    """An outage of some seconds under load; a Service made after it is seen."""
    with Load(fastdns.port, expected) as load:
        api.stop()
        time.sleep(1.5)  # the outage itself: nothing to wait for
        api.start()
        api.create(service("after-restart", "10.96.8.1"))
        watcher.wait_for(name_of("after-restart"), {"10.96.8.1"}, timeout=60)
    print(load.summary())
    assert load.asked > 1000
    assert not load.faults, load.summary()


def test_history_forgotten_while_cut_off(
    api: ApiServer, proxy: Proxy, fastdns: Fastdns, watcher: Watcher, expected: Expected
) -> None:
    """410 Gone: the list is taken again, and of the answers only what changed meanwhile changes."""
    api.create(service("deleted-meanwhile", "10.96.8.2"))
    api.create(service("changed-meanwhile"))
    api.create(endpoint_slice("changed-meanwhile", "10.7.9.1"))
    watcher.wait_for(name_of("deleted-meanwhile"), {"10.96.8.2"})
    watcher.wait_for(name_of("changed-meanwhile"), {"10.7.9.1"})
    with Load(fastdns.port, expected) as load:
        proxy.cut()
        api.delete(service("deleted-meanwhile"))
        api.replace(endpoint_slice("changed-meanwhile", "10.7.9.2", "10.7.9.3"))
        api.create(service("made-meanwhile", "10.96.8.3"))
        api.stop()
        api.compact()
        api.start()
        proxy.restore()
        watcher.wait_for(name_of("made-meanwhile"), {"10.96.8.3"}, timeout=60)
        watcher.wait_for(name_of("changed-meanwhile"), {"10.7.9.2", "10.7.9.3"})
        watcher.wait_for(name_of("deleted-meanwhile"), set())
    assert "410" in fastdns.log(), "the watches were not told that their history is gone"
    print(load.summary())
    assert load.asked > 1000
    assert not load.faults, load.summary()


def test_connections_cut_again_and_again(
    api: ApiServer, proxy: Proxy, fastdns: Fastdns, watcher: Watcher, expected: Expected
) -> None:
    """No change is lost."""
    with Load(fastdns.port, expected) as load:
        for number in range(5):
            proxy.cut()
            api.create(service(f"cut-{number}", f"10.96.9.{number + 1}"))
            proxy.restore()
            watcher.wait_for(name_of(f"cut-{number}"), {f"10.96.9.{number + 1}"}, timeout=60)
    assert not load.faults, load.summary()


def test_updates_are_seen_by_every_worker(api: ApiServer, fastdns: Fastdns, watcher: Watcher) -> None:
    """From the API's reply to the first answer of the slowest worker. The bound is loose, for busy machines; see the figures."""
    api.create(service("moving"))
    api.create(endpoint_slice("moving", "10.8.0.1"))
    watcher.wait_for(name_of("moving"), {"10.8.0.1"})
    seconds = []
    for number in range(UPDATES):
        address = f"10.8.{1 + number // 200}.{1 + number % 200}"
        api.replace(endpoint_slice("moving", address))
        replied = time.monotonic()
        watcher.wait_for(name_of("moving"), {address}, pause=0)
        seconds.append(time.monotonic() - replied)
    quantiles = statistics.quantiles(seconds, n=100)
    p50, p99 = quantiles[49], quantiles[98]
    print(f"{UPDATES} updates, from the API's reply to the last worker: p50 {p50 * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms")
    assert p99 < 0.5
