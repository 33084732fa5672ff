"""Scenario in-flight: ten thousand questions that an upstream keeps waiting, all at once, and none of them lost."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import re

from bench import load, measure, process, surroundings
from bench.results import Outcome, Sample
from bench.scenarios import Entrant, Scenario
from bench.servers import HELD_ZONE, Scene
from bench.surroundings import Bench
from bench.world import A, message

ASKED = 10_000
ASKED_RATE = 20_000.0  # within the two seconds that CoreDNS waits for an upstream
PATIENCE = 1.2  # seconds that the upstream waits for the last one
TIMEOUT = 6.0
QUESTIONS = tuple(message(f"xxxxxxxx-{i}.{HELD_ZONE}.", A) for i in range(64))


def run(bench: Bench, scenario: Scenario, asked: int = ASKED) -> Outcome:
    """Each forwarding server of the scenario by itself, `bench.rounds` times but at most twice."""
    outcome = Outcome("in-flight", f"{asked:,} questions at once wait for an upstream that keeps them")
    for entrant in scenario.entrants:
        if entrant.is_floor or not bench.wants(entrant.name):
            continue
        for number in range(min(2, bench.rounds)):
            try:
                outcome.samples.append(hold(bench, entrant, asked, salt=1 + number * asked))
            except measure.FAILURES as error:
                outcome.failed[entrant.name] = str(error)
                break
            bench.say(f"in-flight {number + 1}: {entrant.name} {outcome.samples[-1].figures}")
    return outcome


def hold(bench: Bench, entrant: Entrant, asked: int, salt: int) -> Sample:
    """Ask at a rate, while the upstream keeps everything; how much it had at once, and what was answered in the end."""
    with contextlib.ExitStack() as stop:
        place = stop.enter_context(surroundings.folder())
        scene = Scene(place, bench.world, port=0, metrics=0)
        options = ("--hold", str(asked), "--patience", str(PATIENCE))
        scene = dataclasses.replace(scene, upstream=surroundings.start_upstream(bench, scene, stop, *options))
        running, port, _ = measure.start_entrant(entrant, scene)
        stop.callback(running.stop)
        client = load.Client(port, QUESTIONS)
        stop.callback(client.close)
        seconds = asked / ASKED_RATE + 1.0
        with process.affinity({process.cores()[1]}):
            before = running.cpu_ns()
            result = client.run(
                seconds=seconds, rate=ASKED_RATE, window=32_768, timeout=TIMEOUT, limit=asked, wait=True, salt=salt
            )
            spent = process.spent_ns(before, running.cpu_ns())
        running.check()
        figures = measure.load_figures(result, spent)
        held = float(most_held(place / f"upstream-{scene.upstream}.log"))
    kept = {key: figures[key] for key in ("cpu_us", "lost", "wrong")}
    return Sample(entrant.name, "held", {"asked": figures["sent"], "in_flight": held, **kept})


def most_held(log: pathlib.Path) -> int:
    """The most questions that the upstream says it had at once."""
    return max((int(word) for word in re.findall(r"held (\d+) at once", log.read_text())), default=0)
