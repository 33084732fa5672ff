"""The container image, built from deploy/Dockerfile without a daemon: buildah on bases that mmdebstrap makes.

Nothing is pulled: the builder's base is Debian with a compiler, the image's base is Python's packages unpacked, without a
shell. Both are made from the apt sources of this machine, and kept with buildah's store under the cache of tests.peers.build.
Needs root, as chroot isolation does.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from tests.peers import build

ROOT = pathlib.Path(__file__).resolve().parents[2]
RECIPE = "1"  # part of each base's name: raise it when a recipe below changes
STORE_MB_MAX = 2500  # layers of earlier builds: with more of them the store is made anew
TARGETS = ("fastdns", "kube-dns", "dnsmasq-nanny", "sidecar", "node-cache")
TRASH = ("etc/apt/sources.list*", "etc/resolv.conf", "usr/share/man", "usr/share/locale", "usr/share/info")
# What Python's packages ask for beside libraries is for their installation.
INSTALLERS = (
    "bin/*",
    "sbin/*",
    "usr/sbin/*",
    "usr/bin/[!p]*",
    "usr/share/doc",
    "usr/share/perl5",
    "var/lib/dpkg",
    "var/cache",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Base:
    """`variant` is mmdebstrap's; `unused` are the files of the packages that are taken out, as globs."""

    name: str
    packages: str
    variant: str
    unused: tuple[str, ...] = TRASH


BUILDER = Base("builder", "python3-dev,python3-venv,gcc,libc6-dev", "apt")
RUNTIME = Base("runtime", "python3,base-files,netbase", "extract", (*TRASH, *INSTALLERS))


@dataclasses.dataclass(frozen=True, slots=True)
class Image:
    """The built images: each target's configuration as OCI says it, and the files of them all, mounted at `root`.

    They are writable there, and what is written is thrown away.
    """

    root: pathlib.Path
    configs: dict[str, dict[str, Any]]
    base_size: int

    @property
    def size(self) -> int:
        """Octets of all files, and what the image's base has of them is `base_size`."""
        return size_of(self.root)


def size_of(folder: pathlib.Path) -> int:
    """Octets that the files of a folder take on disk."""
    return int(_output("du", "-s", "-x", "--block-size=1", str(folder)).split()[0])


@contextlib.contextmanager
def built(**arguments: str) -> Iterator[Image]:
    """Build deploy/Dockerfile's targets with these build arguments and mount the result as long as the context lasts."""
    with tempfile.TemporaryDirectory(prefix="fastdns-image-") as work:
        buildah = _Buildah(pathlib.Path(work))
        with buildah.locked():
            bases = {"BUILD_BASE": buildah.base(BUILDER), "BASE": buildah.base(RUNTIME)}
            names = {target: buildah.build(target, {**bases, **arguments}) for target in TARGETS}
            configs = {target: buildah.config(name) for target, name in names.items()}
            with buildah.mounted(bases["BASE"]) as root:
                base_size = size_of(root)
            with buildah.mounted(names["fastdns"]) as root:
                yield Image(root, configs, base_size)


class _Buildah:
    """buildah with a store of its own, and settings that a machine without containers-common lacks."""

    def __init__(self, work: pathlib.Path) -> None:
        if os.geteuid() != 0:
            raise build.Missing("an image is built and run by root alone")
        self._work = work
        self._cache = build.cache() / "image"
        self._store = self._cache / "store"
        self._cache.mkdir(parents=True, exist_ok=True)
        policy = work / "policy.json"
        policy.write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))
        self._policy = f"--signature-policy={policy}"
        registries = work / "registries.conf"
        registries.write_text("unqualified-search-registries = []\n")
        self._env = {**os.environ, "CONTAINERS_REGISTRIES_CONF": str(registries), "TMPDIR": str(work)}
        self._driver = "overlay" if _has_overlay(self._cache) else "vfs"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One user of the store at a time, and a store that doesn't grow for ever."""
        with (self._cache / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._store.exists() and size_of(self._store) > STORE_MB_MAX << 20:
                self._unbind()
                shutil.rmtree(self._store)
            yield

    def base(self, base: Base) -> str:
        """The name of an image with a base's files; made if it is not there."""
        tar = _tar(base, self._cache)
        name = f"localhost/fastdns-{tar.stem}"
        if self._call("images", "-q", name, check=False):
            return name
        container = self._call("from", "scratch")
        try:
            self._call("add", "-q", container, str(tar), "/")
            _remove(base.unused, pathlib.Path(self._call("mount", container)))
            self._call(
                "config", "--env", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", container
            )
            self._call("commit", "-q", self._policy, container, name)
        finally:
            self._call("rm", container)
        return name

    def build(self, target: str, arguments: dict[str, str]) -> str:
        name = f"localhost/fastdns:test-{target}"
        secrets = {"pip_conf": self._pip_settings(), "ca_bundle": _certificates()}
        self._call(
            *("bud", "-q", "--isolation=chroot", "--layers", "--pull-never", "--format=docker", self._policy),
            *(f"--secret=id={key},src={path}" for key, path in secrets.items()),
            *(f"--build-arg={key}={value}" for key, value in arguments.items()),
            *("-f", str(ROOT / "deploy" / "Dockerfile"), f"--target={target}", "-t", name, str(ROOT)),
        )
        return name

    @contextlib.contextmanager
    def mounted(self, image: str) -> Iterator[pathlib.Path]:
        container = self._call("from", "--pull-never", self._policy, image)
        try:
            yield pathlib.Path(self._call("mount", container))
        finally:
            self._call("umount", container)
            self._call("rm", container)
            self._unbind()

    def config(self, image: str) -> dict[str, Any]:
        told = json.loads(self._call("inspect", "--type=image", image))
        config: dict[str, Any] = told["OCIv1"]["config"]
        return config

    def _unbind(self) -> None:
        """The overlay driver binds its folder to itself, and leaves it so."""
        subprocess.run(["umount", str(self._store / "overlay")], capture_output=True, check=False)

    def _call(self, *arguments: str, check: bool = True) -> str:
        places = [f"--root={self._store}", f"--runroot={self._work / 'run'}", f"--storage-driver={self._driver}"]
        command = [build.find("buildah"), *places, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=self._env, check=False)
        if done.returncode and check:
            raise AssertionError(f"buildah {' '.join(arguments[:2])}:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
        return done.stdout.strip()

    def _pip_settings(self) -> pathlib.Path:
        """A pip.conf of what pip is told here, by files and by the environment, without paths of this machine."""
        settings = {"cert": "/run/ca-bundle.crt", "root-user-action": "ignore"}
        for line in _output(sys.executable, "-m", "pip", "config", "list").splitlines():
            key, _, value = line.partition("=")
            option = key.rpartition(".")[2]
            if option not in ("cert", "find-links", "cache-dir", "log"):
                settings[option] = str(ast.literal_eval(value))
        path = self._work / "pip.conf"
        path.write_text("[global]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items()))
        return path


def _tar(base: Base, cache: pathlib.Path) -> pathlib.Path:
    """A base's files; made once for each suite, architecture and recipe."""
    suite = platform.freedesktop_os_release()["VERSION_CODENAME"]
    recipe = repr((RECIPE, suite, platform.machine(), base))
    path = cache / f"{base.name}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}.tar"
    if path.exists():
        return path
    new = path.with_suffix(".new.tar")
    options = ["--quiet", f"--variant={base.variant}", f"--include={base.packages}", '--aptopt=Acquire::Retries "3"']
    done = subprocess.run(
        [build.find("mmdebstrap"), *options, suite, str(new), "-"],
        input=_apt_sources(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise AssertionError(f"mmdebstrap of the {base.name} base:\n{done.stderr[-4000:]}")
    return new.rename(path)


def _remove(patterns: tuple[str, ...], root: pathlib.Path) -> None:
    for path in [path for pattern in patterns for path in root.glob(pattern)]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _apt_sources() -> str:
    """The distribution's own sources that this machine uses, as a sources.list."""
    origin = platform.freedesktop_os_release()["ID"].capitalize()
    wanted = "$(ORIGIN) deb $(REPO_URI) $(RELEASE) $(COMPONENT)"
    lines = _output("apt-get", "indextargets", "--format", wanted, "Created-By: Packages").splitlines()
    found = sorted({line.removeprefix(f"{origin} ") for line in lines if line.startswith(f"{origin} ")})
    if not found:
        raise build.Missing(f"apt knows no source of {origin} here: run apt-get update")
    return "\n".join(found) + "\n"


def _certificates() -> str:
    """The certificates by which pip trusts its registry here."""
    named = [os.environ.get(name) for name in ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")]
    found = next((path for path in named if path and os.path.exists(path)), "/etc/ssl/certs/ca-certificates.crt")
    return found if os.path.exists(found) else os.devnull


def _has_overlay(folder: pathlib.Path) -> bool:
    with tempfile.TemporaryDirectory(dir=folder) as name:
        places = {key: os.path.join(name, key) for key in ("lowerdir", "upperdir", "workdir", "merged")}
        for place in places.values():
            os.mkdir(place)
        merged = places.pop("merged")
        options = ",".join(f"{key}={place}" for key, place in places.items())
        mount = ["mount", "-t", "overlay", "overlay", "-o", options, merged]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            return False
        subprocess.run(["umount", merged], check=True)
        return True


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def settings_in(root: pathlib.Path) -> list[str]:
    """Files by which a build's own settings would have got into the image."""
    names = re.compile(r"pip\.conf|ca-bundle\.crt|\.netrc|resolv\.conf")
    return [str(path) for folder in ("etc", "run", "root", "src", "tmp") for path in (root / folder).rglob("*") if
            names.fullmatch(path.name) and path.stat().st_size]  # fmt: skip
