"""deploy/: manifests that a real API server takes, that agree with one another, and that ask for no more than is used."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from fastdns.server import configuration
from tests.peers import manifests
from tests.peers.apiserver import ApiServer, ApiStatus, Object
from tests.peers.process import wait_until
from tests.peers.servers import ROOT, Fastdns

DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "chart"
ACCOUNT = "/api/v1/namespaces/kube-system/serviceaccounts/fastdns"
KUSTOMIZATIONS = ("coredns", "kube-dns", "fastdns", "node-local", "example")
COMPONENTS = ("monitoring", "hpa", "proportional")
# What the chart makes more of, by the value that turns it on.
VALUES: dict[str, dict[str, Any]] = {
    "default": {},
    "hpa": {"hpa.enabled": True, "serviceMonitor.enabled": True},
    "proportional": {"proportionalAutoscaler.enabled": True, "rbac.pods": True, "rbac.endpoints": True},
    "bare": {
        "service.create": False,
        "state.enabled": False,
        "podDisruptionBudget.enabled": False,
        "networkPolicy.enabled": False,
        "resources": {},
        "tolerations": [],
        "imagePullSecrets": [{"name": "registry"}],
        "podAnnotations": {"example.org/a": "b"},
    },
    "own": {
        "corefile": ".:53 {\n    whoami\n}\n",
        "service.clusterIP": "",
        "podDisruptionBudget.maxUnavailable": "25%",
    },
}
BAD_VALUES: dict[str, tuple[dict[str, Any], str]] = {
    "unknown": ({"replica": 3}, "additional properties 'replica' not allowed"),
    "none": ({"workers": 0}, "/workers"),
    "text": ({"replicas": "two"}, "/replicas"),
    "domain": ({"clusterDomain": "cluster.local."}, "/clusterDomain"),
    "quantity": ({"resources.limits.memory": "lots"}, "/resources/limits/memory"),
    "address": ({"service.clusterIP": "dns.example"}, "/service/clusterIP"),
    "policy": ({"image.pullPolicy": "Sometimes"}, "/image/pullPolicy"),
    "port": ({"networkPolicy.apiServerPorts": [65536]}, "/networkPolicy/apiServerPorts"),
    "both autoscalers": ({"hpa.enabled": True, "proportionalAutoscaler.enabled": True}, "'not' failed"),
}
COREFILE = """. {
    bind 127.0.0.1
    errors
    ready 127.0.0.1:{$READY}
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        kubeconfig {$KUBECONFIG}
        pods insecure
    }
}
"""


def text(**more: object) -> Object:
    return {"type": "string", **more}


def struct(**properties: Object) -> Object:
    return {"type": "object", "properties": properties}


def array(items: Object) -> Object:
    return {"type": "array", "items": items}


# The fields of a ServiceMonitor that are used here, as the Prometheus operator's own definition has them.
SERVICE_MONITOR = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "servicemonitors.monitoring.coreos.com"},
    "spec": {
        "group": "monitoring.coreos.com",
        "scope": "Namespaced",
        "names": {"kind": "ServiceMonitor", "plural": "servicemonitors", "singular": "servicemonitor"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": struct(
                        spec={
                            **struct(
                                jobLabel=text(),
                                namespaceSelector=struct(any={"type": "boolean"}, matchNames=array(text())),
                                selector=struct(matchLabels={"type": "object", "additionalProperties": text()}),
                                endpoints=array(
                                    struct(
                                        port=text(),
                                        path=text(),
                                        interval=text(pattern=r"^(0|(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?)$"),
                                    )
                                ),
                            ),
                            "required": ["endpoints", "selector"],
                        }
                    )
                },
            }
        ],
    },
}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with ApiServer(tmp_path_factory.mktemp("apiserver")) as server:
        manifests.create(server, SERVICE_MONITOR)
        definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/servicemonitors.monitoring.coreos.com"

        def is_served() -> bool:
            conditions = server.request("GET", definition).get("status", {}).get("conditions") or []
            return any((one["type"], one["status"]) == ("Established", "True") for one in conditions)

        wait_until(is_served, timeout=60, what="ServiceMonitor")
        yield server


# --- read as they stand ---------------------------------------------------------------------------------------------------


def all_manifests() -> dict[str, list[Object]]:
    """By folder, the manifests of deploy/ themselves; the chart's are templates."""
    paths = [path for path in sorted(DEPLOY.rglob("*.yaml")) if CHART not in path.parents]
    return {str(path.relative_to(DEPLOY)): manifests.read(path) for path in paths if path.name != "kustomization.yaml"}


def instructions() -> list[list[str]]:
    """The Dockerfile's lines, continued ones joined, as words."""
    joined = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    return [line.split() for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def test_every_kustomization_is_tested() -> None:
    folders = {path.parent.name for path in DEPLOY.glob("*/kustomization.yaml")}
    assert folders == {*KUSTOMIZATIONS, *COMPONENTS}


def test_rbac_is_list_and_watch_on_what_is_used() -> None:
    role = manifests.find(manifests.read(DEPLOY / "fastdns" / "rbac.yaml"), "ClusterRole")
    granted = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    used = [("", "namespaces"), ("", "services"), ("discovery.k8s.io", "endpointslices")]
    assert granted == {(*which, verb) for which in used for verb in ("list", "watch")}


def test_corefiles_are_read(tmp_path: pathlib.Path) -> None:
    """node-local-dns's is a template: node-cache fills it in."""
    filled = {
        "__PILLAR__LOCAL__DNS__": "169.254.20.10 10.96.0.10",
        "__PILLAR__CLUSTER__DNS__": "10.96.0.11",
        "__PILLAR__UPSTREAM__SERVERS__": "/etc/resolv.conf",
    }
    corefiles = [one["data"]["Corefile"] for listed in all_manifests().values() for one in listed
                 if one["kind"] == "ConfigMap" and "Corefile" in one.get("data", {})]  # fmt: skip
    assert len(corefiles) == 3
    for corefile in corefiles:
        for word, value in filled.items():
            corefile = corefile.replace(word, value)
        (tmp_path / "Corefile").write_text(corefile)
        assert configuration.load(str(tmp_path / "Corefile"), port=53).blocks


def test_image_copies_files_that_exist_and_that_are_not_ignored() -> None:
    copies = [words for words in instructions() if words[0] == "COPY" and not words[1].startswith("--from")]
    sources = {source for words in copies for source in words[1:-1]}
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert sources and all((ROOT / source).exists() for source in sources)
    assert {source.removeprefix("./") for source in sources} == kept


# --- made, and shown to the API server -----------------------------------------------------------------------------------


@pytest.mark.peers("kustomize", "kube-apiserver", "etcd", "openssl")
@pytest.mark.parametrize("folder", KUSTOMIZATIONS)
def test_kustomization_is_valid(folder: str, api: ApiServer) -> None:
    made = manifests.kustomize(DEPLOY / folder)
    assert made
    for manifest in made:
        manifests.show(api, manifest)


@pytest.mark.peers("kustomize", "kube-apiserver", "etcd", "openssl")
@pytest.mark.parametrize("component", COMPONENTS)
def test_component_is_valid(component: str, api: ApiServer, tmp_path: pathlib.Path) -> None:
    def relative(folder: str) -> str:
        return os.path.relpath(DEPLOY / folder, tmp_path.resolve())

    kustomization = {"resources": [relative("fastdns")], "components": [relative(component)]}
    (tmp_path / "kustomization.yaml").write_text(json.dumps(kustomization))
    made = manifests.kustomize(tmp_path)
    for manifest in made:
        manifests.show(api, manifest)
    is_scaled = component in ("hpa", "proportional")
    assert ("replicas" in manifests.find(made, "Deployment", "fastdns")["spec"]) != is_scaled


@pytest.mark.peers("kube-apiserver", "etcd", "openssl")
def test_unknown_word_would_be_seen(api: ApiServer) -> None:
    (manifest,) = manifests.read(DEPLOY / "fastdns" / "deployment.yaml")
    manifest["spec"]["template"]["spec"]["topologySpread"] = []
    with pytest.raises(ApiStatus, match="topologySpread"):
        manifests.show(api, manifest)


@pytest.mark.peers("kustomize")
@pytest.mark.parametrize("folder, images", [("coredns", 1), ("kube-dns", 3)])
def test_only_images_change(folder: str, images: int) -> None:
    stock = {one["kind"]: dict(manifests.leaves(one)) for one in manifests.read(DEPLOY / folder / "stock.yaml")}
    made = {one["kind"]: dict(manifests.leaves(one)) for one in manifests.kustomize(DEPLOY / folder)}
    changed = [
        path
        for kind in stock.keys() | made.keys()
        for path in stock[kind].keys() | made[kind].keys()
        if stock[kind].get(path) != made[kind].get(path)
    ]
    assert len(changed) == images and all(path.endswith(".image") for path in changed)


@pytest.mark.peers("helm", "kube-apiserver", "etcd", "openssl")
@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_chart_is_valid(values: dict[str, Any], api: ApiServer) -> None:
    assert "0 chart(s) failed" in manifests.lint_chart(CHART, values=values)
    for manifest in manifests.helm(CHART, name="other", values=values):
        manifests.show(api, manifest)


@pytest.mark.peers("helm")
@pytest.mark.parametrize("values, said", BAD_VALUES.values(), ids=BAD_VALUES)
def test_chart_refuses(values: dict[str, Any], said: str) -> None:
    with pytest.raises(AssertionError) as error:
        manifests.helm(CHART, values=values)
    assert said in str(error.value)


@pytest.mark.peers("helm")
def test_own_corefile_is_kept() -> None:
    made = manifests.helm(CHART, values={"corefile": ".:53 {\n    whoami\n}\n"})
    assert manifests.find(made, "ConfigMap")["data"]["Corefile"].strip() == ".:53 {\n    whoami\n}"


@pytest.mark.peers("helm", "kustomize")
@pytest.mark.parametrize("component", [None, *COMPONENTS])
def test_chart_makes_what_the_kustomization_makes(component: str | None, tmp_path: pathlib.Path) -> None:
    switch = {"monitoring": "serviceMonitor", "hpa": "hpa", "proportional": "proportionalAutoscaler"}
    values = {f"{switch[component]}.enabled": True} if component else {}
    folders = ["fastdns", *([component] if component else [])]
    relative = [os.path.relpath(DEPLOY / folder, tmp_path.resolve()) for folder in folders]
    (tmp_path / "kustomization.yaml").write_text(json.dumps({"resources": relative[:1], "components": relative[1:]}))
    chart = manifests.helm(CHART, values={"image.tag": "latest", **values})
    assert comparable(chart) == comparable(manifests.kustomize(tmp_path))


def comparable(made: list[Object]) -> dict[tuple[str, str], dict[str, object]]:
    """By kind and name, without labels that only say who made it."""
    said = ("app.kubernetes.io", "helm.sh")
    return {
        (one["kind"], one["metadata"]["name"]): {
            path: value for path, value in manifests.leaves(one) if not any(word in path for word in said)
        }
        for one in made
    }


@pytest.mark.peers("kustomize")
def test_base_fits_together() -> None:
    """Each selector meets the Pods, and each port that something names is one of the container's."""
    made = manifests.kustomize(DEPLOY / "fastdns")
    template = manifests.find(made, "Deployment")["spec"]["template"]
    labels = template["metadata"]["labels"].items()
    (container,) = template["spec"]["containers"]
    ports = {(port["containerPort"], port["protocol"]) for port in container["ports"]}
    service = manifests.find(made, "Service")["spec"]
    policy = manifests.find(made, "NetworkPolicy")["spec"]
    selectors = [
        manifests.find(made, "Deployment")["spec"]["selector"]["matchLabels"],
        manifests.find(made, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        policy["podSelector"]["matchLabels"],
        service["selector"],
    ]
    assert all(selector.items() <= labels for selector in selectors)
    assert {(port["targetPort"], port["protocol"]) for port in service["ports"]} <= ports
    assert {(port["port"], port["protocol"]) for rule in policy["ingress"] for port in rule["ports"]} == ports
    probes = [container[probe]["httpGet"]["port"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")]
    assert set(probes) <= {port["name"] for port in container["ports"]}


@pytest.mark.peers("kustomize")
def test_service_monitor_meets_the_service() -> None:
    made = manifests.kustomize(DEPLOY / "example")
    monitor, service = manifests.find(made, "ServiceMonitor"), manifests.find(made, "Service")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert {one["port"] for one in monitor["spec"]["endpoints"]} <= {port["name"] for port in service["spec"]["ports"]}


@pytest.mark.peers("kube-apiserver", "etcd", "openssl")
def test_account_of_rbac_gets_synced(api: ApiServer, tmp_path: pathlib.Path) -> None:
    for manifest in manifests.read(DEPLOY / "fastdns" / "rbac.yaml"):
        manifests.create(api, manifest)
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    token = api.request("POST", f"{ACCOUNT}/token", request)["status"]["token"]
    config = json.loads(api.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(config))
    with Fastdns(folder=tmp_path / "fastdns", corefile=COREFILE, env={"KUBECONFIG": str(kubeconfig)}) as server:
        assert server.is_ready()
        assert "synced" in server.log()
        assert "403" not in server.log()
    api.token, admin = token, api.token
    try:
        with pytest.raises(ApiStatus, match="403"):
            api.request("GET", "/api/v1/namespaces/kube-system/secrets")
    finally:
        api.token = admin
