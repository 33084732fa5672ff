"""Records on their way from control to one worker: a snapshot, then what changes, in one stream that nobody waits for.

A worker that reads slowly holds up itself alone: what it has not taken is bounded, and once there is more it gets a new
snapshot instead. The octets of a delta are shared by all workers that wait for them.
"""

from __future__ import annotations

import asyncio
import collections
import itertools
import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from fastdns.config import model
from fastdns.server import frames
from fastdns.server.frames import Kind

logger = logging.getLogger(__name__)

QUEUE_MAX = 32 * 1024 * 1024  # octets that wait for one worker
FRAMES_PER_TURN = 16


class Source(Protocol):
    """What a kubernetes plugin serves."""

    @property
    def is_synced(self) -> bool: ...
    def snapshot(self) -> Iterator[bytes]: ...


class Link:
    """One worker. `tables` are its clusters by the number of their table.

    A fresh worker gets what there is at once; one that already answers keeps what it has of a cluster until that has been
    listed completely.
    """

    def __init__(
        self,
        end: socket.socket,
        *,
        generation: int,
        index: int,
        tables: Sequence[tuple[model.Kubernetes, Source]],
        is_fresh: bool,
        on_close: Callable[[Link], None],
    ) -> None:
        end.setblocking(False)
        self.generation = generation
        self.index = index
        self._socket = end
        self._tables = tables
        self._waiting = set(range(len(tables))) if not is_fresh else set()
        self._on_close = on_close
        self._loop = asyncio.get_running_loop()
        self._queue: collections.deque[bytes] = collections.deque()
        self._queued = 0
        self._snapshot: Iterator[bytes] = iter(())
        self._current = memoryview(b"")
        self._is_writing = False
        self._loop.add_reader(end.fileno(), self._on_readable)
        self._begin([number for number in range(len(tables)) if number not in self._waiting])

    @property
    def is_caught_up(self) -> bool:
        """True when the worker's side has been given everything."""
        return not self._is_writing and not self._waiting

    def publish(self, cluster: model.Kubernetes, delta: bytes) -> None:
        for number, (config, _) in enumerate(self._tables):
            if config == cluster and number not in self._waiting:
                self._enqueue(frames.encode_frame(Kind.DELTA, delta, table=number))

    def check_synced(self) -> None:
        """Give a worker that kept its old records the new ones, of clusters that are listed by now."""
        ready = [number for number in self._waiting if self._tables[number][1].is_synced]
        if ready:
            self._waiting -= set(ready)
            self._begin(ready)

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._loop.remove_writer(self._socket.fileno())
            self._socket.close()

    def _begin(self, numbers: Sequence[int]) -> None:
        self._snapshot = itertools.chain(self._snapshot, self._make_snapshot(numbers))
        self._write()

    def _make_snapshot(self, numbers: Sequence[int]) -> Iterator[bytes]:
        for number in numbers:
            yield frames.encode_frame(Kind.BEGIN_SNAPSHOT, table=number)
            for delta in self._tables[number][1].snapshot():
                yield frames.encode_frame(Kind.DELTA, delta, table=number)
            yield frames.encode_frame(Kind.END_SNAPSHOT, table=number)
        yield frames.encode_frame(Kind.CAUGHT_UP)

    def _enqueue(self, frame: bytes) -> None:
        self._queue.append(frame)
        self._queued += len(frame)
        if self._queued > QUEUE_MAX:
            logger.warning("worker-%d does not take its records; it gets a new snapshot", self.index)
            self._queue.clear()
            self._queued = 0
            numbers = [number for number in range(len(self._tables)) if number not in self._waiting]
            self._snapshot = self._make_snapshot(numbers)
        self._write()  # also while the event loop waits for room: it may be busy with a list, and the worker reads

    def _write(self) -> None:
        """Write what the socket takes, at most some frames in one turn of the event loop."""
        try:
            for _ in range(FRAMES_PER_TURN):
                if not self._current and not self._take_next():
                    self._watch(False)
                    return
                written = self._socket.send(self._current)
                self._current = self._current[written:]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._end()
            return
        self._watch(True)

    def _take_next(self) -> bool:
        """Deltas first: a part of a snapshot that is made later knows them already."""
        if self._queue:
            frame = self._queue.popleft()
            self._queued -= len(frame)
        else:
            frame = next(self._snapshot, b"")
        self._current = memoryview(frame)
        return bool(frame)

    def _watch(self, wanted: bool) -> None:
        if wanted and not self._is_writing:
            self._loop.add_writer(self._socket.fileno(), self._write)
        elif self._is_writing and not wanted:
            self._loop.remove_writer(self._socket.fileno())
        self._is_writing = wanted

    def _on_readable(self) -> None:
        """A worker says nothing here: it has closed the stream."""
        try:
            if self._socket.recv(64):
                return
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            pass
        self._end()

    def _end(self) -> None:
        self.close()
        self._on_close(self)
