"""Messages taken apart and put together; records from text."""

import contextlib
import struct

import dns.message
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastdns.dns import messages, names, records

RECORDS = [
    "www.example.org. 30 IN CNAME y.example.org.",
    "y.example.org. 60 IN A 192.0.2.1",
    "example.org. 1 IN MX 10 mail.example.org.",
    "example.org. 1 IN SOA ns.example.org. h.example.org. 1 2 3 4 5",
    "_x._tcp.example.org. 1 IN SRV 1 2 3 t.example.org.",
    'example.org. 1 IN TXT "some text"',
    "example.org. 1 IN NS ns.example.org.",
    "1.2.0.192.in-addr.arpa. 1 IN PTR www.example.org.",
]


def make_message() -> dns.message.Message:
    message = dns.message.make_response(dns.message.make_query("WWW.example.org", "A", use_edns=True))
    for text in RECORDS:
        owner, ttl, rclass, rtype, data = text.split(maxsplit=4)
        message.answer.append(dns.rrset.from_text(owner, int(ttl), rclass, rtype, data))
    return message


def test_a_message_is_what_it_was() -> None:
    whole = records.read_message(make_message().to_wire())
    written = dns.message.from_wire(records.write_message(whole))
    assert [rrset.to_text().lower() for rrset in written.answer] == [text.lower() for text in RECORDS]
    assert written.edns == -1
    assert written.question == make_message().question
    assert len(records.write_message(whole)) < len(b"".join(record.owner for record in whole.answer)) + 400


def test_where_names_lead() -> None:
    targets = {}
    for record in records.read_message(make_message().to_wire()).answer:
        at = record.name_at()
        if at is not None:
            targets[record.rtype] = names.from_wire(record.data[at : records.skip_name(record.data, at)]).lower()
    assert targets == {5: "y.example.org.", 15: "mail.example.org.", 6: "ns.example.org.", 33: "t.example.org.",
                       2: "ns.example.org.", 12: "www.example.org."}  # fmt: skip


@given(st.data())
def test_broken_messages(data: st.DataObject) -> None:
    wire = bytearray(make_message().to_wire())
    for _ in range(data.draw(st.integers(1, 4))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    del wire[data.draw(st.integers(0, len(wire))) :]
    with contextlib.suppress(ValueError, IndexError, struct.error):
        records.read_message(bytes(wire))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.test. 60 IN A 192.0.2.1", "a.test. 60 IN A 192.0.2.1"),
        ("a.test A 192.0.2.1", "a.test. 3600 IN A 192.0.2.1"),
        ("a.test. IN 1h30m AAAA ::1", "a.test. 5400 IN AAAA ::1"),
        (
            "a.test. 60 IN SOA ns.a.test. h.a.test. ( 1 60 61 62 63 )",
            "a.test. 60 IN SOA ns.a.test. h.a.test. 1 60 61 62 63",
        ),
        ('a.test. 60 IN TXT "(a b" c', 'a.test. 60 IN TXT "(a b" "c"'),
        ("a.test. 60 CH TXT c", 'a.test. 60 CH TXT "c"'),
        ("a.test. 60 IN SRV 1 2 3 t.test.", "a.test. 60 IN SRV 1 2 3 t.test."),
    ],
)
def test_records_from_text(text: str, expected: str) -> None:
    message = dns.message.make_response(dns.message.make_query("a.test", "A"))
    whole = records.read_message(message.to_wire())
    wire = records.write_message(
        records.Message(whole.ident, whole.flags, whole.question, (messages.read_record(text),))
    )
    assert dns.message.from_wire(wire).answer[0].to_text() == expected


@pytest.mark.parametrize(
    "text", ["", "a.test.", "a.test. 60 IN", "a.test. 60 IN A 192.0.2.300", "a.test. 60 IN A", "a..b A 192.0.2.1"]
)
def test_no_records(text: str) -> None:
    with pytest.raises(ValueError, match="no record"):
        messages.read_record(text)
