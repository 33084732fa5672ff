"""Runs scenarios: starts the servers on one core, asks from the other, in turns, several rounds.

Everything is bounded: starting, warming, each round. What a figure is made of stands at its field.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import pathlib
import random
import shutil
import socket
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence

from bench import load, process, servers
from bench.process import Running
from bench.scenarios import MISS_QUESTION, Asking, Entrant, Scenario
from bench.servers import Scene
from bench.world import A, Question, World, message

START_TIMEOUT = 60.0
SETTLE = 2.0  # seconds that a server may go on starting before its memory is read
CHECKED_AT_START = 100


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """One round of one server. `cpu_us`: user and system time of all its processes and threads, per answered query."""

    server: str
    asking: str
    cpu_us: float
    rate: float
    sent: int
    answered: int
    lost: int
    wrong: int  # another rcode than NOERROR, or no answer record; see Scenario.negative
    p50: float
    p99: float
    p999: float


@dataclasses.dataclass(frozen=True, slots=True)
class Start:
    """One start of one server: seconds from exec to the first right answer and to the last of a sample of names (who
    serves while a list comes in has some names earlier than others), CPU seconds and memory once settled.
    """

    server: str
    first_answer: float
    all_answers: float
    cpu: float
    pss_mib: float
    processes: int


@dataclasses.dataclass(frozen=True, slots=True)
class Updates:
    """Milliseconds from the API server's reply about a changed EndpointSlice to the first answer that shows it."""

    server: str
    count: int
    p50: float
    p99: float
    worst: float
    missing: int  # never shown


@dataclasses.dataclass(slots=True)
class Outcome:
    """What a scenario gave; `failed` are servers that couldn't be measured, and why."""

    scenario: str
    title: str
    floor: str = ""
    samples: list[Sample] = dataclasses.field(default_factory=list)
    starts: list[Start] = dataclasses.field(default_factory=list)
    updates: list[Updates] = dataclasses.field(default_factory=list)
    failed: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Bench:
    """What all scenarios share: the world, which servers are wanted, and how long to measure."""

    world: World
    rounds: int
    seconds: float
    wanted: frozenset[str]
    say: Callable[[str], None]


def run_scenario(bench: Bench, scenario: Scenario) -> Outcome:
    """Measure CPU, rate and latency of the scenario's servers, in turns."""
    outcome = Outcome(scenario.name, scenario.title)
    outcome.floor = next((entrant.name for entrant in scenario.entrants if entrant.is_floor), "")
    with folder() as place, surroundings(bench, scenario, place) as scene, contextlib.ExitStack() as stop:
        runners = list(start_all(bench, scenario, scene, outcome, stop))
        salt = 1
        for number in range(bench.rounds):
            for asking in scenario.askings:
                for running, client in runners:
                    sample = measure(
                        running, client, asking, seconds=bench.seconds, salt=salt, negative=scenario.negative
                    )
                    salt += sample.sent
                    outcome.samples.append(sample)
                    bench.say(f"{scenario.name} {number + 1}/{bench.rounds} {asking.name}: {describe(sample)}")
                    running.check()
    return outcome


def start_all(
    bench: Bench, scenario: Scenario, scene: Scene, outcome: Outcome, stop: contextlib.ExitStack
) -> Iterator[tuple[Running, load.Client]]:
    """Start, check and warm the wanted servers; one that fails is noted and left out."""
    for entrant in scenario.entrants:
        if not entrant.is_floor and entrant.name not in bench.wanted:
            continue
        try:
            running, port, first = start_entrant(entrant, scene)
        except (OSError, RuntimeError, TimeoutError) as error:
            outcome.failed[entrant.name] = str(error)
            bench.say(f"{scenario.name}: {entrant.name} failed: {error}")
            continue
        stop.callback(running.stop)
        client = load.Client(port, scenario.questions)
        stop.callback(client.close)
        try:
            checked = () if entrant.is_floor else scenario.checked
            complete = load.all_right(port, checked, since=running.started, timeout=START_TIMEOUT)
            bench.say(f"{scenario.name}: {entrant.name} answers after {first:.2f} s, completely after {complete:.2f} s")
        except TimeoutError as error:
            outcome.failed[entrant.name] = str(error)
            bench.say(f"{scenario.name}: {entrant.name}: {error}")
        if scenario.warm:
            warm(client, len(scenario.questions))
        yield running, client


def start_entrant(entrant: Entrant, scene: Scene) -> tuple[Running, int, float]:
    """Start it on a free port and wait for its first right answer."""
    port = free_port()
    mine = dataclasses.replace(scene, port=port)
    command = entrant.make(mine)
    running = process.start(entrant.name, command, core=process.cores()[0], folder=scene.folder)
    try:
        first = load.first_right_answer(port, entrant.ready, since=running.started, timeout=START_TIMEOUT)
        running.check()
        running.pin(process.cores()[0])
    except BaseException as error:
        running.stop()
        if isinstance(error, TimeoutError):
            raise TimeoutError(f"{error}; its log ends: {process.log_end(running.log, 500)}") from None
        raise
    return running, port, first


def warm(client: load.Client, count: int) -> None:
    """Ask everything twice, gently: what the first time loses is there the second time."""
    for _ in range(2):
        client.run(seconds=30.0, window=32, limit=count, wait=True)


def measure(
    running: Running, client: load.Client, asking: Asking, *, seconds: float, salt: int, negative: bool = False
) -> Sample:
    """One round, from the load's core."""
    with process.affinity({process.cores()[1]}):
        client.run(seconds=0.1, window=16, wait=True, salt=salt ^ (1 << 31) if asking.fresh else None)
        before = running.cpu_ns()
        result = client.run(
            seconds=seconds,
            window=asking.window,
            rate=asking.rate,
            wait=asking.wait,
            salt=salt if asking.fresh else None,
        )
        spent = running.cpu_ns() - before
    right = ("NOERROR", "NXDOMAIN") if negative else ("NOERROR",)
    return Sample(
        server=running.name,
        asking=asking.name,
        cpu_us=spent / 1000 / max(1, result.answered),
        rate=result.rate,
        sent=result.sent,
        answered=result.answered,
        lost=result.lost,
        wrong=result.answered - sum(result.rcodes.get(name, 0) for name in right) + (0 if negative else result.empty),
        p50=result.p50,
        p99=result.p99,
        p999=result.p999,
    )


def run_starts(bench: Bench, scenario: Scenario) -> Outcome:
    """Start each of the scenario's servers anew in each round: time to the first right answer, CPU and memory."""
    outcome = Outcome("start", f"start with {bench.world.services:,} Services, {bench.world.endpoints} endpoints each")
    with folder() as place, surroundings(bench, scenario, place) as scene:
        for number in range(bench.rounds):
            for entrant in scenario.entrants:
                if entrant.is_floor or entrant.name not in bench.wanted or entrant.name in outcome.failed:
                    continue
                try:
                    start = measure_start(entrant, scene, scenario)
                except (OSError, RuntimeError, TimeoutError) as error:
                    outcome.failed[entrant.name] = str(error)
                    continue
                outcome.starts.append(start)
                bench.say(f"start {number + 1}/{bench.rounds}: {start}")
    return outcome


def measure_start(entrant: Entrant, scene: Scene, scenario: Scenario) -> Start:
    running, port, first = start_entrant(entrant, scene)
    try:
        checked = scenario.checked[:CHECKED_AT_START]
        complete = load.all_right(port, checked, since=running.started, timeout=START_TIMEOUT)
        time.sleep(SETTLE)
        running.check()
        return Start(
            server=entrant.name,
            first_answer=first,
            all_answers=complete,
            cpu=running.cpu_ns() / 1e9,
            pss_mib=running.pss_kib() / 1024,
            processes=len(running.pids()),
        )
    finally:
        running.stop()


def run_updates(bench: Bench, scenario: Scenario) -> Outcome:
    """Change endpoints of headless Services one by one, and ask until the answer shows it."""
    outcome = Outcome("update", f"one EndpointSlice of {bench.world.services:,} changes")
    with folder() as place, surroundings(bench, scenario, place) as scene:
        for entrant in scenario.entrants:
            if not entrant.watches or entrant.name not in bench.wanted:
                continue
            try:
                outcome.updates.append(measure_updates(bench, entrant, scene, scenario))
            except (OSError, RuntimeError, TimeoutError) as error:
                outcome.failed[entrant.name] = str(error)
                continue
            bench.say(f"update: {outcome.updates[-1]}")
    return outcome


def measure_updates(bench: Bench, entrant: Entrant, scene: Scene, scenario: Scenario) -> Updates:
    running, port, _ = start_entrant(entrant, scene)
    count = 40 * bench.rounds
    headless = [i for i in range(bench.world.services) if bench.world.is_headless(i)]
    try:
        load.all_right(port, scenario.checked, since=running.started, timeout=START_TIMEOUT)
        update_once(bench.world, scene.api, port, headless[0], count)  # this one waits for the rest of the first list
        waits = [update_once(bench.world, scene.api, port, random.choice(headless), n) for n in range(count)]
    finally:
        running.stop()
    seen = sorted(1000 * wait for wait in waits if wait is not None) or [0.0]
    return Updates(
        server=entrant.name,
        count=count,
        p50=seen[len(seen) // 2],
        p99=seen[len(seen) * 99 // 100],
        worst=seen[-1],
        missing=waits.count(None),
    )


def update_once(world: World, api: int, port: int, i: int, number: int) -> float | None:
    """Seconds from the API server's reply to the first answer with the new address; None: not within two seconds."""
    address = ipaddress.IPv4Address(f"10.65.{number >> 8 & 255}.{number & 255}")
    url = f"http://127.0.0.1:{api}/bench/update?service={i}&address={address}"
    question = Question(message(world.fqdn(i), A), address.packed)
    with process.affinity({process.cores()[1]}):
        urllib.request.urlopen(url, data=b"", timeout=5).close()
        changed = time.monotonic()
        with contextlib.suppress(TimeoutError):
            return load.first_right_answer(port, question, since=changed, timeout=2.0, every=0.0002)
    return None


# --- what servers need around them ---
@contextlib.contextmanager
def surroundings(bench: Bench, scenario: Scenario, place: pathlib.Path) -> Iterator[Scene]:
    """The fake API server and the upstream, on the load's core, as the scenario needs them."""
    scene = Scene(place, bench.world, port=0, extra=scenario.extra)
    with contextlib.ExitStack() as stop:
        if scenario.needs_upstream:
            scene = dataclasses.replace(scene, upstream=start_upstream(scene, stop))
        if scenario.needs_api:
            scene = dataclasses.replace(scene, api=start_api(bench, scene, stop))
        yield scene


def start_upstream(scene: Scene, stop: contextlib.ExitStack) -> int:
    port = free_port()
    (scene.folder / "upstream").mkdir()
    small = dataclasses.replace(scene, port=port, folder=scene.folder / "upstream", world=World(services=1))
    running = process.start("upstream", servers.knot(small), core=process.cores()[1], folder=small.folder)
    stop.callback(running.stop)
    load.first_right_answer(port, MISS_QUESTION, since=running.started, timeout=START_TIMEOUT)
    running.pin(process.cores()[1])
    return port


def start_api(bench: Bench, scene: Scene, stop: contextlib.ExitStack) -> int:
    port = free_port()
    world = bench.world
    sizes = ("--services", str(world.services), "--endpoints", str(world.endpoints))
    command = servers.python("-m", "bench.fake_api", "--port", str(port), *sizes)
    running = process.start("api", command, core=process.cores()[1], folder=scene.folder)
    stop.callback(running.stop)
    wait_for_line(running, b"services on port")
    return port


def wait_for_line(running: Running, line: bytes) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while line not in running.log.read_bytes():
        running.check()
        if time.monotonic() > deadline:
            raise TimeoutError(f"{running.name} isn't ready after {START_TIMEOUT} s")
        time.sleep(0.02)


def free_port() -> int:
    """A port that nobody uses now on 127.0.0.1, with UDP or TCP, below those that clients get."""
    for port in range(20_000, 30_000):
        if port in _given:
            continue
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                stack.enter_context(socket.socket(socket.AF_INET, kind)).bind(("127.0.0.1", port))
            _given.add(port)
            return port
    raise RuntimeError("no free port")


_given: set[int] = set()


@contextlib.contextmanager
def folder() -> Iterator[pathlib.Path]:
    path = pathlib.Path(tempfile.mkdtemp(prefix="fastdns-bench-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def describe(sample: Sample) -> str:
    trouble = f", {sample.lost} lost" * bool(sample.lost) + f", {sample.wrong} wrong" * bool(sample.wrong)
    return f"{sample.server} {sample.cpu_us:.2f} µs/query, {sample.rate:,.0f} q/s, p99 {sample.p99:.0f} µs{trouble}"


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def find_coredns(given: Sequence[str]) -> str:
    """The first of these paths that is there, or what `go install` left, or the empty string."""
    usual = [*given, str(pathlib.Path.home() / "go/bin/coredns")]
    return next((path for path in usual if path and pathlib.Path(path).exists()), shutil.which("coredns") or "")
