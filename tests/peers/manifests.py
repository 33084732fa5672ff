"""Manifests: read, made by kustomize and helm, and shown to a real API server without creating them."""

from __future__ import annotations

import functools
import json
import os
import pathlib
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from tests.peers import build
from tests.peers.apiserver import ApiServer, Object


def read(path: pathlib.Path) -> list[Object]:
    return _parse(path.read_text())


def kustomize(folder: pathlib.Path) -> list[Object]:
    """What a kustomization makes; its error as an AssertionError."""
    return _parse(_run(build.find("kustomize"), "build", str(folder)))


def helm(chart: pathlib.Path, *, name: str = "fastdns", values: Mapping[str, Any] | None = None) -> list[Object]:
    """What a chart makes in kube-system, with these values over its own; its error as an AssertionError."""
    cluster = ("--namespace=kube-system", f"--kube-version={build.KUBERNETES}")
    return _parse(_run(build.find("helm"), "template", name, str(chart), *cluster, *_set_values(values or {})))


def lint_chart(chart: pathlib.Path, *, values: Mapping[str, Any] | None = None) -> str:
    """What `helm lint` says, warnings being errors."""
    version = f"--kube-version={build.KUBERNETES}"
    return _run(build.find("helm"), "lint", "--strict", version, str(chart), *_set_values(values or {}))


def show(api: ApiServer, manifest: Object) -> Object:
    """Apply on trial: validated, defaulted and authorized, a word that no schema knows is an error, and nothing is kept.

    Raises ApiStatus.
    """
    path = f"{_collection(api, manifest)}/{manifest['metadata']['name']}"
    trial = "dryRun=All&fieldValidation=Strict&fieldManager=test&force=true"
    shown: Object = api.request("PATCH", f"{path}?{trial}", manifest, content_type="application/apply-patch+yaml")
    return shown


def create(api: ApiServer, manifest: Object) -> Object:
    created: Object = api.request("POST", _collection(api, manifest), manifest)
    return created


WORKLOADS = ("Deployment", "DaemonSet")


def create_all(api: ApiServer, made: Sequence[Object]) -> None:
    """What a Pod needs to be there; workloads would only wait for a scheduler."""
    for manifest in made:
        if manifest["kind"] not in WORKLOADS:
            create(api, manifest)


def delete_all(api: ApiServer, made: Sequence[Object]) -> None:
    """What create_all has created."""
    for manifest in reversed(made):
        if manifest["kind"] not in WORKLOADS:
            api.request("DELETE", f"{_collection(api, manifest)}/{manifest['metadata']['name']}")


def find(manifests: Sequence[Object], kind: str, name: str = "") -> Object:
    """The one of this kind, and of this name if one is given."""
    found = [one for one in manifests if one["kind"] == kind and name in ("", one["metadata"]["name"])]
    assert len(found) == 1, f"{len(found)} of kind {kind} {name}"
    return found[0]


def leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Each text, number and truth of a manifest with the way to it."""
    if isinstance(value, Mapping):
        pairs = [(f"{path}.{key}", inner) for key, inner in value.items()]
    elif isinstance(value, list):
        pairs = [(f"{path}[{place}]", inner) for place, inner in enumerate(value)]
    else:
        yield path, value
        return
    for inner_path, inner in pairs:
        yield from leaves(inner, inner_path)


def _collection(api: ApiServer, manifest: Object) -> str:
    version = manifest["apiVersion"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    resource, is_namespaced = _resources(api, root)[manifest["kind"]]
    if not is_namespaced:
        return f"{root}/{resource}"
    return f"{root}/namespaces/{manifest['metadata']['namespace']}/{resource}"


@functools.lru_cache(maxsize=64)
def _resources(api: ApiServer, root: str) -> dict[str, tuple[str, bool]]:
    """By kind, what a group of the API server calls it, and whether it is in a namespace."""
    listed = api.request("GET", root)["resources"]
    return {one["kind"]: (one["name"], one["namespaced"]) for one in listed if "/" not in one["name"]}


def _parse(text: str) -> list[Object]:
    return [document for document in yaml.safe_load_all(text) if document]


def _set_values(values: Mapping[str, Any]) -> list[str]:
    return [f"--set-json={key}={json.dumps(value)}" for key, value in values.items()]


def _run(*command: str) -> str:
    """Its output. Neither program is told of a cluster, a home or a cache of this machine."""
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": "/nonexistent"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, f"{os.path.basename(command[0])} {command[1]}: {done.stdout}{done.stderr}"
    return done.stdout
