"""`python -m bench`: measure, print the tables, write them as Markdown and JSON. Build first: see setup.py."""

from __future__ import annotations

import argparse
import pathlib
import signal
import sys

from bench import measure, report
from bench.scenarios import all_scenarios, hit
from bench.world import World

SERVERS = ("fastdns", "knot", "unbound", "dnsmasq", "CoreDNS")


def main(argv: list[str] | None = None) -> int:
    arguments = parse(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    coredns = measure.find_coredns([arguments.coredns])
    wanted = frozenset(arguments.servers) - (frozenset() if coredns else {"CoreDNS"})
    world = World(arguments.services, arguments.endpoints)
    bench = measure.Bench(world, arguments.rounds, arguments.seconds, wanted, measure.say)
    if not coredns:
        measure.say("CoreDNS isn't there: go install github.com/coredns/coredns@v1.15.0, or --coredns PATH")
    outcomes = []
    makers = all_scenarios(world, coredns)
    for name in arguments.scenarios:
        if name == "start":
            outcomes.append(measure.run_starts(bench, hit(world, coredns)))
        elif name == "update":
            outcomes.append(measure.run_updates(bench, hit(world, coredns)))
        else:
            outcomes.append(measure.run_scenario(bench, makers[name]()))
        write(arguments.out, outcomes)
    print(report.as_markdown(outcomes))
    return 1 if any(outcome.failed for outcome in outcomes) else 0


def write(folder: pathlib.Path, outcomes: list[measure.Outcome]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_text(report.as_json(outcomes))
    (folder / "bench.md").write_text(report.as_markdown(outcomes))


def parse(argv: list[str] | None) -> argparse.Namespace:
    names = ["start", "update", *all_scenarios(World(1), "")]
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument(
        "scenarios", nargs="*", default=["hit", "start"], metavar="SCENARIO", help=f"{', '.join(names)}, or all"
    )
    parser.add_argument("--quick", action="store_true", help="1,000 Services, 3 rounds of 0.5 s")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=1.0, help="of load in one round")
    parser.add_argument("--services", type=int, default=10_000)
    parser.add_argument("--endpoints", type=int, default=3, help="of each Service")
    parser.add_argument("--servers", type=lambda text: text.split(","), default=list(SERVERS), help="comma-separated")
    parser.add_argument("--coredns", default="", help="path of the binary")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("build/bench"))
    arguments = parser.parse_args(argv)
    if arguments.scenarios == ["all"]:
        arguments.scenarios = names
    if unknown := set(arguments.scenarios) - set(names):
        parser.error(f"unknown scenario {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if arguments.quick:
        arguments.services, arguments.rounds, arguments.seconds = 1000, 3, 0.5
    return arguments


if __name__ == "__main__":
    raise SystemExit(main())
