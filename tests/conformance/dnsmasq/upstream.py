"""An upstream with a small zone that keeps count of what it is asked."""

from __future__ import annotations

import dataclasses
import socket
import threading
from typing import Self

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from tests.peers.process import free_port

SOA = "example.com. 300 IN SOA ns.example.com. host.example.com. 1 2 3 4 60"


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """What is said to a question: records of the answer (`@` is the name asked), and of the authority section."""

    answer: tuple[str, ...] = ()
    authority: tuple[str, ...] = ()
    rcode: str = "NOERROR"
    flags: int = 0
    is_dropped: bool = False


def _records(*lines: str) -> Reply:
    return Reply(answer=lines)


DENIED = Reply(rcode="NXDOMAIN", authority=(SOA,))
ZONE = {
    "www.example.com. A": _records("@ 300 IN A 192.0.2.53"),
    "www.example.com. AAAA": _records("@ 300 IN AAAA 2001:db8::53"),
    "short.example.com. A": _records("@ 2 IN A 192.0.2.2"),
    "zero.example.com. A": _records("@ 0 IN A 192.0.2.3"),
    "long.example.com. A": _records("@ 86400 IN A 192.0.2.4"),
    "alias.example.com. A": _records("@ 200 IN CNAME www.example.com.", "www.example.com. 300 IN A 192.0.2.53"),
    "twice.example.com. A": _records(
        "@ 200 IN CNAME alias.example.com.",
        "alias.example.com. 200 IN CNAME www.example.com.",
        "www.example.com. 300 IN A 192.0.2.53",
    ),
    "lost.example.com. A": Reply(answer=("@ 200 IN CNAME none.example.com.",), authority=(SOA,), rcode="NXDOMAIN"),
    "txt.example.com. TXT": _records('@ 300 IN TXT "hello"'),
    "mail.example.com. MX": _records("@ 300 IN MX 10 mx.example.com."),
    "_s._tcp.example.com. SRV": _records("@ 300 IN SRV 1 2 3 target.example.com."),
    "nodata.example.com. *": Reply(authority=(SOA,)),
    "nosoa.example.com. *": Reply(rcode="NXDOMAIN"),
    "empty.example.com. *": Reply(),
    "broken.example.com. *": Reply(rcode="SERVFAIL"),
    "refused.example.com. *": Reply(rcode="REFUSED"),
    "validated.example.com. A": Reply(answer=("@ 300 IN A 192.0.2.7",), flags=dns.flags.AD),
    "authority.example.com. A": Reply(answer=("@ 300 IN A 192.0.2.7",), flags=dns.flags.AA),
    "many.example.com. A": _records(*(f"@ 300 IN A 192.0.2.{number}" for number in range(1, 6))),
    "big.example.com. A": _records(*(f"@ 300 IN A 10.0.{number}.1" for number in range(60))),
    "wide.example.com. A": _records(*(f"@ 300 IN A 10.0.{number}.1" for number in range(60))),
    "huge.example.com. A": _records(*(f"@ 300 IN A 10.0.{number}.1" for number in range(200))),
    "private.example.com. A": _records("@ 300 IN A 10.1.2.3"),
    "public.example.com. A": _records("@ 300 IN A 9.9.9.9"),
    "loopback.example.com. A": _records("@ 300 IN A 127.0.0.1"),
    "null.example.com. A": _records("@ 300 IN A 0.0.0.0"),
    "mapped.example.com. AAAA": _records("@ 300 IN AAAA ::ffff:10.0.0.1"),
    "unique.example.com. AAAA": _records("@ 300 IN AAAA fd00::1"),
    "bogus.example.com. A": _records("@ 300 IN A 198.51.100.9"),
    "1.2.0.192.in-addr.arpa. PTR": _records("@ 300 IN PTR ptr.example.com."),
    "5.0.0.10.in-addr.arpa. PTR": _records("@ 300 IN PTR ten.example.com."),
    "plain. A": _records("@ 300 IN A 192.0.2.99"),
    "host.lan. A": _records("@ 300 IN A 192.0.2.98"),
    "*": DENIED,
}
SECOND = {"*": _records("@ 300 IN A 192.0.2.222")}
REFUSING = {"*": Reply(rcode="REFUSED")}
SILENT = {"*": Reply(is_dropped=True)}


class Upstream:
    """A DNS server over UDP and TCP in threads of this process."""

    def __init__(self, zone: dict[str, Reply]) -> None:
        self._zone = zone
        self._lock = threading.Lock()
        self._asked: list[str] = []
        self._is_closed = False
        self.port = free_port()
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", self.port))
        self._tcp = socket.create_server(("127.0.0.1", self.port))
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._serve_udp, self._serve_tcp)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_closed = True
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", ("127.0.0.1", self.port))
        socket.create_connection(("127.0.0.1", self.port)).close()
        for thread in self._threads:
            thread.join(5)
        self._udp.close()
        self._tcp.close()

    def take(self) -> list[str]:
        """The types that were asked for since the last call, in their order."""
        with self._lock:
            asked, self._asked = self._asked, []
        return asked

    def _serve_udp(self) -> None:
        while not self._is_closed:
            wire, peer = self._udp.recvfrom(65535)
            reply = self._answer(wire, is_stream=False)
            if reply:
                self._udp.sendto(reply, peer)

    def _serve_tcp(self) -> None:
        while not self._is_closed:
            connection, _ = self._tcp.accept()
            with connection, connection.makefile("rb") as stream:
                connection.settimeout(5)
                try:
                    while size := int.from_bytes(stream.read(2), "big"):
                        reply = self._answer(stream.read(size), is_stream=True)
                        connection.sendall(len(reply).to_bytes(2, "big") + reply)
                except OSError:
                    continue

    def _answer(self, wire: bytes, *, is_stream: bool) -> bytes:
        try:
            query = dns.message.from_wire(wire, ignore_trailing=True)
        except dns.exception.DNSException:
            return b""
        name = query.question[0].name.to_text()
        rdtype = dns.rdatatype.to_text(query.question[0].rdtype)
        with self._lock:
            self._asked.append(rdtype)
        found = (self._zone.get(f"{name.lower()} {key}") for key in (rdtype, "*"))
        said = next((reply for reply in found if reply is not None), self._zone["*"])
        if said.is_dropped:
            return b""
        return self._encode(query, name, said, is_stream=is_stream)

    def _encode(self, query: dns.message.Message, name: str, said: Reply, *, is_stream: bool) -> bytes:
        reply = dns.message.make_response(query, recursion_available=True)
        reply.set_rcode(dns.rcode.from_text(said.rcode))
        reply.flags |= said.flags
        for lines, section in ((said.answer, reply.answer), (said.authority, reply.authority)):
            for line in lines:
                owner, ttl, rdclass, rdtype, data = line.replace("@", name, 1).split(" ", 4)
                section.append(dns.rrset.from_text(owner, int(ttl), rdclass, rdtype, data))
        wire = reply.to_wire(max_size=65535)
        if is_stream or len(wire) <= max(512, query.payload if query.edns >= 0 else 0):
            return wire
        reply.flags |= dns.flags.TC
        reply.answer = []
        return reply.to_wire()
