"""Ask one server, read its answer without losing a bit of it, and tell two answers apart field by field."""

from __future__ import annotations

import collections
import dataclasses
import socket
import struct
from collections.abc import Iterator

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from tests.differential.questions import Question

Section = tuple[tuple[str, ...], ...]  # (owner, class, type, TTL, rdata), sorted, doubles kept
FLAGS = {"QR": 0x8000, "AA": 0x0400, "TC": 0x0200, "RD": 0x0100, "RA": 0x0080, "Z": 0x0040, "AD": 0x0020, "CD": 0x0010}


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `status` is an rcode's name, or what happened instead: silence, closed, garbage."""

    status: str
    size: int = 0
    flags: frozenset[str] = frozenset()
    question: str = ""
    answer: Section = ()
    authority: Section = ()
    additional: Section = ()
    opt: str = ""
    opt_size: int = 0
    options: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Mismatch:
    """A field in which two answers differ, with what each of them has."""

    field: str
    coredns: str
    fastdns: str

    def __str__(self) -> str:
        return f"    {self.field}:\n      coredns  {self.coredns}\n      fastdns  {self.fastdns}"


def ask(port: int, question: Question, *, timeout: float = 2.5) -> Answer:
    wire = question.wire()
    try:
        reply = _over_tcp(port, wire, timeout) if question.over_tcp else _over_udp(port, wire, timeout)
    except TimeoutError:
        return Answer("silence")
    except OSError as error:
        return Answer(f"closed ({type(error).__name__})")
    return _read(reply) if reply else Answer("closed")


def compare(coredns: Answer, fastdns: Answer, *, ttl_slack: int) -> Iterator[Mismatch]:
    """The fields that differ. A TTL may differ by `ttl_slack` (a cache counts down); an SOA's serial is each server's own."""
    for field in ("status", "question", "opt", "opt_size", "options"):
        if (ours := getattr(fastdns, field)) != (theirs := getattr(coredns, field)):
            yield Mismatch(field, str(theirs), str(ours))
    for flag in FLAGS:
        if (flag in coredns.flags) != (flag in fastdns.flags):
            yield Mismatch(f"flag {flag}", str(int(flag in coredns.flags)), str(int(flag in fastdns.flags)))
    if "TC" in coredns.flags and "TC" in fastdns.flags:
        return  # which records were left out is by chance even between two CoreDNSes
    for field in ("answer", "authority", "additional"):
        yield from _compare_section(field, getattr(coredns, field), getattr(fastdns, field), ttl_slack)


def _compare_section(field: str, coredns: Section, fastdns: Section, ttl_slack: int) -> Iterator[Mismatch]:
    theirs, ours = collections.Counter(_without_ttls(coredns)), collections.Counter(_without_ttls(fastdns))
    if theirs != ours and sorted(_lowered(coredns)) == sorted(_lowered(fastdns)):
        field = f"{field} spelling"
    if theirs != ours:
        yield Mismatch(field, _text(theirs - ours) or "has no other", _text(ours - theirs) or "has no other")
        return
    for record, other in zip(coredns, fastdns, strict=True):
        if abs(int(record[3]) - int(other[3])) > ttl_slack:
            yield Mismatch(f"{field} TTL", " ".join(record), " ".join(other))
            return


def _without_ttls(section: Section) -> list[tuple[str, ...]]:
    return [(*record[:3], *record[4:]) for record in section]


def _lowered(section: Section) -> list[tuple[str, ...]]:
    return [tuple(part.lower() for part in record) for record in _without_ttls(section)]


def _text(records: collections.Counter[tuple[str, ...]]) -> str:
    return " | ".join(" ".join(record) for record in sorted(records.elements()))


# --- one answer -------------------------------------------------------------------------------------------------------


def _over_udp(port: int, wire: bytes, timeout: float) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(timeout)
        client.connect(("127.0.0.1", port))
        client.send(wire)
        while True:
            reply = client.recv(65535)
            if reply[:2] == wire[:2]:
                return reply


def _over_tcp(port: int, wire: bytes, timeout: float) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as client:
        client.sendall(struct.pack("!H", len(wire)) + wire)
        with client.makefile("rb") as stream:
            prefix = stream.read(2)
            return stream.read(struct.unpack("!H", prefix)[0]) if len(prefix) == 2 else b""


def _read(reply: bytes) -> Answer:
    try:
        message = dns.message.from_wire(reply, one_rr_per_rrset=True, ignore_trailing=False)
    except dns.exception.DNSException as error:
        return Answer(f"garbage ({type(error).__name__}: {error})", size=len(reply))
    questions = [f"{rrset.name.to_text()} {_class(rrset.rdclass)} {_type(rrset.rdtype)}" for rrset in message.question]
    return Answer(
        status=dns.rcode.to_text(message.rcode()),
        size=len(reply),
        flags=frozenset(flag for flag, bit in FLAGS.items() if message.flags & bit),
        question=", ".join(questions),
        answer=_section(message, message.answer),
        authority=_section(message, message.authority),
        additional=_section(message, message.additional),
        opt=_opt(message),
        opt_size=message.payload if message.edns >= 0 else 0,
        options="; ".join(f"option {int(option.otype)}: {option.to_text()}" for option in message.options),
    )


def _section(message: dns.message.Message, rrsets: list[dns.rrset.RRset]) -> Section:
    records = []
    for rrset in rrsets:
        for rdata in rrset:
            text = rdata.to_text(origin=None, relativize=False)
            if rrset.rdtype == dns.rdatatype.SOA:
                fields = text.split()
                text = " ".join(
                    [*fields[:2], "SERIAL" if text.lower().startswith("ns.dns.") else fields[2], *fields[3:]]
                )
            if text.startswith("0 0 ") and text.endswith(" ."):
                text = "0 0 CLIENT ."  # whoami tells the client's port, and each server has its own client
            records.append((rrset.name.to_text(), _class(rrset.rdclass), _type(rrset.rdtype), str(rrset.ttl), text))
    return tuple(sorted(records, key=lambda record: (*record[:3], record[4], int(record[3]))))


def _opt(message: dns.message.Message) -> str:
    return f"version {message.edns} flags {message.ednsflags & 0xFFFF:#06x}" if message.edns >= 0 else "none"


def _class(number: int) -> str:
    return dns.rdataclass.to_text(dns.rdataclass.RdataClass.make(number))


def _type(number: int) -> str:
    return dns.rdatatype.to_text(dns.rdatatype.RdataType.make(number))
