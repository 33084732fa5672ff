import dnslib
import pytest

from fastdns.dns import constants, messages


def test_query() -> None:
    query = dnslib.DNSRecord.parse(messages.encode_query("Example.org", constants.Type.AAAA, message_id=7))
    assert (query.header.id, query.header.rd, query.q.qtype, str(query.q.qname)) == (7, 1, 28, "Example.org.")


def test_addresses() -> None:
    reply = dnslib.DNSRecord(dnslib.DNSHeader(id=7, qr=1), q=dnslib.DNSQuestion("a.example"))
    reply.add_answer(*dnslib.RR.fromZone("a.example 5 CNAME b.example\nb.example 5 A 192.0.2.1\nb.example 5 AAAA ::1"))
    assert messages.read_addresses(reply.pack(), message_id=7) == ("192.0.2.1", "::1")


@pytest.mark.parametrize("wire", [b"", b"\0" * 12, b"\0\x07\x81\x80\0\1\0\1\0\0\0\0"])
def test_no_answer(wire: bytes) -> None:
    with pytest.raises(OSError, match="answer"):
        messages.read_addresses(wire, message_id=7)


def test_a_query_of_another_class() -> None:
    wire = messages.encode_query("hits.bind.", constants.Type.TXT, message_id=7, qclass=constants.Class.CH)
    assert wire[-4:] == b"\0\x10\0\3"


def test_a_reply_has_the_strings_of_its_texts() -> None:
    reply = dnslib.DNSRecord(dnslib.DNSHeader(id=7, qr=1), q=dnslib.DNSQuestion("a.example"))
    reply.add_answer(*dnslib.RR.fromZone('a.example 5 TXT "one" "two"\na.example 5 A 192.0.2.1'))
    found = messages.read_reply(reply.pack(), message_id=7)
    assert (found.answers, found.texts) == (2, ((b"one", b"two"), None))


def test_a_text_that_is_none_in_a_record_is_a_malformed_answer() -> None:
    reply = dnslib.DNSRecord(dnslib.DNSHeader(id=7, qr=1), q=dnslib.DNSQuestion("a.example"))
    reply.add_answer(*dnslib.RR.fromZone('a.example 5 CAA 0 issue "x"'))
    with pytest.raises(OSError, match=r"^a malformed answer"):
        messages.read_reply(reply.pack().replace(b"issue", b"\xff\xfe\xff\xfe\xff"), message_id=7)
