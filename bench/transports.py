"""Scenario tcp: one question per connection, and a hundred in a row on each of a hundred connections."""

from __future__ import annotations

import dataclasses

from bench import measure, process, tcp_load
from bench.measure import Runner
from bench.results import Outcome, Sample
from bench.scenarios import Scenario
from bench.surroundings import Bench


@dataclasses.dataclass(frozen=True, slots=True)
class Shape:
    """How many connections are open at once, and how many questions each one asks."""

    name: str
    connections: int
    depth: int


SHAPES = (Shape("one per connection", 8, 1), Shape("100 on each of 100 connections", 100, 100))


def run(bench: Bench, scenario: Scenario) -> Outcome:
    """The servers of the scenario over TCP, in turns. There is no floor: an echo of datagrams is none."""
    entrants = tuple(entrant for entrant in scenario.entrants if not entrant.is_floor)
    scenario = dataclasses.replace(scenario, name="tcp", title=f"{scenario.title}, over TCP", entrants=entrants)
    with measure.started(bench, scenario) as (outcome, _, runners):
        clients = [tcp_load.Client(runner.port, scenario.questions) for runner in runners]
        for number in range(bench.rounds):
            for shape in SHAPES:
                for runner, client in zip(runners, clients, strict=True):
                    sample = ask(runner, client, shape, bench.seconds)
                    outcome.samples.append(sample)
                    bench.say(f"tcp {number + 1}/{bench.rounds} {shape.name}: {measure.describe(sample)}")
                    runner.running.check()
    return outcome


def ask(runner: Runner, client: tcp_load.Client, shape: Shape, seconds: float) -> Sample:
    """One round, from the load's core."""
    with process.affinity({process.cores()[1]}):
        before = runner.running.cpu_ns()
        result = client.run(seconds=seconds, connections=shape.connections, depth=shape.depth)
        spent = process.spent_ns(before, runner.running.cpu_ns())
    return Sample(runner.name, shape.name, measure.load_figures(result, spent))
