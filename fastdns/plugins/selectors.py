"""Label selectors of Kubernetes: a check of their text, so that a wrong one is told at the start, with its place."""

from __future__ import annotations

import re

_NAME = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_KEY = re.compile(rf"([a-z0-9]([a-z0-9.-]{{0,251}}[a-z0-9])?/)?{_NAME}")
_VALUE = re.compile(rf"({_NAME})?")
_REQUIREMENT = re.compile(r"(?P<key>[^\s=!(),]+)\s*((?P<operator>==|=|!=|\bin\b|\bnotin\b)\s*(?P<rest>.*))?", re.DOTALL)
_OUTSIDE_PARENTHESES = re.compile(r",(?![^(]*\))")


def check(text: str) -> None:
    """Raise ValueError naming the part of `text` that is no requirement (`a=b`, `a!=b`, `a in (b, c)`, `a`, `!a`)."""
    for part in _OUTSIDE_PARENTHESES.split(text):
        try:
            _check_requirement(part.strip())
        except ValueError as error:
            raise ValueError(f'couldn\'t parse the selector string "{text}": {error}') from None


def _check_requirement(part: str) -> None:
    if not part:
        raise ValueError("a requirement is empty")
    if part.startswith("!"):
        return _check_key(part[1:].strip())
    match = _REQUIREMENT.fullmatch(part)
    if not match:
        raise ValueError(f'"{part}" is no requirement')
    _check_key(match["key"])
    if match["operator"] in ("in", "notin"):
        return _check_set(match["rest"])
    if match["operator"]:
        _check_value(match["rest"].strip())
    return None


def _check_set(text: str) -> None:
    if not (text.startswith("(") and text.endswith(")")):
        raise ValueError(f'"{text}": the values of a set stand in parentheses')
    for value in text[1:-1].split(","):
        _check_value(value.strip())


def _check_key(key: str) -> None:
    if not _KEY.fullmatch(key):
        raise ValueError(f'"{key}" is no label key')


def _check_value(value: str) -> None:
    if not _VALUE.fullmatch(value):
        raise ValueError(f'"{value}" is no label value')
