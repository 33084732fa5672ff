"""Child processes of tests: started with a log file, ended with their parent, never left behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
import random
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class ProcessError(AssertionError):
    """A program ended, or did not do in time what it was started for; carries the end of its log."""


# Nobody serves these over UDP or TCP, and no socket of a test can get one: they are below the ephemeral ports.
CLOSED_PORTS = (1, 2)
LISTEN_PORTS = (10_000, 32_000)  # Linux gives clients those from 32768 on
_given: set[int] = set()


def free_port() -> int:
    """A port that nobody on this machine uses, over UDP or TCP, and that this process has not given before.

    It is below the ephemeral ports, so that no client's socket gets it before who asked for it binds it; and no socket is
    bound to find it, since one that is closed may hold its port a moment longer.
    """
    while True:
        port = random.randrange(*LISTEN_PORTS)
        if port not in _given and port not in _used_ports():
            _given.add(port)
            return port


def _used_ports() -> set[int]:
    """Of all addresses, over UDP and TCP (proc(5): /proc/net/tcp and its like)."""
    tables = (pathlib.Path(f"/proc/net/{kind}") for kind in ("tcp", "tcp6", "udp", "udp6"))
    lines = (line for table in tables if table.exists() for line in table.read_text().splitlines()[1:])
    return {int(line.split()[1].rpartition(":")[2], 16) for line in lines}


def wait_until(
    condition: Callable[[], object], *, timeout: float = 30.0, what: str = "the condition", pause: float = 0.02
) -> None:
    """Return as soon as `condition` is true, asked every `pause` seconds. Raises ProcessError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise ProcessError(f"{what} did not come within {timeout:g} s")
        time.sleep(pause)


class Process:
    """One program, with stdout and stderr in one log file."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        log: pathlib.Path,
        env: Mapping[str, str] | None = None,
        cwd: pathlib.Path | None = None,
    ) -> None:
        self.name = os.path.basename(arguments[0])
        self.log_path = log
        with log.open("ab") as out:
            self._child = subprocess.Popen(
                list(arguments),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        self.pid = self._child.pid

    def log(self, octets: int = 4000) -> str:
        return self.log_path.read_bytes()[-octets:].decode(errors="replace")

    def is_running(self) -> bool:
        return self._child.poll() is None

    def wait_until(self, condition: Callable[[], object], *, what: str, timeout: float = 60.0) -> None:
        """As the function of that name, and at once an error when the program ends."""

        def true_or_ended() -> bool:
            if not self.is_running():
                raise ProcessError(f"{self.name} ended with {self._child.returncode}:\n{self.log()}")
            return bool(condition())

        try:
            wait_until(true_or_ended, timeout=timeout, what=f"{self.name}: {what}")
        except ProcessError as error:
            if self.is_running():
                raise ProcessError(f"{error}\n{self.log()}") from None
            raise

    def send_signal(self, number: signal.Signals) -> None:
        self._child.send_signal(number)

    def wait(self, timeout: float = 10.0) -> int:
        return self._child.wait(timeout)

    def stop(self, number: signal.Signals = signal.SIGTERM, *, grace: float = 8.0) -> int:
        """End it; SIGKILL to its whole session when it doesn't go in time. Returns its exit code."""
        if self.is_running():
            self._child.send_signal(number)
            try:
                return self._child.wait(grace)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.pid, signal.SIGKILL)
        return self._child.wait()


def _die_with_parent() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
