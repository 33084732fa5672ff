"""Every case: fastdns reading manifests; and, where the real components are, fastdns and CoreDNS at a real API server."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest

from tests.conformance import runner
from tests.peers.apiserver import ApiServer
from tests.peers.servers import CoreDns, DnsServer, Fastdns

FOLDERS = sorted(path.parent for path in runner.HERE.glob("*/Corefile"))
CASES = [
    pytest.param(folder, case, id=f"{folder.name}: {case}")
    for folder in FOLDERS
    for file in sorted(folder.glob("*.cases"))
    for case in runner.cases(file)
]
with_peers = pytest.mark.peers("kube-apiserver", "etcd", "openssl", "coredns")


class Servers:
    """One server of each kind and folder, started when it is first asked."""

    def __init__(self, place: pathlib.Path) -> None:
        self._place = place
        self._running: dict[tuple[str, str], DnsServer] = {}
        self._apis: dict[str, ApiServer] = {}

    def get(self, kind: str, folder: pathlib.Path) -> DnsServer:
        key = (kind, folder.name)
        if key not in self._running:
            program = CoreDns if kind == "coredns" else Fastdns
            place = folder / "world.yaml" if kind == "manifests" else self._api(folder).kubeconfig
            env = {"SOURCE": "manifests" if kind == "manifests" else "kubeconfig", "PLACE": str(place)}
            corefile = (folder / "Corefile").read_text()
            server = program(folder=self._place / kind / folder.name, corefile=corefile, env=env)
            server.start()
            self._running[key] = server
        return self._running[key]

    def _api(self, folder: pathlib.Path) -> ApiServer:
        if folder.name not in self._apis:
            place = self._place / "api" / folder.name
            place.mkdir(parents=True)
            api = self._apis[folder.name] = ApiServer(place).__enter__()
            for manifest in runner.manifests(folder):
                api.create(manifest)
        return self._apis[folder.name]

    def close(self) -> None:
        for server in self._running.values():
            server.stop()
        for api in self._apis.values():
            api.close()


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    made = Servers(tmp_path_factory.mktemp("conformance"))
    yield made
    made.close()


@pytest.mark.parametrize(("folder", "case"), CASES)
def test_fastdns_with_manifests(folder: pathlib.Path, case: runner.Case, servers: Servers) -> None:
    assert runner.ask_case(servers.get("manifests", folder).port, case) == case.expected


@with_peers
@pytest.mark.parametrize(("folder", "case"), CASES)
def test_fastdns_with_api_server(folder: pathlib.Path, case: runner.Case, servers: Servers) -> None:
    assert runner.ask_case(servers.get("fastdns", folder).port, case) == case.expected


@with_peers
@pytest.mark.parametrize(("folder", "case"), CASES)
def test_coredns(folder: pathlib.Path, case: runner.Case, servers: Servers) -> None:
    """The oracle agrees with the table: else the table is wrong, or the case says why CoreDNS is."""
    assert runner.ask_case(servers.get("coredns", folder).port, case) == case.expected
