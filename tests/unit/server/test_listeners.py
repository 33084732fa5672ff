import errno
import socket

import pytest

from fastdns import errors
from fastdns.config import model
from fastdns.server import listeners
from tests.peers.process import free_port, wait_until


def test_every_worker_has_its_sockets() -> None:
    bound = listeners.bind_listener(model.Listener("127.0.0.1", free_port()), 3)
    assert [len(row) for row in bound.udp] == [1, 1, 1]
    assert [len(row) for row in bound.tcp] == [1, 1, 1]
    assert len({one.fileno() for row in (*bound.udp, *bound.tcp) for one in row}) == 6
    bound.close()


def test_answers_of_a_connection_do_not_wait_for_one_another() -> None:
    """Nagle's algorithm is off for what is accepted, without a call for each."""
    bound = listeners.bind_listener(model.Listener("127.0.0.1", free_port()), 1)
    ((one,),) = bound.tcp
    one.setblocking(True)
    with socket.create_connection(one.getsockname()), one.accept()[0] as accepted:
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    bound.close()


def test_wildcard_is_both_families() -> None:
    bound = listeners.bind_listener(model.Listener("", free_port()), 1)
    families = [one.family for one in bound.udp[0]]
    assert families == [socket.AF_INET, socket.AF_INET6][: 2 if listeners.has_ipv6() else 1]
    bound.close()


def test_without_ipv6_the_wildcard_is_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    make = socket.socket

    def make_ipv4(family: int = socket.AF_INET, *arguments: int, **options: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return make(family, *arguments, **options)

    monkeypatch.setattr(socket, "socket", make_ipv4)
    port = free_port()
    bound = listeners.bind_listener(model.Listener("", port), 1)
    assert [one.family for one in (*bound.udp[0], *bound.tcp[0])] == [socket.AF_INET] * 2
    bound.close()
    with pytest.raises(
        errors.ListenError, match=rf"listen \w+ \[::1\]:{port}: Address family.*\(the system has no such"
    ):
        listeners.bind_listener(model.Listener("::1", port), 1)


def test_port_that_needs_a_capability_is_told_with_its_name() -> None:
    address = listeners.Address(socket.AF_INET, "127.0.0.1", 53)
    told = listeners.describe_failure(address, socket.SOCK_DGRAM, OSError(errno.EACCES, "Permission denied"))
    assert str(told) == (
        "listen udp 127.0.0.1:53: Permission denied (ports below 1024 need root or the capability NET_BIND_SERVICE)"
    )


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_taken_port_is_told_in_one_line(kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        # Even one who would share the port.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(errors.ListenError, match=rf"listen \w+ 127.0.0.1:{port}: Address already in use \(another"):
            listeners.bind_listener(model.Listener("127.0.0.1", port), 2)


def test_address_of_nobody_is_told() -> None:
    with pytest.raises(errors.ListenError, match=r"192.0.2.1:\d+: Cannot assign requested address \(no interface"):
        listeners.bind_listener(model.Listener("192.0.2.1", free_port()), 1)


def test_port_is_free_again_after_close() -> None:
    listener = model.Listener("127.0.0.1", free_port())
    listeners.bind_listener(listener, 2).close()

    def is_bound() -> bool:
        """The system may take a moment: who looks at a process's descriptors holds them open meanwhile."""
        try:
            listeners.bind_listener(listener, 2).close()
        except errors.ListenError:
            return False
        return True

    wait_until(is_bound, what="the port")
