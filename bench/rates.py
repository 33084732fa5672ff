"""How many questions a second: the highest rate at which none is lost, and dnsperf at a fixed rate, for users to repeat."""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Callable, Sequence

from bench import load, measure, process
from bench.measure import Runner
from bench.results import Outcome, Sample
from bench.scenarios import SATURATED, Scenario
from bench.servers import executable
from bench.surroundings import Bench
from bench.world import AAAA, PTR, SRV, A

SEARCH_STEPS = 7
SEARCH_TRIES = 3  # a moment in which the machine did something else isn't the server's limit
SEARCHES = 3
OUTSTANDING = 8192
TIMEOUT = 0.3  # seconds; at these rates what comes later has been lost
QTYPES = {A: "A", AAAA: "AAAA", PTR: "PTR", SRV: "SRV"}
PERF_RATE = 20_000
PERF_OPTIONS = ("-q", "4096", "-c", "4", "-t", "1")


# --- the highest rate ---
def run_limits(bench: Bench, scenario: Scenario, name: str) -> Outcome:
    """Search each server's highest rate without loss, in halves below one and a half times its saturated rate; some times,
    in turns."""
    with measure.started(bench, scenario) as (outcome, _, runners):
        outcome.scenario, outcome.title = name, f"{scenario.title}: the highest rate at which nothing is lost"
        for _ in range(SEARCHES):
            for runner in runners:
                outcome.samples.append(search_limit(runner, bench.seconds, scenario))
                bench.say(f"{name}: {runner.name} {outcome.samples[-1].figures['limit']:,.0f} q/s")
    return outcome


def search_limit(runner: Runner, seconds: float, scenario: Scenario) -> Sample:
    saturated = measure.measure(runner, SATURATED, seconds=seconds, scenario=scenario)
    with process.affinity(measure.load_cores(scenario)):
        limit = highest(lambda rate: is_lossless(runner.client, rate, seconds), 1.5 * saturated.figures["rate"])
    return Sample(runner.name, "no loss", {"limit": limit})


def highest(holds: Callable[[float], bool], high: float) -> float:
    """The highest rate below `high` that holds, to the hundredth part of it; 0: none."""
    low = 0.0
    for _ in range(SEARCH_STEPS):
        middle = (low + high) / 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low


def is_lossless(client: load.Client, rate: float, seconds: float) -> bool:
    """True: of some tries in one everything was sent at this rate, and answered."""
    for _ in range(SEARCH_TRIES):
        result = client.run(seconds=seconds, rate=rate, window=OUTSTANDING, timeout=TIMEOUT)
        if result.lost == 0 and result.sent >= 0.98 * rate * seconds:
            return True
    return False


# --- dnsperf ---
def run_dnsperf(bench: Bench, scenario: Scenario) -> Outcome:
    """dnsperf at a fixed rate, server by server. The line to repeat it is said."""
    with measure.started(bench, scenario) as (outcome, scene, runners):
        outcome.scenario, outcome.title = "dnsperf", f"{scenario.title}, asked by dnsperf"
        path = scene.folder / "questions.txt"
        path.write_text("".join(f"{as_text(wire)}\n" for wire in scenario.questions))
        for number in range(bench.rounds):
            for runner in runners:
                seconds = max(1, round(bench.seconds))
                options = ["-s", "127.0.0.1", "-p", str(runner.port), "-d", str(path), "-l", str(seconds)]
                command = [executable("dnsperf"), *options, "-Q", str(PERF_RATE), *PERF_OPTIONS]
                outcome.samples.append(ask(runner, command, seconds))
                bench.say(f"dnsperf {number + 1}/{bench.rounds}: {runner.name}: {' '.join(command[1:])}")
    return outcome


def ask(runner: Runner, command: Sequence[str], seconds: float) -> Sample:
    """One run of dnsperf, on the load's core."""
    with process.affinity({process.cores()[1]}):
        before = runner.running.cpu_ns()
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=True)
        spent = process.spent_ns(before, runner.running.cpu_ns())
    figures = read_report(done.stdout)
    figures["cpu_us"] = sum(spent.values()) / 1000 / max(1.0, figures["sent"] - figures["lost"])
    return Sample(runner.name, f"{PERF_RATE // 1000}k q/s", figures)


def read_report(text: str) -> dict[str, float]:
    """The figures of dnsperf's closing lines."""
    patterns = {
        "sent": r"Queries sent: +(\d+)",
        "lost": r"Queries lost: +(\d+)",
        "rate": r"Queries per second: +([\d.]+)",
        "mean": r"Average Latency \(s\): +([\d.]+)",
    }
    found = {key: re.search(pattern, text) for key, pattern in patterns.items()}
    figures = {key: float(match[1]) for key, match in found.items() if match}
    if len(figures) < len(patterns):
        raise RuntimeError(f"dnsperf said something else: {text[-500:]}")
    figures["mean"] *= 1e6
    return figures


def as_text(wire: bytes) -> str:
    """A question as a line of dnsperf's input: name and type."""
    labels = []
    at = 12
    while length := wire[at]:
        labels.append(wire[at + 1 : at + 1 + length].decode())
        at += 1 + length
    (qtype,) = struct.unpack_from("!H", wire, at + 1)
    return f"{'.'.join(labels)} {QTYPES[qtype]}"
