"""Every scenario by its name on the command line."""

from __future__ import annotations

from collections.abc import Callable

from bench import chain, churn, flight, measure, rates, scale, startup, transports
from bench.results import Outcome
from bench.scenarios import all_scenarios, hit, miss
from bench.surroundings import Bench

SCALE_SIZES = {"scale": (1000, 10_000), "scale-100k": (1000, 100_000)}
BY_NAME_ONLY = ("scale-100k",)  # takes minutes and some GiB: `all` leaves it out


def runners(bench: Bench) -> dict[str, Callable[[], Outcome]]:
    """What runs each scenario; nothing is made or started before it is called."""
    found: dict[str, Callable[[], Outcome]] = {}
    made = all_scenarios(bench.world, bench.coredns)
    for name, make in made.items():
        found[name] = lambda make=make: measure.run_scenario(bench, make())  # type: ignore[misc]
    cluster: dict[str, Callable[..., Outcome]] = {
        "tcp": transports.run,
        "start": startup.run_starts,
        "update": startup.run_updates,
        "churn": churn.run,
        "dnsperf": rates.run_dnsperf,
    }
    for name, run in cluster.items():
        found[name] = lambda run=run: run(bench, hit(bench.world, bench.coredns))  # type: ignore[misc]
    for name, scenario in (("limit", "hit"), ("workers-limit", "workers")):
        found[name] = lambda name=name, make=made[scenario]: rates.run_limits(bench, make(), name)  # type: ignore[misc]
    found["chain"] = lambda: chain.run(bench)
    found["in-flight"] = lambda: flight.run(bench, miss(bench.coredns))
    for name, sizes in SCALE_SIZES.items():
        found[name] = lambda name=name, sizes=sizes: scale.run(bench, name, sizes)  # type: ignore[misc]
    return found
