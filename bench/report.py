"""Turns outcomes into a Markdown table for people and JSON for tools."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import platform
import statistics
from collections.abc import Iterable, Sequence

from bench.measure import Outcome, Sample, Start, Updates


def machine() -> dict[str, str]:
    """What the figures depend on."""
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown")
    return {
        "cpu": model,
        "cores": str(os.cpu_count()),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def as_json(outcomes: Sequence[Outcome]) -> str:
    return (
        json.dumps({"machine": machine(), "outcomes": [dataclasses.asdict(one) for one in outcomes]}, indent=1) + "\n"
    )


def as_markdown(outcomes: Sequence[Outcome]) -> str:
    about = machine()
    head = f"{about['cores']} cores of {about['cpu']}, Linux {about['kernel']}, Python {about['python']}."
    return "\n".join([head, "", *(line for outcome in outcomes for line in section(outcome))]) + "\n"


def section(outcome: Outcome) -> Iterable[str]:
    yield f"### {outcome.scenario}: {outcome.title}"
    yield ""
    for asking in dict.fromkeys(sample.asking for sample in outcome.samples):
        yield from load_table(outcome, asking)
    if outcome.starts:
        yield from start_table(outcome.starts)
    if outcome.updates:
        yield from updates_table(outcome.updates)
    yield from (f"- {server}: {reason}" for server, reason in outcome.failed.items())
    yield ""


def load_table(outcome: Outcome, asking: str) -> Iterable[str]:
    """The least CPU per query of all rounds (noise only adds), the medians of the rest."""
    rows = by_server(outcome.samples, asking)
    least = {name: min(sample.cpu_us for sample in group) for name, group in rows.items()}
    floor = least.get(outcome.floor, 0.0)
    columns = ["CPU µs/query, least", "median", "x floor", "q/s", "lost", "wrong", "p50 µs", "p99 µs", "p99.9 µs"]
    yield f"| {asking}: server | {' | '.join(columns)} |"
    yield "|---" * (1 + len(columns)) + "|"
    for name, group in rows.items():
        ratio = f"{least[name] / floor:.2f}" if floor else "-"
        figures = [f"{median(group, field):,.0f}" for field in ("rate", "p50", "p99", "p999")]
        lost, wrong = sum(s.lost for s in group), sum(s.wrong for s in group)
        cpu = f"{least[name]:.2f} | {median(group, 'cpu_us'):.2f} | {ratio}"
        yield f"| {name} | {cpu} | {figures[0]} | {lost} | {wrong} | {' | '.join(figures[1:])} |"
    yield ""


def start_table(starts: Sequence[Start]) -> Iterable[str]:
    yield "| server | first right answer s, least | median | all of 100 names s, median | CPU s | PSS MiB | processes |"
    yield "|---|---|---|---|---|---|---|"
    for name in dict.fromkeys(start.server for start in starts):
        group = [start for start in starts if start.server == name]
        fields = ("first_answer", "all_answers", "cpu", "pss_mib")
        first, complete, cpu, pss = (statistics.median(getattr(start, field) for start in group) for field in fields)
        least = min(start.first_answer for start in group)
        times = f"{least:.2f} | {first:.2f} | {complete:.2f} | {cpu:.2f}"
        yield f"| {name} | {times} | {pss:.1f} | {group[-1].processes} |"
    yield ""


def updates_table(updates: Sequence[Updates]) -> Iterable[str]:
    yield "| server | updates | p50 ms | p99 ms | worst ms | never seen |"
    yield "|---|---|---|---|---|---|"
    for one in updates:
        yield f"| {one.server} | {one.count} | {one.p50:.2f} | {one.p99:.2f} | {one.worst:.2f} | {one.missing} |"
    yield ""


def by_server(samples: Iterable[Sample], asking: str) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        if sample.asking == asking:
            found.setdefault(sample.server, []).append(sample)
    return found


def median(samples: Sequence[Sample], field: str) -> float:
    return float(statistics.median(getattr(sample, field) for sample in samples))
