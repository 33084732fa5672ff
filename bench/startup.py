"""Starts and updates: how soon a server knows the cluster, what that costs, and how soon it shows a change."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import random
import time
import urllib.request

from bench import load, measure, process, results, surroundings
from bench.results import Outcome, Sample
from bench.scenarios import Entrant, Scenario
from bench.servers import Scene
from bench.surroundings import START_TIMEOUT, Bench
from bench.world import A, Question, World, message

CHECKED = 100
UPDATES = 40  # of each round
SHOWN_IN = 2.0  # seconds; later counts as never


def run_starts(bench: Bench, scenario: Scenario) -> Outcome:
    """Start each of the scenario's servers anew in each round: time to the first right answer, CPU and memory."""
    outcome = Outcome("start", f"start with {bench.world.services:,} Services, {bench.world.endpoints} endpoints each")
    with surroundings.folder() as place, surroundings.surroundings(bench, scenario, place) as scene:
        for number in range(bench.rounds):
            for entrant in scenario.entrants:
                if entrant.is_floor or not bench.wants(entrant.name) or entrant.name in outcome.failed:
                    continue
                try:
                    sample = measure_start(bench, entrant, scene, scenario)
                except measure.FAILURES as error:
                    outcome.failed[entrant.name] = str(error)
                    continue
                outcome.samples.append(sample)
                seconds, memory = sample.figures["first_s"], sample.figures["pss_mib"]
                bench.say(f"start {number + 1}/{bench.rounds}: {entrant.name} {seconds:.2f} s, {memory:.0f} MiB")
    return outcome


def measure_start(bench: Bench, entrant: Entrant, scene: Scene, scenario: Scenario) -> Sample:
    """One start: seconds from exec to the first right answer and to the last of a sample of names (who serves while a
    list comes in has some names earlier than others), CPU and memory once settled."""
    running, port, first = measure.start_entrant(entrant, scene)
    try:
        checked = scenario.checked[:CHECKED]
        complete = load.all_right(port, checked, since=running.started, timeout=START_TIMEOUT)
        time.sleep(bench.settle)
        running.check()
        figures = {
            "first_s": first,
            "all_s": complete,
            "cpu_s": sum(running.cpu_ns().values()) / 1e9,
            "pss_mib": running.pss_kib() / 1024,
            "processes": float(len(running.pids())),
        }
        return Sample(entrant.name, "start", figures)
    finally:
        running.stop()


def run_updates(bench: Bench, scenario: Scenario) -> Outcome:
    """Change endpoints of headless Services one by one, and ask until the answer shows it."""
    outcome = Outcome("update", f"one EndpointSlice of {bench.world.services:,} changes")
    with surroundings.folder() as place, surroundings.surroundings(bench, scenario, place) as scene:
        for entrant in scenario.entrants:
            if not entrant.watches or not bench.wants(entrant.name):
                continue
            try:
                outcome.samples.append(measure_updates(bench, entrant, scene, scenario))
            except measure.FAILURES as error:
                outcome.failed[entrant.name] = str(error)
                continue
            bench.say(f"update: {entrant.name} {outcome.samples[-1].figures}")
    return outcome


def measure_updates(bench: Bench, entrant: Entrant, scene: Scene, scenario: Scenario) -> Sample:
    running, port, _ = measure.start_entrant(entrant, scene)
    try:
        load.all_right(port, scenario.checked, since=running.started, timeout=START_TIMEOUT)
        await_watches(bench.world, scene.api, port)
        probed = bench.world.probed()
        waits = [
            update_once(bench.world, scene.api, port, random.choice(probed)) for _ in range(UPDATES * bench.rounds)
        ]
    finally:
        running.stop()
    return results.waits(entrant.name, "update", waits)


def await_watches(world: World, api: int, port: int) -> None:
    """Change something until it is shown: the first list is through then, and the watches run. Raises TimeoutError."""
    deadline = time.monotonic() + START_TIMEOUT
    while update_once(world, api, port, world.probed()[0]) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no update was shown on port {port} in {START_TIMEOUT} s")


_addresses = iter(range(1 << 16))


def new_address() -> ipaddress.IPv4Address:
    """One that no endpoint has had."""
    number = next(_addresses)
    return ipaddress.IPv4Address(f"10.65.{number >> 8}.{number & 255}")


def update_once(world: World, api: int, port: int, i: int) -> float | None:
    """Seconds from the change of headless Service `i` in the API server to the first answer with the new address;
    None: not within two seconds."""
    address = new_address()
    question = Question(message(world.fqdn(i), A), address.packed)
    return change_and_ask(api, port, f"update?service={i}&address={address}", question)


def change_and_ask(api: int, port: int, change: str, question: Question) -> float | None:
    """Seconds from the change, as the API server tells the time, to the first right answer; None: not in time."""
    with process.affinity({process.cores()[1]}):
        changed = post(api, change)
        with contextlib.suppress(TimeoutError):
            return load.first_right_answer(port, question, since=changed, timeout=SHOWN_IN, every=0.0002)
    return None


def post(api: int, change: str) -> float:
    """Ask the fake API server for a change; the moment of it (time.monotonic, which all processes share)."""
    url = f"http://127.0.0.1:{api}/bench/{change}"
    with urllib.request.urlopen(url, data=b"", timeout=30) as reply:
        return float(json.load(reply)["changed"])
