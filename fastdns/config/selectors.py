"""Label selectors of Kubernetes: read at the start, so that a wrong one is told with its place, and matched to labels.

The API server applies them to what it lists; objects that come from files are matched here.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_KEY = re.compile(rf"(?:[a-z0-9](?:[a-z0-9.-]{{0,251}}[a-z0-9])?/)?{_NAME}")
_VALUE = re.compile(rf"(?:{_NAME})?")
_SET = re.compile(r"(?P<key>\S+)\s+(?P<operator>in|notin)\s*\((?P<values>[^()]*)\)")
_EQUALITY = re.compile(r"(?P<key>[^\s=!]+)\s*(?P<operator>==|=|!=)\s*(?P<values>\S*)")
_OUTSIDE_PARENTHESES = re.compile(r",(?![^(]*\))")


@dataclasses.dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on labels: `key` has one of `values`, or exists when there are none; `negated` turns it round.

    As in Kubernetes, a negated condition also holds for an object without the key.
    """

    key: str
    values: frozenset[str] = frozenset()
    negated: bool = False

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        holds = value is not None and (not self.values or value in self.values)
        return holds is not self.negated


def parse(text: str) -> tuple[Requirement, ...]:
    """Read `a=b`, `a==b`, `a!=b`, `a in (b, c)`, `a notin (b, c)`, `a` and `!a` with commas between them.

    Raises ValueError naming the part that is none of these.
    """
    try:
        return tuple(_requirement(part.strip()) for part in _OUTSIDE_PARENTHESES.split(text))
    except ValueError as error:
        raise ValueError(f'couldn\'t parse the selector string "{text}": {error}') from None


def matches(text: str, labels: Mapping[str, str]) -> bool:
    """Tell whether `labels` meet every condition of the selector `text`; an empty one is met by all."""
    return not text or all(requirement.matches(labels) for requirement in parse(text))


def _requirement(part: str) -> Requirement:
    match = _SET.fullmatch(part) or _EQUALITY.fullmatch(part)
    if match:
        values = frozenset(_value(value.strip()) for value in match["values"].split(","))
        return Requirement(_key(match["key"]), values, match["operator"] in ("notin", "!="))
    negated = part.startswith("!")
    return Requirement(_key(part.removeprefix("!").strip()), negated=negated)


def _key(text: str) -> str:
    if not _KEY.fullmatch(text):
        raise ValueError(f'"{text}" is no label key')
    return text


def _value(text: str) -> str:
    if not _VALUE.fullmatch(text):
        raise ValueError(f'"{text}" is no label value')
    return text
