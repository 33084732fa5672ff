"""Scenario scale: what more Services cost, and what very large headless ones do.

Each server runs once for each size at the same time, so that sizes are compared in turns. Every world has a headless
Service with 5,000 endpoints in 50 slices, and one with 1,000.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import struct
import time
from collections.abc import Sequence

from bench import load, measure, process, results, startup, surroundings, tcp_load
from bench.measure import Runner
from bench.results import Outcome, Sample
from bench.scenarios import SATURATED, Entrant, Scenario, hit
from bench.servers import Scene
from bench.surroundings import START_TIMEOUT, Bench
from bench.transports import Shape, ask
from bench.world import ZONE, A, Question, World, is_right, message

ENDPOINTS = 5  # of each Service
HUGE, BIG = 5000, 1000  # endpoints of the large Services
SLICES = HUGE // 100
UPDATES = 20
AFTERWARDS = 200  # queries after each update is shown, for what a server tidies up later
SHAPE = Shape("pipelined", 10, 50)


@dataclasses.dataclass(frozen=True, slots=True)
class Sized:
    """One server with a cluster of one size."""

    bench: Bench
    scenario: Scenario
    scene: Scene
    runner: Runner

    @property
    def table(self) -> str:
        return f"{self.bench.world.services:,} Services"


def run(bench: Bench, name: str, sizes: Sequence[int]) -> Outcome:
    """Measure each server that follows the API with clusters of all these sizes."""
    outcome = Outcome(name, f"{' and '.join(f'{size:,}' for size in sizes)} Services with {ENDPOINTS} endpoints each")
    with contextlib.ExitStack() as stop:
        place = stop.enter_context(surroundings.folder())
        places = []
        for size in sizes:
            sized = dataclasses.replace(bench, world=World(size, ENDPOINTS, large=(HUGE, BIG)))
            scenario = hit(sized.world, bench.coredns)
            scene = stop.enter_context(surroundings.surroundings(sized, scenario, place))
            bench.say(f"{name}: the API server has {size:,} Services")
            places.append((sized, scenario, scene))
        for number, entrant in enumerate(places[0][1].entrants):
            if not entrant.watches or not bench.wants(entrant.name):
                continue
            try:
                with contextlib.ExitStack() as running:
                    started = [start(one, of.entrants[number], of, at, running, outcome) for one, of, at in places]
                    measure_sizes(bench, started, outcome)
            except measure.FAILURES as error:
                outcome.failed[entrant.name] = str(error)
                bench.say(f"{name}: {entrant.name} failed: {error}")
    return outcome


def start(
    bench: Bench, entrant: Entrant, scenario: Scenario, scene: Scene, stop: contextlib.ExitStack, outcome: Outcome
) -> Sized:
    """Start one server of one size: its first answer, and its memory once everything is there."""
    running, port, first = measure.start_entrant(entrant, scene)
    stop.callback(running.stop)
    load.all_right(port, scenario.checked, since=running.started, timeout=START_TIMEOUT)
    startup.await_watches(bench.world, scene.api, port)
    client = load.Client(port, scenario.questions)
    stop.callback(client.close)
    sized = Sized(bench, scenario, scene, Runner(running, port, client))
    time.sleep(bench.settle)
    pss = running.pss_kib() / 1024
    figures = {"first_s": first, "pss_mib": pss, "pss_per_1k": pss / bench.world.services * 1000}
    outcome.samples.append(Sample(entrant.name, sized.table, figures))
    bench.say(f"{outcome.scenario}: {entrant.name} {sized.table}: first answer after {first:.2f} s, {pss:.0f} MiB")
    return sized


def measure_sizes(bench: Bench, started: Sequence[Sized], outcome: Outcome) -> None:
    """CPU per query in turns, single updates at each size, then the large Services at the largest one."""
    for number in range(bench.rounds):
        for one in started:
            sample = measure.measure(
                one.runner, SATURATED, seconds=bench.seconds, scenario=one.scenario, table=one.table
            )
            outcome.samples.append(sample)
            bench.say(f"{outcome.scenario} {number + 1}/{bench.rounds} {one.table}: {measure.describe(sample)}")
    for one in started:
        world, probed = one.bench.world, one.bench.world.probed()
        waits = [startup.update_once(world, one.scene.api, one.runner.port, probed[0]) for _ in range(2 * UPDATES)]
        outcome.samples.append(results.waits(one.runner.name, one.table, waits))
    largest = started[-1]
    for _ in range(bench.rounds):
        outcome.samples += large_answers(largest)
    for slices, table in ((0, "no update"), (1, f"1 of {SLICES} slices"), (SLICES, f"{SLICES} of {SLICES} slices")):
        outcome.samples += blocked(largest, slices, f"{HUGE:,} endpoints, {table}")
        bench.say(f"{outcome.scenario}: {largest.runner.name} {table} {outcome.samples[-2].figures}")


# --- one Service with many endpoints ---
def large_answers(sized: Sized) -> list[Sample]:
    """A hit and 1,000 addresses, truncated over UDP and whole over TCP."""
    runner = sized.runner
    wire = message(sized.bench.world.large_fqdn(BIG), A)
    samples = []
    truncated = dataclasses.replace(sized.scenario, negative=True)  # which has no record
    for questions, what in ((sized.scenario.questions, "hits"), ((wire,), f"{BIG:,} addresses")):
        client = load.Client(runner.port, questions)
        try:
            asking = dataclasses.replace(runner, client=client)
            table = f"UDP, {what}" + ", TC" * (what != "hits")
            seconds = sized.bench.seconds
            sample = measure.measure(asking, SATURATED, seconds=seconds, scenario=truncated, table=table)
            samples.append(sample)
        finally:
            client.close()
        shape = dataclasses.replace(SHAPE, name=f"TCP, {what}")
        samples.append(ask(runner, tcp_load.Client(runner.port, questions), shape, sized.bench.seconds))
    return samples


def blocked(sized: Sized, slices: int, table: str) -> list[Sample]:
    """The most that the answering process computes while one query waits, at each of some updates of so many slices.

    It is CPU time, not time: on a busy machine a query waits for other programs too, and that isn't what is asked here.
    """
    runner = sized.runner
    watch = Watch(runner.port, measure.answering_pid(runner), sized.scenario.questions[0])
    waits: list[float | None] = []
    samples = []
    with process.affinity({process.cores()[1]}), contextlib.closing(watch):
        for _ in range(UPDATES):
            watch.longest_ns = 0
            if slices:
                waits.append(update_huge(sized, slices, watch))
            for _ in range(AFTERWARDS):
                watch.ask(watch.question)
            samples.append(Sample(runner.name, table, {"blocked_ms": watch.longest_ns / 1e6}))
    return [*samples, results.waits(runner.name, table, waits)]


class Watch:
    """Asks one query after the other, and keeps the most CPU time that the process spent between question and answer."""

    def __init__(self, port: int, pid: int, question: bytes) -> None:
        self.pid = pid
        self.question = question
        self.longest_ns = 0
        self._socket = load.connect(port)
        self._socket.settimeout(startup.SHOWN_IN)
        self._ids = itertools.cycle(range(1 << 16))

    def ask(self, question: bytes) -> bytes:
        """The answer; empty: none came."""
        wire = struct.pack("!H", next(self._ids)) + question[2:]
        before = process.cpu_ns(self.pid)
        self._socket.send(wire)
        answer = b""
        with contextlib.suppress(TimeoutError):
            while answer[:2] != wire[:2]:
                answer = self._socket.recv(65535)
        self.longest_ns = max(self.longest_ns, process.cpu_ns(self.pid) - before)
        return answer

    def close(self) -> None:
        self._socket.close()


def update_huge(sized: Sized, slices: int, watch: Watch) -> float | None:
    """Change the first endpoint of so many slices, and ask a hit and the name of the last changed endpoint in turn; seconds
    until that name exists; None: not in time."""
    first = startup.new_address()
    for _ in range(slices - 1):
        startup.new_address()
    last = first + slices - 1
    label = str(last).replace(".", "-")
    changed_one = Question(message(f"{label}.large-{HUGE}.default.svc.{ZONE}.", A), last.packed)
    changed = startup.post(sized.scene.api, f"large?size={HUGE}&slices={slices}&address={first}")
    while time.monotonic() - changed < startup.SHOWN_IN:
        watch.ask(watch.question)
        if is_right(changed_one, watch.ask(changed_one.wire)):
            return time.monotonic() - changed
    return None
