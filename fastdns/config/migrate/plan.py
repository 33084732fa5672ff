"""What a kube-dns pod's arguments and keys mean, gathered before a Corefile is written; and what one can't say."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from fastdns.config import configmap, values
from fastdns.config.migrate import pod
from fastdns.dns import names

DOMAIN, DNS_PORT = "cluster.local.", "53"
REVERSE = ("in-addr.arpa", "ip6.arpa")
RESOLV_CONF = "/etc/resolv.conf"
FORWARD_MAX = "1000"  # as kubeadm's Corefile; dnsmasq's 150 is what operators raise
CACHE_ENTRIES = 9984  # what a cache has unless more is asked for
CACHE_TTL = 3600  # the longest of plugin cache
# dnsmasq's options by their short names, with a colon behind those that take a value.
SHORT = {
    "c:": "cache-size", "N": "no-negcache", "R": "no-resolv", "r:": "resolv-file", "p:": "port", "S:": "server",
    "0:": "dns-forward-max", "o": "strict-order", "q": "log-queries", "H:": "addn-hosts", "h": "no-hosts",
    "k": "keep-in-foreground", "d": "no-daemon", "u:": "user", "g:": "group", "x:": "pid-file", "a:": "listen-address",
    "i:": "interface", "z": "bind-interfaces", "8:": "log-facility", "A:": "address", "C:": "conf-file",
    "7:": "conf-dir", "b": "bogus-priv", "D": "domain-needed", "f": "filterwin2k", "T:": "local-ttl",
}  # fmt: skip
VALUED = {*(name for letter, name in SHORT.items() if ":" in letter), "local", "host-record", "max-cache-ttl",
          "min-cache-ttl", "neg-ttl", "max-ttl", "rev-server", "servers-file", "hostsdir", "cname"}  # fmt: skip
SILENT = {
    "keep-in-foreground", "no-daemon", "user", "group", "pid-file", "listen-address", "interface", "bind-interfaces",
    "bind-dynamic", "log-facility", "log-async", "dns-loop-detect", "all-servers", "no-hosts", "no-poll", "no-ping",
}  # fmt: skip


@dataclasses.dataclass(slots=True)
class Plan:
    """`notes` are lines about what is not carried over."""

    zones: list[str] = dataclasses.field(default_factory=list)
    port: str = DNS_PORT
    kubernetes: list[tuple[str, str]] = dataclasses.field(default_factory=list)  # options
    upstreams: list[str] = dataclasses.field(default_factory=list)
    uses_resolv_conf: bool = True
    resolv_file: str = RESOLV_CONF
    stubs: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    hosts: list[str] = dataclasses.field(default_factory=list)
    hosts_file: str = ""
    caches: bool = True
    cache_entries: int = 0
    max_ttl: int = 0
    min_ttl: int = 0
    caches_denial: bool = True
    forward_max: str = FORWARD_MAX
    is_sequential: bool = False
    logs: bool = False
    notes: list[str] = dataclasses.field(default_factory=list)


def make_plan(given: pod.Pod) -> Plan:
    """Raises SettingError for keys that kube-dns would not take."""
    keys = configmap.parse(given.data)
    plan = Plan()
    flags = dict(read_flags(given.kubedns))
    domain = names.canonical(flags.get("domain", DOMAIN)).rstrip(".")
    port = flags.get("dns-port", DNS_PORT)
    _take_kubedns(plan, flags)
    if given.dnsmasq is None:
        plan.zones, plan.port, plan.caches = [domain, *REVERSE], port, False
    else:
        _take_dnsmasq(plan, given.dnsmasq, kubedns_port=port)
        if domain not in plan.zones:
            plan.notes.append(f"dnsmasq does not ask kube-dns for {domain}: the zone is served all the same")
            plan.zones.insert(0, domain)
    _take_keys(plan, keys)
    if plan.uses_resolv_conf:
        plan.upstreams.append(plan.resolv_file)
    if not plan.upstreams:
        plan.notes.append("there are no upstream servers: names outside of the cluster are refused")
    return plan


def read_flags(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Names and values of pflag's long flags; `true` for one without a value."""
    left = list(words)
    while left:
        word = left.pop(0)
        if not word.startswith("-"):
            continue
        name, equals, text = word.lstrip("-").partition("=")
        if not equals:
            text = left.pop(0) if left and not left[0].startswith("-") else "true"
        yield name.replace("_", "-"), text


def read_options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Names and values of dnsmasq's options, short ones by their long names."""
    left = list(words)
    while left:
        word = left.pop(0)
        if word.startswith("--"):
            name, equals, text = word[2:].partition("=")
            if not equals and name in VALUED and left:
                text = left.pop(0)
            yield name, text
        elif word.startswith("-"):
            yield from _read_short(word[1:], left)


def _read_short(letters: str, left: list[str]) -> Iterator[tuple[str, str]]:
    while letters:
        letter, letters = letters[0], letters[1:]
        if f"{letter}:" in SHORT:
            yield SHORT[f"{letter}:"], letters or (left.pop(0) if left else "")
            return
        yield SHORT.get(letter, letter), ""


def _take_kubedns(plan: Plan, flags: Mapping[str, str]) -> None:
    if flags.get("kubecfg-file"):
        plan.kubernetes.append(("kubeconfig", flags["kubecfg-file"]))
    elif flags.get("kube-master-url"):
        plan.kubernetes.append(("endpoint", flags["kube-master-url"]))
    if flags.get("federations"):
        plan.notes.append("federations: a Corefile has no federation; these names will not exist")
    has_keys = bool(flags.get("config-map") or flags.get("config-dir"))
    if flags.get("nameservers") and not has_keys:
        plan.upstreams = flags["nameservers"].split(",")
        plan.uses_resolv_conf = False


def _take_dnsmasq(plan: Plan, words: Sequence[str], *, kubedns_port: str) -> None:
    own = {f"127.0.0.1#{kubedns_port}", f"::1#{kubedns_port}"}
    # What dnsmasq asks by itself, it does not ask through kube-dns.
    plan.upstreams, plan.uses_resolv_conf = [], True
    for name, text in read_options(words):
        match name:
            case "server" | "local":
                _take_server(plan, text, own=own)
            case "no-resolv":
                plan.uses_resolv_conf = False
            case "resolv-file":
                plan.resolv_file = text
            case "port":
                plan.port = text
            case "cache-size":
                plan.cache_entries = int(text) if text.isdecimal() else CACHE_ENTRIES
                plan.caches = plan.cache_entries > 0
            case "no-negcache":
                plan.caches_denial = False
            case "max-cache-ttl" if text.isdecimal():
                plan.max_ttl = int(text)
            case "min-cache-ttl" if text.isdecimal():
                plan.min_ttl = int(text)
            case "dns-forward-max" if text.isdecimal():
                plan.forward_max = text
            case "strict-order":
                plan.is_sequential = True
            case "log-queries":
                plan.logs = True
            case "addn-hosts" if not plan.hosts_file:
                plan.hosts_file = text
            case "host-record" if _is_plain_record(text):
                *aliases, address = text.split(",")
                plan.hosts.append(" ".join((address, *aliases)))
            case _ if name not in SILENT:
                plan.notes.append(f"--{name}{'=' if text else ''}{text}: not carried over")


def _is_plain_record(text: str) -> bool:
    *aliases, address = text.split(",")
    return bool(aliases) and values.is_address(address) and all(map(names.is_name, aliases))


def _take_server(plan: Plan, text: str, *, own: set[str]) -> None:
    """`[/DOMAIN/...]ADDRESS[#PORT][@SOURCE]`."""
    *domains, server = text.lstrip("/").split("/") if text.startswith("/") else (text,)
    if server in own:
        plan.zones += [names.canonical(domain).rstrip(".") for domain in domains]
        if not domains:
            plan.notes.append(
                "dnsmasq asks kube-dns for everything: what the cluster does not have is forwarded from here"
            )
        return
    address = convert_server(server)
    if address is None:
        plan.notes.append(f"--server={text}: not carried over")
    elif not domains:
        plan.upstreams.append(address)
    for domain in domains if address is not None else ():
        plan.stubs.setdefault(names.canonical(domain).rstrip("."), []).append(address or "")


def convert_server(text: str) -> str | None:
    """dnsmasq's `ADDRESS[#PORT]` as the forward plugin has it; None for anything else (a name, a source, none at all)."""
    address, _, port = text.partition("#")
    if not values.is_address(address) or (port and not values.port_number(port)):
        return None
    if not port or port == "53":
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _take_keys(plan: Plan, keys: configmap.Settings) -> None:
    if keys.federations:
        plan.notes.append("federations: a Corefile has no federation; these names will not exist")
    if keys.upstreams:
        plan.upstreams = [*plan.upstreams, *keys.upstreams]
        plan.uses_resolv_conf = False
    for domain, servers in keys.stub_domains.items():
        for server in servers:
            try:
                configmap.split_address(server)
            except ValueError:
                plan.notes.append(f"stubDomains: {domain}: {server} is a name, not carried over: its address is needed")
            else:
                plan.stubs.setdefault(domain, []).append(server)
    for domain in [domain for domain in plan.stubs if domain in plan.zones]:
        plan.notes.append(f"stub domain {domain}: the cluster's own zone, not carried over")
        del plan.stubs[domain]
