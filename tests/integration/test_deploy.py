"""deploy/: what the manifests say is enough for fastdns and not more, and the image is made of files that exist."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.peers.apiserver import ApiServer, ApiStatus
from tests.peers.servers import ROOT, Fastdns

DEPLOY = ROOT / "deploy"
ACCOUNT = "/api/v1/namespaces/kube-system/serviceaccounts/coredns"
PATHS = {
    "ServiceAccount": "/api/v1/namespaces/kube-system/serviceaccounts",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "Deployment": "/apis/apps/v1/namespaces/kube-system/deployments",
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


def manifests(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def instructions() -> list[list[str]]:
    """The Dockerfile's lines, continued ones joined, as words."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    return [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def test_rbac_is_list_and_watch_on_what_is_used() -> None:
    role = next(manifest for manifest in manifests("rbac.yaml") if manifest["kind"] == "ClusterRole")
    granted = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    used = [("", "namespaces"), ("", "services"), ("discovery.k8s.io", "endpointslices")]
    assert granted == {(*which, verb) for which in used for verb in ("list", "watch")}


def test_deployment_is_what_kubeadm_makes() -> None:
    (deployment,) = manifests("deployment.yaml")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (pod["serviceAccountName"], container["args"]) == ("coredns", ["-conf", "/etc/coredns/Corefile"])
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]}
    assert {port["containerPort"] for port in container["ports"]} == {53, 8080, 8181, 9153}


def test_image_copies_files_that_exist_and_that_are_not_ignored() -> None:
    copies = [words for words in instructions() if words[0] == "COPY" and not words[1].startswith("--from")]
    sources = {source for words in copies for source in words[1:-1]}
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert sources and all((ROOT / source).exists() for source in sources)
    assert {source.removeprefix("./") for source in sources} == kept


def test_image_runs_as_a_numeric_user_without_a_shell() -> None:
    last = {words[0]: words[1:] for words in instructions()}
    assert last["USER"] == ["65532:65532"]
    assert json.loads(" ".join(last["ENTRYPOINT"])) == ["/coredns"]
    assert last["STOPSIGNAL"] == ["SIGTERM"]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with ApiServer(tmp_path_factory.mktemp("apiserver")) as server:
        yield server


@pytest.mark.peers("kube-apiserver", "etcd", "openssl")
def test_account_of_rbac_gets_synced(api: ApiServer, tmp_path: pathlib.Path) -> None:
    for manifest in [*manifests("rbac.yaml"), *manifests("deployment.yaml")]:
        api.request("POST", PATHS[manifest["kind"]], manifest)
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
