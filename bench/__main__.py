"""`python -m bench`: measure, print the tables, write them as Markdown, JSON and a chart. `make bench` builds first.

With --quick it is CI's guard instead: a few rounds of the scenarios in bounds.toml, more only while a bound isn't met;
the exit code is 1 if one isn't met in the end.
"""

from __future__ import annotations

import argparse
import pathlib
import signal
import sys
import time

from bench import budgets, catalogue, chart, keep, measure, report, surroundings
from bench.budgets import Budget
from bench.results import Outcome
from bench.servers import find_executable
from bench.surroundings import Bench, say
from bench.world import World

SERVERS = ("fastdns", "knot", "unbound", "dnsmasq", "CoreDNS")
PROGRAMS = {"knot": "knotd", "unbound": "unbound", "dnsmasq": "dnsmasq"}
QUICK = {"services": 1000, "rounds": 4, "seconds": 0.25}


def main(argv: list[str] | None = None) -> int:
    arguments = parse(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    bench = bench_of(arguments)
    began = time.monotonic()
    if arguments.quick:
        outcomes, held = keep.run(bench, arguments.scenarios)
    else:
        outcomes, held = run_all(bench, arguments.scenarios, arguments.out), None
    print(write(arguments.out, outcomes, bench, held))
    say(f"{arguments.out}/bench.md, .json and .svg; {time.monotonic() - began:.0f} s")
    unmet = [keep.as_line(one) for one in budgets.judge(outcomes, held) if not one.is_met] if arguments.quick else []
    for line in unmet:
        print(f"NOT MET {line}")
    return 1 if unmet or any(outcome.failed for outcome in outcomes) else 0


def run_all(bench: Bench, names: list[str], out: pathlib.Path) -> list[Outcome]:
    """One after the other; what there is so far is written after each."""
    began = time.monotonic()
    outcomes: list[Outcome] = []
    for name in names:
        say(f"{name}, after {time.monotonic() - began:.0f} s")
        outcomes.append(run_one(bench, name))
        write(out, outcomes, bench)
    return outcomes


def run_one(bench: Bench, name: str) -> Outcome:
    """One that fails is told, and the next one runs."""
    try:
        return catalogue.runners(bench)[name]()
    except measure.FAILURES as error:
        say(f"{name}: {error}")
        return Outcome(name, "not measured", failed={"bench": str(error)})


def bench_of(arguments: argparse.Namespace) -> Bench:
    """As the command line wants it; a server that isn't there is told and left out."""
    coredns = surroundings.find_coredns(arguments.coredns)
    there = {"fastdns", *(name for name, program in PROGRAMS.items() if find_executable(program))}
    there |= {"CoreDNS"} if coredns else set()
    for name in arguments.servers:
        if name not in there:
            say(f"{name} isn't there: `make peers` gets it")
    upstream = arguments.upstream if "knot" in there else "own"
    if upstream != arguments.upstream:
        say("without knot, misses go to bench's own upstream, which is slow")
    return Bench(
        world=World(arguments.services, arguments.endpoints),
        rounds=arguments.rounds,
        seconds=arguments.seconds,
        wanted=frozenset(arguments.servers) & there,
        coredns=coredns,
        settle=arguments.settle,
        upstream=upstream,
    )


def write(folder: pathlib.Path, outcomes: list[Outcome], bench: Bench, judged: list[Budget] | None = None) -> str:
    """Write what there is so far; the Markdown."""
    how = f"{bench.world.services:,} Services; {bench.rounds} rounds of {bench.seconds:g} s, servers in turns. "
    text = report.as_markdown(outcomes, how, judged)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_text(report.as_json(outcomes))
    (folder / "bench.md").write_text(text)
    (folder / "bench.svg").write_text(chart.as_svg(outcomes))
    return text


def parse(argv: list[str] | None) -> argparse.Namespace:
    names = list(catalogue.runners(Bench(World(1))))
    every = [name for name in names if name not in catalogue.BY_NAME_ONLY]
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"{', '.join(names)}; or all (the default)")
    parser.add_argument("--quick", action="store_true", help="keep the bounds of bounds.toml: hit, cache-hit-1k, miss")
    parser.add_argument("--rounds", type=int, help="default 8")
    parser.add_argument("--seconds", type=float, help="of load in one round; default 0.5")
    parser.add_argument("--services", type=int, help="default 10,000")
    parser.add_argument("--endpoints", type=int, default=3, help="of each Service")
    parser.add_argument("--settle", type=float, default=2.0, help="seconds before memory is read")
    parser.add_argument("--servers", type=lambda text: text.split(","), default=list(SERVERS), help="comma-separated")
    parser.add_argument("--coredns", default="", help="path of the binary")
    parser.add_argument("--upstream", choices=["knot", "own"], default="knot", help="whom forwarders ask")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("build/bench"))
    arguments = parser.parse_args(argv)
    usual = QUICK if arguments.quick else {"services": 10_000, "rounds": 8, "seconds": 0.5}
    for name, value in usual.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    names = keep.names() if arguments.quick else names
    if arguments.scenarios in ([], ["all"]):
        arguments.scenarios = keep.names() if arguments.quick else every
    if unknown := set(arguments.scenarios) - set(names):
        parser.error(f"unknown scenario {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    return arguments


if __name__ == "__main__":
    raise SystemExit(main())
