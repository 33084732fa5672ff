"""CI's guard: fastdns stays within recorded ratios of the floor and of one peer, measured in the same run.

A busy machine makes single rounds worse, never better, and all servers alike; so the least of interleaved rounds counts,
and while a bound isn't met more rounds follow, up to a limit. A slower fastdns doesn't get better by them. Where others
take most of the core all the time, ratios wander even so: a bound is as much wider as the floor had less of its core.
"""

from __future__ import annotations

import dataclasses
import pathlib
import time
import tomllib
from collections.abc import Sequence

from bench import budgets, measure
from bench.budgets import Budget, Verdict
from bench.measure import Runner
from bench.results import Outcome
from bench.scenarios import SATURATED, Asking, Scenario, all_scenarios
from bench.surroundings import Bench

PATH = pathlib.Path(__file__).with_name("bounds.toml")
BUSY = 0.5  # how much wider a bound is for a floor that gets nothing of its core
STARTS = 2
MOST_ROUNDS = 24  # of one start
MOST_SECONDS = 18.0  # of one start, once its servers run


def names() -> list[str]:
    return list(dict.fromkeys(budget.scenario for budget in bounds()))


def bounds() -> list[Budget]:
    return [Budget(**fields) for fields in tomllib.loads(PATH.read_text())["bound"]]


def run(bench: Bench, wanted: Sequence[str]) -> tuple[list[Outcome], list[Budget]]:
    """Measure these scenarios; the outcomes, and the bounds that they are held to."""
    outcomes: list[Outcome] = []
    held: list[Budget] = []
    makers = all_scenarios(bench.world, bench.coredns)
    for name in wanted:
        kept = [budget for budget in bounds() if budget.scenario == name]
        outcomes.append(guard(bench, makers[name](), kept))
        held += allowed(outcomes[-1], kept)
    return outcomes, held


def guard(bench: Bench, scenario: Scenario, kept: Sequence[Budget]) -> Outcome:
    """Rounds of the servers that the bounds are about, until all are met or there were enough; all the rounds count.

    The servers are started anew once before it's given up: where a process lies in memory costs some of them some percent.
    """
    needed = frozenset({"fastdns", *(budget.of for budget in kept)})
    bench = dataclasses.replace(bench, wanted=needed)
    scenario = dataclasses.replace(scenario, askings=(saturated(scenario),))
    gathered = Outcome(scenario.name, scenario.title)
    for _ in range(STARTS):
        with measure.started(bench, scenario) as (outcome, _, runners):
            outcome.samples[:0] = gathered.samples
            gathered = outcome
            ask_in_rounds(bench, scenario, runners, gathered, kept)
        if gathered.failed or is_met(gathered, kept):
            break
    return gathered


def saturated(scenario: Scenario) -> Asking:
    return next(asking for asking in scenario.askings if asking.name == SATURATED.name)


def ask_in_rounds(
    bench: Bench, scenario: Scenario, runners: Sequence[Runner], outcome: Outcome, kept: Sequence[Budget]
) -> None:
    """At least the wanted rounds; more while a bound isn't met, as long as that is sensible."""
    end = time.monotonic() + MOST_SECONDS
    salt = 1
    for number in range(MOST_ROUNDS):
        for runner in runners:
            sample = measure.measure(runner, scenario.askings[0], seconds=bench.seconds, scenario=scenario, salt=salt)
            salt += int(sample.figures["sent"])
            outcome.samples.append(sample)
            runner.running.check()
        told = "; ".join(as_line(one) for one in budgets.judge([outcome], allowed(outcome, kept)))
        bench.say(f"round {number + 1}, the floor had {floor_share(outcome):.0%} of its core: {told}")
        if number + 1 >= bench.rounds and (is_met(outcome, kept) or time.monotonic() > end):
            return


def is_met(outcome: Outcome, kept: Sequence[Budget]) -> bool:
    return all(verdict.is_met for verdict in budgets.judge([outcome], allowed(outcome, kept)))


def allowed(outcome: Outcome, kept: Sequence[Budget]) -> list[Budget]:
    """The bounds, as much wider as the machine was busy."""
    wider = 1 + BUSY * (1 - floor_share(outcome))
    return [
        dataclasses.replace(
            budget,
            at_most=budget.at_most and budget.at_most * wider,
            at_least=budget.at_least and budget.at_least / wider,
        )
        for budget in kept
    ]


def floor_share(outcome: Outcome) -> float:
    """The part of its core that the floor used, saturated, in its best round; what is missing others had, or it waited."""
    spent = outcome.values(outcome.floor, SATURATED.name, "cpu_us")
    rates = outcome.values(outcome.floor, SATURATED.name, "rate")
    return min(1.0, max((cpu * rate / 1e6 for cpu, rate in zip(spent, rates, strict=True)), default=0.0))


def as_line(verdict: Verdict) -> str:
    budget = verdict.budget
    limit = f"at most {budget.at_most:.2f}" if budget.at_most else f"at least {budget.at_least or 0:.2f}"
    figure = "not measured" if verdict.figure is None else f"{verdict.figure:.2f}"
    return f"{budget.text}: {figure}, {limit}"
