"""Runs load scenarios: starts the servers on one core, asks from the other, in turns, several rounds.

Everything is bounded: starting, warming, each round. What a figure is made of stands at results.COLUMNS.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator

from bench import load, ports, process, surroundings
from bench.process import Running
from bench.results import Outcome, Sample
from bench.scenarios import Asking, Entrant, Scenario
from bench.servers import Scene
from bench.surroundings import START_TIMEOUT, Bench

FAILURES = (OSError, RuntimeError, TimeoutError)


@dataclasses.dataclass(frozen=True, slots=True)
class Runner:
    """A server that answers, and who asks it."""

    running: Running
    port: int
    client: load.Client

    @property
    def name(self) -> str:
        return self.running.name


def run_scenario(bench: Bench, scenario: Scenario) -> Outcome:
    """Measure CPU, rate and latency of the scenario's servers, in turns."""
    with started(bench, scenario) as (outcome, _, runners):
        salt = 1
        for number in range(bench.rounds):
            for asking in scenario.askings:
                for runner in runners:
                    sample = measure(runner, asking, seconds=bench.seconds, salt=salt, scenario=scenario)
                    salt += int(sample.figures["sent"])
                    outcome.samples.append(sample)
                    bench.say(f"{scenario.name} {number + 1}/{bench.rounds} {asking.name}: {describe(sample)}")
                    runner.running.check()
    return outcome


@contextlib.contextmanager
def started(bench: Bench, scenario: Scenario) -> Iterator[tuple[Outcome, Scene, list[Runner]]]:
    """The scenario's servers, started, checked and warm; they end with the block."""
    outcome = Outcome(scenario.name, scenario.title)
    outcome.floor = next((entrant.name for entrant in scenario.entrants if entrant.is_floor), "")
    with contextlib.ExitStack() as stop:
        place = stop.enter_context(surroundings.folder())
        scene = stop.enter_context(surroundings.surroundings(bench, scenario, place))
        yield outcome, scene, list(start_all(bench, scenario, scene, outcome, stop))


def start_all(
    bench: Bench, scenario: Scenario, scene: Scene, outcome: Outcome, stop: contextlib.ExitStack
) -> Iterator[Runner]:
    """Start, check and warm the wanted servers; one that fails is noted, and left out if it doesn't answer at all."""
    for entrant in scenario.entrants:
        if not entrant.is_floor and not bench.wants(entrant.name):
            continue
        try:
            running, port, first = start_entrant(entrant, scene)
        except FAILURES as error:
            outcome.failed[entrant.name] = str(error)
            bench.say(f"{scenario.name}: {entrant.name} failed: {error}")
            continue
        stop.callback(running.stop)
        client = load.Client(port, scenario.questions, sockets=scenario.sockets)
        stop.callback(client.close)
        try:
            checked = () if entrant.is_floor else entrant.checked or scenario.checked
            complete = load.all_right(port, checked, since=running.started, timeout=START_TIMEOUT)
            bench.say(f"{scenario.name}: {entrant.name} answers after {first:.2f} s, completely after {complete:.2f} s")
        except TimeoutError as error:
            outcome.failed[entrant.name] = str(error)
            bench.say(f"{scenario.name}: {entrant.name}: {error}")
        if scenario.warm:
            warm(client, len(scenario.questions))
        yield Runner(running, port, client)


def start_entrant(entrant: Entrant, scene: Scene) -> tuple[Running, int, float]:
    """Start it on a free port and wait for its first right answer: (server, port, seconds)."""
    port = ports.free_port()
    mine = dataclasses.replace(scene, port=port, metrics=ports.free_port())
    core = process.cores()[0]
    cores = process.USABLE if entrant.spread else frozenset()
    running = process.start(entrant.name, entrant.make(mine), core=core, folder=scene.folder, cores=cores)
    try:
        first = load.first_right_answer(
            port, entrant.ready, since=running.started, timeout=START_TIMEOUT, check=running.check
        )
        if not entrant.spread:
            running.pin(core)
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


def load_cores(scenario: Scenario) -> set[int]:
    return set(process.USABLE) if scenario.spread else {process.cores()[1]}


def measure(
    runner: Runner,
    asking: Asking,
    *,
    seconds: float,
    scenario: Scenario,
    salt: int = 1,
    table: str = "",
    by_process: bool = False,
) -> Sample:
    """One round, from the load's core; in `table`, or the one of the asking. `by_process`: also what the process that
    was busiest has spent."""
    with process.affinity(load_cores(scenario)):
        runner.client.run(seconds=0.1, window=16, wait=True, salt=salt ^ (1 << 31) if asking.fresh else None)
        before = runner.running.cpu_ns()
        result = runner.client.run(
            seconds=min(seconds, asking.seconds),
            window=asking.window,
            rate=asking.rate,
            wait=asking.wait,
            salt=salt if asking.fresh else None,
        )
        spent = process.spent_ns(before, runner.running.cpu_ns())
    figures = load_figures(result, spent, negative=scenario.negative)
    if by_process:
        figures["busiest_us"] = max(spent.values()) / 1000 / max(1, result.answered)
    return Sample(runner.name, table or asking.name, figures)


def load_figures(result: load.Result, spent: dict[int, int], *, negative: bool = False) -> dict[str, float]:
    """CPU (user and system time of all processes and threads) per answered query, rate, losses, latency if there were answers.

    Wrong is another rcode than NOERROR, or no answer record; see Scenario.negative.
    """
    right = ("NOERROR", "NXDOMAIN") if negative else ("NOERROR",)
    wrong = result.answered - sum(result.rcodes.get(name, 0) for name in right) + (0 if negative else result.empty)
    latency = {"p50": result.p50, "p99": result.p99, "p999": result.p999}
    return {
        "cpu_us": sum(spent.values()) / 1000 / max(1, result.answered),
        "rate": result.rate,
        "sent": result.sent,
        "lost": result.lost,
        "wrong": wrong,
        **(latency if result.answered else {}),
    }


def answering_pid(runner: Runner) -> int:
    """The process that a little load costs most: of several the one that answers."""
    before = runner.running.cpu_ns()
    with process.affinity({process.cores()[1]}):
        runner.client.run(seconds=0.1, wait=True)
    spent = process.spent_ns(before, runner.running.cpu_ns())
    return max(spent, key=spent.__getitem__)


def describe(sample: Sample) -> str:
    figures = sample.figures
    lost, wrong = int(figures["lost"]), int(figures["wrong"])
    trouble = f", {lost} lost" * bool(lost) + f", {wrong} wrong" * bool(wrong)
    cpu = f"{figures['cpu_us']:.2f} µs/query, {figures['rate']:,.0f} q/s"
    return f"{sample.server} {cpu}, p99 {figures.get('p99', math.inf):.0f} µs{trouble}"
