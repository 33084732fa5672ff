"""Scenario chain: the Pod of kube-dns, whose answers pass two servers, beside what can take its place.

A name is asked of dnsmasq, which asks kube-dns unless its cache has it: so names are asked that it has, and names that
it doesn't. CPU is that of the whole Pod, and of its busiest process. Behind the real dnsmasq stands
fastdns's kube-dns, not the real one.
"""

from __future__ import annotations

import contextlib
import dataclasses

from bench import load, measure, pod, servers
from bench.measure import Runner
from bench.results import Outcome
from bench.scenarios import ECHO_QUESTION, Asking, Entrant, Scenario, wires
from bench.surroundings import Bench
from bench.world import AAAA, PTR, SRV, A, World, zipf

ADDRESSES_ONLY = "dnsmasq, alone: A and AAAA"  # from hosts: it searches SRV and PTR from end to end
FEW = 400  # names and types: fewer than the 1,000 that the stock Pod's dnsmasq keeps
ZIPF = 20_000  # questions about them


@dataclasses.dataclass(frozen=True, slots=True)
class Round:
    """One way of asking these questions, and of what is asked who isn't asked for SRV and PTR."""

    asking: Asking
    questions: tuple[bytes, ...]
    addresses: tuple[bytes, ...]


def run(bench: Bench) -> Outcome:
    """Each round of each server in turns, with a client for each set of questions."""
    scenario = chain(bench.world, bench.coredns)
    rounds = rounds_of(bench.world)
    with contextlib.ExitStack() as stop:
        outcome, _, runners = stop.enter_context(measure.started(bench, scenario))
        asked = [(one.asking, [with_client(runner, one, stop) for runner in runners]) for one in rounds]
        for number in range(bench.rounds):
            for asking, askers in asked:
                for runner in askers:
                    sample = measure.measure(runner, asking, seconds=bench.seconds, scenario=scenario, by_process=True)
                    outcome.samples.append(sample)
                    bench.say(f"chain {number + 1}/{bench.rounds} {asking.name}: {measure.describe(sample)}")
                    runner.running.check()
    return outcome


def chain(world: World, coredns: str) -> Scenario:
    ready = world.question(world.services // 2, A)
    asked = world.questions((A, AAAA, SRV, PTR), limit=200_000)
    return Scenario(
        name="chain",
        title=f"A, AAAA, SRV and PTR of {world.services:,} Services through kube-dns's Pod, and what can take its place",
        entrants=(
            Entrant("floor", servers.echo, ECHO_QUESTION, is_floor=True),
            Entrant("fastdns", servers.fastdns(pod.corefile), ready),
            Entrant("fastdns, the Pod", pod.containers(lambda: pod.BUILT_IN), ready),
            Entrant("dnsmasq, in that Pod", pod.containers(lambda: servers.executable("dnsmasq")), ready),
            Entrant(ADDRESSES_ONLY, servers.dnsmasq_hosts, ready, checked=tuple(world.questions((A, AAAA))[:200])),
            Entrant("CoreDNS", servers.coredns(coredns, pod.corefile), ready),
        ),
        questions=wires(asked),
        checked=tuple(asked[:200]),
        askings=(),
        needs_api=True,
        needs_upstream=True,
        extra=50,
    )


def rounds_of(world: World) -> tuple[Round, ...]:
    both = [world.questions(qtypes, limit=200_000) for qtypes in ((A, AAAA, SRV, PTR), (A, AAAA))]
    few = [wires(zipf(questions[:FEW], ZIPF)) for questions in both]
    every = [wires(questions) for questions in both]
    return (
        Round(Asking("few names"), *few),
        Round(Asking("all names"), *every),
        Round(Asking("all names, 2k q/s", rate=2000.0, window=4096), *every),
    )


def with_client(runner: Runner, one: Round, stop: contextlib.ExitStack) -> Runner:
    """The same server, asked what this round is about."""
    client = load.Client(runner.port, one.addresses if runner.name == ADDRESSES_ONLY else one.questions)
    stop.callback(client.close)
    return dataclasses.replace(runner, client=client)
