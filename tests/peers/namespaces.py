"""Network namespaces of a test: each is held by a process that sleeps, and goes with it.

Root makes them as they are; anybody else within a user namespace of its own, in which they are root.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import os
import pathlib
import signal
import subprocess
import threading
from collections.abc import Callable
from typing import Self, TypeVar

from tests.peers import build
from tests.peers.process import Process

Result = TypeVar("Result")

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """`within` is a namespace of the same test: they share a user namespace."""

    def __init__(self, name: str, *, folder: pathlib.Path, within: Namespace | None = None) -> None:
        is_root = os.geteuid() == 0
        unshare = [build.find("unshare"), "--net"]
        if not is_root and within is None:
            unshare += ["--user", "--map-root-user"]
        self._enter_user = [] if is_root else ["--user", "--preserve-credentials"]
        prefix = [] if within is None or is_root else within.enter(with_net=False)
        self._holder = Process([*prefix, *unshare, "sleep", "infinity"], log=folder / f"namespace-{name}.log")
        own = os.readlink("/proc/self/ns/net")
        self._holder.wait_until(lambda: _namespace_of(self._holder.pid) not in ("", own), what="a network namespace")
        self.run("ip", "link", "set", "lo", "up")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._holder.stop(signal.SIGKILL)

    def enter(self, *, with_net: bool = True) -> list[str]:
        """Words before a command that runs in it."""
        which = ["--net"] if with_net else []
        return [build.find("nsenter"), f"--target={self._holder.pid}", *which, *self._enter_user, "--"]

    def run(self, *words: str, check: bool = True) -> str:
        """What a command says."""
        done = subprocess.run([*self.enter(), *words], capture_output=True, text=True, timeout=60, check=False)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    def inside(self, ask: Callable[[], Result]) -> Result:
        """Call a function in a thread whose sockets are the namespace's. Root's alone."""
        done: concurrent.futures.Future[Result] = concurrent.futures.Future()

        def enter() -> None:
            try:
                with open(f"/proc/{self._holder.pid}/ns/net") as namespace:
                    if _libc.setns(namespace.fileno(), CLONE_NEWNET) < 0:
                        raise OSError(ctypes.get_errno(), "setns")
                done.set_result(ask())
            except BaseException as error:
                done.set_exception(error)

        threading.Thread(target=enter).start()
        return done.result()

    def write(self, path: str, text: str) -> None:
        """Set a parameter below /proc/sys/net."""
        self.run("sh", "-c", f"echo {text} > {path}")

    def connect(self, other: Namespace, *, here: str, there: str) -> None:
        """A cable between two namespaces, named after the addresses (with their lengths) of its ends."""
        names = [f"v{address.split('/')[0].replace('.', '-')}" for address in (here, there)]
        ends = ["ip", "link", "add", names[0], "type", "veth", "peer", "name", names[1]]
        self.run(*ends, "netns", str(other._holder.pid))
        for namespace, name, address in ((self, names[0], here), (other, names[1], there)):
            namespace.run("ip", "addr", "add", address, "dev", name)
            namespace.run("ip", "link", "set", name, "up")

    def has_link_kind(self, kind: str) -> bool:
        """False where the kernel is built without it."""
        words = [*self.enter(), "ip", "link", "add", "probe0", "type", kind]
        if subprocess.run(words, capture_output=True, timeout=60, check=False).returncode:
            return False
        self.run("ip", "link", "del", "probe0")
        return True


def _namespace_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/ns/net")
    return ""


def ask(namespace: Namespace, server: str, name: str, *options: str) -> str:
    """The first address of a name, as dig in a namespace hears it; empty without an answer."""
    words = (build.find("dig"), f"@{server}", name, "+short", "+time=1", "+tries=1", *options)
    said = namespace.run(*words, check=False).strip().splitlines()
    return said[0] if said and not said[0].startswith(";") else ""
