"""Scenario churn: hits at a fixed rate while EndpointSlices change, and how soon a change is in the answers."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import random
import time

from bench import measure, results, startup
from bench.measure import Runner
from bench.results import Outcome, Sample
from bench.scenarios import Asking, Scenario
from bench.servers import Scene
from bench.surroundings import Bench

RATES = (0, 100, 500)  # slices a second
ASKING = Asking("20k q/s", rate=20_000.0, window=8192, wait=True)
PROBE_EVERY = 0.02  # seconds, on average
QUIET = 0.3  # seconds before each round, for the rest of the churn before it


def run(bench: Bench, scenario: Scenario) -> Outcome:
    """Quiet and churning rounds in turns, of each server that follows the API; a churn concerns all of them at once, so
    that they run one after the other."""
    outcome = Outcome("churn", f"hits at 20,000 q/s while EndpointSlices of {bench.world.services:,} Services change")
    for entrant in scenario.entrants:
        if not entrant.watches or not bench.wants(entrant.name):
            continue
        alone = dataclasses.replace(scenario, name="churn", entrants=(entrant,))
        with measure.started(bench, alone) as (failures, scene, runners):
            outcome.failed.update(failures.failed)
            for runner in runners:
                outcome.samples += measure_churn(bench, alone, scene, runner)
    return outcome


def measure_churn(bench: Bench, scenario: Scenario, scene: Scene, runner: Runner) -> list[Sample]:
    samples = []
    waits: dict[str, list[float | None]] = {}
    startup.await_watches(bench.world, scene.api, runner.port)
    for number in range(bench.rounds):
        for rate in RATES:
            table = f"{rate} slices/s" if rate else "quiet"
            sample, seen = churn_once(bench, scenario, scene, runner, rate, table)
            samples.append(sample)
            waits.setdefault(table, []).extend(seen)
            bench.say(f"churn {number + 1}/{bench.rounds} {table}: {measure.describe(sample)}")
            runner.running.check()
    return samples + [results.waits(runner.name, table, seen) for table, seen in waits.items() if seen]


def churn_once(
    bench: Bench, scenario: Scenario, scene: Scene, runner: Runner, rate: int, table: str
) -> tuple[Sample, list[float | None]]:
    """One round: the load in a thread (it holds no GIL), beside it probes of what doesn't churn; none when it's quiet."""
    seconds = max(1.0, bench.seconds)
    time.sleep(QUIET)
    if rate:
        startup.post(scene.api, f"churn?rate={rate}&seconds={seconds + 0.1}")
    waits: list[float | None] = []
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(
            measure.measure, runner, ASKING, seconds=seconds, scenario=scenario, table=table, by_process=True
        )
        probed = bench.world.probed()
        while rate and not asked.done():
            waits.append(startup.update_once(bench.world, scene.api, runner.port, random.choice(probed)))
            time.sleep(random.uniform(0.5, 1.5) * PROBE_EVERY)
    return asked.result(), waits
