"""A real kube-apiserver with its etcd on loopback, and a small client for making objects through it.

RBAC is on; the token is of system:masters. No controller runs unless asked for: the tests make EndpointSlices themselves, and
nothing corrects them. A Namespace that is deleted is then gone for watchers as soon as its finalizer is taken off.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pathlib
import secrets
import signal
import subprocess
from collections.abc import Mapping
from typing import Any, Self

import urllib3

from tests.peers import build
from tests.peers.process import Process, free_port

Object = dict[str, Any]

SERVICE_RANGES = "10.96.0.0/16,fd00:10:96::/112"
# EndpointSlices from Services and Pods, and Namespaces that really go. Neither the collector of Pods nor the life cycle of
# Nodes: they would delete Pods that are bound to Nodes which don't exist.
CONTROLLERS = "endpointslice-controller,namespace-controller,serviceaccount-controller,garbage-collector-controller"
PATHS = {
    "Namespace": "/api/v1/namespaces",
    "Node": "/api/v1/nodes",
    "Service": "/api/v1/namespaces/{namespace}/services",
    "Pod": "/api/v1/namespaces/{namespace}/pods",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices",
    "ServiceImport": "/apis/multicluster.x-k8s.io/v1alpha1/namespaces/{namespace}/serviceimports",
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "Endpoints": "/api/v1/namespaces/{namespace}/endpoints",
    "ConfigMap": "/api/v1/namespaces/{namespace}/configmaps",
}


SERVICE_IMPORTS: Object = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "serviceimports.multicluster.x-k8s.io"},
    "spec": {
        "group": "multicluster.x-k8s.io",
        "scope": "Namespaced",
        "names": {"plural": "serviceimports", "singular": "serviceimport", "kind": "ServiceImport"},
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                    }
                },
            }
        ],
    },
}


class ApiStatus(AssertionError):
    """A request that the API server refused."""

    def __init__(self, status: int, request: str, body: bytes) -> None:
        super().__init__(f"{request}: HTTP {status}: {body[:500].decode(errors='replace')}")
        self.status = status


class ApiServer:
    """`etcd` and `kube-apiserver`; `start_controllers` adds a kube-controller-manager."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.token = secrets.token_hex(16)
        self.certificate = folder / "server.crt"
        self.kubeconfig = folder / "kubeconfig"
        self.processes: dict[str, Process] = {}
        self._etcd_port, self._peer_port, self.port = free_port(), free_port(), free_port()
        self.url = f"https://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._make_files()
        self._http = urllib3.PoolManager(
            ca_certs=str(self.certificate), maxsize=8, retries=urllib3.Retry(2, other=0), timeout=60
        )
        try:
            self._start_etcd()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.clear()
        for name in ("kube-controller-manager", "kube-apiserver"):  # before etcd, or they wait for it at their end
            if name in self.processes:
                self.processes.pop(name).stop()
        if "etcd" in self.processes:
            self.processes.pop("etcd").stop(signal.SIGKILL)

    # --- its life --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the API server, on the same port and data each time; returns when it answers."""
        key = str(self.folder / "server.key")
        arguments = [
            build.find("kube-apiserver"),
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.port}",
            "--advertise-address=192.0.2.1",  # loopback is refused as an endpoint of `kubernetes`; nobody dials this
            f"--tls-cert-file={self.certificate}",
            f"--tls-private-key-file={key}",
            f"--cert-dir={self.folder}",
            "--authorization-mode=RBAC",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            f"--service-cluster-ip-range={SERVICE_RANGES}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--disable-admission-plugins=ServiceAccount",  # no controller makes the account `default`
            "--enable-priority-and-fairness=false",
        ]
        process = self._start("kube-apiserver", arguments)
        process.wait_until(lambda: self._answers("/readyz"), what="/readyz")
        process.wait_until(lambda: self._answers("/api/v1/namespaces/default"), what="namespace default")

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        """An outage as clients see it: the port refuses. start() ends it."""
        self._http.clear()
        self.processes.pop("kube-apiserver").stop(number)

    def freeze(self) -> None:
        """Connections stay open, and nothing comes over them."""
        self.processes["kube-apiserver"].send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.processes["kube-apiserver"].send_signal(signal.SIGCONT)

    def compact(self) -> int:
        """Forget the history up to now: after a restart, a watch from an older resourceVersion is told 410."""
        key = base64.b64encode(b"x").decode()
        revision = int(self._etcd("/v3/kv/range", {"key": key})["header"]["revision"])
        self._etcd("/v3/kv/compaction", {"revision": str(revision), "physical": True})
        return revision

    def start_controllers(self) -> None:
        arguments = [
            build.find("kube-controller-manager"),
            f"--kubeconfig={self.kubeconfig}",
            f"--authentication-kubeconfig={self.kubeconfig}",
            f"--authorization-kubeconfig={self.kubeconfig}",
            "--authentication-skip-lookup=true",
            "--bind-address=127.0.0.1",
            "--secure-port=0",
            "--leader-elect=false",
            f"--controllers={CONTROLLERS}",
            f"--cert-dir={self.folder}",
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
            "--endpointslice-updates-batch-period=0s",
        ]
        self._start("kube-controller-manager", arguments)

    # --- objects -----------------------------------------------------------------------------------------------------

    def request(self, method: str, path: str, body: object = None, *, content_type: str = "application/json") -> Any:
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/json", "Content-Type": content_type}
        data = None if body is None else json.dumps(body).encode()
        answer = self._http.request(method, self.url + path, body=data, headers=headers)
        if answer.status >= 400:
            raise ApiStatus(answer.status, f"{method} {path}", answer.data)
        return json.loads(answer.data) if answer.data[:1] in (b"{", b"[") else answer.data

    def create(self, manifest: Mapping[str, Any]) -> Object:
        """POST one object; a Pod's status, which a kubelet would tell, is set too."""
        created: Object = self.request("POST", _path(manifest), manifest)
        if manifest["kind"] == "Pod" and "status" in manifest:
            path = f"{_path(manifest)}/{manifest['metadata']['name']}/status"
            return self.patch(path, {"status": manifest["status"]})
        return created

    def replace(self, manifest: Mapping[str, Any]) -> Object:
        replaced: Object = self.request("PUT", _named(manifest), manifest)
        return replaced

    def delete(self, manifest: Mapping[str, Any]) -> None:
        self.request("DELETE", f"{_named(manifest)}?gracePeriodSeconds=0")
        if manifest["kind"] == "Namespace" and "kube-controller-manager" not in self.processes:
            self._finalize(manifest["metadata"]["name"])

    def patch(self, path: str, change: object) -> Object:
        patched: Object = self.request("PATCH", path, change, content_type="application/merge-patch+json")
        return patched

    def ensure(self, manifest: Mapping[str, Any]) -> None:
        """Create an object that may be there already."""
        try:
            self.create(manifest)
        except ApiStatus as error:
            if error.status != 409:
                raise

    def define_service_imports(self) -> None:
        """Have the API server know ServiceImports, which no Kubernetes has by itself; returns when it does."""
        self.ensure(SERVICE_IMPORTS)
        path = "/apis/multicluster.x-k8s.io/v1alpha1/serviceimports"
        self.processes["kube-apiserver"].wait_until(lambda: self._answers(path), what=path)

    # --- inside --------------------------------------------------------------------------------------------------------

    def _finalize(self, name: str) -> None:
        """What the namespace controller does once a Namespace is empty."""
        path = f"/api/v1/namespaces/{name}"
        with contextlib.suppress(ApiStatus):
            namespace = self.request("GET", path)
            namespace["spec"]["finalizers"] = []
            self.request("PUT", f"{path}/finalize", namespace)

    def _start(self, name: str, arguments: list[str]) -> Process:
        environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(self.folder)}
        process = Process(arguments, log=self.folder / f"{name}.log", env=environment, cwd=self.folder)
        self.processes[name] = process
        return process

    def _start_etcd(self) -> None:
        client, peer = f"http://127.0.0.1:{self._etcd_port}", f"http://127.0.0.1:{self._peer_port}"
        arguments = [
            build.find("etcd"),
            "--name=one",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=one={peer}",
            "--unsafe-no-fsync",
            "--log-level=error",
        ]
        self._start("etcd", arguments).wait_until(self._etcd_answers, what="/health")

    def _etcd(self, path: str, body: object) -> Any:
        answer = self._http.request("POST", f"http://127.0.0.1:{self._etcd_port}{path}", body=json.dumps(body).encode())
        if answer.status >= 400:
            raise ApiStatus(answer.status, f"etcd {path}", answer.data)
        return json.loads(answer.data)

    def _etcd_answers(self) -> bool:
        try:
            return self._http.request("GET", f"http://127.0.0.1:{self._etcd_port}/health", retries=False).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def _answers(self, path: str) -> bool:
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            return self._http.request("GET", self.url + path, headers=headers, retries=False).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def _make_files(self) -> None:
        key = str(self.folder / "server.key")
        names = ("IP:127.0.0.1", "IP:10.96.0.1", "DNS:localhost", "DNS:kubernetes.default.svc")
        certificate = ["req", "-x509", "-days", "30", "-key", key, "-out", str(self.certificate)]
        certificate += ["-subj", "/CN=fastdns-test", "-addext", f"subjectAltName={','.join(names)}"]
        # as `ecparam` writes the key, not as `req -newkey`: the API server reads no PKCS #8 as the key of ServiceAccounts
        for arguments in (["ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", key], certificate):
            subprocess.run(
                [build.find("openssl"), *arguments], stdin=subprocess.DEVNULL, capture_output=True, check=True
            )
        (self.folder / "tokens.csv").write_text(f'{self.token},admin,admin,"system:masters"\n')
        authority = base64.b64encode(self.certificate.read_bytes()).decode()
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": self.url, "certificate-authority-data": authority}}],
            "users": [{"name": "admin", "user": {"token": self.token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        }
        self.kubeconfig.write_text(json.dumps(config))


def _path(manifest: Mapping[str, Any]) -> str:
    return PATHS[manifest["kind"]].format(namespace=manifest["metadata"].get("namespace", "default"))


def _named(manifest: Mapping[str, Any]) -> str:
    return f"{_path(manifest)}/{manifest['metadata']['name']}"
