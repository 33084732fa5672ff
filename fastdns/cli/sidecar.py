"""The command `sidecar`: health checks and dnsmasq's figures beside a DNS server, with the flags of kube-dns's sidecar."""

from __future__ import annotations

import argparse
import asyncio
import logging
from collections.abc import Sequence

import fastdns
from fastdns import errors
from fastdns.cli import goflags, klog
from fastdns.config import sidecar

logger = logging.getLogger(__name__)

FATAL = 255  # klog's
PROBE_HELP = (
    "probe the given DNS server with the DNS name and export probe metrics and healthcheck URI. Specified as "
    "<label>,<server>,<dns name>[,<interval_seconds>][,<type>]. Healthcheck url will be exported under "
    "/healthcheck/<label>. interval_seconds is optional. This option may be specified multiple times to check multiple "
    "servers. <type> is one of ANY, A, AAAA, SRV. Example: 'mydns,127.0.0.1:53,example.com,10,A'."
)
PROBE = goflags.Kind("string", sidecar.read_probe)


def main(arguments: Sequence[str]) -> int:
    """Run the command; its exit status."""
    flags = make_flags()
    given = flags.parse(arguments)
    options = make_options(given)
    try:
        sidecar.check(options)
    except ValueError as error:
        flags.fail(str(error))
    klog.start(given.v)
    logger.info("Version v%s", fastdns.__version__)
    logger.info("Starting server (options %s)", options)
    return serve(options)


def make_flags() -> goflags.Flags:
    defaults = sidecar.Options()
    flags = goflags.Flags("sidecar", style=goflags.PFLAG)
    add = flags.add
    add("dnsmasq-addr", goflags.TEXT, defaults.dnsmasq_address, "address that the dnsmasq server is listening on")
    add("dnsmasq-port", goflags.INT, defaults.dnsmasq_port, "port that the dnsmasq server is listening on")
    add("dnsmasq-poll-interval-ms", goflags.INT, int(defaults.poll_interval * 1000),
        "interval with which to poll dnsmasq for stats")  # fmt: skip
    add("probe", PROBE, [], PROBE_HELP, is_repeated=True)
    add("prometheus-addr", goflags.TEXT, defaults.address, "http address to bind metrics server to")
    add("prometheus-port", goflags.INT, defaults.port, "http port to use to export prometheus metrics")
    add("prometheus-path", goflags.TEXT, defaults.path, "http path used to export metrics")
    add("prometheus-namespace", goflags.TEXT, defaults.namespace, "prometheus metric namespace")
    flags.add_version("Kube-DNS")
    flags.add_klog()
    return flags


def make_options(given: argparse.Namespace) -> sidecar.Options:
    return sidecar.Options(
        dnsmasq_address=given.dnsmasq_addr,
        dnsmasq_port=given.dnsmasq_port,
        poll_interval=given.dnsmasq_poll_interval_ms / 1000,
        probes=tuple(given.probe),
        address=given.prometheus_addr,
        port=given.prometheus_port,
        path=given.prometheus_path,
        namespace=given.prometheus_namespace,
    )


def serve(options: sidecar.Options) -> int:
    from fastdns.server import sidecar as server

    try:
        running = server.Sidecar(options)
    except (errors.ListenError, OSError, OverflowError) as error:
        logger.critical("Error starting metrics server: %s", error)
        return FATAL
    asyncio.run(running.run())
    return 0
