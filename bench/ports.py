"""Ports for the servers of a run."""

from __future__ import annotations

import random
import socket

LISTEN_PORTS = (10_000, 32_000)  # Linux gives clients those from 32768 on
PORT_TRIES = 1000


def free_port() -> int:
    """A port that nobody uses now, over UDP or TCP, and that was not given before.

    It is below the ephemeral ports, so that no client's socket gets it first, and any of many, so that another run on
    this machine, which looks at the same time, finds another one.
    """
    for _ in range(PORT_TRIES):
        port = random.randrange(*LISTEN_PORTS)
        if port not in _given and is_unused(port):
            _given.add(port)
            return port
    raise RuntimeError("no free port")


def is_unused(port: int) -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                return False
    return True


_given: set[int] = set()
