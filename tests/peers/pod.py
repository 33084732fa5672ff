"""A Pod as a manifest says it, run from the built image against a real API server, without a kubelet.

Each container has its image target's entry point, its own arguments, user, capabilities, volumes and environment; all share
one network, in which the API server is found as Pods find it, with a token of the Pod's account.
"""

from __future__ import annotations

import contextlib
import functools
import pathlib
import socket
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any, Self

from tests.peers.apiserver import ApiServer, Object
from tests.peers.container import Container, Spec
from tests.peers.image import Image
from tests.peers.namespaces import Namespace
from tests.peers.process import ProcessError, wait_until
from tests.peers.proxy import Proxy

CAPABILITIES = {"CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "FSETID": 4, "KILL": 5, "SETGID": 6, "SETUID": 7, "SETPCAP": 8,
                "NET_BIND_SERVICE": 10, "NET_ADMIN": 12, "NET_RAW": 13, "SYS_CHROOT": 18, "MKNOD": 27, "AUDIT_WRITE": 29,
                "SETFCAP": 31}  # fmt: skip
# What a runtime gives to a container that says nothing.
DEFAULT = [number for name, number in CAPABILITIES.items() if name != "NET_ADMIN"]
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
RESOLVER = "nameserver 192.0.2.53\n"  # nobody's: what is forwarded fails at once, there is no way out of the network


class Pod:
    """`made` are all manifests of a folder; its Deployment or DaemonSet is run. What it needs is in the API server by then."""

    def __init__(
        self, image: Image, made: Sequence[Object], *, api: ApiServer, network: Namespace, folder: pathlib.Path
    ) -> None:
        self._image = image
        self._made = made
        self._api = api
        self._folder = folder
        self.network = network
        (workload,) = [one for one in made if one["kind"] in ("Deployment", "DaemonSet")]
        self._namespace = workload["metadata"]["namespace"]
        self._pod: dict[str, Any] = workload["spec"]["template"]["spec"]
        self._stack = contextlib.ExitStack()
        self.containers: dict[str, Container] = {}

    def __enter__(self) -> Self:
        with self._stack:
            proxy = self._stack.enter_context(Proxy(self._api.port, listen=self._listen))
            shared = (
                self._files("account", self._account()) if self._pod.get("automountServiceAccountToken", True) else None
            )
            env = {
                **self._services(),
                "KUBERNETES_SERVICE_HOST": "127.0.0.1",
                "KUBERNETES_SERVICE_PORT": str(proxy.port),
            }
            for container in self._pod["containers"]:
                spec = self._spec(container, env, account=shared)
                log = self._folder / f"{container['name']}.log"
                self.containers[container["name"]] = self._stack.enter_context(
                    Container(spec, network=self.network, log=log)
                )
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def wait_until(self, condition: Callable[[], object], *, what: str) -> None:
        """As the function of that name, with the containers' logs in its error."""
        try:
            wait_until(condition, what=what, timeout=60)
        except ProcessError as error:
            raise ProcessError(f"{error}\n{self.log()}") from None

    def failing_probes(self) -> list[str]:
        """The URLs of all probes of all containers that don't say 200."""
        return [url for url in self._probes() if not self.network.inside(functools.partial(is_well, url))]

    def pss(self) -> int:
        return sum(container.pss() for container in self.containers.values())

    def terminate(self) -> dict[str, int]:
        """Each container's exit code after SIGTERM."""
        return {name: container.terminate() for name, container in self.containers.items()}

    def log(self) -> str:
        return "\n".join(f"--- {name}\n{container.log()}" for name, container in self.containers.items())

    def _listen(self, port: int) -> socket.socket:
        return self.network.inside(lambda: socket.create_server(("127.0.0.1", port)))

    def _probes(self) -> set[str]:
        urls = set()
        for container in self._pod["containers"]:
            numbers = {port["name"]: port["containerPort"] for port in container["ports"]}
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                if get := container.get(probe, {}).get("httpGet"):
                    port = numbers.get(get["port"], get["port"])
                    urls.add(f"http://{get.get('host', '127.0.0.1')}:{port}{get['path']}")
        return urls

    def _spec(self, container: Object, env: dict[str, str], *, account: pathlib.Path | None) -> Spec:
        tag = container["image"].rpartition(":")[2]
        config = self._image.configs[tag.partition("-")[2] or "fastdns"]
        security = {**self._pod.get("securityContext", {}), **container.get("securityContext", {})}
        user, _, group = config["User"].partition(":")
        volumes = {"/etc/resolv.conf": self._files("resolver", {"resolv.conf": RESOLVER}) / "resolv.conf"}
        if account:
            volumes[ACCOUNT] = account
        scratch = []
        for mount in container.get("volumeMounts", []):
            (volume,) = [one for one in self._pod["volumes"] if one["name"] == mount["name"]]
            if "emptyDir" in volume:
                scratch.append(mount["mountPath"])
            else:
                volumes[mount["mountPath"]] = self._config_map(volume)
        own = {one["name"]: one["value"] for one in container.get("env", [])}
        return Spec(
            root=self._image.root,
            arguments=[*container.get("command", config["Entrypoint"]), *container["args"]],
            env={**dict(setting.split("=", 1) for setting in config["Env"]), **env, **own},
            user=security.get("runAsUser", int(user)),
            group=security.get("runAsGroup", int(group)),
            volumes=volumes,
            scratch=scratch,
            capabilities=_capabilities(security.get("capabilities", {})),
            is_read_only=security.get("readOnlyRootFilesystem", False),
            gains_privileges=security.get("allowPrivilegeEscalation", True),
        )

    def _config_map(self, volume: Object) -> pathlib.Path:
        source = volume["configMap"]
        found = [one for one in self._made if one["kind"] == "ConfigMap" and one["metadata"]["name"] == source["name"]]
        data = found[0].get("data", {}) if found else {}
        names = {item["key"]: item["path"] for item in source.get("items", [])} or {key: key for key in data}
        return self._files(volume["name"], {path: data[key] for key, path in names.items()})

    def _account(self) -> dict[str, str]:
        path = f"/api/v1/namespaces/{self._namespace}/serviceaccounts/{self._pod['serviceAccountName']}/token"
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 3600},
        }
        token = self._api.request("POST", path, request)["status"]["token"]
        return {"token": token, "ca.crt": self._api.certificate.read_text(), "namespace": self._namespace}

    def _services(self) -> dict[str, str]:
        """The environment by which Pods find the Services of their namespace."""
        listed = self._api.request("GET", f"/api/v1/namespaces/{self._namespace}/services")["items"]
        addresses = {one["metadata"]["name"].upper().replace("-", "_"): one["spec"]["clusterIP"] for one in listed}
        return {f"{name}_SERVICE_HOST": address for name, address in addresses.items()}

    def _files(self, name: str, data: dict[str, str]) -> pathlib.Path:
        folder = self._folder / "volumes" / name
        folder.mkdir(parents=True, exist_ok=True)
        for path, content in data.items():
            (folder / path).write_text(content)
        for made in (folder, *folder.iterdir()):
            made.chmod(0o755)
        return folder


def is_well(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _capabilities(said: Object) -> list[int]:
    drops_all = "ALL" in [name.upper() for name in said.get("drop", [])]
    dropped = {CAPABILITIES[name] for name in said.get("drop", []) if name.upper() != "ALL"}
    kept = [] if drops_all else [number for number in DEFAULT if number not in dropped]
    return sorted({*kept, *(CAPABILITIES[name] for name in said.get("add", []))})
