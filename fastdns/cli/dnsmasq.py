"""The command `dnsmasq`: its options and files served by fastdns. No second server: the options become the one configuration."""

from __future__ import annotations

import contextlib
import functools
import grp
import logging
import os
import pwd
import sys
from collections.abc import Sequence

import fastdns
from fastdns import errors
from fastdns.config import dnsmasq
from fastdns.config.dnsmasq import options

BAD_NET = 2  # exit status of dnsmasq: EC_BADNET
MISC = 5
STARTED = b"\1"
WORKERS = "FASTDNS_WORKERS"
"""Environment: how many worker processes. dnsmasq is one process with one cache, so the default is 1."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status, which is dnsmasq's."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        settings = dnsmasq.read(given)
        if settings.shows:
            return show(settings.shows)
        return start(settings, given)
    except errors.DnsmasqError as error:
        print(f"\n{error}", file=sys.stderr)
        return error.status
    except errors.ListenError as error:
        print(f"\ndnsmasq: failed to create listening socket: {error}", file=sys.stderr)
        return BAD_NET


def describe_version() -> str:
    return f"Dnsmasq version 2.90 as served by fastdns {fastdns.__version__}\n"


def describe_options() -> str:
    lines = ["Usage: dnsmasq [options]", "", "Valid options are:"]
    for option in sorted(options.SERVED.values(), key=lambda option: option.name.lower()):
        letter = f"-{option.letter}, " if option.letter else "    "
        value = "=<value>" if option.takes_value else "[=<value>]" if option.may_take_value else ""
        lines.append(f"{letter}--{option.name}{value}")
    return "\n".join([*lines, ""])


def show(what: str) -> int:
    if what == "test":
        print("dnsmasq: syntax check OK.", file=sys.stderr)
    else:
        print(describe_version() if what == "version" else describe_options(), end="")
    return 0


def start(settings: dnsmasq.Settings, arguments: Sequence[str]) -> int:
    """Serve, in the foreground or behind the command that has ended. Raises DnsmasqError, ListenError."""
    user, group = find_user(settings.user), find_group(settings.group)
    if settings.stays_in_foreground:
        return serve(settings, arguments, user=user, group=group)
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            said = pipe.read()
        if said == STARTED:
            return 0
        print("\ndnsmasq: the server could not start", file=sys.stderr)
        return int.from_bytes(said or bytes([MISC]), "big")
    os.close(reader)
    leave_terminal()
    status = MISC
    try:
        status = serve(settings, arguments, user=user, group=group, started=writer)
    except errors.ListenError:
        status = BAD_NET
    finally:
        with contextlib.suppress(OSError):
            os.write(writer, bytes([status]))
    os._exit(status)


def leave_terminal() -> None:
    """Let go of the session and the descriptors of whoever started us."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    os.close(null)


def find_user(name: str) -> pwd.struct_passwd | None:
    """None: as we are. Raises DnsmasqError for one that isn't there."""
    if not name or os.getuid() != 0:
        return None
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise errors.DnsmasqError(f"unknown user or group: {name}", status=BAD_NET) from None


def find_group(name: str) -> grp.struct_group | None:
    if not name or os.getuid() != 0:
        return None
    try:
        return grp.getgrnam(name)
    except KeyError:
        raise errors.DnsmasqError(f"unknown user or group: {name}", status=BAD_NET) from None


def serve(
    settings: dnsmasq.Settings,
    arguments: Sequence[str],
    *,
    user: pwd.struct_passwd | None,
    group: grp.struct_group | None,
    started: int = -1,
) -> int:
    from fastdns.cli import fastdns as command
    from fastdns.server import output, sources, supervisor, worker

    command.raise_file_limit()
    direct_log(settings.log_facility, user)
    prefix = f"dnsmasq[{os.getpid()}]"
    style = worker.Options(formatter=logging.Formatter(f"{prefix}: %(message)s"))
    lines = output.start_style(style)
    pid_file = write_pid_file(settings.pid_file)
    server = supervisor.Supervisor(
        settings.config,
        supervisor.Options(
            workers=count_workers(),
            pidfile=pid_file,
            source=sources.Dnsmasq(tuple(arguments)),
            worker=style,
            signals=supervisor.Signals.DNSMASQ,
            log_file=settings.log_facility if "/" in settings.log_facility else "",
            on_bound=functools.partial(change_user, user, group),
        ),
    )

    def on_started() -> None:
        size = next(one.cache_size for one in server.current.config.blocks[0].plugins if hasattr(one, "cache_size"))
        output.write_plain(lines, f"{prefix}: started, version 2.90 cachesize {size}")
        if started >= 0:
            os.write(started, STARTED)
            os.close(started)

    return server.run(on_started=on_started)


def count_workers() -> int:
    text = os.environ.get(WORKERS, "1")
    return int(text) if text.isdigit() and 0 < int(text) <= 1024 else 1


def direct_log(facility: str, user: pwd.struct_passwd | None) -> None:
    """Have lines of the log, which go to descriptor 1, come out where the facility says: a file, or standard error.

    There is no syslog in a container; what dnsmasq would send there goes to standard error too.
    """
    from fastdns.server import output

    if "/" in facility:
        try:
            fd = output.open_file(facility)
            if user is not None:
                os.fchown(fd, user.pw_uid, -1)  # who has to open it again on SIGUSR2
        except OSError as error:
            raise errors.DnsmasqError(f"cannot open log {facility}: {error.strerror}", status=3) from None
        os.dup2(fd, 1)
        os.close(fd)
    else:
        os.dup2(2, 1)


def write_pid_file(path: str) -> str:
    """The file, if it could be written: as dnsmasq without root, we go on without."""
    if not path:
        return ""
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(f"{os.getpid()}\n")
    except OSError:
        return ""
    return path


def change_user(user: pwd.struct_passwd | None, group: grp.struct_group | None) -> None:
    """Give root's rights up, now that the sockets are there."""
    if user is None or user.pw_uid == 0:
        return
    os.setgroups([])
    os.setgid(group.gr_gid if group else user.pw_gid)
    os.setuid(user.pw_uid)


if __name__ == "__main__":
    sys.exit(main())
