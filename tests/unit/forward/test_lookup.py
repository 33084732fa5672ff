import socket
import threading
from collections.abc import Iterator

import dnslib
import pytest

from fastdns.forward import lookup


@pytest.fixture
def resolver() -> Iterator[tuple[str, int]]:
    """A server that knows dns.example: two addresses, one of each family."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            datagram, client = server.recvfrom(512)
            if not datagram:
                return
            query = dnslib.DNSRecord.parse(datagram)
            reply = query.reply()
            if str(query.q.qname) == "dns.example.":
                address = {1: "A 192.0.2.1", 28: "AAAA 2001:db8::1"}[query.q.qtype]
                reply.add_answer(*dnslib.RR.fromZone(f"dns.example. 5 {address}"))
            server.sendto(reply.pack(), client)

    thread = threading.Thread(target=serve)
    thread.start()
    yield server.getsockname()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ending:
        ending.sendto(b"", server.getsockname())
    thread.join()
    server.close()


def test_both_families(resolver: tuple[str, int]) -> None:
    assert lookup.addresses("dns.example", [resolver]) == ("192.0.2.1", "2001:db8::1")


def test_next_resolver_is_asked(resolver: tuple[str, int]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = closed.getsockname()
    assert lookup.addresses("dns.example", [nobody, resolver]) == ("192.0.2.1", "2001:db8::1")


def test_unknown_name(resolver: tuple[str, int]) -> None:
    with pytest.raises(OSError, match=r'no addresses found for "other\.example"'):
        lookup.addresses("other.example", [resolver])


def test_machine_resolver() -> None:
    assert "127.0.0.1" in lookup.addresses("localhost", [])
