"""Child processes of tests: started with a log file, ended with their parent, never left behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class ProcessError(AssertionError):
    """A program ended, or did not do in time what it was started for; carries the end of its log."""


# Nobody serves these over UDP or TCP, and no socket of a test can get one: they are below the ephemeral ports.
CLOSED_PORTS = (1, 2)


def free_port(*, both: bool = True) -> int:
    """A port of 127.0.0.1 that nobody uses over TCP, and over UDP where `both`."""
    while True:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram,
        ):
            stream.bind(("127.0.0.1", 0))
            port: int = stream.getsockname()[1]
            try:
                if both:
                    datagram.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


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
