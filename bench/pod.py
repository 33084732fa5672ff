"""kube-dns's stock Pod on this machine: its containers as processes with the arguments of its manifest, and other ports.

What differs from the arguments in a cluster: the API server's address, the ports, the folders of the ConfigMap, and
that the ConfigMap names the upstream, so that nothing here asks the world outside. As there, each listens on every
address: that costs dnsmasq some of its time.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

from bench import ports
from bench.process import Command
from bench.servers import ROOT, Maker, Scene, python

MANIFEST = ROOT / "deploy" / "kube-dns" / "stock.yaml"
BUILT_IN = str(ROOT / "fastdns" / "__main__.py")  # a nanny that is this program itself answers instead of starting one
IMAGE_CONF = ("--conf-file=/dev/null", "--user=root", "--pid-file=")  # what dnsmasq.conf says in kube-dns's image
# Arguments besides the manifest's, by container. In them, too, ports are the Pod's own: its defaults, spelt out to be moved.
HERE = {
    "kubedns": ("--kube-master-url=http://127.0.0.1:API", "--healthz-port=8081"),
    "dnsmasq": ("--port=53", *IMAGE_CONF),
    "sidecar": ("--dnsmasq-port=53", "--prometheus-port=10054"),
}
OWN_PORTS = ("8081", "10053", "10054", "10055")
FOLDERS = ("/kube-dns-config", "/etc/k8s/dns/dnsmasq-nanny")
UNSAID = re.compile(r"    (health \{\n.*?\n    \}|ready)\n", re.DOTALL)  # pages at fixed ports, and lame duck
METRICS = re.compile(r"(?<=^    prometheus ).*$", re.MULTILINE)


def containers(dnsmasq: Callable[[], str]) -> Maker:
    """The three containers as processes of fastdns; `dnsmasq` gives what the nanny runs."""

    def make(scene: Scene) -> Command:
        found = {one["name"]: one for one in specification(manifest(scene))["containers"]}
        words = {name: one["args"] for name, one in found.items()}
        variables = {one["name"]: one["value"] for one in found["kubedns"]["env"]}
        kubedns = program("kube-dns", words["kubedns"], end=signal.SIGQUIT, environment=variables)
        sidecar = program("sidecar", words["sidecar"])
        nanny = [f"-dnsmasqExec={dnsmasq()}", *words["dnsmasq"]]
        return program("dnsmasq-nanny", nanny, beside=(kubedns, sidecar))

    return make


def program(
    name: str,
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    end: signal.Signals = signal.SIGTERM,
    beside: tuple[Command, ...] = (),
) -> Command:
    begin = python("-m", "fastdns", name)
    return Command((*begin.argv, *arguments), {**begin.environment, **(environment or {})}, end, beside)


def corefile(scene: Scene) -> str:
    """What `fastdns migrate` prints for the Pod, less what needs fixed ports."""
    migrated = [sys.executable, "-m", "fastdns", "migrate", "-"]
    text = yaml.safe_dump_all([manifest(scene), config_map(scene)])
    done = subprocess.run(migrated, input=text, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return METRICS.sub(f"127.0.0.1:{scene.metrics}", UNSAID.sub("", done.stdout))


def manifest(scene: Scene) -> dict[str, Any]:
    """The Deployment, as it can run here."""
    documents = yaml.safe_load_all(MANIFEST.read_text())
    moved = {own: str(ports.free_port()) for own in OWN_PORTS} | {"53": str(scene.port), "API": str(scene.api)}
    found: dict[str, Any] = next(one for one in documents if one["kind"] == "Deployment")
    for container in specification(found)["containers"]:
        words = [*container["args"], *HERE[container["name"]]]
        container["args"] = [move(word, moved, folder(scene)) for word in words]
        for variable in container.get("env", ()):
            variable["value"] = moved.get(variable["value"], variable["value"])
    return found


def specification(deployment: dict[str, Any]) -> Any:
    return deployment["spec"]["template"]["spec"]


def move(word: str, moved: Mapping[str, str], place: str) -> str:
    """An argument with other ports and folders."""
    for own in FOLDERS:
        word = word.replace(f"={own}", f"={place}")
    return re.sub(r"(?<=[=:#])\w+\b", lambda found: moved.get(found[0], found[0]), word)


def folder(scene: Scene) -> str:
    """The ConfigMap, mounted."""
    place = scene.folder / f"kube-dns-{scene.port}"
    place.mkdir(exist_ok=True)
    for key, text in config_map(scene)["data"].items():
        (place / key).write_text(text)
    return str(place)


def config_map(scene: Scene) -> dict[str, Any]:
    data = {"upstreamNameservers": json.dumps([f"127.0.0.1:{scene.upstream}"])}
    metadata = {"name": "kube-dns", "namespace": "kube-system"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
