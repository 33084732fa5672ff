"""What may differ from CoreDNS, and why: differences.toml, read and applied.

Each entry of the file has an `id`, a `reason`, the `fields` that it excuses (as compare names them), and `when`: conditions on
the question and on the two answers, all of which must hold. An entry that has none of its own never hides another.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
import tomllib
from typing import Any

from tests.differential.compare import Answer, Mismatch
from tests.differential.questions import Question

FILE = pathlib.Path(__file__).with_name("differences.toml")


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    id: str
    reason: str
    fields: frozenset[str]
    when: dict[str, Any]

    def excuses(
        self, mismatch: Mismatch, *, question: Question, coredns: Answer, fastdns: Answer, variant: str
    ) -> bool:
        if not any(re.fullmatch(field, mismatch.field) for field in self.fields):
            return False
        return all(_holds(name, wanted, question, coredns, fastdns, variant) for name, wanted in self.when.items())


def _holds(name: str, wanted: Any, question: Question, coredns: Answer, fastdns: Answer, variant: str) -> bool:
    """One condition: a field of the question, or coredns_* and fastdns_* for a field of an answer."""
    facts: dict[str, Any] = {
        "variant": variant,
        "name": question.name.lower(),
        "is_mixed_case": question.name != question.name.lower(),
        "has_edns": question.size is not None,
        "has_option": question.option is not None,
        "coredns_truncated": "TC" in coredns.flags,
        "fastdns_truncated": "TC" in fastdns.flags,
        "coredns_text": str(coredns),
    }
    if name.startswith("coredns_") and name not in facts:
        fact = getattr(coredns, name.removeprefix("coredns_"))
    elif name.startswith("fastdns_") and name not in facts:
        fact = getattr(fastdns, name.removeprefix("fastdns_"))
    else:
        fact = facts[name] if name in facts else getattr(question, name)
    if isinstance(fact, tuple):
        fact = " | ".join(" ".join(record) for record in fact)
    if isinstance(fact, bool) or not isinstance(fact, str):
        return bool(fact == wanted)
    return re.fullmatch(wanted, fact) is not None


def load() -> list[Difference]:
    entries = tomllib.loads(FILE.read_text())["difference"]
    return [
        Difference(entry["id"], entry["reason"], frozenset(entry["fields"]), entry.get("when", {})) for entry in entries
    ]
