"""Cluster as control uses it: started in an event loop, deltas by a callback, all of it from one source."""

from __future__ import annotations

import asyncio
import logging
import pathlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fastdns.kubernetes import client, cluster, metrics, objects, treecache
from tests.unit.kubernetes import delta, worlds
from tests.unit.kubernetes.fake_apiserver import LIST, FakeApiServer, Fault

NAMESPACES = "/api/v1/namespaces"
SERVICES = "/api/v1/services"
SLICES = "/apis/discovery.k8s.io/v1/endpointslices"
ENDPOINTS = "/api/v1/endpoints"
PODS = "/api/v1/pods"
IMPORTS = "/apis/multicluster.x-k8s.io/v1alpha1/serviceimports"
PATHS = {
    "namespaces": NAMESPACES,
    "services": SERVICES,
    "endpointslices": SLICES,
    "serviceimports": IMPORTS,
    "pods": PODS,
}
MULTICLUSTER: dict[str, Any] = {
    "zones": ("cluster.local.", "clusterset.local."),
    "multicluster": ("clusterset.local.",),
}


@pytest.fixture
def server() -> Iterator[FakeApiServer]:
    made = FakeApiServer()
    put(made, worlds.namespace())
    put(made, worlds.service("web", "10.0.0.1", ports=[("http", 80)]))
    put(made, worlds.slice_of("web", "10.1.0.1"))
    yield made
    made.close()


def put(server: FakeApiServer, item: worlds.Item) -> None:
    kind, body = item
    server.put(PATHS[kind], body)


class Running:
    """A cluster, and a worker's table that gets its snapshot and then its deltas."""

    def __init__(self, **options: Any) -> None:
        state_path = options.pop("state_path", "")
        local_ips = options.pop("local_ips", ())
        self.threads: set[int] = set()
        self.cluster = cluster.Cluster(
            worlds.config(**options), on_delta=self.take, state_path=state_path, local_ips=local_ips
        )
        self.table = delta.Table(*self.cluster.snapshot())

    def take(self, octets: bytes) -> None:
        self.threads.add(threading.get_ident())
        self.table.apply(octets)

    def ask(self, name: str, rtype: str = "A") -> object:
        return self.table.ask(f"{name}.cluster.local", rtype)

    async def until(self, holds: Callable[[], object], seconds: float = 5.0) -> None:
        async with asyncio.timeout(seconds):
            while not holds():
                await asyncio.sleep(0.005)

    async def synced(self) -> None:
        await self.until(lambda: self.cluster.is_synced)


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[Running]:
    made = Running(**options)
    await made.cluster.start()
    try:
        yield made
    finally:
        await made.cluster.stop()


def test_lists_become_deltas_and_events_too(server: FakeApiServer) -> None:
    async def main() -> None:
        async with running(endpoint=server.url) as one:
            assert one.table.synced == 0
            await one.synced()
            assert one.table.synced == 1
            assert one.ask("web.ns.svc") == {"10.0.0.1"}
            put(server, worlds.service("new", "10.0.0.2"))
            await one.until(lambda: one.ask("new.ns.svc") == {"10.0.0.2"})
            server.delete(SERVICES, "ns", "web")
            await one.until(lambda: one.ask("web.ns.svc") == delta.NXDOMAIN)
            assert one.threads == {threading.get_ident()}
            assert one.table.names == delta.Table(*one.cluster.snapshot()).names

    asyncio.run(main())


def test_status_names_what_is_missing_and_why(server: FakeApiServer) -> None:
    server.missing.add(NAMESPACES)

    async def main() -> None:
        async with running(endpoint=server.url) as one:
            # Which of the lists ends first is open: the reason may come after the others' success.
            reason = "namespaces: GET /api/v1/namespaces: HTTP 404"
            await one.until(lambda: [text[: len(reason)] for text in one.cluster.status().waiting] == [reason])
            assert one.ask("web.ns.svc") == delta.NXDOMAIN
            assert not one.cluster.is_synced

    asyncio.run(main())


def test_services_are_served_while_slices_are_forbidden(server: FakeApiServer) -> None:
    """403 on endpointslices alone."""
    server.missing.update({SLICES, ENDPOINTS})

    async def main() -> None:
        async with running(endpoint=server.url) as one:
            await one.until(lambda: one.ask("web.ns.svc") == {"10.0.0.1"})
            assert one.table.synced == 0

    asyncio.run(main())


def test_endpoints_where_there_are_no_slices(server: FakeApiServer) -> None:
    server.missing.add(SLICES)
    server.put(SERVICES, {"metadata": {"name": "h", "namespace": "ns"}, "spec": {"clusterIP": "None"}})
    subsets = [{"addresses": [{"ip": "10.1.0.7", "hostname": "pet"}], "notReadyAddresses": [{"ip": "10.1.0.8"}]}]
    server.put(ENDPOINTS, {"metadata": {"name": "h", "namespace": "ns"}, "subsets": subsets})

    async def main() -> None:
        async with running(endpoint=server.url) as one:
            await one.synced()
            assert one.ask("h.ns.svc") == {"10.1.0.7"}
            assert one.ask("pet.h.ns.svc") == {"10.1.0.7"}

    asyncio.run(main())


def test_noendpoints_asks_for_none(server: FakeApiServer) -> None:
    async def main() -> None:
        async with running(endpoint=server.url, noendpoints=True) as one:
            await one.synced()
            assert one.ask("10-1-0-1.web.ns.svc") == delta.NXDOMAIN

    asyncio.run(main())
    assert {request.path for request in server.requests} == {NAMESPACES, SERVICES}


def test_pods_are_watched_only_if_they_are_verified(server: FakeApiServer) -> None:
    put(server, worlds.pod("p", "10.1.0.1"))

    async def main(**options: Any) -> object:
        async with running(endpoint=server.url, **options) as one:
            await one.synced()
            return one.ask("10-1-0-1.ns.pod")

    assert asyncio.run(main(pods="insecure")) == {"10.1.0.1"}
    assert PODS not in {request.path for request in server.requests}
    assert asyncio.run(main(pods="verified")) == {"10.1.0.1"}
    assert PODS in {request.path for request in server.requests}


def test_imports_are_listed_and_watched(server: FakeApiServer) -> None:
    put(server, worlds.service_import("web", "10.9.0.1", ports=[("http", 80)]))

    async def main() -> None:
        async with running(endpoint=server.url, **MULTICLUSTER) as one:
            await one.synced()
            assert one.table.ask("web.ns.svc.clusterset.local", "A") == {"10.9.0.1"}
            assert one.cluster.status().objects["serviceimports"] == 1
            put(server, worlds.service_import("db", kind="Headless"))
            put(server, worlds.imported_slice("db", "east", "10.1.0.9"))
            await one.until(lambda: one.table.ask("db.ns.svc.clusterset.local", "A") == {"10.1.0.9"})
            server.delete(IMPORTS, "ns", "web")
            await one.until(lambda: one.table.ask("web.ns.svc.clusterset.local", "A") == delta.NXDOMAIN)
            assert one.ask("web.ns.svc") == {"10.0.0.1"}

    asyncio.run(main())


def test_an_api_server_without_imports_is_waited_for(server: FakeApiServer) -> None:
    """As CoreDNS, which stays unsynced then: NXDOMAIN would be a guess. What is known is answered."""
    server.missing.add(IMPORTS)

    async def main() -> None:
        async with running(endpoint=server.url, **MULTICLUSTER) as one:
            await one.until(
                lambda: len(one.cluster.status().waiting) == 1 and one.cluster.status().waiting[0][-7:] != "listing"
            )
            assert one.cluster.status().waiting[0].startswith("serviceimports: ")
            assert not one.cluster.is_synced
            assert one.ask("web.ns.svc") == {"10.0.0.1"}

    asyncio.run(main())


def test_programming_duration_is_observed_for_events(server: FakeApiServer) -> None:
    def touched(address: str) -> worlds.Item:
        kind, body = worlds.slice_of("web", address)
        body["metadata"]["annotations"] = {objects.TRIGGER_TIME_ANNOTATION: "2026-01-01T00:00:00.5Z"}
        return kind, body

    async def main() -> list[Any]:
        async with running(endpoint=server.url) as one:
            await one.synced()
            put(server, touched("10.1.0.2"))
            await one.until(lambda: one.ask("10-1-0-2.web.ns.svc") == {"10.1.0.2"})
            await asyncio.sleep(0)
            return one.cluster.report().as_json()

    (found,) = [one for one in asyncio.run(main()) if one["name"] == metrics.PROGRAMMING_DURATION.name]
    assert [labels for labels, _ in found["series"]] == [["cluster_ip"]]


def test_report_has_objects_ages_and_lists(server: FakeApiServer) -> None:
    async def main() -> metrics.Metrics:
        async with running(endpoint=server.url) as one:
            await one.synced()
            return one.cluster.report()

    counts = asyncio.run(main())
    assert counts.value(metrics.OBJECTS, "services") == 1
    assert counts.value(metrics.SYNCED, "services") == 1
    assert counts.value(metrics.LISTS, "endpointslices") == 1
    assert 0 <= counts.value(metrics.DATA_AGE, "namespaces") < 5


def test_stop_leaves_no_thread(server: FakeApiServer) -> None:
    before = threading.active_count()

    async def main() -> None:
        async with running(endpoint=server.url) as one:
            await one.synced()

    asyncio.run(main())
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("reflector")]
    assert threading.active_count() <= before + len(server.requests)


# --- manifests -------------------------------------------------------------------------------------------------------


def test_manifests_are_a_source_too(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "MANIFESTS_INTERVAL", 0.01)
    text = "kind: Service\nmetadata: {name: web}\nspec: {clusterIP: 10.0.0.%d}\n"
    (tmp_path / "x.yaml").write_text(text % 1)

    async def main() -> None:
        async with running(manifests=(str(tmp_path),)) as one:
            await one.synced()
            assert one.ask("web.default.svc") == {"10.0.0.1"}
            (tmp_path / "x.yaml").write_text(text % 23)
            await one.until(lambda: one.ask("web.default.svc") == {"10.0.0.23"})
            (tmp_path / "x.yaml").unlink()
            await one.until(lambda: one.ask("web.default.svc") == delta.NXDOMAIN)

    asyncio.run(main())


def test_manifests_that_are_missing_are_an_empty_cluster(tmp_path: pathlib.Path) -> None:
    async def main() -> None:
        async with running(manifests=(str(tmp_path / "none"),)) as one:
            await one.synced()
            assert one.cluster.status().objects["services"] == 0

    asyncio.run(main())


# --- the state file --------------------------------------------------------------------------------------------------


def saved(server: FakeApiServer, path: str) -> None:
    async def main() -> None:
        async with running(endpoint=server.url, state_path=path) as one:
            await one.synced()
            await one.cluster.save_state()

    asyncio.run(main())


def test_a_start_without_an_api_server_answers_from_the_state(
    server: FakeApiServer, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = cluster.state_path(str(tmp_path), 0)
    saved(server, path)
    server.faults[LIST].extend([Fault(503)] * 3)

    async def main() -> None:
        async with running(endpoint=server.url, state_path=path) as one:
            await one.until(lambda: one.ask("web.ns.svc") == {"10.0.0.1"})
            assert one.cluster.status().from_snapshot
            assert one.table.synced == 0
            assert "answering from the state saved at" in caplog.text
            server.delete(SERVICES, "ns", "web")
            put(server, worlds.service("new", "10.0.0.2"))
            await one.synced()
            assert one.ask("web.ns.svc") == delta.NXDOMAIN
            assert one.ask("new.ns.svc") == {"10.0.0.2"}
            assert not one.cluster.status().from_snapshot

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())


def test_the_state_has_imports_and_zones_too(server: FakeApiServer, tmp_path: pathlib.Path) -> None:
    put(server, worlds.service_import("db", kind="Headless"))
    put(server, worlds.imported_slice("db", "east", "10.1.0.9"))
    put(server, worlds.headless("pets"))
    put(server, worlds.slice_of("pets", {"addresses": ["10.1.0.8"], "zone": "z1"}))
    options = {
        "endpoint": server.url,
        "state_path": cluster.state_path(str(tmp_path), 0),
        "zonal": True,
        **MULTICLUSTER,
    }

    async def main(*, is_away: bool) -> dict[bytes, delta.Data]:
        async with running(**options) as one:
            await one.until(lambda: one.cluster.status().from_snapshot if is_away else one.cluster.is_synced)
            await one.cluster.save_state()
            return one.table.names

    before = asyncio.run(main(is_away=False))
    server.missing.update(PATHS.values())
    assert asyncio.run(main(is_away=True)) == before
    assert b"\5_zone\4pets\2ns\3svc\7cluster\5local\0" in before


def test_a_state_that_cannot_be_used_is_said(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "x").write_text("nonsense")
    server = FakeApiServer()
    server.close()

    async def main() -> None:
        async with running(endpoint=server.url, state_path=str(tmp_path / "x")) as one:
            await one.until(lambda: "no state to start from" in caplog.text)
            assert not one.cluster.is_synced

    asyncio.run(main())


def test_a_full_disk_costs_the_state_alone(
    server: FakeApiServer, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    saved(server, str(tmp_path / "no" / "folder"))
    assert "state not saved" in caplog.text


def test_without_a_state_directory_there_is_no_file() -> None:
    assert cluster.state_path("", 3) == ""
    assert cluster.state_path("/x", 3) == "/x/kubernetes-3.state"


def test_no_api_server_is_known_at_all() -> None:
    """Outside a cluster, with nothing configured: it says so and goes on trying."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

        async def main() -> None:
            async with running() as one:
                await one.until(lambda: all("not in a cluster" in text for text in one.cluster.status().waiting))

        asyncio.run(main())
    assert client.SERVICE_ACCOUNT.startswith("/var/run/secrets")


def test_an_object_that_meets_a_bug_costs_itself_alone(
    server: FakeApiServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    true_apply = treecache.TreeCache.apply

    def apply(tree: treecache.TreeCache, kind: objects.Kind, item: objects.AnyObject) -> None:
        if item.name == "trouble":
            raise RuntimeError("a bug")
        true_apply(tree, kind, item)

    monkeypatch.setattr(treecache.TreeCache, "apply", apply)
    put(server, worlds.service("trouble", "10.0.0.3"))

    async def main() -> None:
        async with running(endpoint=server.url) as one:
            await one.synced()
            assert one.ask("web.ns.svc") == {"10.0.0.1"}

    asyncio.run(main())
    assert "services: not applied" in caplog.text
