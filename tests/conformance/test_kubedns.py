"""What kube-dns answers: its table of cases, with Endpoints from memory, and with a real API server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.conformance import runner
from tests.conformance.upstream import DENIAL, Upstream
from tests.peers.apiserver import ApiServer
from tests.peers.kubedns import KubeDns
from tests.unit.kubernetes.fake_apiserver import FakeApiServer

FOLDER = runner.HERE / "kubedns"
CASES = [pytest.param(case, id=str(case)) for file in sorted(FOLDER.glob("*.cases")) for case in runner.cases(file)]
PATHS = {"Service": "/api/v1/services", "Endpoints": "/api/v1/endpoints"}
ZONE = {
    "www.example.org. A": "NOERROR AA\nwww.example.org. 300 IN A 192.0.2.53",
    "www.example.org. AAAA": "NOERROR\nwww.example.org. 300 IN AAAA 2001:db8:2::53",
    "chain.example.org. A": "NOERROR\nchain.example.org. 9 IN CNAME www.example.org.\nwww.example.org. 300 IN A 192.0.2.53",
    "bare.example.org. *": "NOERROR",
    "host.example.org. A": "NOERROR AA AD\nhost.example.org. 77 IN A 192.0.2.9",
    "broken.example.org. *": "SERVFAIL",
    "denied.example.org. *": "REFUSED",
    "x.local. *": "NOERROR\nx.local. 60 IN A 192.0.2.7",
    "xcluster.local. *": "NOERROR\nxcluster.local. 60 IN A 192.0.2.8",
    "*": DENIAL,
}


def objects() -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = yaml.safe_load((FOLDER / "world.yaml").read_text())["items"]
    return items


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream(ZONE) as one:
        yield one


@pytest.fixture(scope="module")
def from_memory(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeDns]:
    api = FakeApiServer()
    for item in objects():
        if item["kind"] in PATHS:
            api.put(PATHS[item["kind"]], item)
    words = [f"--kube-master-url={api.url}"]
    arguments = [f"--nameservers=127.0.0.1:{upstream.port}"]
    try:
        with KubeDns(words, folder=tmp_path_factory.mktemp("kubedns"), arguments=arguments) as server:
            yield server
    finally:
        api.close()


@pytest.fixture(scope="module")
def from_api_server(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeDns]:
    place = tmp_path_factory.mktemp("kubedns-api")
    with ApiServer(place) as api:
        for item in objects():
            api.create(item)
        words = [f"--kubecfg-file={api.kubeconfig}"]
        arguments = [f"--nameservers=127.0.0.1:{upstream.port}"]
        with KubeDns(words, folder=place / "server", arguments=arguments) as server:
            yield server


@pytest.mark.parametrize("case", CASES)
def test_objects_from_memory(case: runner.Case, from_memory: KubeDns) -> None:
    assert runner.ask_case(from_memory.port, case) == case.expected


@pytest.mark.peers("kube-apiserver", "etcd", "openssl")
@pytest.mark.parametrize("case", CASES)
def test_objects_of_an_api_server(case: runner.Case, from_api_server: KubeDns) -> None:
    assert runner.ask_case(from_api_server.port, case) == case.expected
