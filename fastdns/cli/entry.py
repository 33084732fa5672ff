"""The one command, under each name that it answers to: `kube-dns ...` through a link, or `fastdns kube-dns ...`.

Only `fastdns` is installed as a command: a `dnsmasq` or `coredns` on the PATH of a machine would shadow the real one.
The image makes the links that its containers start. Only the front end that is started is loaded.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence

PROGRAMS = {
    "fastdns": "fastdns",
    "coredns": "fastdns",
    "kube-dns": "kubedns",
    "dnsmasq-nanny": "nanny",
    "dnsmasq": "dnsmasq",
    "sidecar": "sidecar",
    "node-cache": "nodecache",
    "migrate": "migrate",
}
DEFAULT = "fastdns"


def main() -> int:
    """Start the front end that the command line names; its exit status."""
    name, arguments = choose(sys.argv)
    front_end = importlib.import_module(f"fastdns.cli.{PROGRAMS[name]}")
    start: Callable[[Sequence[str]], int] = front_end.main
    return start(arguments)


def choose(argv: Sequence[str]) -> tuple[str, list[str]]:
    """Give the program and its arguments: the name that it was started by, or else the first argument if it is one."""
    name, arguments = os.path.basename(argv[0]) if argv else DEFAULT, list(argv[1:])
    if name in PROGRAMS and name != DEFAULT:
        return name, arguments
    if arguments and arguments[0] in PROGRAMS:
        return arguments[0], arguments[1:]
    return DEFAULT, arguments
