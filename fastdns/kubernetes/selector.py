"""Label selectors, for objects that no API server filters: `a=b,c!=d,e in (x, y),f notin (z),g,!h`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from fastdns import errors

Requirement = Callable[[Mapping[str, str]], bool]

_KEY = r"(?P<key>[A-Za-z0-9](?:[-A-Za-z0-9_./]*[A-Za-z0-9])?)"
_VALUE = r"[-A-Za-z0-9_.]*"
_FORMS = (
    re.compile(rf"\s*{_KEY}\s*(?P<operator>==|=|!=)\s*(?P<value>{_VALUE})\s*"),
    re.compile(rf"\s*{_KEY}\s+(?P<operator>in|notin)\s*\((?P<value>[^()]*)\)\s*"),
    re.compile(rf"\s*(?P<operator>!)\s*{_KEY}\s*(?P<value>)"),
    re.compile(rf"\s*{_KEY}\s*(?P<operator>)(?P<value>)"),
)


def parse(text: str) -> Requirement:
    """The selector as a test of labels; an empty text is true of all. Raises ManifestError: it is no selector."""
    requirements = []
    at = 0
    while text and at <= len(text):
        match = next(
            (found for found in (form.match(text, at) for form in _FORMS) if found and _ends(text, found)), None
        )
        if match is None:
            raise errors.ManifestError(f"label selector {text!r}: not understood from {text[at:]!r} on")
        requirements.append(_requirement(match["key"], match["operator"], match["value"]))
        at = match.end() + 1
    return lambda labels: all(requirement(labels) for requirement in requirements)


def _ends(text: str, match: re.Match[str]) -> bool:
    return match.end() == len(text) or text[match.end()] == ","


def _requirement(key: str, operator: str, value: str) -> Requirement:
    """`!=` and `notin` are true of objects without the key, as Kubernetes has it."""
    values = frozenset(part.strip() for part in value.split(","))
    if operator in ("=", "==", "in"):
        return lambda labels: labels.get(key) in values
    if operator in ("!=", "notin"):
        return lambda labels: labels.get(key) not in values
    if operator == "!":
        return lambda labels: key not in labels
    return lambda labels: key in labels
