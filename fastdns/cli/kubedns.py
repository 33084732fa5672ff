"""The command `kube-dns`: its command line and environment, as kube-dns takes them.

What is refused, with which exit status, and what is only logged, is kube-dns's own. SIGTERM and SIGINT, which kube-dns
doesn't hear, end the server in order, after a while in which it answers on.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Mapping, Sequence

import fastdns
from fastdns import errors
from fastdns.cli import fastdns as command
from fastdns.cli import goflags, klog
from fastdns.config import kubedns, model, values

logger = logging.getLogger(__name__)

STARTUP_FAILURE = 1
FATAL = 255
STDERR = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    flags = make_flags()
    options = flags.parse(sys.argv[1:] if arguments is None else arguments)
    klog.start(options.v)
    try:
        read = read_flags(options, os.environ)
    except kubedns.FlagError as error:
        flags.fail(str(error))
    for name, value in flags.show(options):
        logger.info("FLAG: --%s=%s", name, values.quote(value))
    logger.info("version: %s", fastdns.__version__)
    reason = find_fatal(read, os.environ)
    if reason:
        logger.critical("%s", reason)
        return FATAL
    try:
        return serve(read, verbosity=options.v, workers=options.workers)
    except (errors.FastdnsError, OSError) as error:
        logger.critical("%s", error)
        return STARTUP_FAILURE


def make_flags() -> goflags.Flags:
    flags = goflags.Flags("kube-dns", style=goflags.PFLAG)
    add = flags.add
    add("domain", goflags.TEXT, "cluster.local.", "domain under which to create names")
    add("nameservers", goflags.TEXT, "", "list of ip:port, separated by commas, to forward other names to")
    add(
        "kube-master-url",
        goflags.TEXT,
        "",
        "URL to reach kubernetes master. Env variables in this flag will be expanded.",
    )
    add("kubecfg-file", goflags.TEXT, "", "location of kubecfg file for access to kubernetes master service")
    add("healthz-port", goflags.INT, 8081, "port on which to serve a kube-dns HTTP readiness probe.")
    add("dns-bind-address", goflags.TEXT, "0.0.0.0", "address on which to serve DNS requests.")
    add("dns-port", goflags.INT, 53, "port on which to serve DNS requests.")
    add("federations", goflags.TEXT, "", "a comma separated list of the federation names and their domain names")
    add("config-map", goflags.TEXT, "", "ConfigMap that has the configuration")
    add("config-map-namespace", goflags.TEXT, kubedns.CONFIG_NAMESPACE, "namespace of --config-map")
    add("config-dir", goflags.TEXT, "", "folder that has the configuration, one file for each key")
    add("config-period", goflags.DURATION, 10.0, "period at which --config-dir is read")
    add(
        "initial-sync-timeout", goflags.DURATION, 60.0, "how long to wait for the first lists of services and endpoints"
    )
    add("profiling", goflags.BOOL, False, "no effect: there is no profiling page")
    add("workers", goflags.UINT, 0, "worker processes (default: the CPUs that the container may use)")
    flags.add_klog()
    flags.add_version("Kube-DNS")
    return flags


def read_flags(options: argparse.Namespace, environment: Mapping[str, str]) -> kubedns.Flags:
    """Check the command line. Raises FlagError; what is merely wrong is logged."""
    federations = kubedns.read_federations(options.federations)
    if options.config_dir or options.config_map:
        federations = ()
    prefix = "_".join(
        part
        for name in ("PROMETHEUS_NAMESPACE", "PROMETHEUS_SUBSYSTEM")
        if (part := environment.get(name, "") or "skydns")
    )
    return kubedns.Flags(
        domain=kubedns.read_domain(options.domain),
        address=read_address(options.dns_bind_address),
        port=options.dns_port,
        nameservers=read_nameservers(options.nameservers),
        federations=federations,
        master_url=kubedns.read_master_url(options.kube_master_url),
        kubeconfig=options.kubecfg_file,
        healthz_port=options.healthz_port,
        config_dir=options.config_dir,
        config_period=options.config_period,
        config_map=options.config_map,
        config_map_namespace=options.config_map_namespace,
        initial_sync_timeout=options.initial_sync_timeout,
        metrics_port=read_metrics_port(environment.get("PROMETHEUS_PORT", "")),
        metrics_path=environment.get("PROMETHEUS_PATH", "") or "/metrics",
        metrics_prefix=f"{prefix}_",
    )


def read_address(text: str) -> str:
    """Read --dns-bind-address: what stands for every address is the empty text."""
    address = text.removeprefix("[").removesuffix("]")
    return "" if address in ("", "0.0.0.0", "::") else address


def read_nameservers(text: str) -> tuple[model.Upstream, ...]:
    """One bad entry makes all of --nameservers void, and kube-dns goes on."""
    try:
        return kubedns.read_nameservers(text)
    except kubedns.FlagError as error:
        logger.error("--nameservers: %s; resolv.conf is used", error)
        return ()


def read_metrics_port(text: str) -> int:
    """Without PROMETHEUS_PORT there are no metrics; with one that is none neither."""
    if not text:
        return 0
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) < 65536:
        logger.error("PROMETHEUS_PORT: %s is no port; no metrics are served", values.quote(text))
        return 0
    return int(text)


def find_fatal(flags: kubedns.Flags, environment: Mapping[str, str]) -> str:
    """Why kube-dns can't run as it is told to; empty if it can."""
    if flags.config_dir and flags.config_map:
        return "Cannot use both ConfigMap and ConfigDir"
    is_in_cluster = environment.get("KUBERNETES_SERVICE_HOST") and environment.get("KUBERNETES_SERVICE_PORT")
    if not flags.master_url and not flags.kubeconfig and not is_in_cluster:
        return (
            "Failed to create a kubernetes client: unable to load in-cluster configuration, "
            "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined"
        )
    if flags.kubeconfig and not os.access(flags.kubeconfig, os.R_OK):
        return f"Failed to create a kubernetes client: {flags.kubeconfig} can't be read"
    return "" if is_port(flags.healthz_port) else f"listen tcp: address {flags.healthz_port}: invalid port"


def is_port(number: int) -> bool:
    return 0 < number < 65536


def serve(flags: kubedns.Flags, *, verbosity: int, workers: int) -> int:
    from fastdns.server import cpus, output, sources, supervisor, worker

    if not is_port(flags.port):
        raise errors.ListenError(f"listen udp: address {flags.port}: invalid port")
    command.raise_file_limit()
    style = worker.Options(formatter=klog.Formatter(), level=klog.verbose(verbosity), fd=STDERR)
    output.start_style(style)
    source = sources.KubeDns(flags)
    server = supervisor.Supervisor(
        source.load_first(),
        supervisor.Options(
            source=source,
            workers=workers or cpus.count_workers(),
            fatal_status=FATAL,
            worker=style,
            signals=supervisor.Signals.KUBEDNS,
        ),
    )
    return server.run()
