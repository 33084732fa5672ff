"""The client that the other tests rely on finds what is wrong and what is lost."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.integration.load import Load
from tests.peers.process import wait_until

RIGHT, WRONG = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])


def answer(query: bytes) -> bytes:
    """An A record for names that begin with r or w, nothing for others."""
    address = {ord("r"): RIGHT, ord("w"): WRONG}.get(query[13])
    if address is None:
        return b""
    return query[:2] + b"\x80\0\0\1\0\1\0\0\0\0" + query[12:] + b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4" + address


@pytest.fixture
def port() -> Iterator[int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.1)
        stopping = threading.Event()

        def serve() -> None:
            while not stopping.is_set():
                try:
                    query, client = server.recvfrom(512)
                except TimeoutError:
                    continue
                if reply := answer(query):
                    server.sendto(reply, client)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        stopping.set()
        thread.join()


@pytest.mark.parametrize(("name", "fault"), [("right", ""), ("wrong", "wrong"), ("lost", "lost")])
def test_faults_are_found(port: int, name: str, fault: str) -> None:
    with Load(port, {name: frozenset({"10.0.0.1"})}, rate=200) as load:
        wait_until(lambda: load.asked >= 20)
    assert {found.split(":")[0] for found in load.faults} == ({fault} if fault else set())
