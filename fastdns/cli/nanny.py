"""The command `dnsmasq-nanny`: dnsmasq, kept running with the stub domains and upstreams of kube-dns's ConfigMap."""

from __future__ import annotations

import argparse
import asyncio
import functools
import logging
import os
import signal
import sys
from collections.abc import Sequence

from fastdns import errors
from fastdns.cli import goflags, klog
from fastdns.config import nanny

logger = logging.getLogger(__name__)

FATAL = 255  # klog's
ABOUT = (
    "Manages the dnsmasq daemon, handles configuration given by the ConfigMap.\n"
    'Any arguments given after "--" will be passed directly to dnsmasq itself.'
)


def main(arguments: Sequence[str]) -> int:
    """Run the command; its exit status."""
    own, dnsmasq = nanny.split_arguments(arguments)
    flags = make_flags()
    given = flags.parse(own)
    options = make_options(given, dnsmasq)
    try:
        nanny.check(options)
    except ValueError as error:
        flags.fail(str(error))
    klog.start(given.v)
    logger.info("opts: %s", options)
    if is_builtin(options.program, sys.argv[0]):
        return serve_builtin(options, verbosity=given.v)
    return serve(options)


def is_builtin(program: str, command: str) -> bool:
    """Tell whether this server is the dnsmasq itself: `program` is the same file as the `command` that was started.

    So it is in the image, where both are links to one file; or where the default path has no program.
    """
    if not os.path.exists(program):
        return program == nanny.DEFAULT_PROGRAM
    return os.path.exists(command) and os.path.samefile(program, command)


def make_flags() -> goflags.Flags:
    defaults = nanny.Options()
    flags = goflags.Flags("dnsmasq-nanny", style=goflags.GO, about=ABOUT)
    add = flags.add
    add("dnsmasqExec", goflags.TEXT, defaults.program, "location of the dnsmasq executable")
    add("restartDnsmasq", goflags.BOOL, defaults.restarts, "if true, restart dnsmasq when the configuration changes")
    add("configDir", goflags.TEXT, defaults.config_dir, "location of the configuration")
    add("syncInterval", goflags.DURATION, defaults.sync_interval, "interval to check for configuration updates")
    add("kubednsServer", goflags.TEXT, defaults.kubedns_server,
        "local kubedns instance address for non-IP name resolution")  # fmt: skip
    add("logInterval", goflags.DURATION, defaults.log_interval,
        "interval to send SIGUSR1 to dnsmasq which triggers statistics logging (if zero, SIGUSR1 is not sent)")  # fmt: skip
    flags.add_klog()
    return flags


def make_options(given: argparse.Namespace, arguments: Sequence[str]) -> nanny.Options:
    return nanny.Options(
        program=given.dnsmasqExec,
        restarts=given.restartDnsmasq,
        config_dir=given.configDir,
        sync_interval=given.syncInterval,
        kubedns_server=given.kubednsServer,
        log_interval=given.logInterval,
        arguments=tuple(arguments),
    )


def serve_builtin(options: nanny.Options, *, verbosity: int) -> int:
    """Serve what dnsmasq would, with its signals; everything is logged as the nanny logs."""
    from fastdns.cli import dnsmasq, fastdns
    from fastdns.server import builtin, output, supervisor, worker

    source = builtin.Source(options)
    style = worker.Options(formatter=klog.Formatter(), level=klog.verbose(verbosity), fd=sys.stderr.fileno())
    try:
        config = source.load()
        assert source.given is not None
        user, group = dnsmasq.find_user(source.given.user), dnsmasq.find_group(source.given.group)
        fastdns.raise_file_limit()
        output.start_style(style)
        server = supervisor.Supervisor(
            config,
            supervisor.Options(
                source=source,
                workers=dnsmasq.count_workers(),
                pidfile=dnsmasq.write_pid_file(source.given.pid_file),
                on_bound=functools.partial(dnsmasq.change_user, user, group),
                fatal_status=FATAL,
                keeps_cache=True,
                signals=supervisor.Signals.DNSMASQ,
                worker=style,
            ),
        )
        ask_statistics(server.loop, options.log_interval)
        return server.run()
    except errors.FastdnsError as error:
        logger.critical("Could not start dnsmasq with initial configuration: %s", error)
        return FATAL


def ask_statistics(loop: asyncio.AbstractEventLoop, interval: float) -> None:
    """Send this process SIGUSR1 every `interval` seconds, on which it logs its figures; never if that is 0."""

    def ask() -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        loop.call_later(interval, ask)

    if interval:
        loop.call_later(interval, ask)


def serve(options: nanny.Options) -> int:
    from fastdns.server import nanny as server

    return asyncio.run(server.Nanny(options).run())
