"""plugin rewrite at work: a question in, another one and what undoes it in the answer out.

Names are compared and replaced as text, as CoreDNS does it: canonical in questions, as spelt in answers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from fastdns.config import goregexp, rewriting
from fastdns.dns import names, records
from fastdns.dns.constants import Type
from fastdns.server import questions

RCODE_MASK = 0x000F
TC = 0x0200


@dataclasses.dataclass(frozen=True, slots=True)
class Remap:
    """A name, and names below it."""

    old: str
    new: str

    def change(self, name: str) -> str:
        if name == self.old:
            return self.new
        return name[: -len(self.old)] + self.new if name.endswith("." + self.old) else name


@dataclasses.dataclass(frozen=True, slots=True)
class Suffix:
    old: str
    new: str

    def change(self, name: str) -> str:
        return name[: len(name) - len(self.old)] + self.new if name.endswith(self.old) else name


@dataclasses.dataclass(frozen=True, slots=True)
class Pattern:
    old: str
    new: str

    def change(self, name: str) -> str:
        return replace(rewriting.Match("regex", self.old), self.new, name) or name


@dataclasses.dataclass(frozen=True, slots=True)
class Names:
    """What is done to the owners of an answer's records, or to the names that they lead to."""

    change: Callable[[str], str]
    values: bool


Response = Names | rewriting.TtlRule | rewriting.RcodeRule | rewriting.CnameRule


@dataclasses.dataclass(frozen=True, slots=True)
class Rewritten:
    """`responses` are applied to the answer in the reverse order."""

    name: str
    qtype: int
    qclass: int
    responses: tuple[Response, ...]


def rewrite_question(plugin: rewriting.Rewrite, question: questions.Question) -> Rewritten | None:
    """What is asked instead; None: no rule matches."""
    name, qtype, qclass = question.name, question.qtype, question.qclass
    responses: list[Response] = []
    is_rewritten = False
    for rule in plugin.rules:
        match rule:
            case rewriting.NameRule():
                new = replace(rule.match, rule.replacement, name)
                if new is None:
                    continue
                responses += undo(rule, name, new)
                name = names.canonical(new)
            case rewriting.TypeRule():
                if qtype != rule.old:
                    continue
                qtype = rule.new
            case rewriting.ClassRule():
                if qclass != rule.old:
                    continue
                qclass = rule.new
            case rewriting.TtlRule() | rewriting.RcodeRule():
                if replace(rule.match, "", name) is None:
                    continue
                responses.append(rule)
            case rewriting.CnameRule():
                responses.append(rule)
        is_rewritten = True
        if not rule.goes_on:
            break
    return Rewritten(name, qtype, qclass, tuple(responses)) if is_rewritten else None


def replace(match: rewriting.Match, replacement: str, name: str) -> str | None:
    """The name that a rule makes of `name`; None: it does not match."""
    text = match.text
    match match.kind:
        case "exact":
            return replacement if name == text else None
        case "prefix":
            return replacement + name[len(text) :] if name.startswith(text) else None
        case "suffix":
            return name[: len(name) - len(text)] + replacement if name.endswith(text) else None
        case "substring":
            return name.replace(text, replacement) if text in name else None
    found = goregexp.compile(text).search(name)
    if found is None:
        return None
    for number, group in enumerate((found[0], *found.groups(""))):
        replacement = replacement.replace(f"{{{number}}}", group)
    return replacement


def undo(rule: rewriting.NameRule, old: str, new: str) -> list[Response]:
    """What a rule for names does to the answer."""
    responses: list[Response] = []
    if rule.auto:
        back = Suffix(rule.replacement, rule.match.text) if rule.match.kind == "suffix" else Remap(new, old)
        responses += [Names(back.change, values=False), Names(back.change, values=True)]
    return responses + [Names(Pattern(one.pattern, one.replacement).change, one.values) for one in rule.answers]


async def rewrite_answer(
    message: records.Message, rewritten: Rewritten, question: questions.Question, look_up: questions.LookUp
) -> records.Message:
    """Undo in the answer what was done to the question, which it gets back. Raises ValueError: a name becomes none."""
    for response in reversed(rewritten.responses):
        match response:
            case Names():
                message = message.map_records(lambda record, names=response: change_names(record, names))  # type: ignore[misc]
            case rewriting.TtlRule():
                message = message.map_records(lambda record, rule=response: clamp(record, rule))  # type: ignore[misc]
            case rewriting.RcodeRule():
                if message.flags & RCODE_MASK == response.old and response.new <= RCODE_MASK:
                    message = dataclasses.replace(message, flags=message.flags & ~RCODE_MASK | response.new)
            case rewriting.CnameRule():
                message = await redirect(message, response, rewritten.qtype, look_up)
    asked = question.qname + question.qtype.to_bytes(2, "big") + question.qclass.to_bytes(2, "big")
    return dataclasses.replace(message, ident=question.id, question=asked)


def change_names(record: records.Record, names_rule: Names) -> records.Record:
    if not names_rule.values:
        return dataclasses.replace(record, owner=change_wire(record.owner, names_rule.change))
    at = record.name_at()
    if at is None:
        return record
    end = records.skip_name(record.data, at)
    changed = change_wire(record.data[at:end], names_rule.change)
    return dataclasses.replace(record, data=record.data[:at] + changed + record.data[end:])


def change_wire(wire: bytes, change: Callable[[str], str]) -> bytes:
    old = names.from_wire(wire)
    new = change(old)
    return wire if new == old else names.to_wire(new)


def clamp(record: records.Record, rule: rewriting.TtlRule) -> records.Record:
    return dataclasses.replace(record, ttl=min(max(record.ttl, rule.low), rule.high))


async def redirect(
    message: records.Message, rule: rewriting.CnameRule, qtype: int, look_up: questions.LookUp
) -> records.Message:
    """The answer with another target in the first CNAME that a rule is for, and what is found for that behind it."""
    kept: list[records.Record] = []
    for record in message.answer:
        if record.rtype != Type.CNAME:
            continue
        target = replace(rule.match, rule.replacement, names.from_wire(record.data))
        if target is None:
            kept.append(record)
            continue
        wire = names.to_wire(target)
        found = await look_up(wire, qtype)
        if not found:
            return message
        reply = records.read_message(found)
        kept.append(dataclasses.replace(record, data=wire))
        flags = message.flags & ~TC | reply.flags & TC
        return dataclasses.replace(message, flags=flags, answer=(*kept, *reply.answer))
    return message


def make_query(query: bytes, question: questions.Question, rewritten: Rewritten) -> bytes:
    """The query with what is asked instead. Raises ValueError: that is no name."""
    fixed = rewritten.qtype.to_bytes(2, "big") + rewritten.qclass.to_bytes(2, "big")
    head = query[: questions.HEADER_SIZE]
    return head + names.to_wire(rewritten.name) + fixed + query[question.size :]


def zones_of(plugin: rewriting.Rewrite) -> tuple[str, ...]:
    """Zones outside of which no rule matches; none: any name may."""
    zones: list[str] = []
    for rule in plugin.rules:
        match = getattr(rule, "match", None)
        if match is None or isinstance(rule, rewriting.CnameRule) or match.kind not in ("exact", "suffix"):
            return ()
        whole = match.kind == "exact" or match.text.startswith(".")
        zone = match.text.lstrip(".") if whole else match.text.partition(".")[2]
        if not zone or not names.is_name(zone):
            return ()
        zones.append(zone)
    return tuple(dict.fromkeys(zones))
