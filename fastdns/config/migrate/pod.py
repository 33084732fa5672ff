"""Manifests of a kube-dns pod in, the arguments of its containers and the keys of its ConfigMap out."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from fastdns import errors

CONFIGMAP = "kube-dns"
STOCK = {
    "kubedns": ["--domain=cluster.local.", "--dns-port=10053", "--config-dir=/kube-dns-config"],
    "dnsmasq": [
        "--cache-size=1000",
        "--no-negcache",
        *(f"--server=/{zone}/127.0.0.1#10053" for zone in ("cluster.local", "in-addr.arpa", "ip6.arpa")),
    ],
}

_VARIABLE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")


@dataclasses.dataclass(frozen=True, slots=True)
class Pod:
    """Arguments of the two containers (of dnsmasq those behind the nanny's `--`), and what the ConfigMap holds."""

    kubedns: Sequence[str] = ()
    dnsmasq: Sequence[str] | None = None
    data: Mapping[str, str] = dataclasses.field(default_factory=dict)


def read_pod(manifests: Iterable[object], *, data: Mapping[str, str] | None = None) -> Pod:
    """Find the containers of kube-dns and its ConfigMap. `data` is what a folder of the keys holds.

    Without a Deployment the arguments are those of the stock one. Raises ManifestError if there is neither.
    """
    found: dict[str, list[str]] = {}
    held = data
    for manifest in _walk(manifests):
        kind, name = manifest.get("kind"), _dig(manifest, "metadata", "name")
        if kind == "ConfigMap" and name == CONFIGMAP and held is None:
            held = _read_data(manifest)
        roles = {find_role(container): container for container in _containers(manifest)}
        if "kubedns" in roles and not found:
            found = {role: _words(container) for role, container in roles.items() if role}
    if not found:
        if held is None:
            message = f"neither a Deployment with a container of kube-dns nor a ConfigMap {CONFIGMAP} was given"
            raise errors.ManifestError(message)
        found = STOCK
    dnsmasq = found.get("dnsmasq")
    if dnsmasq is not None and "--" in dnsmasq:
        dnsmasq = dnsmasq[dnsmasq.index("--") + 1 :]
    return Pod(found["kubedns"], dnsmasq, held or {})


def find_role(container: Mapping[str, Any]) -> str:
    """`kubedns` or `dnsmasq`, by the container's name or else its image; empty for another."""
    for text in (str(container.get("name", "")), str(container.get("image", "")).rpartition("/")[2]):
        if "dnsmasq" in text and "metrics" not in text:
            return "dnsmasq"
        if text in ("kubedns", "kube-dns") or "k8s-dns-kube-dns" in text or text.startswith("kubedns-"):
            return "kubedns"
    return ""


def _walk(manifests: Iterable[object]) -> Iterator[Mapping[str, Any]]:
    for manifest in manifests:
        if isinstance(manifest, Mapping):
            items = manifest.get("items")
            if isinstance(items, list):
                yield from _walk(items)
            else:
                yield manifest
        elif manifest is not None:
            raise errors.ManifestError(f"a manifest is an object with a kind, not {str(manifest)[:40]!r}")


def _containers(manifest: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for spec in (_dig(manifest, "spec", "template", "spec"), manifest.get("spec")):
        if isinstance(spec, Mapping):
            yield from (one for one in _list(spec, "containers") if isinstance(one, Mapping))


def _words(container: Mapping[str, Any]) -> list[str]:
    """Arguments, with the container's own variables put in. A command's first word is the program."""
    variables = {
        str(one.get("name")): str(one.get("value", "")) for one in _list(container, "env") if isinstance(one, Mapping)
    }
    words = [*_list(container, "command")[1:], *_list(container, "args")]
    return [_VARIABLE.sub(lambda found: variables.get(found[1], found[0]), str(word)) for word in words]


def _dig(manifest: object, *path: str) -> Any:
    for name in path:
        manifest = manifest.get(name) if isinstance(manifest, Mapping) else None
    return manifest


def _list(manifest: Mapping[str, Any], name: str) -> list[Any]:
    found = manifest.get(name) or []
    if not isinstance(found, list):
        raise errors.ManifestError(f"{name} of {manifest.get('name', 'a pod')} is no list: {str(found)[:40]!r}")
    return found


def _read_data(manifest: Mapping[str, Any]) -> dict[str, str]:
    found = manifest.get("data") or {}
    if not isinstance(found, Mapping):
        raise errors.ManifestError(f"data of ConfigMap {CONFIGMAP} is no object: {str(found)[:40]!r}")
    return {str(key): str(text) for key, text in found.items()}
