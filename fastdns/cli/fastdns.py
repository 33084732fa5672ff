"""The command `fastdns`: CoreDNS's command line, each flag with one dash or two, and a few flags of our own."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import re
import resource
import sys
import typing
from collections.abc import Sequence

import fastdns
from fastdns import errors
from fastdns.config import model

if typing.TYPE_CHECKING:
    from fastdns.server import companion

STARTUP_FAILURE = 1
FILES_MAX = 65536
PREFERRED_SYNTAX = re.compile(r"(([A-Za-z]([A-Za-z0-9-]*[A-Za-z0-9])?)\.)+")  # RFC 1035 section 2.3.1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    options = make_parser().parse_args(arguments)
    if options.version:
        print(describe_version(), end="")
        return 0
    if options.plugins:
        print(describe_plugins(), end="")
        return 0
    try:
        return check(options) if options.check else serve(options)
    except (errors.FastdnsError, OSError) as error:
        print(error, file=sys.stderr)
        return STARTUP_FAILURE


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fastdns", description="The DNS server of a Kubernetes cluster.", allow_abbrev=False, add_help=False
    )
    add = parser.add_argument
    add("-h", "-help", "--help", action="help", help="show this text")
    add("-conf", "--conf", default="", metavar="FILE", help='Corefile to load, "stdin" reads it (default "Corefile")')
    add("-dns.port", "--dns.port", "-p", "--p", dest="port", type=port, default=53, metavar="PORT",
        help="port of server blocks that name none (default 53)")  # fmt: skip
    add("-pidfile", "--pidfile", default="", metavar="FILE", help="file to write the process id to")
    add("-plugins", "--plugins", action="store_true", help="list the plugins")
    add("-quiet", "--quiet", action="store_true", help="don't say what is served")
    add("-version", "--version", action="store_true", help="show the version")
    add("-workers", "--workers", type=count, default=0, metavar="N",
        help="worker processes (default: the CPUs that the container may use)")  # fmt: skip
    add("-coalesce", "--coalesce", type=microseconds, default=100, metavar="MICROSECONDS",
        help="that queries may gather under load, for less CPU per query; 0: none waits (default 100)")  # fmt: skip
    add("-state-dir", "--state-dir", default="", metavar="DIR",
        help="folder in which the cluster's records are kept for a start without API server")  # fmt: skip
    add("-check", "--check", action="store_true", help="check the configuration, say what it would serve, and exit")
    add("-log-format", "--log-format", choices=("text", "json"), default="text", help="of log lines (default text)")
    return parser


def port(text: str) -> int:
    number = int(text)
    if not 0 < number < 65536:
        raise ValueError(text)
    return number


def count(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 1024:
        raise ValueError(text)
    return number


def microseconds(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 10_000:
        raise ValueError(text)
    return number


def check(options: argparse.Namespace) -> int:
    from fastdns.server import configuration

    print(configuration.describe(configuration.load(options.conf, port=options.port)))
    return 0


def serve(options: argparse.Namespace, *, beside: companion.Companion | None = None) -> int:
    """Run the server until it ends; `beside` is a front end's own process, which is running already."""
    from fastdns.server import configuration, cpus, output, sources, supervisor, worker

    raise_file_limit()
    config = configuration.load(options.conf, port=options.port)
    lines = output.start_logging(as_json=options.log_format == "json")
    workers = options.workers or cpus.count_workers()
    if options.pidfile:
        write_pidfile(options.pidfile)
    server = supervisor.Supervisor(
        config,
        supervisor.Options(
            source=sources.Corefile(options.conf, options.port),
            workers=workers,
            state_dir=options.state_dir,
            pidfile=options.pidfile,
            worker=worker.Options(as_json=options.log_format == "json", hold_ns=options.coalesce * 1000),
        ),
        beside=beside,
    )
    banner = "" if options.quiet else describe_zones(config) + describe_version()
    return server.run(on_started=lambda: output.write_plain(lines, banner))


def describe_zones(config: model.Config) -> str:
    """One line for each zone and listener, as CoreDNS says it on its start."""
    lines = []
    for block in config.blocks:
        for listener in block.listeners:
            if not block.zone.endswith(".arpa.") and block.zone != "." and not PREFERRED_SYNTAX.fullmatch(block.zone):
                lines.append(f'Warning: Domain "{block.zone}" does not follow RFC1035 preferred syntax')
            where = f" on {listener.address}" if listener.address else ""
            lines.append(f"{block.zone}:{listener.port}{where}")
    return "".join(line + "\n" for line in sorted(lines))


def describe_version() -> str:
    system = f"{platform.system().lower()}/{platform.machine()}"
    return f"fastdns-{fastdns.__version__}\n{system}, python{platform.python_version()}\n"


def describe_plugins() -> str:
    from fastdns.plugins import order

    return "Server types:\n  dns\n\nOther plugins:\n" + "".join(
        f"  dns.{word}\n" for word in sorted(order.WORDS.served)
    )


def write_pidfile(path: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(f"{os.getpid()}\n")


def raise_file_limit() -> None:
    """Connections and upstream sockets are bounded by numbers of ours; the system's limit only has to be above."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_MAX if hard == resource.RLIM_INFINITY else min(FILES_MAX, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    sys.exit(main())
