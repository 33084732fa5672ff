"""The load client in Python terms: opens the sockets, runs the compiled loop, reads its buckets."""

from __future__ import annotations

import contextlib
import dataclasses
import select
import socket
import time
from collections.abc import Callable, Sequence

from bench import _load
from bench.world import Question, is_right

BUFFER = 4 << 20
RCODES = ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED")


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What one run saw. Latencies are microseconds."""

    sent: int
    answered: int
    lost: int
    stray: int
    empty: int
    octets: int
    seconds: float
    rcodes: dict[str, int]
    p50: float
    p99: float
    p999: float
    worst: float

    @property
    def rate(self) -> float:
        return self.answered / self.seconds if self.seconds > 0 else 0.0


class Client:
    """Connected sockets to one server, with the questions that they ask in turn."""

    def __init__(self, port: int, questions: Sequence[bytes], *, sockets: int = 1, address: str = "127.0.0.1") -> None:
        with contextlib.ExitStack() as opened:
            made = [opened.enter_context(connect(port, address)) for _ in range(sockets)]
            self._load = _load.Load([one.fileno() for one in made], questions)
            self._open = opened.pop_all()

    def run(
        self,
        *,
        seconds: float,
        window: int = 128,
        rate: float = 0.0,
        limit: int = 0,
        wait: bool = False,
        salt: int | None = None,
        timeout: float = 1.0,
    ) -> Result:
        """Ask as _load.Load.run says; an answer that takes longer than `timeout` (seconds) is lost."""
        tally = self._load.run(
            seconds=seconds, window=window, rate=rate, limit=limit, wait=wait, salt=salt, timeout=timeout
        )
        return read_tally(tally)

    def close(self) -> None:
        self._open.close()


def connect(port: int, address: str = "127.0.0.1") -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        made.setsockopt(socket.SOL_SOCKET, option, BUFFER)
    made.setblocking(False)
    made.connect((address, port))
    return made


def read_tally(tally: _load.Tally) -> Result:
    buckets = sorted(tally["latency"].items())
    names = {i: RCODES[i] if i < len(RCODES) else str(i) for i in range(16)}
    return Result(
        sent=tally["sent"],
        answered=tally["answered"],
        lost=tally["lost"],
        stray=tally["stray"],
        empty=tally["empty"],
        octets=tally["octets"],
        seconds=tally["seconds"],
        rcodes={names[i]: count for i, count in enumerate(tally["rcodes"]) if count},
        p50=percentile(buckets, 0.5),
        p99=percentile(buckets, 0.99),
        p999=percentile(buckets, 0.999),
        worst=percentile(buckets, 1.0),
    )


def percentile(buckets: list[tuple[int, int]], share: float) -> float:
    """The latency (µs) that `share` of the answers stayed at or below; buckets are 3 % wide. 0 without answers."""
    wanted = share * sum(count for _, count in buckets)
    seen = 0
    for bucket, count in buckets:
        seen += count
        if seen >= wanted:
            return _load.bucket_floor(bucket) / 1000
    return 0.0


def first_right_answer(
    port: int,
    question: Question,
    *,
    since: float,
    timeout: float,
    every: float = 0.002,
    check: Callable[[], None] = lambda: None,
) -> float:
    """Ask again and again until an answer is right. Seconds from `since` (time.monotonic). Raises TimeoutError, and what
    `check` raises when the server is gone.

    An answer that comes late, after the next question was sent, counts as well.
    """
    with connect(port) as asker:
        while (now := time.monotonic()) - since < timeout:
            check()
            with contextlib.suppress(ConnectionRefusedError, BlockingIOError):
                asker.send(question.wire)
            if hears_right_answer(asker, question, until=now + every):
                return time.monotonic() - since
    raise TimeoutError(f"no right answer on port {port} in {timeout} s")


def hears_right_answer(asker: socket.socket, question: Question, *, until: float) -> bool:
    """Look at what comes until that moment (time.monotonic) or the first right answer."""
    while True:
        left = until - time.monotonic()
        if not select.select([asker], [], [], max(0.0, left))[0]:
            return False
        try:
            if is_right(question, asker.recv(65535)):
                return True
        except ConnectionRefusedError:  # nothing listens yet
            time.sleep(max(0.0, until - time.monotonic()))
            return False


def ask_once(port: int, wire: bytes, *, timeout: float = 1.0) -> bytes | None:
    """One answer, or None: nothing listens, or nothing came in time."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(timeout)
        asker.connect(("127.0.0.1", port))
        try:
            asker.send(wire)
            return asker.recv(65535)
        except TimeoutError:
            return None
        except ConnectionRefusedError:
            time.sleep(timeout)
            return None


def all_right(port: int, questions: Sequence[Question], *, since: float, timeout: float) -> float:
    """Ask all of them until each answer was right once. Seconds from `since`. Raises TimeoutError."""
    left = list(questions)
    while left:
        left = [left[number] for number in wrong_answers(port, left)]
        if time.monotonic() - since > timeout:
            raise TimeoutError(f"{len(left)} of {len(questions)} answers on port {port} are wrong after {timeout} s")
    return time.monotonic() - since


def wrong_answers(port: int, questions: Sequence[Question]) -> list[int]:
    """Indexes of the questions whose answer isn't right."""
    found = []
    for number, question in enumerate(questions):
        answer = ask_once(port, question.wire)
        if answer is None or not is_right(question, answer):
            found.append(number)
    return found
