"""Options of cache, loadbalance and forward through real processes: ours and CoreDNS before upstreams of the test's own."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import pathlib
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Iterator, Sequence

import dns.edns
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rrset
import pytest

from tests.peers import build
from tests.peers.process import Process, wait_until
from tests.peers.servers import CoreDns, DnsServer, Fastdns

COREFILE = """plain.test:{$PORT} {
    bind 127.0.0.1
    cache 30
    forward . 127.0.0.1:UPSTREAM
}
keep.test:{$PORT} {
    bind 127.0.0.1
    cache {
        success 100 30 1
        keepttl
    }
    forward . 127.0.0.1:UPSTREAM
}
nofail.test:{$PORT} {
    bind 127.0.0.1
    cache {
        servfail 0
    }
    forward . 127.0.0.1:UPSTREAM
}
nosuccess.test:{$PORT} {
    bind 127.0.0.1
    cache {
        disable success
    }
    forward . 127.0.0.1:UPSTREAM
}
nodenial.test:{$PORT} {
    bind 127.0.0.1
    cache {
        disable denial deep.nodenial.test
    }
    forward . 127.0.0.1:UPSTREAM
}
prefetch.test:{$PORT} {
    bind 127.0.0.1
    cache {
        success 100 30 1
        prefetch 2 1m 90%
    }
    forward . 127.0.0.1:UPSTREAM
}
immediate.test:{$PORT} {
    bind 127.0.0.1
    cache {
        success 100 30 1
        serve_stale 1h immediate 30s
    }
    forward . 127.0.0.1:UPSTREAM
}
verify.test:{$PORT} {
    bind 127.0.0.1
    cache {
        success 100 30 1
        serve_stale 1h verify 150ms 30s 30s
    }
    forward . 127.0.0.1:UPSTREAM
}
"""
NXDOMAIN_SOA = "test. 60 IN SOA ns.test. root.test. 1 2 3 4 60"


class Upstream:
    """Answers over UDP and TCP: an address whose last number tells how often the name was asked, or what its label says."""

    def __init__(self, *, address: str = "127.0.0.1", number: int | None = None) -> None:
        self.is_silent = False
        self.asked: collections.Counter[str] = collections.Counter()
        self.clients: list[str] = []
        self.questions: list[tuple[str, int]] = []
        self.connections = self.open = 0
        self.delay = 0.0
        self._number = number
        while True:
            self._stream = socketserver.ThreadingTCPServer((address, 0), self._handler())
            self._stream.daemon_threads = True
            self.port = self._stream.server_address[1]
            self._datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                self._datagrams.bind((address, self.port))
                break
            except OSError:
                self._datagrams.close()
                self._stream.server_close()
        self._threads = [
            threading.Thread(target=self._run, daemon=True),
            threading.Thread(target=self._stream.serve_forever, args=(0.05,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End the threads before their sockets: one would turn for ever, the other keep its port open."""
        with contextlib.suppress(OSError):  # it is not connected, but who waits is woken
            self._datagrams.shutdown(socket.SHUT_RDWR)
        self._stream.shutdown()
        for thread in self._threads:
            thread.join()
        self._datagrams.close()
        self._stream.server_close()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                wire, client = self._datagrams.recvfrom(4096)
                if not wire:
                    return
                answer = self._answer(wire, client[0])
                if answer:
                    self._datagrams.sendto(answer, client)

    def _handler(self) -> type[socketserver.BaseRequestHandler]:
        upstream = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                upstream.connections += 1
                upstream.open += 1
                with contextlib.suppress(OSError):
                    while size := self.rfile.read(2):
                        time.sleep(upstream.delay)
                        wire = self.rfile.read(struct.unpack(">H", size)[0])
                        answer = upstream._answer(wire, self.client_address[0])
                        self.wfile.write(struct.pack(">H", len(answer)) + answer)
                upstream.open -= 1

        return Handler

    def _answer(self, wire: bytes, client: str) -> bytes:
        query = dns.message.from_wire(wire)
        name = query.question[0].name.to_text().lower()
        self.asked[name] += 1
        self.clients.append(client)
        self.questions.append((name, int(query.flags)))
        return b"" if self.is_silent else self._reply(query, name)

    def _reply(self, query: dns.message.Message, name: str) -> bytes:
        reply = dns.message.make_response(query, recursion_available=True)
        reply.flags |= query.flags & dns.flags.CD
        kind, _, ttl = name.split(".")[0].partition("-")
        if kind == "servfail":
            reply.set_rcode(dns.rcode.SERVFAIL)
        elif kind == "nx":
            reply.set_rcode(dns.rcode.NXDOMAIN)
        if kind in ("nx", "nodata"):
            owner, life, *rest = NXDOMAIN_SOA.split()
            reply.authority.append(dns.rrset.from_text(owner, int(life), *rest[:2], " ".join(rest[2:])))
        elif kind != "servfail":
            reply.flags |= dns.flags.AA if kind == "aa" else 0
            number = self._number or self.asked[name]
            reply.answer.append(dns.rrset.from_text(name, int(ttl or 20), "IN", "A", f"192.0.2.{number}"))
        return reply.to_wire()


@pytest.fixture
def upstreams() -> Iterator[list[Upstream]]:
    made = [Upstream(number=1), Upstream(number=2)]
    yield made
    for upstream in made:
        upstream.close()


class Pair:
    """Ours and CoreDNS, with an upstream each."""

    def __init__(self, folder: pathlib.Path, stack: contextlib.ExitStack) -> None:
        self.places: list[tuple[DnsServer, Upstream]] = []
        kinds: list[tuple[str, type[CoreDns] | type[Fastdns], dict[str, object]]] = [
            ("fastdns", Fastdns, {"workers": 1}),
            ("coredns", CoreDns, {}),
        ]
        for name, kind, options in kinds:
            upstream = stack.enter_context(contextlib.closing(Upstream()))
            corefile = COREFILE.replace("UPSTREAM", str(upstream.port))
            server = kind(folder=folder / name, corefile=corefile, env={}, **options)  # type: ignore[arg-type]
            self.places.append((stack.enter_context(server), upstream))

    def silence(self, is_silent: bool) -> None:
        for _, upstream in self.places:
            upstream.is_silent = is_silent

    def ask(self, name: str, **options: object) -> list[Seen]:
        """What ours and CoreDNS answer, and how often their upstreams were asked for the name by now."""
        seen = []
        for server, upstream in self.places:
            answer = ask(server.port, name, **options)
            time.sleep(0.05)  # what is asked behind the answer
            seen.append(Seen(answer, upstream.asked[name + "."]))
        return seen


class Seen:
    def __init__(self, answer: dns.message.Message, asked: int) -> None:
        self.ttls = [rrset.ttl for rrset in (*answer.answer, *answer.authority)]
        addresses = sorted(record.to_text() for rrset in answer.answer for record in rrset)
        flags = dns.flags.to_text(answer.flags)
        self.facts = (dns.rcode.to_text(answer.rcode()), flags, addresses, asked)

    def is_like(self, other: Seen) -> bool:
        """True for the same answer, with TTLs at most a second apart (our cache counts whole seconds of the clock)."""
        return self.facts == other.facts and len(self.ttls) == len(other.ttls) and all(
            abs(left - right) <= 1 for left, right in zip(self.ttls, other.ttls, strict=True)
        )  # fmt: skip


def ask(port: int, name: str, **options: object) -> dns.message.Message:
    query = dns.message.make_query(name, "A", **options)  # type: ignore[arg-type]
    return dns.query.udp(query, "127.0.0.1", port=port, timeout=6)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    if build.missing(["coredns"]):
        pytest.skip("no CoreDNS to compare with: make peers")
    with contextlib.ExitStack() as stack:
        yield Pair(tmp_path_factory.mktemp("options"), stack)


DO: dict[str, object] = {"want_dnssec": True}
CHECKING_DISABLED: dict[str, object] = {"flags": dns.flags.RD | dns.flags.CD}
# Questions and pauses, one after the other.
Steps = list["str | float | tuple[str, dict[str, object]]"]


@pytest.mark.parametrize(
    "steps",
    [
        ["a.plain.test", "a.plain.test", 1.2, "a.plain.test"],
        ["a-1.plain.test", "a-1.plain.test", "a-300.plain.test", "a-300.plain.test"],
        ["do.plain.test", ("do.plain.test", DO), "do.plain.test", ("do.plain.test", DO)],
        ["cd.plain.test", ("cd.plain.test", CHECKING_DISABLED), "cd.plain.test"],
        ["nx.plain.test", "nx.plain.test", "nodata.plain.test", "nodata.plain.test"],
        ["a-20.keep.test", 1.2, "a-20.keep.test"],
        ["servfail.plain.test", "servfail.plain.test", 5.2, "servfail.plain.test"],
        ["servfail.nofail.test", "servfail.nofail.test"],
        ["a-300.nosuccess.test", "a-300.nosuccess.test", "nx.nosuccess.test", "nx.nosuccess.test"],
        ["nx.deep.nodenial.test", "nx.deep.nodenial.test", "nx.nodenial.test", "nx.nodenial.test"],
        ["a-5.prefetch.test", "a-5.prefetch.test", 1.6, "a-5.prefetch.test", "a-5.prefetch.test"],
        ["a-5.immediate.test", 6.2, "a-5.immediate.test", "a-5.immediate.test"],
        ["a-5.verify.test", 6.2, "a-5.verify.test", "a-5.verify.test"],
    ],
    ids=lambda steps: str(steps[0]),
)
def test_cache_is_as_coredns_s(pair: Pair, steps: Steps) -> None:
    for number, step in enumerate(steps):
        if isinstance(step, float):
            time.sleep(step)
            continue
        name, options = (step, {}) if isinstance(step, str) else step
        ours, theirs = pair.ask(name, **options)
        assert ours.is_like(theirs), (number, ours.facts, ours.ttls, theirs.facts, theirs.ttls)


def test_answer_of_the_cache_is_not_authoritative(pair: Pair) -> None:
    """CoreDNS leaves AA as the upstream had it. RFC 1035 section 4.1.1: who answers from a cache is no authority."""
    assert [seen.facts[1] for seen in pair.ask("aa.plain.test")] == ["QR AA RD RA"] * 2
    assert [seen.facts[1] for seen in pair.ask("aa.plain.test")] == ["QR RD RA", "QR AA RD RA"]


@pytest.mark.parametrize("name", ["a-1.dead.immediate.test", "a-1.dead.verify.test"])
def test_dead_upstream_leaves_the_stale_answer(pair: Pair, name: str) -> None:
    pair.ask(name)
    time.sleep(2.2)
    pair.silence(True)
    try:
        for server, _ in pair.places:
            taken = []
            for _ in range(3):
                started = time.monotonic()
                answer = ask(server.port, name, use_edns=0)
                taken.append(time.monotonic() - started)
                assert [(rrset.ttl, rrset[0].to_text()) for rrset in answer.answer] == [(30, "192.0.2.1")]
            assert min(taken) < 0.4, taken  # a busy machine delays some
    finally:
        pair.silence(False)


def test_verify_ends_in_time_while_a_worker_is_idle(pair: Pair) -> None:
    server, upstream = pair.places[0]
    names = [f"a-1.idle{number}.verify.test" for number in range(3)]
    for name in names:
        ask(server.port, name)
    time.sleep(2.2)
    upstream.is_silent = True
    taken = []
    try:
        for name in names:
            started = time.monotonic()
            answer = ask(server.port, name, use_edns=0)
            taken.append(time.monotonic() - started)
            assert [int(option.code) for option in answer.options if isinstance(option, dns.edns.EDEOption)] == [3]
    finally:
        upstream.is_silent = False
    assert 0.14 < min(taken) < 0.25, taken


# --- loadbalance --------------------------------------------------------------------------------------------------------

WEIGHTED = """.:{$PORT} {
    bind 127.0.0.1
    loadbalance weighted FOLDER/weights {
        reload 1s
    }
    hosts FOLDER/hosts
}
"""


def firsts(server: Fastdns, count: int = 60) -> collections.Counter[str]:
    return collections.Counter(ask(server.port, "www.test").answer[0][0].to_text() for _ in range(count))


def test_weights_come_late_and_change(tmp_path: pathlib.Path) -> None:
    (tmp_path / "hosts").write_text("192.0.2.1 www.test\n192.0.2.2 www.test\n")
    weights = tmp_path / "weights"
    with Fastdns(folder=tmp_path / "server", corefile=WEIGHTED.replace("FOLDER", str(tmp_path)), env={}) as server:
        wait_until(lambda: "Will try again in 1s" in server.log(), timeout=5, what="the warning")
        weights.write_text("www.test\n192.0.2.2 255\n")
        wait_until(lambda: firsts(server)["192.0.2.2"] > 55, timeout=5, what="the weights")
        weights.write_text("www.test\n192.0.2.1 nonsense\n")
        wait_until(lambda: f"{weights}:2 - Error in weight file" in server.log(), timeout=5, what="the error")
        assert firsts(server)["192.0.2.2"] > 55
        weights.write_text("www.test\n192.0.2.1 255\n")
        wait_until(lambda: firsts(server)["192.0.2.1"] > 55, timeout=5, what="the other weights")


def test_weights_that_make_no_sense_are_no_start(tmp_path: pathlib.Path) -> None:
    import sys

    (tmp_path / "weights").write_text("www.test\n192.0.2.2\n")
    (tmp_path / "Corefile").write_text(f".:0 {{\n loadbalance weighted {tmp_path}/weights\n whoami\n}}\n")
    process = Process(
        [sys.executable, "-m", "fastdns", "-conf", str(tmp_path / "Corefile")], log=tmp_path / "log"
    )  # fmt: skip
    assert process.wait(10) == 1
    assert f"{tmp_path}/weights:2 - Error in weight file" in process.log()


# --- forward ------------------------------------------------------------------------------------------------------------

FORWARD = """.:{$PORT} {
    bind 127.0.0.1
    forward . UPSTREAMS {
        policy sequential
        OPTIONS
    }
}
"""


@contextlib.contextmanager
def forwarding(folder: pathlib.Path, to: Sequence[Upstream | int], *options: str, more: str = "") -> Iterator[Fastdns]:
    ports = [one if isinstance(one, int) else one.port for one in to]
    corefile = FORWARD.replace("UPSTREAMS", " ".join(f"127.0.0.1:{port}" for port in ports))
    corefile = corefile.replace("OPTIONS", "\n        ".join(options)).replace("    }\n}", f"    }}\n{more}}}")
    with Fastdns(folder=folder / "server", corefile=corefile, env={}, workers=1) as server:
        yield server


def ask_tcp(server: Fastdns, name: str) -> dns.message.Message:
    return dns.query.tcp(dns.message.make_query(name, "A"), "127.0.0.1", port=server.port, timeout=6)


def address_of(answer: dns.message.Message) -> str:
    return str(answer.answer[0][0].to_text())


@pytest.mark.parametrize("options", [(), ("force_tcp",)])
def test_source_address(tmp_path: pathlib.Path, upstreams: list[Upstream], options: tuple[str, ...]) -> None:
    with forwarding(tmp_path, upstreams[:1], "source_address 127.0.0.9", *options) as server:
        upstreams[0].clients.clear()
        assert address_of(ask(server.port, "a.test")) == "192.0.2.1"
        assert address_of(ask_tcp(server, "b.test")) == "192.0.2.1"
    assert set(upstreams[0].clients) == {"127.0.0.9"}


@pytest.mark.parametrize(
    ("options", "pause", "expected"),
    [
        (("expire 10s",), 1.3, {0}),
        (("expire 1s",), 1.3, {3}),
        (("expire 1s",), 0.6, {0}),
        (("expire 1s", "max_age 1s"), 0.6, {1, 2}),
    ],
)
def test_connections_end(
    tmp_path: pathlib.Path, upstreams: list[Upstream], options: tuple[str, ...], pause: float, expected: set[int]
) -> None:
    with forwarding(tmp_path, upstreams[:1], "force_tcp", *options) as server:
        ask(server.port, "first.test")
        upstreams[0].connections = 0
        for number in range(3):
            time.sleep(pause)
            ask(server.port, f"n{number}.test")
        assert upstreams[0].connections in expected


@pytest.mark.parametrize(("options", "kept"), [((), 2), (("max_idle_conns 1",), 1)])
def test_idle_connections_are_limited(
    tmp_path: pathlib.Path, upstreams: list[Upstream], options: tuple[str, ...], kept: int
) -> None:
    (upstream,) = upstreams[:1]
    upstream.delay = 0.01
    with forwarding(tmp_path, [upstream], "force_tcp", *options) as server:
        with concurrent.futures.ThreadPoolExecutor(60) as pool:
            answers = list(pool.map(lambda number: ask(server.port, f"n{number}.test"), range(60)))
        assert all(answer.answer for answer in answers)
        assert upstream.connections >= 2
        wait_until(lambda: min(upstream.open, 2) == kept, timeout=5, what="connections to end")


def test_max_connect_attempts(tmp_path: pathlib.Path, upstreams: list[Upstream]) -> None:
    closed = [Upstream() for _ in range(3)]
    for one in closed:
        one.close()
    to: list[Upstream | int] = [*(one.port for one in closed), upstreams[0]]
    with forwarding(tmp_path / "few", to, "max_connect_attempts 2", "max_fails 0") as server:
        assert ask(server.port, "a.test").rcode() == dns.rcode.SERVFAIL
        assert ask_tcp(server, "a.test").rcode() == dns.rcode.SERVFAIL
    with forwarding(tmp_path / "enough", to, "max_connect_attempts 4", "max_fails 0") as server:
        assert address_of(ask(server.port, "a.test")) == "192.0.2.1"
        assert address_of(ask_tcp(server, "a.test")) == "192.0.2.1"


@pytest.mark.parametrize("stream", [False, True])
def test_next_on_nodata(tmp_path: pathlib.Path, upstreams: list[Upstream], stream: bool) -> None:
    first, second = upstreams
    more = f"    forward test 127.0.0.1:{second.port}\n"
    with forwarding(tmp_path, [first], "next_on_nodata", more=more) as server:
        for name, asked in (("nodata.test", 1), ("a.test", 0)):
            second.asked.clear()
            answer = ask_tcp(server, name) if stream else ask(server.port, name)
            assert answer.rcode() == dns.rcode.NOERROR
            assert second.asked[name + "."] == asked


def test_failfast_and_health_checks(tmp_path: pathlib.Path, upstreams: list[Upstream]) -> None:
    (one,) = upstreams[:1]
    one.is_silent = True
    options = ("failfast_all_unhealthy_upstreams", "health_check 200ms no_rec domain check.test", "max_fails 1")
    with forwarding(tmp_path, [one], *options) as server:
        assert ask(server.port, "a.test").rcode() == dns.rcode.SERVFAIL

        def fails_at_once() -> bool:
            started = time.monotonic()
            return ask(server.port, "a.test").rcode() == 2 and time.monotonic() - started < 0.1

        wait_until(fails_at_once, timeout=10, what="the upstream to be down")
        checks = {(name, flags) for name, flags in one.questions if name == "check.test."}
        assert checks == {("check.test.", 0)}
        before = one.asked["a.test."]
        ask(server.port, "a.test")
        assert one.asked["a.test."] == before
        one.is_silent = False
        wait_until(lambda: ask(server.port, "a.test").answer, timeout=5, what="the upstream to be up")
