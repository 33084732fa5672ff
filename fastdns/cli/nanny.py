"""The command `dnsmasq-nanny`: dnsmasq, kept running with the stub domains and upstreams of kube-dns's ConfigMap."""

from __future__ import annotations

import argparse
import asyncio
import logging
from collections.abc import Sequence

from fastdns.cli import goflags, klog
from fastdns.config import nanny

logger = logging.getLogger(__name__)

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
    return serve(options)


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


def serve(options: nanny.Options) -> int:
    from fastdns.server import nanny as server

    return asyncio.run(server.Nanny(options).run())
