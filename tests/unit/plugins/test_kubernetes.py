import dataclasses
import pathlib

import pytest

from fastdns.config import model

DEFAULT = model.Kubernetes(("cluster.local.",))


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> pathlib.Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_zones_of_the_block(read) -> None:
    assert read("kubernetes", "cluster.local 10.0.0.0/8") == (model.Kubernetes(("cluster.local.", "10.in-addr.arpa.")),)


def test_network_off_the_boundary(read) -> None:
    (kubernetes,) = read("kubernetes cluster.local 10.96.0.0/12")
    assert len(kubernetes.zones) == 17


@pytest.mark.parametrize("zone", ["in-addr.arpa", "ip6.arpa"])
def test_bare_reverse_zone_counts_as_ordinary(read, zone: str) -> None:
    assert read(f"kubernetes {zone}") == (model.Kubernetes((f"{zone}.",)),)


@pytest.mark.parametrize(
    ("option", "changes"),
    [
        ("endpoint https://192.0.2.1:6443", {"endpoint": "https://192.0.2.1:6443"}),
        ("tls a b c", {"tls": ("a", "b", "c")}),
        ("kubeconfig a", {"kubeconfig": "a"}),
        ("kubeconfig a admin", {"kubeconfig": "a", "context": "admin"}),
        ("manifests a b\nmanifests c", {"manifests": ("a", "b", "c")}),
        ("namespaces a b\nnamespaces b c", {"namespaces": ("a", "b", "c")}),
        ("namespace_labels istio-injection=enabled", {"namespace_labels": "istio-injection=enabled"}),
        (
            "labels environment in (staging, qa),application=nginx",
            {"labels": "environment in (staging, qa),application=nginx"},
        ),
        ("pods verified", {"pods": "verified"}),
        ("pods disabled", {}),
        ("endpoint_pod_names", {"endpoint_pod_names": True}),
        ("ttl 0", {"ttl": 0}),
        ("ttl 3600", {"ttl": 3600}),
        ("noendpoints", {"noendpoints": True}),
        ("multicluster cluster.local", {"multicluster": ("cluster.local.",)}),
        ("multicluster cluster.local\nmulticluster", {}),
        ("multicluster", {}),
        ("zonal", {"zonal": True}),
        ("fallthrough", {"fallthrough": model.Fallthrough((".",))}),
        (
            "fallthrough in-addr.arpa 10.0.0.0/8",
            {"fallthrough": model.Fallthrough(("in-addr.arpa.", "10.in-addr.arpa."))},
        ),
        ("ignore empty_service", {"ignore_empty_service": True}),
        ("startup_timeout 10s", {"startup_timeout": 10.0}),
        ("apiserver_qps 2.5", {"apiserver_qps": 2.5}),
        ("apiserver_burst 10", {"apiserver_burst": 10}),
        ("apiserver_max_inflight 4", {"apiserver_max_inflight": 4}),
    ],
)
def test_option(read, folder: pathlib.Path, option: str, changes: dict[str, object]) -> None:
    for name in "abc":
        (folder / name).touch()
    assert read(f"kubernetes cluster.local {{\n{option}\n}}") == (dataclasses.replace(DEFAULT, **changes),)


def test_second_endpoint_is_a_warning(read, caplog: pytest.LogCaptureFixture) -> None:
    (kubernetes,) = read("kubernetes cluster.local {\n endpoint https://a https://b\n}")
    assert kubernetes.endpoint == "https://a"
    assert "only the first specified endpoint 'https://a' is used" in caplog.text
