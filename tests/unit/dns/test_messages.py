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
