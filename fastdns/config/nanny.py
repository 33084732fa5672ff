"""What dnsmasq-nanny is told on its command line, and the arguments that it makes for dnsmasq out of a ConfigMap."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

from fastdns.config import configmap, values

DEFAULT_PROGRAM = "/usr/sbin/dnsmasq"
CLUSTER_SUFFIX = "cluster.local"  # names that end so are asked of kube-dns, whatever the cluster's domain is


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """Intervals are in seconds. `arguments` are dnsmasq's."""

    program: str = DEFAULT_PROGRAM
    restarts: bool = False
    config_dir: str = "/etc/k8s/dns/dnsmasq-nanny"
    sync_interval: float = 10.0
    kubedns_server: str = "127.0.0.1:10053"
    log_interval: float = 0.0
    arguments: tuple[str, ...] = ()


def split_arguments(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Give the nanny's words and dnsmasq's: the first `--` is between them, whatever stands before it."""
    at = words.index("--") if "--" in words else len(words)
    return list(words[:at]), list(words[at + 1 :])


def check(options: Options) -> None:
    """Raise ValueError, naming the flag, for what the real nanny panics at."""
    if options.log_interval < 0:
        raise ValueError(f"-logInterval: {values.format_duration(options.log_interval)} is negative")
    if options.sync_interval <= 0:
        raise ValueError(f"-syncInterval: {values.format_duration(options.sync_interval)} is no period")


def make_arguments(arguments: Sequence[str], settings: configmap.Settings, write: Callable[[str], str]) -> list[str]:
    """Add the servers of a ConfigMap: stub domains, then upstreams, and --no-resolv with them.

    `write` writes a server as dnsmasq does; one that it has nothing for is left out.
    """
    added: list[str] = []
    for domain, servers in settings.stub_domains.items():
        for written in filter(None, map(write, servers)):
            added += ["--server", f"/{domain}/{written}"]
    for written in filter(None, map(write, settings.upstreams)):
        added += ["--server", written]
    if settings.upstreams:
        added.append("--no-resolv")
    return [*arguments, *added]


def write_as_nanny(server: str, addresses: Mapping[str, str]) -> str:
    """Write a server as the real nanny does: brackets stay, and a name without an address is passed on."""
    server = addresses.get(server, server)
    host, colon, port = server.rpartition(":")
    is_port = colon and (":" not in host or host.endswith("]"))
    return f"{host}#{port}" if is_port else server


def write_plainly(server: str, addresses: Mapping[str, str]) -> str:
    """Write a server as dnsmasq understands it; empty for a name without an address."""
    if is_name(server):
        return addresses.get(server, "")
    host, _hash, port = write_as_nanny(server, {}).partition("#")
    return host.strip("[]") + (f"#{port}" if port else "")


def is_name(server: str) -> bool:
    """Tell whether a server has to be looked up."""
    return not values.is_address(server) and ":" not in server


def find_names(settings: configmap.Settings) -> Iterator[str]:
    """Give the servers of stub domains that are names, once each."""
    servers = dict.fromkeys(server for servers in settings.stub_domains.values() for server in servers)
    for server in servers:
        if is_name(server):
            yield server
