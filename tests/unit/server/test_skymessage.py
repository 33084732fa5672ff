"""Messages of kube-dns's rare answers: compression, and what is left out when they don't fit."""

from __future__ import annotations

import dns.flags
import dns.message
import pytest

from fastdns.dns import names
from fastdns.server import skymessage
from fastdns.server.skymessage import Message, Record

NAME = names.to_wire("_http._tcp.*.ns.svc.cluster.local.")
HEAD = bytes(12) + NAME + b"\0\x21\0\1"
TARGET = names.to_wire("web.ns.svc.cluster.local.")


def srv(port: int) -> Record:
    return Record(NAME, skymessage.SRV, 30, b"\0\x0a\0\x64" + port.to_bytes(2, "big") + TARGET)


def read(message: Message, limit: int = 65535) -> dns.message.Message:
    wire = skymessage.encode(HEAD, message, limit=limit)
    assert len(wire) < limit
    return dns.message.from_wire(wire)


def test_records_are_read_as_they_were_given() -> None:
    message = read(Message(0x0480, [srv(80)], additional=[Record(TARGET, skymessage.A, 30, bytes((10, 0, 0, 1)))]))
    assert str(message.answer[0][0]) == "10 100 80 web.ns.svc.cluster.local."
    assert [str(one) for one in message.additional[0]] == ["10.0.0.1"]
    assert message.flags == dns.flags.QR | dns.flags.AA | dns.flags.RA


def test_owner_that_stood_before_is_a_pointer() -> None:
    address = Record(TARGET, skymessage.A, 30, bytes(4))
    one = skymessage.encode(HEAD, Message(0, [srv(80)]), limit=65535)
    two = skymessage.encode(HEAD, Message(0, [srv(80)], additional=[address]), limit=65535)
    assert len(two) - len(one) == skymessage.RECORD_MIN


def test_cname_is_compressed_and_srv_is_not() -> None:
    cname = Record(NAME, skymessage.CNAME, 30, TARGET)
    message = skymessage.encode(HEAD, Message(0, [cname, srv(80)]), limit=65535)
    assert message.count(TARGET) == 1
    assert str(dns.message.from_wire(message).answer[0][0]) == "web.ns.svc.cluster.local."


def test_additional_section_goes_first() -> None:
    whole = Message(0, [srv(at) for at in range(5)], additional=[Record(TARGET, skymessage.A, 30, bytes(4))] * 20)
    message = read(whole, limit=512)
    assert len(message.answer[0]) == 5
    assert not message.additional
    assert not message.flags & dns.flags.TC


@pytest.mark.parametrize("count", [12, 100, 5000])
def test_as_many_answers_are_kept_as_fit(count: int) -> None:
    message = read(Message(0, [srv(at) for at in range(count)]), limit=512)
    assert message.flags & dns.flags.TC
    size = len(NAME) + 16 + sum(18 + len(TARGET) for _ in message.answer[0])
    assert size < 512 <= size + 18 + len(TARGET)


def test_more_records_than_a_message_takes_are_not_tried() -> None:
    answer = [Record(NAME, skymessage.A, 30, at.to_bytes(4, "big")) for at in range(100_000)]
    assert len(read(Message(0, answer)).answer[0]) == (65535 - len(HEAD)) // 16
