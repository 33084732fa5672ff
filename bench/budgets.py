"""What must be reached, read from budgets.toml, and whether it was."""

from __future__ import annotations

import dataclasses
import pathlib
import tomllib
from collections.abc import Sequence

from bench.results import Outcome

PATH = pathlib.Path(__file__).with_name("budgets.toml")
PEERS = "peers"  # in `over`: the lowest figure of all other servers, the floor left out


@dataclasses.dataclass(frozen=True, slots=True)
class Budget:
    """A figure of one server, or its ratio over that of another server or table, and the bounds of it."""

    text: str
    scenario: str
    table: str
    key: str
    of: str = "fastdns"
    over: str = ""
    over_table: str = ""
    at_most: float | None = None
    at_least: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """`figure` is None where something wasn't measured."""

    budget: Budget
    figure: float | None

    @property
    def is_met(self) -> bool:
        budget, figure = self.budget, self.figure
        if figure is None:
            return False
        return (budget.at_most is None or figure <= budget.at_most) and (
            budget.at_least is None or figure >= budget.at_least
        )


def read(path: pathlib.Path = PATH) -> list[Budget]:
    return [Budget(**fields) for fields in tomllib.loads(path.read_text())["budget"]]


def judge(outcomes: Sequence[Outcome], budgets: Sequence[Budget] | None = None) -> list[Verdict]:
    by_name = {outcome.scenario: outcome for outcome in outcomes}
    found = read() if budgets is None else budgets
    return [Verdict(budget, figure_of(budget, by_name.get(budget.scenario))) for budget in found]


def figure_of(budget: Budget, outcome: Outcome | None) -> float | None:
    if outcome is None:
        return None
    figure = outcome.figure(budget.of, budget.table, budget.key)
    if figure is None or not (budget.over or budget.over_table):
        return figure
    table = budget.over_table or budget.table
    others = [budget.over or budget.of]
    if budget.over == PEERS:
        others = [name for name in outcome.servers(table) if name not in (budget.of, outcome.floor)]
    values = [value for name in others if (value := outcome.figure(name, table, budget.key))]
    return figure / min(values) if values else None
