"""A server under measurement: started on one core, its CPU and memory counted over all of its processes and threads."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Iterator

CPUCLOCK_SCHED = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """What to start, by which signal it ends soonest, and what is started `beside` it: containers of one Pod."""

    argv: tuple[str, ...]
    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    end: signal.Signals = signal.SIGTERM
    beside: tuple[Command, ...] = ()


@dataclasses.dataclass(slots=True)
class Running:
    """`parts` are what was started, and the signal that ends each."""

    name: str
    parts: list[tuple[subprocess.Popen[bytes], signal.Signals]]
    started: float
    log: pathlib.Path

    def pids(self) -> list[int]:
        """The processes and all that they started."""
        found = [child.pid for child, _ in self.parts]
        for pid in found:
            found.extend(children(pid))
        return found

    def cpu_ns(self) -> dict[int, int]:
        """User and system time of each process so far, with its threads."""
        return {pid: cpu_ns(pid) for pid in self.pids()}

    def pss_kib(self) -> int:
        """Memory of all processes, shared pages counted in parts."""
        return sum(pss_kib(pid) for pid in self.pids())

    def pin(self, core: int) -> None:
        """Put every thread on this core: Knot's workers choose one themselves when they start."""
        for pid in self.pids():
            pin(pid, core)

    def check(self) -> None:
        """Raise RuntimeError with the end of its log if the server, or a part of it, is gone."""
        for child, _ in self.parts:
            if child.poll() is not None:
                raise RuntimeError(f"{self.name} left with {child.returncode}: {log_end(self.log)}")

    def stop(self, patience: float = 5.0) -> None:
        for child, end in self.parts:
            child.send_signal(end)
        try:
            for child, _ in self.parts:
                child.wait(patience)
        except subprocess.TimeoutExpired:
            for pid in reversed(self.pids()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)
            for child, _ in self.parts:
                child.wait()


def start(
    name: str, command: Command, *, core: int, folder: pathlib.Path, cores: frozenset[int] = frozenset()
) -> Running:
    """Start a server that may use one core only, or these cores; its output goes to a file in `folder`."""
    log = folder / f"{name}.log"
    with log.open("wb") as out, affinity(set(cores or {core})):
        running = Running(name, [], time.monotonic(), log)
        try:
            for one in (command, *command.beside):
                environment = {**os.environ, **one.environment}
                child = subprocess.Popen(
                    one.argv, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment
                )
                running.parts.append((child, one.end))
        except OSError:
            running.stop()
            raise
    return running


def pin(pid: int, core: int) -> None:
    """Put every thread of a process on this core."""
    for task in tasks(pid):
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(task, {core})


@contextlib.contextmanager
def affinity(cores: set[int]) -> Iterator[None]:
    """Run the block on these cores, as far as this thread goes; children inherit them."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


USABLE = frozenset(os.sched_getaffinity(0))


def cores() -> tuple[int, int]:
    """The core of the servers and that of the load; the same one where there is only one."""
    return min(USABLE), max(USABLE)


def spent_ns(before: dict[int, int], after: dict[int, int]) -> dict[int, int]:
    """CPU time of each process between two readings; one that ended or began in between counts as far as it is known."""
    return {pid: max(0, after[pid] - before.get(pid, 0)) for pid in after}


def children(pid: int) -> list[int]:
    try:
        lists = [pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text() for task in tasks(pid)]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(word) for text in lists for word in text.split()]


def tasks(pid: int) -> list[int]:
    """The threads of a process; none if it's gone."""
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    except (FileNotFoundError, ProcessLookupError):
        return []


def cpu_ns(pid: int) -> int:
    """The process's CPU clock (/proc/PID/stat counts ticks only), ended threads included; 0 if it's gone."""
    try:
        return time.clock_gettime_ns((~pid << 3) | CPUCLOCK_SCHED)
    except OSError:
        return 0


def pss_kib(pid: int) -> int:
    try:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")), 0)


def log_end(path: pathlib.Path, octets: int = 2000) -> str:
    return path.read_bytes()[-octets:].decode(errors="replace")
