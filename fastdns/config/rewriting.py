"""Plugin rewrite as configured: rules in their order, each with what it looks for and what it makes of it.

Names are text, as people write them; what CoreDNS lower-cases is lower case here.
"""

from __future__ import annotations

import dataclasses

MATCHES = ("exact", "prefix", "suffix", "substring", "regex")


@dataclasses.dataclass(frozen=True, slots=True)
class Match:
    """What a name is compared with: `kind` is one of MATCHES, `text` a name, a part of one, or a pattern of Go's."""

    kind: str
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class AnswerRule:
    """Names in the records of an answer that match a pattern: their owners, or the names that `values` hold."""

    pattern: str
    replacement: str
    values: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class NameRule:
    """Another name is asked for; `auto` turns it back into the one that was asked for in the answer."""

    match: Match
    replacement: str
    auto: bool = False
    answers: tuple[AnswerRule, ...] = ()
    goes_on: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class TypeRule:
    old: int
    new: int
    goes_on: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class ClassRule:
    old: int
    new: int
    goes_on: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class TtlRule:
    """TTLs of an answer, between two bounds."""

    match: Match
    low: int
    high: int
    goes_on: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class RcodeRule:
    match: Match
    old: int
    new: int
    goes_on: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class CnameRule:
    """Another target of CNAMEs, which is looked up in the place of the old one's records."""

    match: Match
    replacement: str
    goes_on: bool = False


Rule = NameRule | TypeRule | ClassRule | TtlRule | RcodeRule | CnameRule


@dataclasses.dataclass(frozen=True, slots=True)
class Rewrite:
    """plugin rewrite. Rules are tried in their order up to the first that matches and does not go on."""

    rules: tuple[Rule, ...] = ()
