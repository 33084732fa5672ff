import dns.flags
import dns.message
import dns.rrset
import pytest

from fastdns.server import chase, questions, whoami

CHAIN = dns.message.from_text(
    "id 7\nopcode QUERY\nrcode NOERROR\nflags QR AA RD\n;QUESTION\na.svc. IN A\n;ANSWER\na.svc. 5 IN CNAME x.example.org.\n"
).to_wire()


def make_answer(*records: str, rcode: str = "NOERROR") -> bytes:
    message = dns.message.from_text(
        f"id 9\nopcode QUERY\nrcode {rcode}\nflags QR\n;QUESTION\nx.example.org. IN A\n;ANSWER\n" + "\n".join(records)
    )
    return message.to_wire()


def merge(found: bytes) -> dns.message.Message:
    return dns.message.from_wire(chase.append_answer(CHAIN, found))


def test_answer_is_put_behind_the_cname() -> None:
    merged = merge(make_answer("x.example.org. 30 IN CNAME y.example.org.", "y.example.org. 60 IN A 192.0.2.1"))
    assert [rrset.to_text() for rrset in merged.answer] == [
        "a.svc. 5 IN CNAME x.example.org.",
        "x.example.org. 30 IN CNAME y.example.org.",
        "y.example.org. 60 IN A 192.0.2.1",
    ]
    assert merged.id == 7
    assert merged.flags & dns.flags.AA


@pytest.mark.parametrize(
    "record",
    [
        "x.example.org. 1 IN MX 10 mail.example.org.",
        "x.example.org. 1 IN SOA ns.example.org. h.example.org. 1 2 3 4 5",
        "x.example.org. 1 IN SRV 1 2 3 t.example.org.",
        'x.example.org. 1 IN TXT "some text"',
        "x.example.org. 1 IN AAAA 2001:db8::1",
    ],
)
def test_compressed_names_within_data_are_written_out(record: str) -> None:
    assert merge(make_answer(record)).answer[1].to_text() == record


def test_failure_leaves_the_cname_alone() -> None:
    alone = [rrset.to_text() for rrset in merge(b"").answer]
    assert len(alone) == 1
    for found in (make_answer("x.example.org. 1 IN A 192.0.2.1", rcode="NXDOMAIN"), b"\0" * 5, make_answer()):
        assert [rrset.to_text() for rrset in merge(found).answer] == alone


def test_broken_messages_leave_the_cname_alone() -> None:
    good = make_answer("x.example.org. 1 IN CNAME y.example.org.", "y.example.org. 1 IN A 192.0.2.1")
    for size in range(len(good)):
        assert len(merge(good[:size]).answer) == 1
    looped = good[:-16] + b"\xc0" + bytes([len(good) - 16]) + good[-14:]
    assert len(merge(looped).answer) == 1


class Query:
    wire = questions.make_query(b"\1w\0", 1, ident=3)
    is_stream = False
    remote = ("2001:db8::1", 4711)


def test_whoami_of_an_ipv6_client() -> None:
    message = dns.message.from_wire(whoami.describe(Query))  # type: ignore[arg-type]
    assert [rrset.to_text() for rrset in message.additional] == [
        "w. 0 IN AAAA 2001:db8::1",
        "_udp.w. 0 IN SRV 0 0 4711 .",
    ]
