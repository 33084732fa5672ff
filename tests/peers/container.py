"""Runs a command in an image's files as a container runtime does under a Pod's securityContext, without a runtime.

New PID, mount, IPC and UTS namespaces; the command is PID 1; a read-only root file system; the image's numeric user; no new
privileges; the capabilities that are named, and NET_BIND_SERVICE alone unless others are. As runc does it, the user has them
until the exec and has no ambient one: a program of a user who is not root keeps one only if its file has it. The network is
that of a Pod: port 53 is really bound, and asked from inside of the namespace. Needs root.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import itertools
import json
import os
import pathlib
import signal
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Self

from tests.peers import build
from tests.peers.namespaces import Namespace
from tests.peers.process import Process

ROOT = pathlib.Path(__file__).resolve().parents[2]
NET_BIND_SERVICE = 10
DEVICES = ("null", "zero", "full", "random", "urandom")
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC = 1, 2, 4, 8, 32, 4096, 16384
PR_SET_KEEPCAPS, PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 8, 23, 24, 38
CAPABILITY_VERSION_3 = 0x20080522
_libc = ctypes.CDLL(None, use_errno=True)


@dataclasses.dataclass(frozen=True, slots=True)
class Spec:
    """What to run where. `volumes` are files and folders of this machine, read-only at a path; `scratch` are empty ones."""

    root: pathlib.Path
    arguments: Sequence[str]
    env: Mapping[str, str]
    user: int
    group: int
    volumes: Mapping[str, pathlib.Path] = dataclasses.field(default_factory=dict)
    scratch: Sequence[str] = ()
    capabilities: Sequence[int] = (NET_BIND_SERVICE,)
    is_read_only: bool = True
    gains_privileges: bool = False

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), default=str)


class Container:
    """A running command: `pid` is its PID 1 as this machine knows it."""

    def __init__(self, spec: Spec, *, network: Namespace, log: pathlib.Path) -> None:
        self._spec = spec
        self._network = network
        self._log = log
        self.pid = 0

    def __enter__(self) -> Self:
        _make_mount_points(self._spec)
        unshare = [build.find("unshare"), "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child"]
        launcher = [sys.executable, "-m", "tests.peers.container", self._spec.to_json()]
        self.process = Process([*self._network.enter(), *unshare, *launcher], log=self._log, cwd=ROOT)
        self.process.wait_until(self._find_pid, what="its PID 1")
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.is_running():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.process.wait()

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def terminate(self, *, grace: float = 20.0) -> int:
        """SIGTERM to PID 1, as the kubelet ends a Pod; the exit code, which is negative after a signal."""
        os.kill(self.pid, signal.SIGTERM)
        return self.process.wait(grace)

    def pids(self) -> list[int]:
        """Of all processes of the container."""
        found, new = [self.pid], [self.pid]
        while new:
            new = [child for pid in new for child in _children(pid)]
            found += new
        return found

    def pss(self) -> int:
        """Octets of memory of all its processes, what several share counted once."""
        lines = [line for pid in self.pids() for line in _read(f"/proc/{pid}/smaps_rollup").splitlines()]
        return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024

    def status(self, field: str) -> set[str]:
        """What all processes' /proc/PID/status says to one field."""
        lines = [line for pid in self.pids() for line in _read(f"/proc/{pid}/status").splitlines()]
        return {line.partition(":")[2].strip() for line in lines if line.startswith(f"{field}:")}

    def _find_pid(self) -> bool:
        for child in _children(self.process.pid):
            self.pid = child
        return self.pid != 0


def _children(pid: int) -> list[int]:
    return [int(child) for child in _read(f"/proc/{pid}/task/{pid}/children").split()]


def _read(path: str) -> str:
    try:
        return pathlib.Path(path).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _make_mount_points(spec: Spec) -> None:
    """What a runtime makes in its own layer before the root becomes read-only."""
    for folder in ("proc", "sys", "dev"):
        (spec.root / folder).mkdir(exist_ok=True)
    for path, source in [*spec.volumes.items(), *((path, pathlib.Path("/")) for path in spec.scratch)]:
        place = spec.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            place.mkdir(exist_ok=True)
        else:
            place.touch()


# --- inside of the new namespaces, before the command -------------------------------------------------------------------


def main() -> None:
    told = json.loads(sys.argv[1])
    spec = Spec(**{**told, "root": pathlib.Path(told["root"])})
    _mount_all(spec)
    os.chroot(spec.root)
    os.chdir("/")
    _drop_privileges(spec)
    os.execve(spec.arguments[0], list(spec.arguments), dict(spec.env))


def _mount_all(spec: Spec) -> None:
    root = spec.root
    _mount(root, root, flags=MS_BIND | MS_REC)
    _mount("proc", root / "proc", kind="proc", flags=MS_NOSUID | MS_NODEV | MS_NOEXEC)
    _mount("/sys", root / "sys", flags=MS_BIND | MS_REC)
    _mount("tmpfs", root / "dev", kind="tmpfs", options="mode=755,size=64k")
    for name in DEVICES:
        (root / "dev" / name).touch()
        _mount(f"/dev/{name}", root / "dev" / name, flags=MS_BIND)
    (root / "dev" / "shm").mkdir()
    _mount("shm", root / "dev" / "shm", kind="tmpfs", options="mode=1777,size=64m")
    for path, source in spec.volumes.items():
        place = root / path.lstrip("/")
        _mount(source, place, flags=MS_BIND)
        _mount(None, place, flags=MS_REMOUNT | MS_BIND | MS_RDONLY)
    for path in spec.scratch:
        _mount("tmpfs", root / path.lstrip("/"), kind="tmpfs", options="mode=1777,size=64m")
    if spec.is_read_only:
        _mount(None, root, flags=MS_REMOUNT | MS_BIND | MS_RDONLY)


def _mount(source: object, target: pathlib.Path, *, kind: str = "", flags: int = 0, options: str = "") -> None:
    words = (None if source is None else str(source), str(target), kind or None)
    encoded = [None if word is None else word.encode() for word in words]
    _check(_libc.mount(*encoded, flags, options.encode() or None), f"mount {target}")


def _drop_privileges(spec: Spec) -> None:
    for capability in list(_capabilities()):
        if capability not in spec.capabilities:
            _check(_libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0), "capability bounding set")
    _check(_libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), "keep capabilities")
    os.setgroups([])
    os.setresgid(spec.group, spec.group, spec.group)
    os.setresuid(spec.user, spec.user, spec.user)
    only = sum(1 << capability for capability in spec.capabilities)
    header = struct.pack("<Ii", CAPABILITY_VERSION_3, 0)
    _check(_libc.capset(header, struct.pack("<6I", only, only, 0, 0, 0, 0)), "capset")
    if not spec.gains_privileges:
        _check(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")


def _capabilities() -> Iterator[int]:
    """All that this kernel has: it says an error to the first number that is none."""
    return itertools.takewhile(lambda number: _libc.prctl(PR_CAPBSET_READ, number, 0, 0, 0) >= 0, itertools.count())


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    main()
