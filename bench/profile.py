"""Where a server's time goes while it is asked: `python -m bench.profile SCENARIO SERVER [--rate R]`.

Two passes over the same load: the system calls by strace (which slows the server down: only counts and shares mean
something), then samples of all its threads by perf's CPU clock (hardware counters aren't needed), flat and by module.
"""

from __future__ import annotations

import argparse
import pathlib
import re
import signal
import subprocess
import time

from bench import load, measure, process, surroundings
from bench.measure import Runner
from bench.scenarios import Asking, all_scenarios
from bench.surroundings import Bench
from bench.world import World


def main(argv: list[str] | None = None) -> int:
    arguments = parse(argv)
    world = World(arguments.services)
    coredns = surroundings.find_coredns(arguments.coredns)
    bench = Bench(world, 1, arguments.seconds, frozenset({arguments.server}), coredns=coredns)
    scenario = all_scenarios(world, coredns)[arguments.scenario]()
    entrant = next(one for one in scenario.entrants if one.name == arguments.server)
    fresh = scenario.askings[0].fresh
    asking = Asking("profiled", rate=arguments.rate, window=4096 if arguments.rate else 128, fresh=fresh)
    with surroundings.folder() as place, surroundings.surroundings(bench, scenario, place) as scene:
        running, port, _ = measure.start_entrant(entrant, scene)
        runner = Runner(running, port, load.Client(port, scenario.questions))
        try:
            if not entrant.is_floor:
                load.all_right(port, scenario.checked, since=running.started, timeout=surroundings.START_TIMEOUT)
            print(measure.describe(measure.measure(runner, asking, seconds=bench.seconds, scenario=scenario)))
            print(system_calls(runner, asking, bench.seconds))
            print(samples(runner, asking, bench.seconds, place))
        finally:
            runner.client.close()
            running.stop()
    return 0


def system_calls(runner: Runner, asking: Asking, seconds: float) -> str:
    """strace's summary, with the calls per answered query."""
    pids = [word for pid in runner.running.pids() for word in ("-p", str(pid))]
    tracer = subprocess.Popen(["strace", "-c", "-f", *pids], stderr=subprocess.PIPE, text=True)
    time.sleep(0.5)
    result = run(runner.client, asking, seconds)
    tracer.send_signal(signal.SIGINT)
    _, summary = tracer.communicate(timeout=30)
    calls = sum(int(found) for found in re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) ", summary, re.MULTILINE))
    table = "\n".join(line for line in summary.splitlines() if not line.startswith("strace:"))
    return f"{result.answered} answers, {calls / 2 / max(1, result.answered):.3f} calls each\n{table}"


def samples(runner: Runner, asking: Asking, seconds: float, place: pathlib.Path) -> str:
    """perf's shares by symbol and by module."""
    data = str(place / "perf.data")
    pids = ",".join(str(pid) for pid in runner.running.pids())
    recorder = subprocess.Popen(
        ["perf", "record", "-q", "-F", "2000", "-e", "cpu-clock", "-o", data, "-p", pids],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(0.5)
    run(runner.client, asking, seconds)
    recorder.send_signal(signal.SIGINT)
    recorder.wait(30)
    return "\n".join(perf_report(data, keys) for keys in ("dso", "dso,symbol"))


def perf_report(data: str, keys: str) -> str:
    command = ["perf", "report", "-i", data, "--stdio", "--sort", keys, "--percent-limit", "0.7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return "\n".join(line for line in done.stdout.splitlines() if line.strip() and not line.startswith("#"))


def run(client: load.Client, asking: Asking, seconds: float) -> load.Result:
    salt = time.monotonic_ns() & 0xFFFFFFFF if asking.fresh else None
    with process.affinity({process.cores()[1]}):
        return client.run(seconds=seconds, window=asking.window, rate=asking.rate, salt=salt)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.profile", description=__doc__)
    parser.add_argument("scenario", choices=list(all_scenarios(World(1), "")))
    parser.add_argument("server")
    parser.add_argument(
        "--rate", type=float, default=0.0, help="questions a second; without it the server is saturated"
    )
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--services", type=int, default=10_000)
    parser.add_argument("--coredns", default="", help="path of the binary")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())
