"""A listener over real sockets: batches, addresses, sizes, late answers."""

from __future__ import annotations

import contextlib
import secrets
import select
import socket
import time
from collections.abc import Iterator
from typing import Any

import dns.flags
import dns.message
import pytest

from fastdns._counters import WorkerSlot
from fastdns._rrset import Form
from fastdns._udp import UdpListener
from tests.unit import deltas, engines

NAME = "kubernetes.default.svc.cluster.local"
IPV6_RECVPKTINFO = 49
IP_PKTINFO = 8


class Served:
    """A world behind a bound socket. `tells`: datagrams come with the address that they were sent to."""

    def __init__(self, bound: str = "127.0.0.1", world: engines.World | None = None, *, tells: bool = True) -> None:
        family = socket.AF_INET6 if ":" in bound else socket.AF_INET
        self.world = world or engines.cluster()
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        if family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            self.socket.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, tells)
        else:
            self.socket.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, tells)
        self.socket.bind((bound, 0))
        self.socket.setblocking(False)
        self.port: int = self.socket.getsockname()[1]
        self.udp = self.listen()

    def listen(self) -> UdpListener:
        return UdpListener(self.world.engine, self.world.listener, self.socket.fileno(), lambda: None)

    def answer_all(self) -> None:
        """As an event loop: until nothing waits."""
        while select.select([self.socket], [], [], 0)[0]:
            self.udp.on_readable()

    def close(self) -> None:
        self.socket.close()


def client_to(address: str, port: int) -> socket.socket:
    """A connected client: it takes answers from that address alone."""
    client = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(5)
    client.connect((address, port))
    return client


@pytest.fixture(params=["batches", "one by one"])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    """Behind one datagram by itself another by itself is expected, and read by other calls than a batch."""
    made = Served(tells=request.param == "batches")
    if request.param == "one by one":
        with client_to("127.0.0.1", made.port) as client:
            client.send(query())
            made.answer_all()
            client.recv(4096)
    yield made
    made.close()


def query(name: str = NAME, rdtype: str = "A", **options: Any) -> bytes:
    return dns.message.make_query(name, rdtype, **options).to_wire()


@pytest.mark.parametrize(
    ("bound", "asked"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.2"), ("::1", "::1"), ("::", "::1"), ("::", "127.0.0.2")],
)
def test_answer_comes_from_the_address_that_was_asked(bound: str, asked: str) -> None:
    served = Served(bound)
    with client_to(asked, served.port) as client:
        client.send(query())
        served.answer_all()
        assert dns.message.from_wire(client.recv(4096)).answer
    served.close()


def test_more_than_a_batch(served: Served) -> None:
    with client_to("127.0.0.1", served.port) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        for _ in range(150):
            client.send(query())
        served.answer_all()
        assert len([client.recv(4096) for _ in range(150)]) == 150


def test_queries_that_gather_are_all_answered() -> None:
    """Dense enough for a trial: some wait for a sleep, none is lost."""
    served = Served()
    udp = UdpListener(served.world.engine, served.world.listener, served.socket.fileno(), lambda: None, 100_000)
    asked = answered = 0
    with client_to("127.0.0.1", served.port) as client:
        client.setblocking(False)
        ends = time.monotonic() + 0.2
        while time.monotonic() < ends or answered < asked:
            if time.monotonic() < ends:
                asked += client.send(query()) > 0
            udp.on_readable()
            with contextlib.suppress(BlockingIOError):
                while client.recv(4096):
                    answered += 1
            assert time.monotonic() < ends + 10
    served.close()
    assert answered == asked > 100


def test_datagram_over_4096_octets_is_dropped(served: Served) -> None:
    with client_to("127.0.0.1", served.port) as client:
        for size in (4097, 9000, 65000):
            client.send(query().ljust(size, b"\0"))
        client.send(query("hl.default.svc.cluster.local"))
        served.answer_all()
        assert dns.message.from_wire(client.recv(4096)).question[0].name.to_text().startswith("hl.")


def test_datagram_of_4096_octets_is_answered(served: Served) -> None:
    with client_to("127.0.0.1", served.port) as client:
        client.send(query().ljust(4096, b"\0"))
        served.answer_all()
        assert dns.message.from_wire(client.recv(4096)).answer


@pytest.mark.parametrize("wire", [b"", b"\0" * 11, b"\0\0\x80" + b"\0" * 30])
def test_silence(served: Served, wire: bytes) -> None:
    with client_to("127.0.0.1", served.port) as client:
        client.send(wire)
        client.send(query())
        served.answer_all()
        assert dns.message.from_wire(client.recv(4096)).answer


@pytest.mark.parametrize(
    ("port", "is_answered"),
    [*((port, False) for port in (0, 7, 9, 13, 17, 19, 37)), *((port, True) for port in (1, 36, 38, 53, 255))],
)
def test_services_that_answer_whatever_comes_are_not_answered(port: int, is_answered: bool) -> None:
    """Their ports can't be had without privileges: in a Unix socket's address a name stands where they do elsewhere."""
    world = engines.cluster()
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client,
    ):
        suffix = secrets.token_bytes(8)
        one.bind(b"\0server" + suffix)
        one.setblocking(False)
        client.bind(bytes([0, port]) + suffix)
        client.settimeout(0)
        client.sendto(query(), b"\0server" + suffix)
        UdpListener(world.engine, world.listener, one.fileno(), lambda: None).on_readable()
        if is_answered:
            assert dns.message.from_wire(client.recv(4096)).answer
        else:
            with pytest.raises(BlockingIOError):
                client.recv(4096)


def test_answers_that_the_kernel_has_no_room_for_are_dropped_and_counted() -> None:
    """A Unix client that does not read fills its queue, as a full device does for others: nothing waits for it."""
    world = engines.cluster()
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client,
    ):
        suffix = secrets.token_bytes(8)
        one.bind(b"\0server" + suffix)
        one.setblocking(False)
        client.bind(b"\0\xffclient" + suffix)
        client.setblocking(False)
        udp = UdpListener(world.engine, world.listener, one.fileno(), lambda: None)
        asked = answered = 0
        for _ in range(50):
            with contextlib.suppress(BlockingIOError):
                while True:
                    client.sendto(query(), b"\0server" + suffix)
                    asked += 1
            udp.on_readable()
        with contextlib.suppress(BlockingIOError):
            while client.recv(4096):
                answered += 1
        assert 0 < answered < asked
        assert world.count(WorkerSlot.WORKER_UDP_FAILURES) == asked - answered
        client.sendto(query(), b"\0server" + suffix)
        udp.on_readable()
        assert dns.message.from_wire(client.recv(4096)).answer


def late_world() -> engines.World:
    world = engines.World(inflight_max=100)
    world.engine.add_python_step(world.block)
    return world


def test_late_answers_leave_with_flush() -> None:
    served = Served("0.0.0.0", late_world())
    with client_to("127.0.0.2", served.port) as client:
        for _ in range(70):
            client.send(query("late.example"))
        served.answer_all()
        for at, slow in enumerate(served.world.engine.slow_queries()):
            assert (slow.local, slow.is_stream) == ("127.0.0.2", False)
            served.world.engine.reply_rcode(slow.token, at % 6)
        served.world.engine.flush()
        rcodes = [int(dns.message.from_wire(client.recv(4096)).rcode()) for _ in range(60)]
    assert rcodes == [at % 6 for at in range(60)]
    assert served.world.engine.completed() == []
    served.close()


def test_listener_that_is_gone_sends_nothing() -> None:
    served = Served(world=late_world())
    with client_to("127.0.0.1", served.port) as client:
        client.send(query("late.example"))
        served.answer_all()
        del served.udp
        served.world.engine.reply_rcode(served.world.slow().token, 2)
        assert served.world.engine.waiting() == 0
    served.close()


def test_listener_that_was_replaced_does_not_silence_the_next() -> None:
    served = Served(world=late_world())
    old, served.udp = served.udp, served.listen()
    del old
    with client_to("127.0.0.1", served.port) as client:
        client.send(query("late.example"))
        served.answer_all()
        served.world.engine.reply_rcode(served.world.slow().token, 5)
        served.world.engine.flush()
        assert dns.message.from_wire(client.recv(4096)).rcode() == 5
    served.close()


def test_no_such_listener() -> None:
    with pytest.raises(IndexError):
        UdpListener(engines.World().engine, 9, 0, lambda: None)


# --- sizes ----------------------------------------------------------------------------------------------------------


def large_world(count: int, **options: Any) -> engines.World:
    """A name with `count` addresses, and a Service with as many endpoints."""
    world = engines.World()
    world.block = world.add_block(**options)
    world.listen(world.block)
    addresses = deltas.record_set(1, Form.FIXED, 30, count, b"".join(bytes((10, 0, 0, at)) for at in range(count)))
    endpoints = [deltas.address(f"10.0.0.{at}") for at in range(count)]
    made = deltas.service("s", [], [deltas.group([deltas.port(80, "http", "tcp")], endpoints)], flags=1)
    world.add_table(deltas.zone("z") + deltas.put("a.z", addresses) + deltas.put("s.z", made) + deltas.synced())
    return world


def ask(served: Served, wire: bytes) -> tuple[dns.message.Message, int]:
    with client_to("127.0.0.1", served.port) as client:
        client.send(wire)
        served.answer_all()
        answer = client.recv(65535)
    return dns.message.from_wire(answer), len(answer)


@pytest.mark.parametrize(
    ("count", "size", "is_cut"),
    [
        (30, 0, False),
        (31, 0, True),
        (31, 512, True),
        (30, 512, False),
        (75, 1232, False),
        (76, 1232, True),
        (76, 4096, True),
    ],
)
def test_record_set_is_whole_or_left_out_with_tc(count: int, size: int, is_cut: bool) -> None:
    served = Served(world=large_world(count))
    options: dict[str, Any] = {"use_edns": 0, "payload": size} if size else {}
    answer, octets = ask(served, query("a.z", "A", **options))
    assert bool(answer.flags & dns.flags.TC) == is_cut
    assert sum(map(len, answer.answer)) == (0 if is_cut else count)
    assert octets <= (size or 512)
    assert not is_cut or answer.authority == []
    served.close()


def test_block_s_udp_max_allows_more() -> None:
    served = Served(world=large_world(76, udp_max=4096))
    answer, _ = ask(served, query("a.z", "A", use_edns=0, payload=4096))
    assert len(answer.answer[0]) == 76 and answer.payload == 4096
    served.close()


def test_glue_that_does_not_fit_is_left_out_without_tc() -> None:
    served = Served(world=large_world(9))
    answer, octets = ask(served, query("s.z", "SRV"))
    assert len(answer.answer[0]) == 9 and octets <= 512
    assert not answer.flags & dns.flags.TC and answer.additional == []
    served.close()


def test_stream_is_not_cut() -> None:
    world = large_world(200)
    assert len(world.ask("a.z").answer[0]) == 200
    assert len(world.ask("s.z", "SRV").additional) == 200


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_every_address_comes_first_as_often(count: int) -> None:
    served = Served(world=large_world(count, rotate=True))
    firsts = [str(ask(served, query("a.z"))[0].answer[0][0]) for _ in range(count * 4)]
    assert sorted(set(firsts)) == [f"10.0.0.{at}" for at in range(count)]
    assert all(firsts.count(one) == 4 for one in set(firsts))
    served.close()


def test_order_is_kept_without_loadbalance() -> None:
    served = Served(world=large_world(3))
    assert {str(ask(served, query("a.z"))[0].answer[0][0]) for _ in range(5)} == {"10.0.0.0"}
    served.close()
