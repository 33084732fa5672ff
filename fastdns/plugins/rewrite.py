"""rewrite: another name, type or class is asked for; names, TTLs and rcodes of answers are changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from fastdns.config import corefile, goregexp, model, rewriting, values
from fastdns.dns import constants, names

KINDS = ("name", "type", "class", "ttl", "rcode", "cname", "edns0")
MAX_TTL = 2**31 - 1
MAX_GROUPS = 101  # {0} to {100} stand for groups
MAX_RCODE = 23
_NUMBER = re.compile(r"[0-9]+")


def parse(directive: corefile.Directive, scope: corefile.Scope) -> rewriting.Rewrite:
    """Read `rewrite [continue|stop] KIND ARGUMENTS...`; the words may also stand in braces."""
    words = list(directive.words)
    if len(words) < 2:
        words += [word for option in directive.block for word in (option.word, *option.words)]
    elif directive.block:
        raise directive.error(
            "Unexpected token '{', expecting argument", hint="the rule stands on the line or in braces"
        )
    try:
        return rewriting.Rewrite((_rule(words),))
    except ValueError as error:
        raise directive.error(str(error)) from None


def merge(parts: Sequence[model.Plugin]) -> rewriting.Rewrite:
    """Put the rules of all lines into one, in their order."""
    return rewriting.Rewrite(
        tuple(rule for part in parts if isinstance(part, rewriting.Rewrite) for rule in part.rules)
    )


def _rule(words: list[str]) -> rewriting.Rule:
    if not words:
        raise ValueError("no rule type specified for rewrite")
    mode = words[0].lower()
    goes_on = mode == "continue"
    if mode in ("continue", "stop"):
        words = words[1:]
        if not words:
            raise ValueError("continue rule must begin with a rule type")
    kind, arguments = words[0].lower(), words[1:]
    if kind == "answer":
        raise ValueError("response rewrites must begin with a name rule")
    if kind == "edns0":
        raise ValueError("edns0 rules are not served: EDNS options are never passed on upstream")
    if kind not in READERS:
        raise ValueError(f"invalid rule type {values.quote(words[0])}")
    return READERS[kind](arguments, goes_on)


# --- names -----------------------------------------------------------------------------------------------------------


def _name_rule(words: list[str], goes_on: bool) -> rewriting.NameRule:
    if len(words) < 2:
        raise ValueError("too few arguments for a name rule")
    kind = words[0].lower() if len(words) > 2 else "exact"
    old, new = words[:2] if len(words) == 2 else words[1:3]
    if kind not in rewriting.MATCHES:
        found = f"received: {kind}"
        raise ValueError(f"name rule supports only exact, prefix, suffix, substring, and regex name matching, {found}")
    rest = words[3:]
    if rest[:1] == ["metadata"]:
        raise ValueError("name rules that take metadata are not served")
    auto, answers = _answer_rules(kind, rest) if rest else (False, ())
    new = names.canonical(new)
    if kind == "regex":
        _check_pattern(old, new)
    else:
        old = names.canonical(old)
    return rewriting.NameRule(rewriting.Match(kind, old), new, auto or kind == "exact", answers, goes_on)


def _answer_rules(kind: str, words: list[str]) -> tuple[bool, tuple[rewriting.AnswerRule, ...]]:
    """Read `answer auto | name FROM TO | value FROM TO`, several times; `answer` may be left out from the second on."""
    if len(words) < 2:
        raise ValueError(f"invalid arguments for {kind} rule")
    if words[0] != "answer":
        raise ValueError(f"exceeded the number of arguments for a non-answer rule argument for {kind} rule")
    auto = False
    rules: list[rewriting.AnswerRule] = []
    while words:
        words = words[1:] if words[0] == "answer" else words
        if not words:
            raise ValueError(f"type missing for answer rule for {kind} rule")
        what, words = words[0], words[1:]
        if what == "auto":
            auto = True
            continue
        if what not in ("name", "value"):
            raise ValueError(f"invalid type {values.quote(what)} for answer rule for {kind} rule")
        if len(words) < 2:
            raise ValueError(f"{what} answer rule for {kind} rule: 2 arguments required")
        try:
            _check_pattern(words[0], words[1])
        except ValueError as error:
            raise ValueError(f"{what} answer rule for {kind} rule: {error}") from None
        rules.append(rewriting.AnswerRule(words[0], names.canonical(words[1]), values=what == "value"))
        words = words[2:]
    if auto and any(not rule.values for rule in rules):
        raise ValueError("auto name answer rule cannot be combined with explicit name answer rules")
    return auto, tuple(rules)


def _check_pattern(pattern: str, replacement: str) -> None:
    _check_size(pattern)
    try:
        groups = goregexp.compile(pattern).groups
    except ValueError:
        raise ValueError(f"invalid regex matching pattern: {pattern}") from None
    if sum(f"{{{number}}}" in replacement for number in range(MAX_GROUPS)) > groups:
        more = "uses more subexpressions than its corresponding matching regex pattern"
        raise ValueError(f"the rewrite regex pattern ({replacement}) {more} ({pattern})")


def _check_size(pattern: str, where: str = "") -> None:
    if len(pattern) > goregexp.MAX_PATTERN:
        raise ValueError(f"regex pattern too long{where}: {len(pattern)} > {goregexp.MAX_PATTERN}")


# --- the rest of a question --------------------------------------------------------------------------------------------


def _type_rule(words: list[str], goes_on: bool) -> rewriting.TypeRule:
    if len(words) != 2:
        raise ValueError("type rules must have exactly two arguments")
    old, new = (_number(word, constants.Type, "type") for word in words)
    return rewriting.TypeRule(old, new, goes_on)


def _class_rule(words: list[str], goes_on: bool) -> rewriting.ClassRule:
    if len(words) != 2:
        raise ValueError("class rules must have exactly two arguments")
    old, new = (_number(word, constants.Class, "class") for word in words)
    return rewriting.ClassRule(old, new, goes_on)


def _number(word: str, known: type[constants.Type | constants.Class], what: str) -> int:
    name = word.upper()
    if name not in known.__members__:
        raise ValueError(f"invalid {what} {values.quote(name)}")
    return int(known[name])


# --- answers -------------------------------------------------------------------------------------------------------------


def _ttl_rule(words: list[str], goes_on: bool) -> rewriting.TtlRule:
    if len(words) < 2:
        raise ValueError(f"too few ({len(words)}) arguments for a ttl rule")
    low, high = _ttls(words[2] if len(words) == 3 else words[1] if len(words) == 2 else "")
    return rewriting.TtlRule(_match(words[:-1], "ttl"), low, high, goes_on)


def _ttls(text: str) -> tuple[int, int]:
    """Read `N`, `N-M`, `N-` or `-M`."""
    first, dash, last = text.partition("-")
    if all(_NUMBER.fullmatch(one) or (dash and not one) for one in (first, last if dash else first)) and text != "-":
        low = int(first or 0)
        high = (int(last) if last else MAX_TTL) if dash else low
        if low <= high < 2**32:
            return low, high
    raise ValueError(f"invalid TTL '{text}' for a ttl rule")


def _rcode_rule(words: list[str], goes_on: bool) -> rewriting.RcodeRule:
    if len(words) < 3:
        raise ValueError(f"too few ({len(words)}) arguments for a rcode rule")
    if len(words) > 4:
        raise ValueError("invalid matching RCODE '' for a rcode rule")
    old, new = _rcode(words[-2], "matching"), _rcode(words[-1], "replacement")
    return rewriting.RcodeRule(_match(words[:-2], "rcode"), old, new, goes_on)


def _rcode(text: str, which: str) -> int:
    if _NUMBER.fullmatch(text) and len(text) < 3 and int(text) <= MAX_RCODE:
        return int(text)
    if text.upper() not in constants.Rcode.__members__:
        raise ValueError(f"invalid {which} RCODE '{text}' for a rcode rule")
    return int(constants.Rcode[text.upper()])


def _cname_rule(words: list[str], goes_on: bool) -> rewriting.CnameRule:
    if len(words) not in (2, 3):
        raise ValueError(f"too few ({len(words)}) arguments for a cname rule")
    kind = words[0].lower() if len(words) == 3 else "exact"
    if kind not in rewriting.MATCHES:
        raise ValueError(f"unknown cname rewrite type: {kind}")
    old, new = (word.lower() for word in words[-2:])
    if kind == "exact":
        old, new = names.canonical(old), names.canonical(new)
    elif kind == "regex":
        _check_size(old, " in a cname rule")
        try:
            goregexp.compile(old)
        except ValueError as error:
            raise ValueError(f"invalid cname rewrite regex pattern: {error}") from None
    return rewriting.CnameRule(rewriting.Match(kind, old), new, goes_on)


def _match(words: list[str], what: str) -> rewriting.Match:
    """Read `[KIND] NAME`."""
    kind, text = ("exact", words[0]) if len(words) == 1 else (words[0].lower(), words[1])
    if kind not in rewriting.MATCHES:
        raise ValueError(f"{what} rule supports only exact, prefix, suffix, substring, and regex name matching")
    if kind != "regex":
        return rewriting.Match(kind, names.canonical(text))
    _check_size(text, f" in a {what} rule")
    try:
        goregexp.compile(text)
    except ValueError:
        raise ValueError(f"invalid regex pattern in a {what} rule: {text}") from None
    return rewriting.Match(kind, text)


READERS: dict[str, Callable[[list[str], bool], rewriting.Rule]] = {
    "name": _name_rule,
    "type": _type_rule,
    "class": _class_rule,
    "ttl": _ttl_rule,
    "rcode": _rcode_rule,
    "cname": _cname_rule,
}
