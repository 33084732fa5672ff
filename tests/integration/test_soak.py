"""Days of work in a minute: a cluster that changes all the time, names that nobody asked before, connections that come and go."""

from __future__ import annotations

import contextlib
import itertools
import pathlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.conformance.upstream import Upstream
from tests.differential.questions import Question
from tests.integration.load import Load
from tests.integration.test_processes import Use, use_of
from tests.peers.process import wait_until
from tests.peers.servers import Fastdns
from tests.unit.kubernetes.fake_apiserver import FakeApiServer

WARM, SOAK = 15.0, 40.0  # seconds
SERVICES, SLICES, NAMESPACES = (
    "/api/v1/services",
    "/apis/discovery.k8s.io/v1/endpointslices",
    "/api/v1/namespaces",
)
STEADY = {f"steady{number}.shop.svc.cluster.local": frozenset({f"10.96.1.{number}"}) for number in range(50)}
COREFILE = """.:{$PORT} {
    bind 127.0.0.1
    errors
    ready 127.0.0.1:{$READY}
    prometheus 127.0.0.1:{$METRICS}
    kubernetes cluster.local in-addr.arpa {
        endpoint {$API}
    }
    cache {
        success 500
        denial 500
    }
    forward . 127.0.0.1:{$UPSTREAM}
    reload 2s 1s
}
"""


def put_service(api: FakeApiServer, name: str, address: str) -> None:
    metadata = {"name": name, "namespace": "shop", "uid": f"{name}-{address}"}
    api.put(SERVICES, {"metadata": metadata, "spec": {"clusterIP": address, "clusterIPs": [address], "ports": []}})


def put_slice(api: FakeApiServer, name: str, number: int) -> None:
    endpoints = [{"addresses": [f"10.{number % 200}.{number // 200 % 250}.{last}"]} for last in range(1, 20)]
    metadata = {"name": f"{name}-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": name}}
    api.put(SLICES, {"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints, "ports": []})


def churn(api: FakeApiServer, number: int) -> None:
    """A Service with its slice comes, a slice changes, the Service before goes; watches end now and then."""
    put_service(api, f"x{number}", f"10.97.{number // 250 % 250}.{number % 250}")
    put_slice(api, f"x{number}", number)
    put_slice(api, "steady0", number)
    if number >= 100:
        api.delete(SERVICES, "shop", f"x{number - 100}")
        api.delete(SLICES, "shop", f"x{number - 100}-1")
    if number % 500 == 499:
        api.drop_connections()
    time.sleep(0.01)


def ask_new_name(port: int, number: int) -> None:
    """By UDP from a new port; each tenth by TCP, where some leave without a word."""
    name = f"n{number}.example.org" if number % 2 else f"n{number}.shop.svc.cluster.local"
    wire = Question(name, "A").wire()
    if number % 10:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(3)
            client.sendto(wire, ("127.0.0.1", port))
            assert client.recv(4096)
    else:
        with socket.create_connection(("127.0.0.1", port), timeout=3) as stream:
            stream.sendall(len(wire).to_bytes(2, "big") + wire)
            assert number % 30 == 0 or stream.recv(4096)


@contextlib.contextmanager
def again_and_again(act: Callable[[int], None]) -> Iterator[list[BaseException]]:
    stopping = threading.Event()
    failures: list[BaseException] = []

    def run() -> None:
        for number in itertools.takewhile(lambda _: not stopping.is_set(), itertools.count()):
            try:
                act(number)
            except Exception as error:
                failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield failures
    finally:
        stopping.set()
        thread.join()


def least_use(server: Fastdns) -> Use:
    """Of a few looks: what is on its way comes and goes."""
    found = []
    for _ in range(5):
        found.append(use_of(server))
        time.sleep(0.3)
    return Use(*(min(getattr(one, field) for one in found) for field in ("octets", "files", "threads")))


@pytest.fixture
def api() -> Iterator[FakeApiServer]:
    made = FakeApiServer()
    made.put(NAMESPACES, {"metadata": {"name": "shop"}})
    for name, addresses in STEADY.items():
        put_service(made, name.partition(".")[0], *addresses)
    yield made
    made.close()


@pytest.mark.peers  # none: it only takes long
def test_nothing_grows(tmp_path: pathlib.Path, api: FakeApiServer) -> None:
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(Upstream({}))
        env = {"API": api.url, "UPSTREAM": str(upstream.port)}
        server = stack.enter_context(Fastdns(folder=tmp_path / "server", corefile=COREFILE, env=env))
        load = stack.enter_context(Load(server.port, STEADY, rate=1000))
        changing = stack.enter_context(again_and_again(lambda number: churn(api, number)))
        asking = stack.enter_context(again_and_again(lambda number: ask_new_name(server.port, number)))
        wait_until(lambda: load.asked > 1000 * WARM, timeout=3 * WARM, what="warmth")
        before = least_use(server)
        wait_until(lambda: load.asked > 1000 * (WARM + SOAK), timeout=3 * SOAK, what="the end")
        after = least_use(server)
    assert not load.faults, load.summary()
    assert not changing
    assert not asking
    assert after.octets < before.octets + (3 << 20)
    assert after.files <= before.files + 4
    assert after.threads <= before.threads
