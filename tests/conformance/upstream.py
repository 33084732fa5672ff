"""An upstream that answers from a few lines, over UDP and TCP, and remembers what it was asked."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Mapping
from typing import Any, Self

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from tests.peers.process import free_port

DENIAL = "NXDOMAIN\n! example.org. 60 IN SOA ns.example.org. host.example.org. 1 2 3 4 60"


class _UdpServer(socketserver.ThreadingUDPServer):
    daemon_threads = True


class _TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


class Upstream:
    """`zone` has for `NAME TYPE` (or `*`) a text: an rcode, perhaps flags, then records, authority after `! `."""

    def __init__(self, zone: Mapping[str, str]) -> None:
        self.zone = dict(zone)
        self.asked: list[str] = []
        self.port = free_port()
        self._udp = _UdpServer(("127.0.0.1", self.port), self._handler(is_stream=False))
        self._tcp = _TcpServer(("127.0.0.1", self.port), self._handler(is_stream=True))

    def __enter__(self) -> Self:
        for server in (self._udp, self._tcp):
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in (self._udp, self._tcp):
            server.shutdown()
            server.server_close()

    def take(self) -> list[str]:
        """What was asked since the last call."""
        asked, self.asked = self.asked, []
        return asked

    def _handler(self, *, is_stream: bool) -> Any:
        upstream = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                if not is_stream:
                    octets, one = self.request
                    one.sendto(upstream.answer(octets, "udp"), self.client_address)
                    return
                while head := self.request.recv(2, 0x100):  # MSG_WAITALL
                    octets = upstream.answer(self.request.recv(int.from_bytes(head, "big"), 0x100), "tcp")
                    self.request.sendall(len(octets).to_bytes(2, "big") + octets)

        return Handler

    def answer(self, wire: bytes, transport: str) -> bytes:
        query = dns.message.from_wire(wire)
        name, rtype = str(query.question[0].name).lower(), dns.rdatatype.to_text(query.question[0].rdtype)
        self.asked.append(f"{name} {rtype} {transport}")
        text = self.zone.get(f"{name} {rtype}") or self.zone.get(f"{name} *") or self.zone.get("*", DENIAL)
        head, *records = text.split("\n")
        rcode, *flags = head.split()
        reply = dns.message.make_response(query, recursion_available=True)
        reply.set_rcode(dns.rcode.from_text(rcode))
        for flag in flags:
            reply.flags |= dns.flags.from_text(flag)
        for line in records:
            section = reply.authority if line.startswith("! ") else reply.answer
            owner, ttl, rclass, kind, data = line.removeprefix("! ").split(" ", 4)
            section.append(dns.rrset.from_text(owner, int(ttl), rclass, kind, data))
        return reply.to_wire()
