"""Upstreams behind a router that says that they can't be reached: the next one is asked at once.

server 10.9.0.1 --- router 10.9.0.2, which has 198.51.100.0/24 as unreachable, as prohibited, or as a black hole
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Iterator

import pytest

from tests.peers.namespaces import Namespace, ask
from tests.peers.process import Process
from tests.peers.servers import ROOT

pytestmark = pytest.mark.peers("dig", "ip", "nsenter", "unshare")

# A reply is waited for longer than a question has at all: whoever waits for the first upstream never asks the second.
COREFILE = """.:53 {
    bind 127.0.0.1
    forward . 198.51.100.1 127.0.0.1:5301 {
        policy sequential
        read_timeout 30s
        max_fails 0
    }
}
.:5301 {
    bind 127.0.0.1
    hosts {
        192.0.2.7 web.example
    }
}
"""


@pytest.fixture
def places(tmp_path: pathlib.Path) -> Iterator[tuple[Namespace, Namespace]]:
    """Where the server is, and the router."""
    with Namespace("server", folder=tmp_path) as here, Namespace("router", folder=tmp_path, within=here) as router:
        here.connect(router, here="10.9.0.1/24", there="10.9.0.2/24")
        here.run("ip", "route", "add", "198.51.100.0/24", "via", "10.9.0.2")
        router.write("/proc/sys/net/ipv4/ip_forward", "1")
        (tmp_path / "Corefile").write_text(COREFILE)
        command = [sys.executable, "-m", "fastdns.cli.fastdns", "-conf", str(tmp_path / "Corefile"), "--workers", "1"]
        process = Process([*here.enter(), *command], log=tmp_path / "log", cwd=ROOT)
        try:
            process.wait_until(lambda: ask(here, "127.0.0.1", "web.example", "-p", "5301"), what="its first answer")
            yield here, router
        finally:
            process.stop()


@pytest.mark.parametrize(
    ("route", "answer"), [("unreachable", "192.0.2.7"), ("prohibit", "192.0.2.7"), ("blackhole", "")]
)
def test_next_upstream_is_asked_at_once(places: tuple[Namespace, Namespace], route: str, answer: str) -> None:
    """The black hole shows what would come without the router's word: SERVFAIL in the end, which has no address."""
    here, router = places
    router.run("ip", "route", "add", route, "198.51.100.0/24")
    assert ask(here, "127.0.0.1", "web.example", "+time=20") == answer
