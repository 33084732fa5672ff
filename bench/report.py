"""Turns outcomes into Markdown for people (tables, and which budgets are met) and JSON for tools."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import platform
import re
from collections.abc import Iterable, Iterator, Sequence

from bench import budgets
from bench.budgets import Budget
from bench.results import COLUMNS, Column, Outcome
from bench.scenarios import SATURATED


def machine() -> dict[str, str]:
    """What the figures depend on."""
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown")
    return {
        "cpu": model,
        "cores": str(os.cpu_count()),
        "kernel": ".".join(re.findall(r"\d+", platform.release())[:2]),
        "python": platform.python_version(),
    }


def as_json(outcomes: Sequence[Outcome]) -> str:
    """One sample a line."""
    data = {"machine": machine(), "outcomes": [dataclasses.asdict(one) for one in outcomes]}
    return json.dumps(data).replace('{"server": ', '\n{"server": ') + "\n"


def as_markdown(outcomes: Sequence[Outcome], how: str = "", judged: Sequence[Budget] | None = None) -> str:
    """The summary, the budgets (`judged`, or those of budgets.toml), then everything. `how` tells how it was measured."""
    about = machine()
    head = f"{how}On {about['cores']} cores of {about['cpu']}, Linux {about['kernel']}, Python {about['python']}."
    parts = [[head, ""], summary(outcomes), budget_table(outcomes, judged), *map(section, outcomes)]
    return "\n".join(line for part in parts for line in part).rstrip() + "\n"


def summary(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """CPU per query of every scenario with a floor, as ratios to it."""
    shown = [one for one in outcomes if one.figure(one.floor, SATURATED.name, "cpu_us")]
    names = list(dict.fromkeys(name for one in shown for name in one.servers(SATURATED.name) if name != one.floor))
    if not shown:
        return
    yield f"| saturated, CPU per query | floor | {' | '.join(names)} |"
    yield "|---" * (2 + len(names)) + "|"
    for one in shown:
        ratios = [one.ratio(name, one.floor, SATURATED.name) for name in names]
        cells = [f"{ratio:.2f} x" if ratio else "-" for ratio in ratios]
        floor = one.figure(one.floor, SATURATED.name, "cpu_us")
        yield f"| {one.scenario}: {one.title} | {floor:.2f} µs | {' | '.join(cells)} |"
    yield ""


def budget_table(outcomes: Sequence[Outcome], judged: Sequence[Budget] | None) -> Iterator[str]:
    verdicts = [verdict for verdict in budgets.judge(outcomes, judged) if verdict.figure is not None]
    if not verdicts:
        return
    yield "| budget | measured | |"
    yield "|---|---|---|"
    for one in verdicts:
        yield f"| {one.budget.text} | {one.figure:,.2f} | {'met' if one.is_met else '**not met**'} |"
    yield ""


def section(outcome: Outcome) -> Iterator[str]:
    yield f"### {outcome.scenario}: {outcome.title}"
    yield ""
    for table in outcome.tables():
        yield from table_lines(outcome, table)
    yield from (f"- {server}: {reason}" for server, reason in outcome.failed.items())
    yield ""


def table_lines(outcome: Outcome, table: str) -> Iterable[str]:
    """One row for each server, one column for each figure that one of them has; CPU also as a ratio to the floor."""
    servers = outcome.servers(table)
    columns = [one for one in COLUMNS if any(outcome.values(server, table, one.key) for server in servers)]
    has_floor = bool(outcome.figure(outcome.floor, table, "cpu_us"))
    titles = [*(column.title for column in columns), *["x floor"] * has_floor]
    yield f"| {table}: server | {' | '.join(titles)} |"
    yield "|---" * (1 + len(titles)) + "|"
    for server in servers:
        cells = [cell(outcome, server, table, column) for column in columns]
        if has_floor:
            cells.append(f"{outcome.ratio(server, outcome.floor, table) or 0:.2f}")
        yield f"| {server} | {' | '.join(cells)} |"
    yield ""


def cell(outcome: Outcome, server: str, table: str, column: Column) -> str:
    values = outcome.values(server, table, column.key)
    return f"{column.combine(values):,.{column.digits}f}" if values else "-"
