"""Child processes: forked from the supervisor with the descriptors that they need and no other, and reaped.

Forking may happen inside of the running event loop: the child never returns into it. It closes the loop's descriptors
but leaves the loop's objects alone, since the epoll set behind them is shared with the parent.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator

from fastdns.server import frames

logger = logging.getLogger(__name__)

STANDARD = (0, 1, 2)
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE)
DEFAULT = (signal.SIGQUIT, signal.SIGCHLD)


@dataclasses.dataclass(slots=True, eq=False)
class Child:
    """A process of ours and the supervisor's end of its channel."""

    name: str
    pid: int
    channel: frames.Channel
    started: float
    is_killed: bool = False

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Signal it. The process is not reaped before Child is dropped, so the id is still its own."""
        self.is_killed = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)


def spawn(name: str, main: Callable[[frames.Channel], int], keep: Collection[int] = ()) -> Child:
    """Fork a child that runs `main` with its end of a channel, and the descriptors `keep`."""
    here, there = frames.open_pair()
    flush_streams()
    pid = os.fork()
    if pid == 0:
        name_process(name)
        become_child(main, there, {*keep, *STANDARD, there.fileno()})
    there.close()
    return Child(name, pid, here, time.monotonic())


def become_child(main: Callable[[frames.Channel], int], channel: frames.Channel, keep: set[int]) -> None:
    """Run `main` and leave: nothing of the parent's stack is unwound, nothing of its exit handlers runs."""
    status = 1
    try:
        gc.freeze()  # what the parent made is never looked at again: its pages stay shared
        gc.enable()
        reset_signals()
        close_others(keep)
        status = main(channel)
    except BaseException:
        logger.critical("a child process failed", exc_info=True)
    finally:
        flush_streams()
        os._exit(status)


def name_process(name: str) -> None:
    """What ps and top show: `fastdns-control`, `fastdns-w0`; a name has at most 15 octets there."""
    with contextlib.suppress(OSError), open("/proc/self/comm", "w", encoding="ascii") as file:
        file.write(f"fastdns-{name.replace('worker-', 'w')}"[:15])


def reset_signals() -> None:
    """A child is told what to do over its channel: what is sent to the whole group is for the supervisor."""
    signal.set_wakeup_fd(-1)
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    for number in DEFAULT:
        signal.signal(number, signal.SIG_DFL)


def close_others(keep: set[int]) -> None:
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        if fd not in keep:
            with contextlib.suppress(OSError):  # the listing's own
                os.close(fd)


def flush_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


def reap() -> Iterator[tuple[int, int]]:
    """(pid, status) of every process that has ended, whoever started it: pid 1 inherits orphans."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status


def describe_end(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"was killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"left with status {os.waitstatus_to_exitcode(status)}"
