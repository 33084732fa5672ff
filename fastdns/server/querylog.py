"""plugin log: what was asked and answered, one line each, in CoreDNS's formats; written after the answer has left."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable

from fastdns.config import model
from fastdns.server import families, questions

EMPTY = "-"
COMMON = '{remote}:{port} - {>id} "{type} {class} {name} {proto} {size} {>do} {>bufsize}" {rcode} {>rflags} {rsize} {duration}'
COMBINED = COMMON + ' "{>opcode}"'
NAMED = {"{common}": COMMON, "{combined}": COMBINED}
PLACEHOLDER = re.compile(r"\{[^{}]*\}")
STREAM_SIZE = 65535
FLAGS = (
    (0x8000, "qr"),
    (0x0400, "aa"),
    (0x0200, "tc"),
    (0x0100, "rd"),
    (0x0080, "ra"),
    (0x0040, "z"),
    (0x0020, "ad"),
    (0x0010, "cd"),
)
NOERROR, SERVFAIL, NXDOMAIN = 0, 2, 3


@dataclasses.dataclass(frozen=True, slots=True)
class Answered:
    """One query and its answer."""

    question: questions.Question
    remote: tuple[str, int]
    local: tuple[str, int]
    is_stream: bool
    query_size: int
    rcode: int
    flags: int
    size: int
    seconds: float
    is_nodata: bool = False

    @property
    def bufsize(self) -> int:
        return STREAM_SIZE if self.is_stream else self.question.udp_size


Record = tuple[int, float, tuple[str, int], str, bool, bytes, int, int, int, int, bool, int]


def read_record(record: Record, *, bound: str = "") -> Answered:
    """What Engine.log_records tells of one query; `bound` is the address of a socket that has but one."""
    _, seconds, remote, local, is_stream, query, rcode, flags, size, query_size, is_nodata, _ = record
    return Answered(
        question=questions.read_question(query),
        remote=remote,
        local=(local or bound, 0),
        is_stream=is_stream,
        query_size=query_size,
        rcode=rcode,
        flags=flags,
        size=size,
        seconds=seconds,
        is_nodata=is_nodata,
    )


def format_line(rules: tuple[model.LogRule, ...], answered: Answered) -> str | None:
    """The line that the first rule for the name wants, if it wants one of such an answer."""
    name = answered.question.name
    rule = next((rule for rule in rules if is_within(name, rule.name)), None)
    if rule is None or not rule.classes & {"all", classify(answered)}:
        return None
    return "".join(part if isinstance(part, str) else part(answered) for part in compile_format(rule.format))


def is_within(name: str, zone: str) -> bool:
    return zone == "." or name == zone or name.endswith("." + zone)


def classify(answered: Answered) -> str:
    """As CoreDNS's response.Classify: success, denial or error."""
    if answered.rcode == NXDOMAIN or (answered.rcode == NOERROR and answered.is_nodata):
        return "denial"
    return "success" if answered.rcode == NOERROR else "error"


@functools.cache
def compile_format(text: str) -> tuple[str | Callable[[Answered], str], ...]:
    """Literal parts and what stands for placeholders. What is no placeholder of CoreDNS stays as it is."""
    for word, meaning in NAMED.items():
        text = text.replace(word, meaning)
    parts: list[str | Callable[[Answered], str]] = []
    end = 0
    for match in PLACEHOLDER.finditer(text):
        word = match.group()
        value = PLACEHOLDERS.get(word)
        parts.append(text[end : match.start()])
        if value is not None:
            parts.append(value)
        else:
            parts.append(EMPTY if word.startswith("{/") else word)  # {/LABEL} is of plugin metadata
        end = match.end()
    return (*parts, text[end:])


def bracket(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def name_flags(flags: int) -> str:
    return ",".join(name for bit, name in FLAGS if flags & bit)


def name_rcode(rcode: int) -> str:
    return families.RCODES.get(rcode, str(rcode))


def format_seconds(seconds: float) -> str:
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


PLACEHOLDERS: dict[str, Callable[[Answered], str]] = {
    "{type}": lambda one: questions.name_type(one.question.qtype),
    "{name}": lambda one: one.question.name,
    "{class}": lambda one: questions.name_class(one.question.qclass),
    "{proto}": lambda one: "tcp" if one.is_stream else "udp",
    "{size}": lambda one: str(one.query_size),
    "{remote}": lambda one: bracket(one.remote[0]),
    "{port}": lambda one: str(one.remote[1]),
    "{local}": lambda one: bracket(one.local[0]),
    "{>id}": lambda one: str(one.question.id),
    "{>opcode}": lambda one: str(one.question.opcode),
    "{>do}": lambda one: "true" if one.question.wants_dnssec else "false",
    "{>bufsize}": lambda one: str(one.bufsize),
    "{rcode}": lambda one: name_rcode(one.rcode),
    "{rsize}": lambda one: str(one.size),
    "{duration}": lambda one: format_seconds(one.seconds),
    "{>rflags}": lambda one: name_flags(one.flags),
}


def json_fields(one: Answered) -> dict[str, object]:
    """What CoreDNS's JSON log tells of a query beside the line."""
    return {
        "plugin": "log",
        "client_ip": one.remote[0],
        "client_port": one.remote[1],
        "qname": one.question.name,
        "qtype": questions.name_type(one.question.qtype),
        "qclass": questions.name_class(one.question.qclass),
        "protocol": "tcp" if one.is_stream else "udp",
        "id": one.question.id,
        "opcode": one.question.opcode,
        "request_size": one.query_size,
        "dnssec_ok": one.question.wants_dnssec,
        "bufsize": one.bufsize,
        "rcode": name_rcode(one.rcode),
        "response_size": one.size,
        "duration_seconds": one.seconds,
    }
