"""cases.json: what the real dnsmasq 2.90 answered to each question of each world."""

from __future__ import annotations

import json
import pathlib

from tests.conformance.dnsmasq import servers, worlds

FILE = pathlib.Path(__file__).with_name("cases.json")
Recorded = dict[str, dict[str, list[list[str]]]]
"""By world and `NUMBER QUESTION`: the lines of the answer, and its TTLs as text."""


def load() -> dict[str, dict[str, servers.Answer]]:
    recorded: Recorded = json.loads(FILE.read_text())
    return {
        world: {key: servers.Answer(tuple(lines), tuple(map(int, ttls))) for key, (lines, ttls) in answers.items()}
        for world, answers in recorded.items()
    }


def keys(world: worlds.World) -> list[str]:
    """Of what is asked, in this order; a question that comes twice has two."""
    return [f"{number} {question}" for number, question in enumerate(world.questions, start=1)]


def run(server: servers.Server, world: worlds.World, upstreams: servers.Upstreams) -> dict[str, servers.Answer]:
    """Ask all of a world's questions."""
    answers: dict[str, servers.Answer] = {}
    for key, question in zip(keys(world), world.questions, strict=True):
        if question.startswith(worlds.PAUSE):
            servers.pause(float(question.split()[1]))
            continue
        is_silent = question.endswith(worlds.SILENT)
        asked = question.removesuffix(worlds.SILENT)
        answers[key] = servers.ask(server, asked, upstreams, is_silent=is_silent)
    return answers


def write_files(world: worlds.World, folder: pathlib.Path) -> None:
    for name, text in world.files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
