"""What is asked of whom: each scenario names its servers, their questions, and how the load asks."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence

from bench import servers
from bench.servers import MISS_ZONE, NOWHERE_ZONE, Maker
from bench.world import AAAA, OUTSIDE, PTR, SRV, A, Question, World, message, pod_mix

MISS_ADDRESS = OUTSIDE.packed
ECHO_QUESTION = Question(message("floor.test.", A), bytes([10, 96, 0, 10]))
MISS_QUESTION = Question(message(f"warmup-0.{MISS_ZONE}.", A), MISS_ADDRESS)


@dataclasses.dataclass(frozen=True, slots=True)
class Entrant:
    """A server in a scenario; `ready` is a question that tells when it answers, `watches` that it follows the API,
    `spread` that it may use every core; `checked` are in place of the scenario's."""

    name: str
    make: Maker
    ready: Question
    is_floor: bool = False
    watches: bool = False
    spread: bool = False
    checked: tuple[Question, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Asking:
    """How the load asks: a window, or a rate (questions a second). `fresh`: no name twice. `seconds`: at most so long."""

    name: str
    window: int = 128
    rate: float = 0.0
    wait: bool = False
    fresh: bool = False
    seconds: float = math.inf


@dataclasses.dataclass(frozen=True, slots=True)
class Scenario:
    """`checked` are questions whose answers are compared first; `warm`: all questions are asked before measuring.

    `negative`: NXDOMAIN and empty answers are right here, and only other rcodes count as wrong. `spread`: the load, too,
    may use every core, from so many `sockets`.
    """

    name: str
    title: str
    entrants: tuple[Entrant, ...]
    questions: tuple[bytes, ...]
    checked: tuple[Question, ...]
    askings: tuple[Asking, ...]
    needs_api: bool = False
    needs_upstream: bool = False
    extra: int = 16
    warm: bool = False
    negative: bool = False
    spread: bool = False
    sockets: int = 1


SATURATED = Asking("saturated")
PACED = Asking("20k q/s", rate=20_000.0, window=4096, seconds=0.25)
SHORT_ROUNDS = 4  # of PACED in each round: a machine stalls for a millisecond now and then, and tails are about less


def hit(world: World, coredns: str) -> Scenario:
    """Answers of the kubernetes plugin, beside servers that have the same names as zones or local data."""
    asked = world.questions((A, AAAA, SRV, PTR), limit=200_000)
    ready = world.question(world.services // 2, A)
    return Scenario(
        name="hit",
        title=f"A, AAAA, SRV and PTR of {world.services:,} Services",
        entrants=(
            Entrant("floor", servers.echo, ECHO_QUESTION, is_floor=True),
            Entrant("fastdns", servers.fastdns(servers.cluster_corefile), ready, watches=True),
            Entrant("knot", servers.knot, ready),
            Entrant("unbound", servers.unbound_hosts, ready),
            Entrant("CoreDNS", servers.coredns(coredns, servers.cluster_corefile), ready, watches=True),
        ),
        questions=wires(asked),
        checked=tuple(asked[:200]),
        askings=(SATURATED, *[PACED] * SHORT_ROUNDS),
        needs_api=True,
        extra=50,
    )


def hosts(world: World, coredns: str) -> Scenario:
    """The same addresses from hosts, for the servers that have neither Kubernetes nor zones."""
    asked = world.questions((A, AAAA))
    ready = world.question(world.services // 2, A)
    return Scenario(
        name="hosts",
        title=f"A and AAAA of {world.services:,} Services from hosts",
        entrants=(
            Entrant("floor", servers.echo, ECHO_QUESTION, is_floor=True),
            Entrant("fastdns", servers.fastdns(servers.hosts_corefile), ready),
            Entrant("knot", servers.knot, ready),
            Entrant("dnsmasq", servers.dnsmasq_hosts, ready),
            Entrant("CoreDNS", servers.coredns(coredns, servers.hosts_corefile), ready),
        ),
        questions=wires(asked),
        checked=tuple(asked[:200]),
        askings=(SATURATED,),
        extra=22,
    )


def mix(world: World, coredns: str) -> Scenario:
    """Search paths and all: cluster names, NXDOMAINs of the cluster and of the upstream, forwarded names."""
    asked = pod_mix(world, MISS_ZONE, NOWHERE_ZONE)
    ready = world.question(8, A)
    return Scenario(
        name="pod-mix",
        title=f"what pods ask with ndots:5, {world.services:,} Services",
        entrants=(
            Entrant("floor", servers.echo, ECHO_QUESTION, is_floor=True),
            Entrant("fastdns", servers.fastdns(servers.cluster_corefile), ready, watches=True),
            Entrant("unbound", servers.unbound_both, ready),
            Entrant("dnsmasq", servers.dnsmasq_both, ready),
            Entrant("CoreDNS", servers.coredns(coredns, servers.cluster_corefile), ready, watches=True),
        ),
        questions=wires(asked),
        checked=tuple(asked[:240]),
        askings=(SATURATED,),
        needs_api=True,
        needs_upstream=True,
        extra=70,
        warm=True,
        negative=True,
    )


def cache_hit(count: int, coredns: str) -> Scenario:
    """Names of an upstream, all of them asked before."""
    asked = [Question(message(f"name-{i:06}.{MISS_ZONE}.", A), MISS_ADDRESS) for i in range(count)]
    return Scenario(
        name=f"cache-hit-{count // 1000}k",
        title=f"{count:,} forwarded names, warmed",
        entrants=(Entrant("floor", servers.echo, ECHO_QUESTION, is_floor=True), *forwarding(coredns)),
        questions=wires(asked),
        checked=tuple(asked[:100]),
        askings=(SATURATED,),
        needs_upstream=True,
        warm=True,
    )


def miss(coredns: str) -> Scenario:
    """Names that nobody asked before, forwarded to a wildcard."""
    asked = [Question(message(f"xxxxxxxx-{i}.{MISS_ZONE}.", A), MISS_ADDRESS) for i in range(64)]
    return Scenario(
        name="miss",
        title="random names, forwarded to a knot wildcard",
        entrants=(Entrant("floor", servers.forwarder, MISS_QUESTION, is_floor=True), *forwarding(coredns)),
        questions=wires(asked),
        checked=tuple(asked),
        askings=(
            Asking("saturated", wait=True, fresh=True),
            Asking("5k q/s", rate=5000.0, window=4096, fresh=True),
            Asking("20k q/s", rate=20_000.0, window=4096, wait=True, fresh=True),
        ),
        needs_upstream=True,
    )


def workers(world: World) -> Scenario:
    """One and two workers, servers and load on the same two cores: the kernel chooses the worker by the socket."""
    asked = world.questions((A, AAAA, SRV, PTR), limit=200_000)
    ready = world.question(world.services // 2, A)
    entrants = []
    for count in (1, 2):
        size = f"{count} worker{'s' * (count > 1)}"
        maker = servers.fastdns(servers.cluster_corefile, workers=count)
        entrants += [
            Entrant(f"fastdns, {size}", maker, ready, watches=True, spread=True),
            Entrant(f"knot, {size}", functools.partial(servers.knot, workers=count), ready, spread=True),
        ]
    return Scenario(
        name="workers",
        title=f"A, AAAA, SRV and PTR of {world.services:,} Services, servers and load not pinned",
        entrants=tuple(entrants),
        questions=wires(asked),
        checked=tuple(asked[:200]),
        askings=(
            Asking("saturated", wait=True),
            Asking("100k q/s", rate=100_000.0, window=4096, wait=True),
            Asking("20k q/s", rate=20_000.0, window=4096, wait=True),
        ),
        needs_api=True,
        spread=True,
        sockets=16,
    )


def forwarding(coredns: str) -> tuple[Entrant, ...]:
    return (
        Entrant("fastdns", servers.fastdns(servers.forward_corefile), MISS_QUESTION),
        Entrant("unbound", servers.unbound_forward, MISS_QUESTION),
        Entrant("dnsmasq", servers.dnsmasq_forward, MISS_QUESTION),
        Entrant("CoreDNS", servers.coredns(coredns, servers.forward_corefile), MISS_QUESTION),
    )


def wires(questions: Sequence[Question]) -> tuple[bytes, ...]:
    return tuple(question.wire for question in questions)


def all_scenarios(world: World, coredns: str) -> dict[str, Callable[[], Scenario]]:
    """By name; made only when wanted."""
    return {
        "hit": lambda: hit(world, coredns),
        "hosts": lambda: hosts(world, coredns),
        "pod-mix": lambda: mix(world, coredns),
        "cache-hit-1k": lambda: cache_hit(1000, coredns),
        "cache-hit-100k": lambda: cache_hit(100_000, coredns),
        "miss": lambda: miss(coredns),
        "workers": lambda: workers(world),
    }
