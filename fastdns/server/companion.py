"""A process of a front end's own beside the server: started before it, replaced when it dies, ended after it."""

from __future__ import annotations

import logging
import os
import select
import time
from collections.abc import Callable

from fastdns import errors
from fastdns.server import children, frames
from fastdns.server.frames import Kind

logger = logging.getLogger(__name__)

START_TIMEOUT = 30.0
END_TIMEOUT = 15.0


class Companion:
    """`main` says SERVING over its channel when it is ready, and ends on STOP or when the channel closes."""

    def __init__(self, name: str, main: Callable[[frames.Channel], int]) -> None:
        self._name = name
        self._main = main
        self._child: children.Child | None = None

    @property
    def pid(self) -> int | None:
        return None if self._child is None else self._child.pid

    def spawn(self) -> None:
        """Start it, and wait for nothing."""
        self._child = children.spawn(self._name, self._main)

    def start(self) -> None:
        """Start it, and wait until it is ready. Raises ListenError if it never is."""
        self.spawn()
        assert self._child is not None
        select.select([self._child.channel], [], [], START_TIMEOUT)
        if not any(message.kind is Kind.SERVING for message in self._child.channel.receive() or ()):
            raise errors.ListenError(f"{self._name} did not start")

    def note_death(self, status: int) -> None:
        assert self._child is not None
        logger.error("%s (process %d) %s", self._name, self._child.pid, children.describe_end(status))
        self._child.channel.close()
        self._child = None

    def stop(self) -> None:
        """Have it end, and wait for that; it is killed if it doesn't."""
        if self._child is None:
            return
        self._child.channel.send(Kind.STOP)
        deadline = time.monotonic() + END_TIMEOUT
        while not self._reap():
            if time.monotonic() > deadline:
                self._child.kill()
                os.waitpid(self._child.pid, 0)
                break
            time.sleep(0.01)
        self._child.channel.close()
        self._child = None

    def _reap(self) -> bool:
        assert self._child is not None
        try:
            return os.waitpid(self._child.pid, os.WNOHANG)[0] != 0
        except ChildProcessError:
            return True  # it ended before
