"""The cluster's names while processes die and configurations change: never an answer that forgets them."""

from __future__ import annotations

import os
import pathlib
import signal
from collections.abc import Iterator

import pytest

from tests.integration.load import Load
from tests.integration.test_processes import find_processes, reload, value_of, wait_for_change
from tests.peers.process import wait_until
from tests.peers.servers import Fastdns

SERVICES = 2000
COREFILE = """.:{$PORT} {
    bind 127.0.0.1
    ready 127.0.0.1:{$READY}
    prometheus 127.0.0.1:{$METRICS}
    kubernetes cluster.local {
        manifests FOLDER/cluster
        ttl 30
    }
    whoami
}
"""


def address_of(number: int) -> str:
    return f"10.96.{number // 250}.{number % 250 + 1}"


def write_services(folder: pathlib.Path, *, count: int = SERVICES) -> None:
    documents = ["apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"]
    documents += [
        "apiVersion: v1\nkind: Service\n"
        f"metadata: {{name: s{number}, namespace: shop}}\n"
        f"spec: {{clusterIP: {address_of(number)}, ports: [{{port: 80}}]}}\n"
        for number in range(count)
    ]
    folder.mkdir(exist_ok=True)
    (folder / "new").write_text("---\n".join(documents))
    (folder / "new").rename(folder / "services.yaml")


def expected(*numbers: int) -> dict[str, frozenset[str]]:
    return {f"s{number}.shop.svc.cluster.local": frozenset({address_of(number)}) for number in numbers}


@pytest.fixture
def server(tmp_path: pathlib.Path) -> Iterator[Fastdns]:
    write_services(tmp_path / "cluster")
    corefile = COREFILE.replace("FOLDER", str(tmp_path))
    with Fastdns(folder=tmp_path / "server", corefile=corefile, env={}) as running:
        yield running


NAMES = expected(*range(0, SERVICES, 97), SERVICES - 1)


def test_reloads_keep_the_records(server: Fastdns) -> None:
    with Load(server.port, NAMES) as load:
        reload(server, 4)
    assert not load.faults, load.summary()


def test_replaced_worker_has_the_records_before_it_answers(server: Fastdns) -> None:
    with Load(server.port, NAMES) as load:
        before = find_processes(server, "w")
        os.kill(before[1], signal.SIGKILL)
        wait_for_change(server, "w", before)
        asked = load.asked
        wait_until(lambda: load.asked > asked + 1000, what="questions")
    assert all(fault.startswith("lost") for fault in load.faults), load.summary()


def test_records_survive_control_and_follow_the_next_one(server: Fastdns, tmp_path: pathlib.Path) -> None:
    with Load(server.port, NAMES) as load:
        before = find_processes(server, "control")
        os.kill(before[0], signal.SIGKILL)
        wait_for_change(server, "control", before)
        deltas = value_of(server, "fastdns_server_deltas_total")
        wait_until(lambda: value_of(server, "fastdns_server_deltas_total") > deltas, what="a snapshot")
        write_services(tmp_path / "cluster", count=SERVICES + 1)
    assert not load.faults, load.summary()

    def is_new_everywhere() -> bool:
        with Load(server.port, expected(SERVICES), rate=500) as probe:
            wait_until(lambda: probe.asked > 50, what="questions")
        return not probe.faults

    wait_until(is_new_everywhere, timeout=15, what="the new service from every worker")


def test_reload_to_another_cluster_waits_for_its_records(server: Fastdns, tmp_path: pathlib.Path) -> None:
    with Load(server.port, NAMES) as load:
        server.corefile.write_text(server.corefile.read_text().replace("ttl 30", "ttl 31"))
        reload(server, 1)
    assert not load.faults, load.summary()
