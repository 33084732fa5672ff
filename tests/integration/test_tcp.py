"""Clients on TCP: well-behaved ones, slow ones, and those that mean ill (RFC 7766)."""

from __future__ import annotations

import contextlib
import os
import pathlib
import resource
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from tests.differential.questions import Question
from tests.integration import test_drain
from tests.integration.load import Load
from tests.integration.test_processes import NAMES, find_processes, value_of
from tests.peers.process import wait_until
from tests.peers.servers import Fastdns

COREFILE = """.:{$PORT} {
    bind 127.0.0.1
    prometheus 127.0.0.1:{$METRICS}
    hosts FOLDER/hosts
}
"""
QUERY = Question("n1.example.org", "A").wire()
BIG = 100  # addresses of one name: an answer of 1.6 KB


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fastdns]:
    folder = tmp_path_factory.mktemp("tcp")
    lines = [f"{address} {name}\n" for name, addresses in NAMES.items() for address in addresses]
    lines += [f"198.51.100.{number} big.example.org\n" for number in range(BIG)]
    (folder / "hosts").write_text("".join(lines))
    with Fastdns(
        folder=folder / "server", corefile=COREFILE.replace("FOLDER", str(folder)), env={}, workers=1
    ) as running:
        yield running


def connect(server: Fastdns) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.port), timeout=5)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def frame(wire: bytes) -> bytes:
    return struct.pack(">H", len(wire)) + wire


def numbered(number: int, wire: bytes = QUERY) -> bytes:
    return struct.pack(">H", number) + wire[2:]


def read_message(client: socket.socket) -> bytes:
    """One answer; empty when the server has closed."""
    head = read_exactly(client, 2)
    return read_exactly(client, struct.unpack(">H", head)[0]) if head else b""


def read_exactly(client: socket.socket, size: int) -> bytes:
    octets = b""
    while len(octets) < size:
        part = client.recv(size - len(octets))
        if not part:
            return b""
        octets += part
    return octets


def is_closed(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def rcode(answer: bytes) -> int:
    return answer[3] & 15


def test_pipelined_queries_are_all_answered(server: Fastdns) -> None:
    with connect(server) as client:
        client.sendall(b"".join(frame(numbered(number)) for number in range(300)))
        ids = [struct.unpack_from(">H", read_message(client))[0] for _ in range(300)]
    assert sorted(ids) == list(range(300))


@pytest.mark.parametrize("size", [0, 1, 11])
def test_message_without_a_header_closes(server: Fastdns, size: int) -> None:
    with connect(server) as client:
        client.sendall(frame(bytes(size)))
        assert is_closed(client)


def test_octets_that_come_one_by_one_make_a_query(server: Fastdns) -> None:
    with connect(server) as client:
        for octet in frame(QUERY):
            client.sendall(bytes([octet]))
            time.sleep(0.005)  # in all far less than the 3 s that a message has
        assert rcode(read_message(client)) == 0


def test_half_a_message_is_waited_for_3_seconds(server: Fastdns) -> None:
    with connect(server) as client:
        began = time.monotonic()
        client.sendall(frame(QUERY)[:20])
        assert is_closed(client)
        assert 2.5 < time.monotonic() - began < 4.5


def test_half_close_still_gets_the_answers(server: Fastdns) -> None:
    with connect(server) as client:
        client.sendall(frame(numbered(1)) + frame(numbered(2)))
        client.shutdown(socket.SHUT_WR)
        assert {read_message(client)[:2], read_message(client)[:2]} == {b"\0\1", b"\0\2"}
        assert is_closed(client)


def test_malformed_query_is_formerr_and_the_next_is_answered(server: Fastdns) -> None:
    with connect(server) as client:
        client.sendall(frame(QUERY[:-3]) + frame(numbered(7)))
        first, second = read_message(client), read_message(client)
    assert (rcode(first), rcode(second)) == (1, 0)
    assert second[:2] == b"\0\7"


def test_large_answer_is_whole_over_tcp_and_cut_over_udp(server: Fastdns) -> None:
    query = Question("big.example.org", "A").wire()
    with connect(server) as client:
        client.sendall(frame(query))
        whole = read_message(client)
    assert struct.unpack_from(">H", whole, 6)[0] == BIG
    assert not whole[2] & 2
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
        datagram.settimeout(5)
        datagram.sendto(query, ("127.0.0.1", server.port))
        cut = datagram.recv(65535)
    assert cut[2] & 2
    assert len(cut) <= 1232


def test_client_that_never_reads_is_cut_off(server: Fastdns) -> None:
    query = Question("big.example.org", "A").wire()
    with connect(server) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(0.5)
        with pytest.raises(OSError):  # its queries are not read any more, or it is cut off
            for _ in range(200_000):
                client.sendall(frame(query))
        assert_answered_quickly(server)


def assert_answered_quickly(server: Fastdns) -> None:
    """The quickest of a few: a busy machine delays some."""
    taken = []
    for _ in range(5):
        with connect(server) as client:
            began = time.monotonic()
            client.sendall(frame(QUERY))
            assert rcode(read_message(client)) == 0
            taken.append(time.monotonic() - began)
    assert min(taken) < 0.1


def test_many_idle_connections_leave_room_for_new_ones(server: Fastdns) -> None:
    idle = [connect(server) for _ in range(200)]
    try:
        assert_answered_quickly(server)
        with Load(server.port, NAMES, rate=500) as load:
            wait_until(lambda: load.answered > 100, what="answers over UDP")
        assert not load.faults, load.summary()
        lines = server.metrics().splitlines()
        (open_now,) = [float(line.split()[1]) for line in lines if line.startswith("fastdns_server_tcp_connections ")]
        assert open_now <= 51
    finally:
        for client in idle:
            client.close()


def test_idle_connection_is_closed_after_10_seconds(server: Fastdns) -> None:
    with connect(server) as client:
        client.settimeout(15)
        client.sendall(frame(QUERY))
        read_message(client)
        began = time.monotonic()
        assert is_closed(client)
        assert 9 < time.monotonic() - began < 12.5


def test_reset_in_the_middle_harms_nobody(server: Fastdns) -> None:
    for _ in range(20):
        leave_with_reset(server, b"".join(frame(numbered(number)) for number in range(50)))
    assert_answered_quickly(server)
    assert "ERROR" not in pathlib.Path(server.folder / "log").read_text()


def test_no_descriptor_left_harms_nobody_else(server: Fastdns) -> None:
    """Connections wait in the kernel until there are descriptors again; nothing spins, and UDP is answered."""
    (worker,) = find_processes(server, "w")
    _, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    before = value_of(server, "fastdns_server_accept_failures_total")
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (0, hard))
    try:
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(connect(server)) for _ in range(10)]
            wait_until(
                lambda: value_of(server, "fastdns_server_accept_failures_total") > before, what="a failure counted"
            )
            began, spent = time.monotonic(), cpu_seconds(worker)
            with Load(server.port, NAMES, rate=100) as load:
                wait_until(lambda: load.answered > 100, what="answers over UDP")
            assert not load.faults, load.summary()
            assert cpu_seconds(worker) - spent < 0.5 * (time.monotonic() - began)
            resource.prlimit(worker, resource.RLIMIT_NOFILE, (hard, hard))
            for client in clients:
                client.sendall(frame(QUERY))
                assert rcode(read_message(client)) == 0
    finally:
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (hard, hard))


def test_slow_reader_gets_every_answer(server: Fastdns) -> None:
    """Far more than the server would hold for it: no more is read from a client than its answers find room for."""
    query, count = Question("big.example.org", "A").wire(), 5000  # 8 MB of answers
    (worker,) = find_processes(server, "w")
    with connect(server) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        queries = b"".join(frame(numbered(number, query)) for number in range(count))
        sending = threading.Thread(target=client.sendall, args=(queries,), daemon=True)
        sending.start()
        time.sleep(0.5)
        began = cpu_seconds(worker)
        time.sleep(1)
        assert cpu_seconds(worker) - began < 0.3, "it waits for the client without asking again and again"
        ids = set()
        for _ in range(count):
            answer = read_message(client)
            assert struct.unpack_from(">H", answer, 6)[0] == BIG
            ids.add(answer[:2])
        assert len(ids) == count
        sending.join(5)


def test_half_close_before_a_late_answer(tmp_path: pathlib.Path) -> None:
    """What is asked upstream is answered after the client has closed its side, and nothing spins meanwhile."""
    with contextlib.closing(test_drain.SlowUpstream()) as upstream:
        corefile = test_drain.COREFILE.replace("UPSTREAM", str(upstream.port))
        with Fastdns(folder=tmp_path / "server", corefile=corefile, env={}, workers=1) as server:
            (worker,) = find_processes(server, "w")
            with connect(server) as client:
                began = cpu_seconds(worker)
                for number in range(300):  # more than may wait at once
                    client.sendall(frame(numbered(number, Question(f"late{number}.test", "A").wire())))
                client.shutdown(socket.SHUT_WR)
                assert len({read_message(client)[:2] for _ in range(300)}) == 300
                assert is_closed(client)
                assert cpu_seconds(worker) - began < 0.5 * test_drain.DELAY
            descriptors, began = count_descriptors(worker), cpu_seconds(worker)
            for number in range(40):  # leave while their answers are still to come, some after a half-close
                leave_with_reset(server, frame(Question(f"left{number}.test", "A").wire()), pause=0.01 * (number % 2))
            time.sleep(2 * test_drain.DELAY)
            assert cpu_seconds(worker) - began < 0.5 * test_drain.DELAY
            assert count_descriptors(worker) == descriptors
            assert "ERROR" not in server.log()


def leave_with_reset(server: Fastdns, octets: bytes, *, pause: float = 0) -> None:
    """Send, close one side for a while if there is a pause, and then end without the courtesy of TCP."""
    with connect(server) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sendall(octets)
        if pause:
            client.shutdown(socket.SHUT_WR)
            time.sleep(pause)


def count_descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_every_descriptor_is_closed(server: Fastdns) -> None:
    """Whatever way a client leaves, once; the gauge says so too."""
    (worker,) = find_processes(server, "w")

    def is_quiet() -> bool:
        return value_of(server, "fastdns_server_tcp_connections") == 0

    wait_until(is_quiet, what="the end of earlier connections", timeout=15)
    before = count_descriptors(worker)
    for octets in (b"", frame(QUERY)[:9], frame(QUERY), frame(b""), frame(QUERY) * 200):
        for _ in range(70):  # more than one client may have: some make room for others
            leave_with_reset(server, octets)
            with connect(server) as client:
                client.sendall(octets)
                client.shutdown(socket.SHUT_WR)
            connect(server).close()
    wait_until(is_quiet, what="the end of these connections", timeout=15)
    wait_until(lambda: count_descriptors(worker) <= before, what="closed descriptors")
    assert_answered_quickly(server)
    assert "ERROR" not in pathlib.Path(server.folder / "log").read_text()


def cpu_seconds(pid: int) -> float:
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
