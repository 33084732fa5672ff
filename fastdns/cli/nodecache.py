"""The command `node-cache`: CoreDNS's flags and its own, in front of the server that `fastdns -conf` runs.

Unlike node-cache, which always takes -conf, it writes the Corefile at -corefile where -conf is not given.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from fastdns import errors
from fastdns.cli import fastdns, goflags
from fastdns.config import nodecache, values

DEFAULT_CONFIGMAP = "/etc/kube-dns"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    options = make_flags().parse(sys.argv[1:] if arguments is None else arguments)
    if options.version:
        print(fastdns.describe_version(), end="")
        return 0
    if options.plugins:
        print(fastdns.describe_plugins(), end="")
        return 0
    try:
        return serve(options, read_settings(options))
    except (errors.FastdnsError, OSError) as error:
        print(error, file=sys.stderr)
    except ValueError as error:
        print(f"Error parsing flags - {error}, Exiting", file=sys.stderr)
    return fastdns.STARTUP_FAILURE


def make_flags() -> goflags.Flags:
    flags = goflags.Flags("node-cache", style=goflags.GO)
    text, boolean = goflags.TEXT, goflags.BOOL
    for name, kind, default, help in (
        ("localip", text, "", "comma-separated string of ip addresses to bind dnscache to"),
        ("setupinterface", boolean, True, "indicates whether network interface should be setup"),
        ("interfacename", text, "nodelocaldns", "name of the interface to be created"),
        ("syncinterval", goflags.DURATION, 60e-9, "interval(in seconds) to check for iptables rules"),
        ("metrics-listen-address", text, "0.0.0.0:9353", "address to serve metrics on"),
        ("setupiptables", boolean, True, "indicates whether iptables rules should be setup"),
        ("basecorefile", text, "/etc/coredns/Corefile.base", "Path to the template Corefile for node-cache"),
        ("corefile", text, "/etc/Corefile", "Path to the Corefile to be used by node-cache, unless -conf is given"),
        ("conf", text, "", "Path to the Corefile to be used by node-cache"),
        (
            "kubednscm",
            text,
            "",
            f"Path where the kube-dns configmap will be mounted ({DEFAULT_CONFIGMAP} if it is there)",
        ),
        ("upstreamsvc", text, "kube-dns", "Service name whose cluster IP is upstream for node-cache"),
        ("health-port", text, "8080", "port used by health plugin"),
        ("skipteardown", boolean, False, "indicates whether iptables rules should be torn down on exit"),
        ("reloadwithsignal", boolean, False, "reload by SIGUSR1 when the Corefile has been written anew"),
        ("dns.port", text, "53", "Default port"),
        ("p", text, "", "Default port, as -dns.port"),
        ("pidfile", text, "", "Path to write pid file"),
        ("plugins", boolean, False, "List installed plugins"),
        ("quiet", boolean, False, "Quiet mode (no initialization output)"),
        ("version", boolean, False, "Show version"),
    ):
        flags.add(name, kind, default, help)
    return flags


def read_settings(options: argparse.Namespace) -> nodecache.Settings:
    """Raises ValueError for a value that node-cache refuses."""
    host, port = values.split_host_port(options.metrics_listen_address)
    return nodecache.Settings(
        local_ips=nodecache.read_local_ips(options.localip),
        corefile=options.conf or options.corefile,
        base_corefile=options.basecorefile,
        configmap=options.kubednscm or (DEFAULT_CONFIGMAP if os.path.exists(DEFAULT_CONFIGMAP) else ""),
        upstream_service=options.upstreamsvc,
        port=nodecache.read_port(options.p or options.dns_port),
        health_port=nodecache.read_port(options.health_port, "healthcheck "),
        metrics_host=host,
        metrics_port=nodecache.read_port(port, "metrics "),
        interface=options.interfacename,
        sets_up_interface=options.setupinterface,
        sets_up_rules=options.setupiptables,
        skips_teardown=options.skipteardown,
        sync_interval=nodecache.read_interval(options.syncinterval),
        reloads_by_signal=options.reloadwithsignal,
    )


def serve(options: argparse.Namespace, settings: nodecache.Settings) -> int:
    from fastdns.server import companion, node, output

    output.start_logging(as_json=False)
    cluster_dns = nodecache.find_service(settings.upstream_service, os.environ)
    setup = node.Setup(settings, cluster_dns=cluster_dns)
    keeper = companion.Companion("node", lambda channel: node.main(setup, channel))
    words = ["-conf", settings.corefile, "-dns.port", str(settings.port), "-pidfile", options.pidfile]
    try:
        keeper.start()
        return fastdns.serve(fastdns.make_parser().parse_args([*words, *["-quiet"] * options.quiet]), beside=keeper)
    finally:
        keeper.stop()


if __name__ == "__main__":
    sys.exit(main())
