"""A server block without `bind` listens on every address, IPv4 and IPv6: a late answer leaves by the socket it came in by."""

from __future__ import annotations

import pathlib
import socket
from collections.abc import Iterator

import dns.message
import dns.query
import pytest

from tests.peers.process import wait_until
from tests.peers.servers import Fastdns

COREFILE = """.:{$PORT} {
    forward . 127.0.0.1:{$HEALTH}
    log . "{proto} {name} from {remote} port {port} to {local}"
}
.:{$HEALTH} {
    bind 127.0.0.1
    hosts {
        192.0.2.7 far.example.org
    }
}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fastdns]:
    folder: pathlib.Path = tmp_path_factory.mktemp("wildcard")
    with Fastdns(folder=folder, corefile=COREFILE, env={}, workers=2, waits_for_ready=False) as running:
        yield running


def addresses() -> list[str]:
    """127.0.0.2 too: an answer from another address than was asked is not taken by the client."""
    return ["127.0.0.1", "127.0.0.2", *(["::1"] if socket.has_ipv6 and _has_ipv6_loopback() else [])]


def _has_ipv6_loopback() -> bool:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


@pytest.mark.parametrize("address", addresses())
def test_forwarded_answer_comes_back(server: Fastdns, address: str) -> None:
    for _ in range(8):  # both workers get some
        query = dns.message.make_query("far.example.org", "A")
        answer = dns.query.udp(query, address, port=server.port, timeout=5)
        assert [record.address for rrset in answer.answer for record in rrset] == ["192.0.2.7"]


@pytest.mark.parametrize("address", addresses())
def test_addresses_of_a_connection_are_told(server: Fastdns, address: str) -> None:
    """The server's own too, which a socket for every address learns from each connection."""
    name = f"x{address.replace('.', '-').replace(':', '-')}.example.org."
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(5)
        client.connect((address, server.port))
        source, port = client.getsockname()[:2]
        dns.query.tcp(dns.message.make_query(name, "A"), address, sock=client, timeout=5)
    left, right = "[]" if ":" in address else ("", "")
    line = f"tcp {name} from {left}{source}{right} port {port} to {left}{address}{right}"
    wait_until(lambda: line in server.log(), what=line)
