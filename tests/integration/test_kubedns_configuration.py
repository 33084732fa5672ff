"""kube-dns's configuration while it runs: --config-dir, --config-map, and federations, by which it is seen."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import dns.message
import dns.query
import dns.rcode
import pytest

from tests.conformance.upstream import Upstream
from tests.peers.apiserver import ApiServer
from tests.peers.kubedns import LOOPBACK, KubeDns
from tests.peers.process import wait_until
from tests.unit.kubernetes.fake_apiserver import FakeApiServer

SERVICES, ENDPOINTS, NODES = "/api/v1/services", "/api/v1/endpoints", "/api/v1/nodes"
PLACE = {"failure-domain.beta.kubernetes.io/zone": "z-1", "failure-domain.beta.kubernetes.io/region": "r-1"}
BASE = "base=base.example.org"
ANY_ADDRESS = {"*": "NOERROR"}


def node(name: str = "n", **labels: str) -> dict[str, Any]:
    return {"kind": "Node", "metadata": {"name": name, "labels": labels}}


def target(server: KubeDns, federation: str) -> str:
    """Where a name of a federation leads that is not in this cluster; empty: there is no such federation."""
    answer = server.ask(f"a.b.{federation}.svc.cluster.local", "SRV")
    return str(answer.answer[0][0].target) if answer.answer else ""


@pytest.fixture
def api() -> Iterator[FakeApiServer]:
    made = FakeApiServer()
    made.put(NODES, node(**PLACE))
    yield made
    made.close()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(ANY_ADDRESS) as made:
        yield made


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    made = tmp_path / "config"
    made.mkdir()
    (made / "federations").write_text(BASE)
    return made


Start = Callable[..., KubeDns]


@pytest.fixture
def start(api: FakeApiServer, tmp_path: pathlib.Path) -> Iterator[Start]:
    started: list[KubeDns] = []

    def begin(*arguments: str) -> KubeDns:
        server = KubeDns([f"--kube-master-url={api.url}"], folder=tmp_path / "server", arguments=arguments)
        started.append(server.__enter__())
        return server

    yield begin
    for server in started:
        server.stop()


def write(folder: pathlib.Path, key: str, text: str) -> None:
    """As a mounted ConfigMap changes: at once."""
    (folder / ".new").write_text(text)
    (folder / ".new").rename(folder / key)


def wait_for(server: KubeDns, federation: str, expected: str) -> None:
    """Until every worker says so: while a reload is under way those of before and after it answer side by side."""

    def is_said_by_all() -> bool:
        return all(target(server, federation) == expected for _ in range(10))

    wait_until(is_said_by_all, timeout=30, what=f"{federation} leads to {expected!r}")


# --- the folder ------------------------------------------------------------------------------------------------------


def test_folder_is_read_and_followed(folder: pathlib.Path, start: Start, upstream: Upstream) -> None:
    server = start(f"--config-dir={folder}", "--config-period=100ms")
    wait_for(server, "base", "a.b.base.svc.z-1.r-1.base.example.org.")
    write(folder, "federations", "next=next.example.org")
    wait_for(server, "next", "a.b.next.svc.z-1.r-1.next.example.org.")
    assert target(server, "base") == ""
    write(folder, "upstreamNameservers", f'["{LOOPBACK}:{upstream.port}"]')
    wait_until(lambda: server.ask("www.example.org", "A").rcode() == dns.rcode.NOERROR, timeout=30, what="the upstream")
    for key in ("federations", "upstreamNameservers"):
        (folder / key).unlink()
    wait_for(server, "next", "")


def test_link_that_turns_is_followed(tmp_path: pathlib.Path, start: Start) -> None:
    mount = tmp_path / "mount"
    for version in ("one", "two"):
        (mount / f"..{version}").mkdir(parents=True)
        (mount / f"..{version}" / "federations").write_text(f"{version}={version}.example.org")
    (mount / "..data").symlink_to("..one")
    (mount / "federations").symlink_to("..data/federations")
    server = start(f"--config-dir={mount}", "--config-period=100ms")
    wait_for(server, "one", "a.b.one.svc.z-1.r-1.one.example.org.")
    (mount / "..new").symlink_to("..two")
    (mount / "..new").rename(mount / "..data")
    wait_for(server, "two", "a.b.two.svc.z-1.r-1.two.example.org.")


BAD = [
    ("federations", "nonsense", "must be key=value"),
    ("federations", "a=b.c,", "must be key=value"),
    ("federations", "a.b=c.d", "not a valid federation name"),
    ("federations", "A=c.d", "not a valid federation name"),
    ("federations", "=c.d", "not a valid federation name"),
    ("federations", "a=c.d.", "not a valid domain name"),
    ("federations", "a=", "not a valid domain name"),
    ("federations", '{"a": "b.c"}', "must be key=value"),
    ("stubDomains", "", "invalid JSON"),
    ("stubDomains", "[", "invalid JSON"),
    ("stubDomains", '["a"]', "an object from domain to servers is expected"),
    ("stubDomains", '{"Foo.com": ["1.2.3.4"]}', "invalid domain name"),
    ("stubDomains", '{"foo.com.": ["1.2.3.4"]}', "invalid domain name"),
    ("stubDomains", '{"*.com": ["1.2.3.4"]}', "invalid domain name"),
    ("stubDomains", '{"foo.com": "1.2.3.4"}', "a list of texts is expected"),
    ("stubDomains", '{"foo.com": [""]}', "invalid nameserver"),
    ("stubDomains", '{"foo.com": ["1.2.3.4#53"]}', "invalid nameserver"),
    ("stubDomains", '{"foo.com": ["[2001:db8::1]"]}', "invalid nameserver"),
    ("stubDomains", '{"foo.com": ["1.2.3.4:65536"]}', "invalid nameserver"),
    ("stubDomains", '{"foo.com": ["ns.foo.com:53"]}', "invalid nameserver"),
    ("upstreamNameservers", "1.2.3.4", "invalid JSON"),
    ("upstreamNameservers", '"1.2.3.4"', "a list of texts is expected"),
    ("upstreamNameservers", '["1.1.1.1", "2.2.2.2", "3.3.3.3", "4.4.4.4"]', "cannot have more than three entries"),
    ("upstreamNameservers", '["1.1.1.1:"]', "bad port number"),
    ("upstreamNameservers", '["1.1.1.1:0"]', "bad port number"),
    ("upstreamNameservers", '["1.1.1.1#53"]', "missing port in address"),
    ("upstreamNameservers", '["ns.example.org"]', "missing port in address"),
    ("upstreamNameservers", '["01.2.3.4"]', "missing port in address"),
    ("upstreamNameservers", '["[::1]"]', "missing port in address"),
]


def test_bad_value_is_told_and_the_last_good_ones_stay(folder: pathlib.Path, start: Start) -> None:
    server = start(f"--config-dir={folder}", "--config-period=50ms")
    wait_for(server, "base", "a.b.base.svc.z-1.r-1.base.example.org.")
    for number, (key, text, words) in enumerate(BAD):
        told = len(server.log())
        write(folder, key, text)

        def is_told(told: int = told, key: str = key, words: str = words) -> bool:
            line = next((one for one in server.log()[told:].splitlines() if f"failed: {key}: " in one), "")
            return bool(line) and words in line

        wait_until(is_told, timeout=30, what=f"{key} {text!r} is told as {words!r}")
        assert target(server, "base") == "a.b.base.svc.z-1.r-1.base.example.org.", text
        if key == "federations":
            write(folder, key, f"good{number}=good.example.org")
            wait_for(server, f"good{number}", f"a.b.good{number}.svc.z-1.r-1.good.example.org.")
            write(folder, key, BASE)
        else:
            (folder / key).unlink()
        wait_for(server, "base", "a.b.base.svc.z-1.r-1.base.example.org.")


GOOD = [
    ("federations", f" {BASE} , x = y.z "),
    ("federations", f"base=other.example.org,{BASE}"),
    ("stubDomains", '{"foo.com": ["1.2.3.4:32564", "2001:db8::1", "[2001:db8::2]:53", "ns.foo.com"], "a": []}'),
    ("stubDomains", '{"foo.com": null, "cluster.local": ["1.2.3.4:"]}'),
    ("stubDomains", "null"),
    ("upstreamNameservers", '["127.9.9.1", "127.9.9.2:53", "[::1]:10053"]'),
    ("upstreamNameservers", "[]"),
    ("unknown", "whatever"),
]


@pytest.mark.parametrize(("key", "text"), GOOD)
def test_good_value_is_taken(key: str, text: str, folder: pathlib.Path, start: Start) -> None:
    (folder / key).write_text(text)
    server = start(f"--config-dir={folder}", "--config-period=100ms", f"--nameservers={LOOPBACK}")
    wait_for(server, "base", "a.b.base.svc.z-1.r-1.base.example.org.")
    assert "failed" not in server.log()


@pytest.mark.parametrize("spoil", ["bytes", "folder is gone"])
def test_folder_that_cannot_be_read_is_told_and_tried_again(spoil: str, folder: pathlib.Path, start: Start) -> None:
    server = start(f"--config-dir={folder}", "--config-period=100ms")
    wait_for(server, "base", "a.b.base.svc.z-1.r-1.base.example.org.")
    aside = folder.with_name("aside")
    if spoil == "bytes":
        (folder / "bad").write_bytes(b"\xff\xfe\0")
        (folder / "federations").write_text("next=next.example.org")
    else:
        folder.rename(aside)
    wait_until(lambda: "reload failed" in server.log(), timeout=30, what="what is wrong")
    assert target(server, "base") == "a.b.base.svc.z-1.r-1.base.example.org."
    if spoil == "bytes":
        (folder / "bad").unlink()
    else:
        aside.rename(folder)
        write(folder, "federations", "next=next.example.org")
    wait_for(server, "next", "a.b.next.svc.z-1.r-1.next.example.org.")


def test_folder_that_is_bad_at_the_start_means_the_defaults(folder: pathlib.Path, start: Start) -> None:
    (folder / "stubDomains").write_text("")
    server = start(f"--config-dir={folder}", "--config-period=100ms")
    assert target(server, "base") == ""
    assert "the defaults are used" in server.log()
    (folder / "stubDomains").unlink()
    wait_for(server, "base", "a.b.base.svc.z-1.r-1.base.example.org.")


def test_flags_mean_nothing_beside_a_folder(folder: pathlib.Path, start: Start) -> None:
    server = start(f"--config-dir={folder}", "--federations=flag=flag.example.org")
    wait_for(server, "base", "a.b.base.svc.z-1.r-1.base.example.org.")
    assert target(server, "flag") == ""


# --- federations -----------------------------------------------------------------------------------------------------


def put_service(api: FakeApiServer, name: str, address: str, *, subsets: int = 1) -> None:
    port = {"name": "http", "port": 80, "protocol": "TCP"}
    metadata = {"name": name, "namespace": "ns"}
    api.put(
        SERVICES, {"metadata": dict(metadata), "spec": {"clusterIP": address, "clusterIPs": [address], "ports": [port]}}
    )
    listed = [{"addresses": [{"ip": "10.1.0.1"}], "ports": [port]}] * subsets
    api.put(ENDPOINTS, {"metadata": dict(metadata), "subsets": listed})


@pytest.mark.parametrize(
    ("name", "rdtype", "expected"),
    [
        ("web.ns.fed.svc.cluster.local", "A", ["CNAME web.ns.svc.cluster.local.", "A 10.96.0.1"]),
        ("WEB.ns.fed.svc.cluster.local", "A", ["CNAME web.ns.svc.cluster.local.", "A 10.96.0.1"]),
        ("web.ns.fed.svc.cluster.local", "AAAA", []),
        ("web.ns.fed.svc.cluster.local", "SRV", ["SRV 0 100 0 web.ns.svc.cluster.local."]),
        ("web.ns.fed.svc.cluster.local", "TXT", []),
        ("head.ns.fed.svc.cluster.local", "A", ["CNAME head.ns.svc.cluster.local.", "A 10.1.0.1"]),
        ("idle.ns.fed.svc.cluster.local", "SRV", ["SRV 0 100 0 idle.ns.fed.svc.z-1.r-1.fed.example.org."]),
        ("none.ns.fed.svc.cluster.local", "A", ["CNAME none.ns.fed.svc.z-1.r-1.fed.example.org.", "A 192.0.2.200"]),
        ("other.ns.fed.svc.cluster.local", "A", []),
    ],
)
def test_federation(
    name: str, rdtype: str, expected: list[str], api: FakeApiServer, start: Start, upstream: Upstream
) -> None:
    away = "none.ns.fed.svc.z-1.r-1.fed.example.org."
    upstream.zone = {f"{away} A": f"NOERROR\n{away} 120 IN A 192.0.2.200", "*": "NXDOMAIN"}
    put_service(api, "web", "10.96.0.1")
    put_service(api, "idle", "10.96.0.2", subsets=0)
    put_service(api, "head", "None")
    server = start("--federations=fed=fed.example.org", f"--nameservers={LOOPBACK}:{upstream.port}")
    wait_for(server, "fed", "a.b.fed.svc.z-1.r-1.fed.example.org.")
    answer = server.ask(name, rdtype)
    found = [f"{rrset.to_text().split()[3]} {one}" for rrset in answer.answer for one in rrset]
    assert found == expected
    assert answer.rcode() == dns.rcode.NOERROR
    assert all(rrset.ttl == 0 for rrset in answer.answer)


@pytest.mark.parametrize(
    ("name", "rdtype"),
    [
        ("web.ns.none.svc.cluster.local", "A"),
        ("web.ns.fed.svc.cluster.local", "CNAME"),
        ("_http._tcp.web.ns.fed.svc.cluster.local", "SRV"),
        ("*.ns.fed.svc.cluster.local", "SRV"),
        ("1web.ns.fed.svc.cluster.local", "A"),
        ("ns.fed.svc.cluster.local", "A"),
        ("fed.svc.cluster.local", "A"),
        ("web.ns.fed.pod.cluster.local", "A"),
    ],
)
def test_what_is_no_name_of_a_federation(name: str, rdtype: str, api: FakeApiServer, start: Start) -> None:
    put_service(api, "web", "10.96.0.1")
    server = start("--federations=fed=fed.example.org")
    wait_for(server, "fed", "a.b.fed.svc.z-1.r-1.fed.example.org.")
    assert server.ask(name, rdtype).rcode() == dns.rcode.NXDOMAIN


def test_without_a_node_that_has_a_place_there_is_no_way(api: FakeApiServer, start: Start) -> None:
    api.put(NODES, node(**{"topology.kubernetes.io/zone": "z", "topology.kubernetes.io/region": "r"}))
    server = start("--federations=fed=fed.example.org")
    assert server.ask("a.b.fed.svc.cluster.local", "SRV").rcode() == dns.rcode.SERVFAIL
    assert server.ask("a.b.fed.svc.cluster.local", "A").rcode() == dns.rcode.NOERROR
    wait_until(lambda: "no node has the labels" in server.log(), timeout=30, what="what is missing")


def test_node_that_comes_later_shows_the_way(api: FakeApiServer, start: Start) -> None:
    api.put(NODES, node())
    server = start("--federations=fed=fed.example.org")
    wait_until(lambda: "no node has the labels" in server.log(), timeout=30, what="what is missing")
    api.put(NODES, node(**PLACE))
    wait_for(server, "fed", "a.b.fed.svc.z-1.r-1.fed.example.org.")


def test_nodes_are_not_listed_without_federations(api: FakeApiServer, start: Start) -> None:
    start()
    assert NODES not in {request.path for request in api.requests}


# --- the ConfigMap of the API server ---------------------------------------------------------------------------------


def configmap(name: str, federations: str, namespace: str = "other") -> dict[str, Any]:
    return {
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": {"federations": federations},
    }


@pytest.mark.peers("kube-apiserver", "etcd", "openssl")
def test_configmap_is_followed_by_its_name(tmp_path: pathlib.Path) -> None:
    """Made after the start, changed, deleted; and no other of its namespace, which the original would take."""
    place = tmp_path / "api"
    place.mkdir()
    with ApiServer(place) as api:
        api.create({"kind": "Namespace", "metadata": {"name": "other"}})
        api.create(node(**PLACE))
        words = [f"--kubecfg-file={api.kubeconfig}"]
        arguments = ["--config-map=mine", "--config-map-namespace=other"]
        with KubeDns(words, folder=tmp_path / "server", arguments=arguments) as server:
            assert target(server, "one") == ""
            mine = api.create(configmap("mine", "one=one.example.org"))
            wait_for(server, "one", "a.b.one.svc.z-1.r-1.one.example.org.")
            api.create(configmap("theirs", "two=two.example.org"))
            api.replace({**mine, "data": {"federations": "three=three.example.org"}})
            wait_for(server, "three", "a.b.three.svc.z-1.r-1.three.example.org.")
            assert target(server, "two") == ""
            api.delete(mine)
            wait_for(server, "three", "")
