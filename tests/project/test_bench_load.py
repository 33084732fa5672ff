"""The bench's load clients and its floor: what they ask, count and answer is right. Nothing here is about speed."""

from __future__ import annotations

import itertools
import pathlib
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("bench_built")
Answering = Callable[[bytes], bytes | None]


class Answerer:
    """A server in a thread that answers each packet by a function, in order."""

    def __init__(self, answer: Answering) -> None:
        self.answer = answer
        self.seen: list[bytes] = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            packet, sender = self.socket.recvfrom(4096)
            if packet == b"stop":
                return
            self.seen.append(packet)
            answer = self.answer(packet)
            if answer is not None:
                self.socket.sendto(answer, sender)

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stopper:
            stopper.sendto(b"stop", ("127.0.0.1", self.port))
        self.thread.join(10)
        self.socket.close()


@pytest.fixture
def answerer() -> Iterator[Callable[[Answering], Answerer]]:
    made: list[Answerer] = []

    def make(answer: Answering) -> Answerer:
        made.append(Answerer(answer))
        return made[-1]

    yield make
    for one in made:
        one.close()


def as_answer(packet: bytes, rcode: int = 0, count: int = 1) -> bytes:
    return packet[:2] + bytes([0x84, rcode]) + packet[4:6] + struct.pack("!H", count) + packet[8:]


def ask(port: int, questions: list[bytes], **plan: Any) -> Any:
    from bench.load import Client

    client = Client(port, questions)
    try:
        return client.run(**plan)
    finally:
        client.close()


def questions(count: int) -> list[bytes]:
    from bench.world import message

    return [message(f"question-{i:04}.example.", 1) for i in range(count)]


# --- the load client ---
def test_load_asks_each_question_in_turn(answerer: Any) -> None:
    server = answerer(as_answer)
    result = ask(server.port, questions(10), seconds=10.0, limit=25, window=4, wait=True)
    assert (result.sent, result.answered, result.lost, result.empty) == (25, 25, 0, 0)
    assert [packet[2:] for packet in server.seen] == [q[2:] for q in (questions(10) * 3)[:25]]


def test_load_counts_rcodes_and_empty_answers(answerer: Any) -> None:
    server = answerer(lambda packet: as_answer(packet, rcode=packet[1] % 2 * 3, count=packet[1] % 2))
    result = ask(server.port, questions(1), seconds=10.0, limit=10, window=2, wait=True)
    assert result.rcodes == {"NOERROR": 5, "NXDOMAIN": 5}
    assert result.empty == 5


def test_load_counts_what_is_never_answered(answerer: Any) -> None:
    server = answerer(lambda packet: None if packet[1] == 3 else as_answer(packet))
    result = ask(server.port, questions(1), seconds=10.0, limit=8, window=8, wait=True)
    assert (result.sent, result.answered, result.lost) == (8, 7, 1)


def test_load_does_not_count_a_second_answer(answerer: Any) -> None:
    repeated: list[bytes] = []

    def answer(packet: bytes) -> bytes:
        repeated.append(as_answer(packet))
        return repeated[0] if len(repeated) == 2 else repeated[-1]

    result = ask(answerer(answer).port, questions(1), seconds=10.0, limit=3, window=1, wait=True)
    assert (result.answered, result.lost, result.stray) == (2, 1, 1)


def test_load_keeps_its_window(answerer: Any) -> None:
    """Nothing is answered: no more than the window is sent."""
    result = ask(answerer(lambda packet: None).port, questions(5), seconds=0.2, window=7, wait=True)
    assert (result.sent, result.lost) == (7, 7)


def test_load_keeps_its_rate(answerer: Any) -> None:
    result = ask(answerer(as_answer).port, questions(5), seconds=0.5, rate=400.0, window=1000)
    assert 150 <= result.sent <= 201  # fewer where the machine did something else in the end
    assert result.answered == result.sent


def test_load_sleeps_until_the_next_question_is_due(answerer: Any) -> None:
    """With `wait` a rate is kept too, for less than the time that it takes."""
    import time

    server = answerer(as_answer)
    before = time.thread_time()
    result = ask(server.port, questions(5), seconds=0.5, rate=100.0, window=1000, wait=True)
    assert 30 <= result.sent <= 51
    assert time.thread_time() - before < 0.25


def test_fresh_names_are_never_asked_twice(answerer: Any) -> None:
    server = answerer(as_answer)
    for salt in (0, 300):
        ask(server.port, questions(3), seconds=10.0, limit=300, window=8, wait=True, salt=salt)
    names = [packet[12:] for packet in server.seen]
    assert len(names) == len(set(names)) == 600
    assert all(re.match(rb"\x0d[0-9a-f]{8}", name) for name in names)


@pytest.mark.parametrize("plan", [{"seconds": 0.0}, {"seconds": 1.0, "window": 0}, {"seconds": 1.0, "rate": -1.0}])
def test_load_refuses_a_plan_out_of_bounds(plan: Any) -> None:
    with pytest.raises(ValueError):
        ask(9, questions(1), **plan)


@pytest.mark.parametrize("asked", [[], [b"short"], [bytes(513)]])
def test_load_refuses_what_is_no_question(asked: Any) -> None:
    with pytest.raises((ValueError, IndexError)):
        ask(9, asked, seconds=0.1)


def test_buckets_are_narrow_and_in_order() -> None:
    from bench._load import bucket_floor

    floors = [bucket_floor(i) for i in range(1000)]
    assert floors == sorted(set(floors))
    assert all(after - before <= max(1, before / 31) for before, after in itertools.pairwise(floors))


def test_percentiles_are_read_from_buckets() -> None:
    from bench.load import percentile

    assert percentile([(10, 50), (20, 49), (30, 1)], 0.5) == 0.010
    assert percentile([(10, 50), (20, 49), (30, 1)], 0.999) == 0.030
    assert percentile([], 0.5) == 0.0


# --- the floor ---
@pytest.fixture
def floor(tmp_path: pathlib.Path) -> Iterator[Callable[..., int]]:
    """Starts `python -m bench.floor`; gives its port once it answers."""
    from bench import load, ports, process, scenarios, servers

    running = []

    def start(*arguments: str) -> int:
        port = ports.free_port()
        command = servers.python("-m", "bench.floor", *arguments, "--port", str(port))
        one = process.start("floor", command, core=process.cores()[0], folder=tmp_path)
        running.append(one)
        load.first_right_answer(port, scenarios.ECHO_QUESTION, since=one.started, timeout=20, check=one.check)
        return port

    yield start
    for one in running:
        one.stop()


def test_echo_answers_with_an_address_record(floor: Any) -> None:
    from bench import load

    port = floor("echo", "--extra", "16")
    question = questions(1)[0]
    answer = load.ask_once(port, question)
    assert (
        answer
        == b"\0\0\x85\0\0\x01\0\x01\0\0\0\0" + question[12:] + b"\xc0\x0c\0\x01\0\x01\0\0\0\x1e\0\x04\x0a\x60\0\x0a"
    )


def test_forwarder_gives_each_asker_its_own_id_back(floor: Any) -> None:
    port = floor("forward", "--upstream", str(floor("echo")))
    result = ask(port, questions(100), seconds=10.0, limit=1000, window=100, wait=True)
    assert (result.sent, result.answered, result.stray) == (1000, 1000, 0)


# --- over TCP ---
class Stream:
    """A TCP server in a thread: answers what it reads, `most` questions of each connection at most."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self.socket.accept()
            with connection, connection.makefile("rb") as stream:
                for _ in range(self.most):
                    length = stream.read(2)
                    if len(length) < 2:
                        break
                    if length == b"\0\0":
                        return
                    connection.sendall(length + as_answer(stream.read(int.from_bytes(length, "big"))))

    def close(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port), 10) as stopper:
            stopper.sendall(b"\0\0")
        self.thread.join(10)
        self.socket.close()


@pytest.mark.parametrize(("most", "lost"), [(1000, 0), (3, 2)])
def test_tcp_load_counts_what_each_connection_answers(most: int, lost: int) -> None:
    from bench import tcp_load

    server = Stream(most)
    try:
        result = tcp_load.Client(server.port, questions(3)).run(seconds=0.2, connections=4, depth=5)
    finally:
        server.close()
    assert result.sent >= 20 and result.sent % 5 == 0
    assert result.lost * 5 == result.sent * lost
    assert result.answered + result.lost == result.sent
    assert result.rcodes == {"NOERROR": result.answered}
