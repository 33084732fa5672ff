"""plugin template at work: a question in, the answer that a template makes of it out."""

from __future__ import annotations

import dataclasses
import functools
import struct
from collections.abc import Mapping

from fastdns import _engine
from fastdns.config import goregexp, gotemplate, templates
from fastdns.dns import names, records
from fastdns.dns.constants import Type
from fastdns.server import questions

QR, AA, TC = 0x8000, 0x0400, 0x0200
SERVFAIL = 2
ANY = 255
EDE_OPTION = 15


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """As Go's dns.Question in a template."""

    Name: str
    Qtype: int
    Qclass: int


@dataclasses.dataclass(frozen=True, slots=True)
class Head:
    """What a template may ask of the message."""

    Id: int
    Opcode: int
    RecursionDesired: bool
    CheckingDisabled: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Data:
    """What a template sees: fields are named as CoreDNS names them."""

    Zone: str
    Name: str
    Regex: str
    Match: list[str]
    Group: Mapping[str, str]
    Class: str
    Type: str
    Remote: str
    Question: Question
    Message: Head
    Var: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def Meta(self, name: str) -> str:
        """Without plugin metadata there is none."""
        return ""


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """`options` are what OPT holds."""

    message: records.Message
    options: bytes = b""


class Failure(Exception):
    """SERVFAIL is what a template says, or no template matches where one has to."""


async def answer_query(plugin: templates.Template, query: _engine.Slow, look_up: questions.LookUp) -> Answer | None:
    """The answer of the first template that matches; None: it is the next plugin's turn. Raises Failure; ValueError for what
    makes no record."""
    question = questions.read_question(query.wire)
    for template in plugin.templates:
        zone = find_zone(template.zones, question.name)
        if not zone or not fits(template.qclass, question.qclass) or not fits(template.qtype, question.qtype):
            continue
        data = match_name(template, question, zone, query.remote[0])
        if data is not None:
            return await make_answer(template, question, data, look_up)
        if not any(names.is_below(question.name, zone) for zone in template.fallthrough):
            raise Failure
    return None


def find_zone(zones: tuple[str, ...], name: str) -> str:
    """The longest of the zones that a name is in; empty: it is in none."""
    return max((zone for zone in zones if names.is_below(name, zone)), key=len, default="")


def fits(wanted: int, asked: int) -> bool:
    return ANY in (wanted, asked) or wanted == asked


def match_name(template: templates.AnswerTemplate, question: questions.Question, zone: str, remote: str) -> Data | None:
    for pattern in template.patterns:
        found = goregexp.compile(pattern).search(question.name)
        if found is None:
            continue
        groups = [found[0], *found.groups("")]
        by_name = {str(index): group for index, group in enumerate(groups)} | found.groupdict("")
        qclass = template.qclass if question.qclass == ANY else question.qclass
        qtype = template.qtype if question.qtype == ANY else question.qtype
        return Data(
            Zone=zone,
            Name=question.name,
            Regex=pattern,
            Match=groups,
            Group=by_name,
            Class=questions.name_class(qclass),
            Type=questions.name_type(qtype),
            Remote=remote.partition("%")[0],
            Question=Question(names.from_wire(question.qname), question.qtype, question.qclass),
            Message=Head(question.id, question.opcode, bool(question.flags & 0x0100), bool(question.flags & 0x0010)),
        )
    return None


async def make_answer(
    template: templates.AnswerTemplate, question: questions.Question, data: Data, look_up: questions.LookUp
) -> Answer:
    if template.rcode == SERVFAIL:
        raise Failure
    flags = QR | AA | template.rcode
    answer: list[records.Record] = []
    for text in template.answer:
        record = make_record(text, data)
        answer.append(record)
        if record.rtype == Type.CNAME and question.qtype in (Type.A, Type.AAAA):
            found = await look_up(record.data, question.qtype)
            if found:
                reply = records.read_message(found)
                flags = flags & ~TC | reply.flags & TC
                answer += reply.answer
    asked = question.qname + struct.pack(">HH", question.qtype, question.qclass)
    message = records.Message(
        question.id,
        flags,
        asked,
        tuple(answer),
        tuple(make_record(text, data) for text in template.authority),
        tuple(make_record(text, data) for text in template.additional),
    )
    return Answer(message, encode_ede(template.ederror) if template.ederror else b"")


def make_record(text: str, data: Data) -> records.Record:
    return read_record(gotemplate.parse(text).execute(data))


@functools.lru_cache(maxsize=4096)
def read_record(text: str) -> records.Record:
    from fastdns.dns import messages  # here, since few configurations need it and it brings dnslib

    return messages.read_record(text)


def encode_ede(ede: templates.EdeError) -> bytes:
    """An option of OPT (RFC 8914 section 2)."""
    text = ede.text.encode()
    return struct.pack(">HHH", EDE_OPTION, 2 + len(text), ede.code) + text


def zones_of(plugin: templates.Template) -> tuple[str, ...]:
    """Zones outside of which nothing is answered."""
    return tuple(dict.fromkeys(zone for template in plugin.templates for zone in template.zones))


def types_of(plugin: templates.Template) -> tuple[int, ...]:
    """Types of questions that may be answered; 0: every type."""
    qtypes = {template.qtype for template in plugin.templates}
    return (0,) if ANY in qtypes else (*sorted(qtypes), ANY)
