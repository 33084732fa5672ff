"""The bench's tools work: what they ask, count and serve is right. Nothing here is about speed."""

from __future__ import annotations

import asyncio
import itertools
import json
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session", autouse=True)
def built() -> None:
    """The floor and the load client, compiled in place."""
    command = [sys.executable, "bench/setup.py", "-q", "build_ext", "--inplace"]
    subprocess.run(command, cwd=ROOT, check=True, timeout=300, capture_output=True)


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
    assert 150 <= result.sent <= 201  # a busy machine wakes it late
    assert result.answered == result.sent


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
    """Starts `python -m bench.floor`; gives its port."""
    from bench import measure, process, servers

    running = []

    def start(*arguments: str) -> int:
        port = measure.free_port()
        command = servers.python("-m", "bench.floor", *arguments, "--port", str(port))
        running.append(process.start("floor", command, core=process.cores()[0], folder=tmp_path))
        return port

    yield start
    for one in running:
        one.stop()


def first_answer(port: int) -> None:
    import time

    from bench import load, scenarios

    load.first_right_answer(port, scenarios.ECHO_QUESTION, since=time.monotonic(), timeout=20)


def test_echo_answers_with_an_address_record(floor: Any) -> None:
    from bench import load

    port = floor("echo", "--extra", "16")
    first_answer(port)
    question = questions(1)[0]
    answer = load.ask_once(port, question)
    assert (
        answer
        == b"\0\0\x85\0\0\x01\0\x01\0\0\0\0" + question[12:] + b"\xc0\x0c\0\x01\0\x01\0\0\0\x1e\0\x04\x0a\x60\0\x0a"
    )


def test_forwarder_gives_each_asker_its_own_id_back(floor: Any) -> None:
    echo = floor("echo")
    port = floor("forward", "--upstream", str(echo))
    first_answer(port)
    result = ask(port, questions(100), seconds=10.0, limit=1000, window=100, wait=True)
    assert (result.sent, result.answered, result.stray) == (1000, 1000, 0)


# --- the world and its API server ---
def test_world_is_the_same_each_time() -> None:
    from bench.world import SRV, A, World

    world = World(services=50)
    assert world.questions((A, SRV)) == World(services=50).questions((A, SRV))
    assert len(world.questions((A, SRV))) == 80
    assert world.service(0) == World(services=50).service(0)
    assert world.service(9)["spec"]["clusterIPs"] == ["None"]


def test_pods_try_their_search_path_first() -> None:
    from bench.world import NXDOMAIN, World, message, pod_mix

    asked = pod_mix(World(services=20), "out.example", "node.example", limit=24)
    assert [question.rcode for question in asked[:12]] == [0, 0, *[NXDOMAIN] * 8, 0, 0]
    i = int(asked[0].wire[21:26])
    tried = [f"host-{i:05}.out.example.{domain}" for domain in ("team-000.svc.cluster.local.", "svc.cluster.local.")]
    assert [question.wire for question in asked[2:6:2]] == [message(name, 1) for name in tried]


def test_only_the_expected_answer_is_right() -> None:
    from bench.world import A, World, is_right

    question = World(services=10).question(3, A)
    answer = as_answer(question.wire) + question.expected
    assert is_right(question, answer)
    assert not is_right(question, as_answer(question.wire) + b"\x0a\x01\x01\x01")
    assert not is_right(question, as_answer(question.wire, rcode=2) + question.expected)
    assert not is_right(question, as_answer(question.wire, count=0) + question.expected)


@pytest.fixture
def api(tmp_path: pathlib.Path) -> Iterator[str]:
    from bench import measure, process, servers

    port = measure.free_port()
    command = servers.python("-m", "bench.fake_api", "--port", str(port), "--services", "20")
    running = process.start("api", command, core=process.cores()[0], folder=tmp_path)
    try:
        measure.wait_for_line(running, b"services on port")
        yield f"http://127.0.0.1:{port}"
    finally:
        running.stop()


SLICES = "/apis/discovery.k8s.io/v1/endpointslices"


def fetch(url: str, data: bytes | None = None) -> dict[str, Any]:
    with urllib.request.urlopen(url, data=data, timeout=10) as response:
        found = json.load(response)
        assert isinstance(found, dict)
        return found


def test_api_lists_in_pages(api: Any) -> None:
    names: list[str] = []
    query = "limit=7"
    for _ in range(3):
        page = fetch(f"{api}/api/v1/services?{query}")
        names.extend(item["metadata"]["name"] for item in page["items"])
        query = f"limit=7&continue={page['metadata'].get('continue')}"
    assert names == [f"service-{i:05}" for i in range(20)]
    assert "continue" not in page["metadata"]
    assert len(fetch(f"{api}/api/v1/services?limit=7&resourceVersion=0")["items"]) == 20


def events(url: str, count: int) -> list[Any]:
    with urllib.request.urlopen(url, timeout=10) as response:
        return [json.loads(response.readline()) for _ in range(count)]


def test_api_watch_goes_on_from_the_version_given(api: Any) -> None:
    for address in ("10.64.0.1", "10.64.0.2"):
        fetch(f"{api}/bench/update?service=9&address={address}", b"")
    first, second = events(f"{api}{SLICES}?watch=true&resourceVersion=1000", 2)
    assert first["object"]["metadata"]["resourceVersion"] == "1001"
    assert second["object"]["endpoints"][0]["addresses"] == ["10.64.0.2"]
    (only,) = events(f"{api}{SLICES}?watch=true&resourceVersion=1001", 1)
    assert only == second


def test_api_refuses_a_version_that_it_has_forgotten(api: Any) -> None:
    with (
        pytest.raises(urllib.error.HTTPError) as refused,
        urllib.request.urlopen(f"{api}{SLICES}?watch=1&resourceVersion=5"),
    ):
        pass
    assert refused.value.code == 410
    refused.value.close()


def test_api_streams_a_list(api: Any) -> None:
    *added, bookmark = events(
        f"{api}/api/v1/services?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan", 21
    )
    assert {event["type"] for event in added} == {"ADDED"}
    assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_api_changes_slices_at_a_rate() -> None:
    from bench.fake_api import Api
    from bench.world import World

    api = Api(World(services=20))
    asyncio.run(api.churn(1000.0, 0.03))
    assert [number for number, _ in api.slices.history] == list(range(1001, 1031))


# --- the whole ---
@pytest.mark.skipif(
    not shutil.which("knotd", path="/usr/sbin:/usr/bin"), reason="knot isn't installed: apt-get install knot"
)
def test_bench_measures_knot_beside_the_floor(tmp_path: Any) -> None:
    options = ["--rounds", "1", "--seconds", "0.1", "--services", "50", "--servers", "knot", "--out", str(tmp_path)]
    command = [sys.executable, "-m", "bench", "hit", "start", *options]
    done = subprocess.run(command, cwd=ROOT, timeout=100, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    hit, start = json.loads((tmp_path / "bench.json").read_text())["outcomes"]
    assert {sample["server"] for sample in hit["samples"]} == {"floor", "knot"}
    assert all(sample["answered"] and not sample["wrong"] and sample["cpu_us"] > 0 for sample in hit["samples"])
    assert start["starts"][0]["pss_mib"] > 1
    assert "| knot |" in (tmp_path / "bench.md").read_text()
