"""What the bench makes of its samples: figures, budgets, bounds, tables, the chart; and how it searches and guards."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as xml
from typing import Any

import pytest

from bench import budgets, chart, report
from bench.budgets import Budget
from bench.results import Outcome, Sample, waits

pytestmark = pytest.mark.usefixtures("bench_built")


def outcome(**cpu_us: list[float]) -> Outcome:
    """A scenario `hit` in which servers took these CPU times, round by round."""
    samples = [
        Sample(server, "saturated", {"cpu_us": value, "rate": 1000.0 * value, "lost": 1.0, "wrong": 0.0})
        for server, values in cpu_us.items()
        for value in values
    ]
    return Outcome("hit", "names", "floor", samples)


def test_rounds_become_one_figure() -> None:
    one = outcome(fastdns=[3.0, 2.0, 4.0])
    assert one.figure("fastdns", "saturated", "cpu_us") == 2.0
    assert one.figure("fastdns", "saturated", "rate") == 3000.0
    assert one.figure("fastdns", "saturated", "lost") == 3.0
    assert one.figure("knot", "saturated", "cpu_us") is None
    assert one.ratio("fastdns", "floor", "saturated") is None


def test_a_round_without_answers_has_no_latency() -> None:
    """Its percentiles would be the least of all rounds."""
    from bench import measure
    from bench.load import Result

    rounds = [
        Result(
            sent=9, answered=answered, lost=9 - answered, stray=0, empty=0, octets=0, seconds=1.0,
            rcodes={"NOERROR": answered}, p50=p99, p99=p99, p999=p99, worst=p99,
        )
        for answered, p99 in ((9, 70.0), (0, 0.0), (9, 50.0))
    ]  # fmt: skip
    one = Outcome("hit", "names", samples=[Sample("fastdns", "", measure.load_figures(it, {})) for it in rounds])
    assert one.figure("fastdns", "", "p99") == 50.0
    assert one.figure("fastdns", "", "lost") == 9.0
    assert "inf µs, 9 lost" in measure.describe(one.samples[1])


def test_waits_have_percentiles_and_gaps() -> None:
    figures = waits("fastdns", "update", [*(n / 1000 for n in range(1, 101)), None]).figures
    assert figures["shown_p50_ms"] == 51.0
    assert figures["shown_p99_ms"] == figures["shown_worst_ms"] == 100.0
    assert (figures["updates"], figures["missing"]) == (101.0, 1.0)
    assert "shown_p50_ms" not in waits("fastdns", "update", [None]).figures


BUDGET: dict[str, Any] = {"text": "", "scenario": "hit", "table": "saturated", "key": "cpu_us"}


@pytest.mark.parametrize(
    ("more", "figure", "is_met"),
    [
        ({"at_most": 2.0}, 2.0, True),
        ({"at_most": 1.9}, 2.0, False),
        ({"over": "floor", "at_most": 1.0}, 2.0, False),
        ({"of": "knot", "over": "fastdns", "at_least": 1.5}, 1.5, True),
        ({"of": "knot", "over": "fastdns", "at_least": 1.6}, 1.5, False),
        ({"over": "peers", "at_most": 1.0}, 2.0 / 3.0, True),
        ({"over": "CoreDNS", "at_most": 1.0}, None, False),
    ],
)
def test_budgets_are_figures_or_ratios(more: dict[str, Any], figure: float | None, is_met: bool) -> None:
    measured = outcome(floor=[1.0], fastdns=[2.0], knot=[3.0], unbound=[4.0])
    (verdict,) = budgets.judge([measured], [Budget(**BUDGET, **more)])
    assert (verdict.figure, verdict.is_met) == (figure, is_met)


def test_budgets_of_what_was_not_measured_are_not_told() -> None:
    text = report.as_markdown([outcome(floor=[1.0], fastdns=[1.05])])
    assert "| hit, saturated: CPU at most 1.1 x the floor | 1.05 | met |" in text
    assert "knot at least" not in text
    assert "churn" not in text


def test_budgets_are_about_scenarios_that_exist() -> None:
    from bench import catalogue, keep
    from bench.surroundings import Bench
    from bench.world import World

    names = set(catalogue.runners(Bench(World(1))))
    for budget in [*budgets.read(), *keep.bounds()]:
        assert budget.scenario in names
        assert (budget.at_most is None) != (budget.at_least is None)


def test_a_scenario_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench import __main__ as command
    from bench import catalogue
    from bench.surroundings import Bench
    from bench.world import World

    def fail() -> Outcome:
        raise TimeoutError("no answer")

    monkeypatch.setattr(catalogue, "runners", lambda bench: {"hit": fail})
    told = command.run_one(Bench(World(1), say=lambda line: None), "hit")
    assert told.failed == {"bench": "no answer"}
    assert "- bench: no answer" in report.as_markdown([told])


def test_tables_have_a_ratio_to_the_floor() -> None:
    text = report.as_markdown([outcome(floor=[1.0, 2.0], fastdns=[1.5, 1.25])], "20 Services. ")
    assert text.startswith("20 Services. On ")
    assert "| hit: names | 1.00 µs | 1.25 x |" in text
    assert "| fastdns | 1.25 | 1.38 | 1,375 | 2 | 0 | 1.25 |" in text


def test_chart_has_a_bar_for_each_server() -> None:
    image = xml.fromstring(chart.as_svg([outcome(floor=[1.0], fastdns=[1.1], knot=[1.6]), Outcome("start", "")]))
    space = "{http://www.w3.org/2000/svg}"
    widths = [float(one.attrib["width"]) for one in image.iter(f"{space}rect")]
    assert widths[1] / widths[0] == pytest.approx(1.6 / 1.1, abs=0.01)
    texts = [one.text for one in image.iter(f"{space}text")]
    assert {"fastdns", "1.10 x", "knot", "1.60 x"} <= set(texts)
    assert max(widths) < float(image.attrib["width"])


def test_chart_of_nothing_is_a_chart() -> None:
    assert xml.fromstring(chart.as_svg([])).tag.endswith("svg")


def test_the_highest_rate_is_found_to_a_hundredth() -> None:
    from bench.rates import highest

    tried: list[float] = []

    def holds(rate: float) -> bool:
        tried.append(rate)
        return rate <= 1000.0

    assert 0 <= 1000.0 - highest(holds, 1600.0) <= 16.0
    assert len(tried) <= 8
    assert highest(lambda rate: False, 1600.0) == 0.0


def test_dnsperf_is_read() -> None:
    from bench import rates
    from bench.world import SRV, World

    text = """Statistics:

  Queries sent:         1000
  Queries completed:    998 (99.80%)
  Queries lost:         2 (0.20%)
  Queries per second:   499.000000
  Average Latency (s):  0.000040 (min 0.000010, max 0.001000)
"""
    assert rates.read_report(text) == {"sent": 1000, "lost": 2, "rate": 499.0, "mean": pytest.approx(40.0)}
    with pytest.raises(RuntimeError):
        rates.read_report("Usage: dnsperf")
    assert rates.as_text(World(20).question(3, SRV).wire) == "_http._tcp.service-00003.team-000.svc.cluster.local SRV"


# --- the guard ---
class Guarded:
    """keep.guard over rounds whose CPU times are given, without any server."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fastdns: list[float], rate: float = 1e6) -> None:
        import contextlib
        import types

        from bench import keep, measure
        from bench.surroundings import Bench
        from bench.world import World

        self.rounds = 0
        cpu = {"floor": itertools.repeat(1.0), "fastdns": itertools.chain(fastdns, itertools.repeat(fastdns[-1]))}
        runners = [types.SimpleNamespace(name=name, running=types.SimpleNamespace(check=lambda: None)) for name in cpu]

        def sample(runner: Any, asking: object, **_: object) -> Sample:
            self.rounds += runner.name == "floor"
            return Sample(runner.name, "saturated", {"cpu_us": next(cpu[runner.name]), "rate": rate, "sent": 1.0})

        monkeypatch.setattr(
            measure, "started", lambda *_: contextlib.nullcontext((Outcome("hit", "", "floor"), None, runners))
        )
        monkeypatch.setattr(measure, "measure", sample)
        from bench.scenarios import hit

        bound = Budget(**BUDGET, over="floor", at_most=1.2)
        bench = Bench(World(20), rounds=3, say=lambda line: None)
        outcome = keep.guard(bench, hit(World(20), ""), [bound])
        self.verdict = budgets.judge([outcome], keep.allowed(outcome, [bound]))[0]


def test_guard_stops_after_its_rounds_when_bounds_are_met(monkeypatch: pytest.MonkeyPatch) -> None:
    guarded = Guarded(monkeypatch, [1.1])
    assert (guarded.rounds, guarded.verdict.is_met) == (3, True)


def test_guard_goes_on_while_the_machine_is_noisy(monkeypatch: pytest.MonkeyPatch) -> None:
    guarded = Guarded(monkeypatch, [2.0, 3.0, 2.0, 1.9, 1.1])
    assert (guarded.rounds, guarded.verdict.is_met) == (5, True)


def test_guard_starts_its_servers_anew_before_it_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench import keep

    guarded = Guarded(monkeypatch, [*[1.5] * keep.MOST_ROUNDS, 1.1])
    assert (guarded.rounds, guarded.verdict.is_met) == (keep.MOST_ROUNDS + 3, True)


def test_guard_allows_for_a_busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The floor takes 1 µs: at a million queries a second it has all of its core, at 100,000 a tenth."""
    assert not Guarded(monkeypatch, [1.6], rate=1e6).verdict.is_met
    assert Guarded(monkeypatch, [1.6], rate=1e5).verdict.is_met
    assert not Guarded(monkeypatch, [1.9], rate=1e5).verdict.is_met


def test_guard_ends_when_fastdns_is_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench import keep

    guarded = Guarded(monkeypatch, [1.5])
    assert (guarded.rounds, guarded.verdict.is_met) == (keep.STARTS * keep.MOST_ROUNDS, False)
