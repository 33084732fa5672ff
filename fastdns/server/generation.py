"""The workers of one configuration: their sockets, their slots in shared memory, and how far they are."""

from __future__ import annotations

import dataclasses
import enum
import mmap
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping

from fastdns import _counters
from fastdns._counters import WorkerSlot
from fastdns.config import model
from fastdns.server import children, families, frames, listeners, metrics, slow, worker

SLOT = 8
CACHE_LINE = 64
STALLED_AFTER = 5  # looks of the supervisor, one a second, that see the same heartbeat
RESTART_DELAYS = (0.0, 0.0, 0.1, 0.5, 1.0, 2.0, 5.0)  # before a worker that keeps dying at once is tried again
SHORT_LIFE = 10.0  # seconds


class Stage(enum.Enum):
    STARTING = "starting"
    PREPARED = "prepared"
    SERVING = "serving"
    DRAINING = "draining"


@dataclasses.dataclass(slots=True, eq=False)
class Seat:
    """The place of one worker, whoever holds it now."""

    index: int
    child: children.Child | None = None
    stage: Stage = Stage.STARTING
    heartbeat: int = -1
    missed: int = 0
    short_lives: int = 0
    has_served: bool = False


class Generation:
    def __init__(
        self,
        number: int,
        config: model.Config,
        *,
        workers: int,
        bound: Mapping[model.Listener, listeners.BoundListener],
        options: worker.Options,
        previous: model.Config | None = None,
    ) -> None:
        """`previous` is what was served before, if its cache is kept."""
        self.number = number
        self.config = config
        self.layout = metrics.lay_out(config)
        self.seats = [Seat(index) for index in range(workers)]
        self._bound = bound
        self._options = options
        self._previous = previous
        self._probes = slow.draw_probes(config)
        self._stride = -(-self.layout.slots * SLOT // CACHE_LINE) * CACHE_LINE
        self._memory = mmap.mmap(-1, self._stride * workers)

    @property
    def is_serving(self) -> bool:
        return all(seat.stage is Stage.SERVING for seat in self.seats)

    @property
    def is_prepared(self) -> bool:
        return all(seat.stage is Stage.PREPARED for seat in self.seats)

    def serve(self) -> None:
        """Have workers that wait for it read their sockets."""
        for child in self.living():
            if not child.channel.send(frames.Kind.SERVE):
                child.kill()

    @property
    def is_gone(self) -> bool:
        return all(seat.child is None for seat in self.seats)

    def living(self) -> Iterator[children.Child]:
        for seat in self.seats:
            if seat.child is not None:
                yield seat.child

    def find_seat(self, pid: int) -> Seat | None:
        return next((seat for seat in self.seats if seat.child is not None and seat.child.pid == pid), None)

    def start_worker(self, seat: Seat, *, is_first: bool, waits: bool) -> None:
        """Fork the worker of a seat. `is_first`: nobody has answered before it, so it does not wait for records; `waits`:
        others answer until it is told to serve."""
        setup = worker.Setup(
            config=self.config,
            index=seat.index,
            counters=_counters.Counters(self._octets(seat.index)),
            udp={listener: bound.udp[seat.index] for listener, bound in self._bound.items()},
            tcp={listener: bound.tcp[seat.index] for listener, bound in self._bound.items()},
            probes=self._probes,
            is_first=is_first,
            waits=waits,
            options=self._options,
            previous=self._previous,
            siblings=tuple(self._slots(one.index) for one in self.seats),
        )
        keep = [one.fileno() for one in setup.sockets()]
        name = f"worker-{seat.index}"
        seat.child = children.spawn(name, lambda channel: worker.main(setup, channel), keep)
        seat.stage, seat.heartbeat, seat.missed = Stage.STARTING, -1, 0

    def connect(self, seat: Seat, control: children.Child, *, is_fresh: bool) -> None:
        """Give a worker and control a stream between them. `is_fresh`: the worker has no records yet."""
        if seat.child is None:
            return
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with one, other:
            where = struct.pack(">II?", self.number, seat.index, is_fresh)
            if control.channel.send(frames.Kind.WORKER, where, fds=(one.fileno(),)):
                seat.child.channel.send(frames.Kind.RECORDS, fds=(other.fileno(),))

    def drain(self, *, wait: bool, bequeath: bool = False) -> None:
        """Have the workers finish. `wait`: nobody reads their sockets after them, so they read until nothing comes;
        `bequeath`: they leave what they have cached to those that come after them."""
        how = b"wait" if wait else b"bequeath" if bequeath else b""
        for seat in self.seats:
            if seat.child is not None:
                seat.stage = Stage.DRAINING
                if not seat.child.channel.send(frames.Kind.DRAIN, how):
                    seat.child.kill()

    def reread(self) -> None:
        """Have the workers forget what they have cached, and read their files of names again."""
        for child in self.living():
            child.channel.send(frames.Kind.REREAD)

    def counters(self) -> list[memoryview]:
        """The slots of each worker."""
        return [self._slots(seat.index) for seat in self.seats]

    def find_stalled(self) -> Iterator[Seat]:
        """Workers whose event loop has not turned for STALLED_AFTER calls of this."""
        for seat in self.seats:
            if seat.child is None:
                continue
            beat = self._slots(seat.index)[WorkerSlot.WORKER_HEARTBEAT]
            seat.missed = seat.missed + 1 if beat == seat.heartbeat else 0
            seat.heartbeat = beat
            if seat.missed >= STALLED_AFTER:
                yield seat

    def read_counters(self, totals: families.Totals) -> None:
        for seat in self.seats:
            families.read_worker(self.layout, self._slots(seat.index), totals)

    def _slots(self, index: int) -> memoryview:
        return self._octets(index).cast("Q")

    def _octets(self, index: int) -> memoryview:
        return memoryview(self._memory)[index * self._stride : (index + 1) * self._stride]


def note_death(seat: Seat, now: float) -> float:
    """Empty the seat; the delay before it is filled again."""
    assert seat.child is not None
    is_short = now - seat.child.started < SHORT_LIFE
    seat.short_lives = seat.short_lives + 1 if is_short else 0
    seat.child.channel.close()
    seat.child = None
    return RESTART_DELAYS[min(seat.short_lives, len(RESTART_DELAYS) - 1)]


def find_listeners(config: model.Config) -> list[model.Listener]:
    """Every listener once, in the order of the configuration."""
    return list(dict.fromkeys(listener for _, listener in metrics.find_servings(config)))


def bind_missing(
    wanted: Iterable[model.Listener], held: Mapping[model.Listener, listeners.BoundListener], workers: int
) -> dict[model.Listener, listeners.BoundListener]:
    """Bind what is not yet bound. Raises ListenError, with nothing newly bound left."""
    bound: dict[model.Listener, listeners.BoundListener] = {}
    try:
        for listener in wanted:
            if listener not in held:
                is_ours = any(listener.port == other.port for other in (*held, *bound))
                bound[listener] = listeners.bind_listener(listener, workers, is_ours=is_ours)
    except BaseException:
        for one in bound.values():
            one.close()
        raise
    return bound
