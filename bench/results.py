"""What runs give: samples of figures by name, and how the samples of several rounds become one figure."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Sequence


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """Figures of one server, mostly of one round; `table` says under which conditions."""

    server: str
    table: str
    figures: dict[str, float]


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """A figure of a table: how the values of all rounds become one, and its digits after the point."""

    key: str
    title: str
    combine: Callable[[Sequence[float]], float]
    digits: int = 0


# The first of a key is what budgets, bounds and the chart are about. Noise only adds to CPU time and to the wait for answers:
# their least counts, and the most of what servers bear.
COLUMNS = (
    Column("cpu_us", "CPU µs/query, least", min, 2),
    Column("cpu_us", "median", statistics.median, 2),
    Column("busiest_us", "of its busiest process", min, 2),
    Column("rate", "q/s", statistics.median),
    Column("limit", "highest q/s without loss", max),
    Column("asked", "asked", sum),
    Column("in_flight", "in flight at once", min),
    Column("lost", "lost", sum),
    Column("wrong", "wrong", sum),
    Column("p50", "p50 µs", statistics.median),
    Column("p99", "p99 µs, least", min),
    Column("p99", "median", statistics.median),
    Column("p999", "p99.9 µs, least", min),
    Column("p999", "median", statistics.median),
    Column("mean", "mean µs", statistics.median),
    Column("first_s", "first right answer s, least", min, 2),
    Column("first_s", "median", statistics.median, 2),
    Column("all_s", "all of 100 names s, median", statistics.median, 2),
    Column("cpu_s", "CPU s", statistics.median, 2),
    Column("pss_mib", "PSS MiB", statistics.median, 1),
    Column("pss_per_1k", "PSS MiB per 1,000 Services", statistics.median, 2),
    Column("processes", "processes", max),
    Column("updates", "updates", sum),
    Column("shown_p50_ms", "shown after ms, p50", statistics.median, 2),
    Column("shown_p99_ms", "p99", max, 2),
    Column("shown_worst_ms", "worst", max, 2),
    Column("missing", "never shown", sum),
    Column("blocked_ms", "CPU ms before a waiting query is answered, most", max, 2),
    Column("blocked_ms", "median of updates", statistics.median, 2),
)


@dataclasses.dataclass(slots=True)
class Outcome:
    """What a scenario gave; `failed` are servers that couldn't be measured, and why."""

    scenario: str
    title: str
    floor: str = ""
    samples: list[Sample] = dataclasses.field(default_factory=list)
    failed: dict[str, str] = dataclasses.field(default_factory=dict)

    def tables(self) -> list[str]:
        return list(dict.fromkeys(sample.table for sample in self.samples))

    def servers(self, table: str) -> list[str]:
        return list(dict.fromkeys(sample.server for sample in self.samples if sample.table == table))

    def values(self, server: str, table: str, key: str) -> list[float]:
        """One figure in all rounds that have it."""
        mine = (one.figures for one in self.samples if one.server == server and one.table == table)
        return [figures[key] for figures in mine if key in figures]

    def figure(self, server: str, table: str, key: str) -> float | None:
        """One figure of all rounds; None: it wasn't measured."""
        values = self.values(server, table, key)
        return float(column_of(key).combine(values)) if values else None

    def ratio(self, server: str, beside: str, table: str, key: str = "cpu_us") -> float | None:
        """A server's figure over another one's; None: one of them wasn't measured, or is 0."""
        mine, theirs = self.figure(server, table, key), self.figure(beside, table, key)
        return mine / theirs if mine is not None and theirs else None


def column_of(key: str) -> Column:
    return next(column for column in COLUMNS if column.key == key)


def waits(server: str, table: str, seconds: Sequence[float | None]) -> Sample:
    """Times from a change to the first answer that shows it, as figures; None: never shown."""
    seen = sorted(1000 * one for one in seconds if one is not None)
    figures = {"updates": float(len(seconds)), "missing": float(list(seconds).count(None))}
    if seen:
        figures["shown_p50_ms"] = seen[len(seen) // 2]
        figures["shown_p99_ms"] = seen[len(seen) * 99 // 100]
        figures["shown_worst_ms"] = seen[-1]
    return Sample(server, table, figures)
