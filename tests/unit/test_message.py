import struct

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastdns import _message
from fastdns._message import ReplyKind, ReplyStatus, StoredReply

NAME = "www.example.org."


def ask(name: str = NAME, rdtype: str = "A", **options: object) -> dns.message.QueryMessage:
    return dns.message.make_query(name, rdtype, **options)  # type: ignore[arg-type]


def reply_to(
    query: dns.message.Message, answer: str = "", authority: str = "", additional: str = "", rcode: int = 0
) -> dns.message.Message:
    """A reply with the records of three zone texts."""
    reply = dns.message.make_response(query, recursion_available=True)
    reply.set_rcode(dns.rcode.Rcode(rcode))
    for section, text in ((reply.answer, answer), (reply.authority, authority), (reply.additional, additional)):
        for line in filter(None, map(str.strip, text.splitlines())):
            owner, ttl, rdclass, rdtype, *rdata = line.split(None, 4)
            section.append(dns.rrset.from_text(owner, int(ttl), rdclass, rdtype, *rdata))
    return reply


def read(message: dns.message.Message | bytes, name: str = NAME, rdtype: int = 1, **options: int) -> StoredReply:
    wire = message if isinstance(message, bytes) else message.to_wire()
    return _message.normalise(wire, dns.name.from_text(name.lower()).to_wire() or b"", rdtype, 1, **options)


def render(stored: StoredReply, query: dns.message.Message, **options: object) -> dns.message.Message:
    wire = stored.render(query.to_wire(), **options)  # type: ignore[arg-type]
    return dns.message.from_wire(wire)


def records(section: list[dns.rrset.RRset]) -> list[str]:
    return sorted(f"{rrset.name} {rrset.ttl} {rrset.rdtype} {rdata}".lower() for rrset in section for rdata in rrset)


ADDRESSES = "\n".join(f"{NAME} 300 IN A 192.0.2.{last}" for last in range(1, 5))
CHAIN = f"{NAME} 300 IN CNAME web.example.net.\nweb.example.net. 60 IN A 192.0.2.1\nweb.example.net. 60 IN A 192.0.2.2"
SOA = "example.org. 900 IN SOA ns.example.org. root.example.org. 1 2 3 4 5"


def test_addresses_come_back() -> None:
    query = ask()
    reply = reply_to(query, ADDRESSES)
    stored = read(reply)
    assert stored.status is ReplyStatus.REPLY_OK
    assert (stored.kind, stored.counts, stored.min_ttl) == (ReplyKind.REPLY_SUCCESS, (4, 0, 0), 300)
    answer = render(stored, query)
    assert answer.id == query.id and answer.question == query.question
    assert records(answer.answer) == records(reply.answer)
    assert answer.flags & dns.flags.RA and answer.flags & dns.flags.RD


def test_chain_is_kept() -> None:
    stored = read(reply_to(ask(), CHAIN))
    assert (stored.kind, stored.counts, stored.min_ttl) == (ReplyKind.REPLY_SUCCESS, (3, 0, 0), 60)
    assert records(render(stored, ask()).answer) == records(reply_to(ask(), CHAIN).answer)
