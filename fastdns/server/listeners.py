"""Sockets of a listener: one UDP and one TCP socket for each worker and address, which share the port by SO_REUSEPORT.

The supervisor binds them and keeps them; a worker that dies leaves them, with what waits in them, to the next.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import socket
import time

from fastdns import errors
from fastdns.config import model

BUFFER = 4 * 1024 * 1024  # of a UDP socket, each way; the system may grant less
BACKLOG = 1024
BIND_TRIES = 6  # of a port that is taken
BIND_PAUSE = 0.05  # seconds
# Not in every Python's socket module.
SO_RCVBUFFORCE, SO_SNDBUFFORCE = 33, 32
IP_PKTINFO = 8
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER = 10, 23
IP_PMTUDISC_PROBE, IP_PMTUDISC_OMIT = 3, 5


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """Where a socket is bound: an IP address, wildcards as `0.0.0.0` and `::`."""

    family: socket.AddressFamily
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.family == socket.AF_INET6 else f"{self.host}:{self.port}"


@dataclasses.dataclass(frozen=True, slots=True)
class BoundListener:
    """A listener's sockets: sockets[worker] is a list of UDP, or TCP, sockets, one for each address."""

    listener: model.Listener
    udp: tuple[tuple[socket.socket, ...], ...]
    tcp: tuple[tuple[socket.socket, ...], ...]

    def close(self) -> None:
        for sockets in (*self.udp, *self.tcp):
            for one in sockets:
                one.close()

    def close_tcp(self) -> None:
        """Refuse new connections from now on, once the workers have closed theirs too."""
        for sockets in self.tcp:
            for one in sockets:
                one.close()


def bind_listener(listener: model.Listener, workers: int, *, is_ours: bool = False) -> BoundListener:
    """Bind all sockets of a listener. `is_ours`: its port is known to be ours on some address. Raises ListenError."""
    addresses = find_addresses(listener)
    with contextlib.ExitStack() as undo:
        for address in addresses if not is_ours else ():
            check_unused(address)
        udp = [[undo.enter_context(bind_udp(address)) for address in addresses] for _ in range(workers)]
        tcp = [[undo.enter_context(bind_tcp(address)) for address in addresses] for _ in range(workers)]
        undo.pop_all()
    return BoundListener(listener, tuple(map(tuple, udp)), tuple(map(tuple, tcp)))


def find_addresses(listener: model.Listener) -> list[Address]:
    if not listener.address:
        any4 = Address(socket.AF_INET, "0.0.0.0", listener.port)
        any6 = Address(socket.AF_INET6, "::", listener.port)
        return [any4, any6] if has_ipv6() else [any4]
    family = socket.AF_INET6 if ":" in listener.address else socket.AF_INET
    return [Address(family, listener.address, listener.port)]


def has_ipv6() -> bool:
    """False where the kernel has IPv6 switched off: then only IPv4 is served."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def check_unused(address: Address) -> None:
    """Raise ListenError if anybody has the port: with SO_REUSEPORT another server of ours would share it in silence."""
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with open_socket(address, kind) as probe:
            bind_socket(probe, address)
            if kind == socket.SOCK_STREAM:
                listen_on(probe, address)


def bind_udp(address: Address) -> socket.socket:
    one = open_socket(address, socket.SOCK_DGRAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    for force, plain in ((SO_RCVBUFFORCE, socket.SO_RCVBUF), (SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        grow_buffer(one, force, plain)
    if address.host == "::":  # a wildcard socket answers from the address that was asked
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    elif address.host == "0.0.0.0":
        one.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    bind_socket(one, address)
    return one


def set_fragments(one: socket.socket, *, allowed: bool) -> None:
    """Let the kernel cut datagrams of a UDP socket, or not (RFC 9715).

    Either way it heeds no path MTU, which a forged ICMP message could shrink. Without fragments it needn't draw an IP id
    for each answer: 2 to 5 % of a hit's CPU.
    """
    mode = IP_PMTUDISC_OMIT if allowed else IP_PMTUDISC_PROBE
    if one.family == socket.AF_INET6:
        set_if_known(one, socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, mode)
    else:
        set_if_known(one, socket.IPPROTO_IP, IP_MTU_DISCOVER, mode)


def bind_tcp(address: Address) -> socket.socket:
    one = open_socket(address, socket.SOCK_STREAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # Linux has what is accepted take it over
    bind_socket(one, address)
    listen_on(one, address)
    return one


def open_socket(address: Address, kind: socket.SocketKind) -> socket.socket:
    try:
        one = socket.socket(address.family, kind)
    except OSError as error:
        raise describe_failure(address, kind, error) from error
    one.setblocking(False)
    if kind == socket.SOCK_STREAM:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if address.family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return one


def bind_socket(one: socket.socket, address: Address) -> None:
    """Bind a socket; where the port is taken, try again a moment later.

    check_unused closed a socket there just now, and a reload others: who looks into a process's descriptors meanwhile, as
    monitors do, holds them open after that.
    """
    patience = BIND_TRIES
    while True:
        try:
            one.bind((address.host, address.port))
        except OSError as error:
            patience -= 1
            if error.errno == errno.EADDRINUSE and patience:
                time.sleep(BIND_PAUSE)
                continue
            kind = one.type
            one.close()
            raise describe_failure(address, kind, error) from error
        return


def listen_on(one: socket.socket, address: Address) -> None:
    try:
        one.listen(BACKLOG)
    except OSError as error:
        one.close()
        raise describe_failure(address, socket.SOCK_STREAM, error) from error


def grow_buffer(one: socket.socket, force: int, plain: int) -> None:
    try:
        one.setsockopt(socket.SOL_SOCKET, force, BUFFER)
    except OSError:
        set_if_known(one, socket.SOL_SOCKET, plain, BUFFER)


def set_if_known(one: socket.socket, level: int, option: int, value: int) -> None:
    with contextlib.suppress(OSError):
        one.setsockopt(level, option, value)


def describe_failure(address: Address, kind: int, error: OSError) -> errors.ListenError:
    """One line that says which address, why, and what to do about it."""
    protocol = "udp" if kind == socket.SOCK_DGRAM else "tcp"
    hint = {
        errno.EADDRINUSE: "another program serves this port",
        errno.EACCES: "ports below 1024 need root or the capability NET_BIND_SERVICE",
        errno.EADDRNOTAVAIL: "no interface has this address",
        errno.EAFNOSUPPORT: "the system has no such address family",
    }.get(error.errno or 0)
    reason = os.strerror(error.errno) if error.errno else str(error)
    return errors.ListenError(f"listen {protocol} {address}: {reason}" + (f" ({hint})" if hint else ""))
