"""Reads cases and worlds, and asks a server."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import yaml

from tests.differential.compare import Answer, Section, ask
from tests.differential.questions import Question
from tests.differential.world import KINDS

HERE = pathlib.Path(__file__).parent


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """One question and the whole of its answer, in the words of the file."""

    source: str
    name: str
    qtype: str
    expected: str

    def __str__(self) -> str:
        return f"{self.name} {self.qtype}"


def cases(file: pathlib.Path) -> Iterator[Case]:
    source, question, lines = "", "", list[str]()
    for line in [*file.read_text().splitlines(), "#"]:
        if line.startswith(("#", "?")) and question:
            name, qtype = question.split()
            yield Case(source, "" if name == "." else name, qtype, "\n".join(lines))
            question, lines = "", []
        if line.startswith("#"):
            source = line[1:].strip()
        elif line.startswith("?"):
            question = line[1:].strip()
        elif line.strip():
            lines.append(line.strip())


def told(answer: Answer) -> str:
    """An answer in the words of a case."""
    flags = sorted(answer.flags - {"QR", "RD"})
    lines = [" ".join(["=", answer.status, *(flag.lower() for flag in flags)])]
    lines += _records("", answer.answer) + _records("! ", answer.authority) + _records("+ ", answer.additional)
    return "\n".join(lines)


def _records(mark: str, section: Section) -> list[str]:
    lines = []
    for owner, _, rtype, ttl, rdata in section:
        line = f"{mark}{owner} {ttl} {rtype} {rdata}"
        lines.append(line)
    return lines


def ask_case(port: int, case: Case) -> str:
    return told(ask(port, Question(case.name, case.qtype, id=os.getpid() & 0xFFFF, size=1232)))


def manifests(folder: pathlib.Path) -> list[dict[str, Any]]:
    """The objects of a world, in an order in which the API server takes them."""
    items: list[dict[str, Any]] = yaml.safe_load((folder / "world.yaml").read_text())["items"]
    return sorted(items, key=lambda item: KINDS.index(item["kind"]))
