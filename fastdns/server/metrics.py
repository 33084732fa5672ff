"""Where each metric of one worker is in its slots: the supervisor reads, and the worker counts, by the same page.

What holds what is said in fastdns/_counters.pxd. A zone that is served on two listeners has two blocks of slots, since
CoreDNS labels by server. Zones of one Corefile block share its plugins, hence its caches and groups.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from fastdns._counters import BlockSlot, CacheSlot, GroupSlot, SystemDimension, SystemSlot, UpstreamSlot, WorkerSlot
from fastdns.config import filters, model

SINGLE_SLOTS = GroupSlot.GROUP_SLOTS + UpstreamSlot.UPSTREAM_SLOTS
HOSTS_ENTRIES, HOSTS_RELOADED, HOSTS_SLOTS = 0, 1, 2  # gauges: entries, unix time in milliseconds

# What answers or passes on a query in CoreDNS: the first after prometheus is the label `plugin` of responses.
HANDLERS = (
    "Errors",
    "Log",
    "Local",
    "Dns64",
    "Any",
    "Chaos",
    "Loadbalance",
    "Rewrite",
    "Acl",
    "Cache",
    "Header",
    "Minimal",
    "Template",
    "Hosts",
    "Kubernetes",
    "Loop",
    "Forward",
    "Whoami",
)


ACL_ALLOWED = "coredns_acl_allowed_requests_total"
ACL_COUNTS = {
    "block": "coredns_acl_blocked_requests_total",
    "filter": "coredns_acl_filtered_requests_total",
    "drop": "coredns_acl_dropped_requests_total",
}
LOCALHOST = "coredns_local_localhost_requests_total"
TRANSLATED = "coredns_dns64_requests_translated_total"

# They pass queries on, too, but stand before prometheus.
FIRST_HANDLERS = ("Cancel", "Bufsize", "Prometheus")


@dataclasses.dataclass(frozen=True, slots=True)
class PluginKey:
    """One plugin of one Corefile block, whatever the number of its zones: `owner` is the block of the first of them."""

    owner: int
    position: int


@dataclasses.dataclass(frozen=True, slots=True)
class BlockPlace:
    first: int
    block: int  # index in Config.blocks
    listener: model.Listener
    server: str
    zone: str
    plugin: str
    last_plugin: str  # whose word it is that no plugin is left; empty: none of the block looks at queries
    is_exposed: bool  # plugin prometheus is there


@dataclasses.dataclass(frozen=True, slots=True)
class CachePlace:
    first: int
    server: str
    zones: str


@dataclasses.dataclass(frozen=True, slots=True)
class GroupPlace:
    first: int
    upstreams: tuple[str, ...]
    singles: tuple[int, ...] = ()  # where each upstream's own group is, if it has one

    def upstream_at(self, index: int) -> int:
        return self.first + GroupSlot.GROUP_SLOTS + index * UpstreamSlot.UPSTREAM_SLOTS


@dataclasses.dataclass(frozen=True, slots=True)
class HostsPlace:
    first: int
    path: str


@dataclasses.dataclass(frozen=True, slots=True)
class CountsPlace:
    """A slot for each series, (family, labels), of a plugin that works in Python."""

    first: int
    series: tuple[tuple[str, tuple[str, ...]], ...]

    def slot_of(self, family: str, *labels: str) -> int:
        return self.first + self.series.index((family, labels))


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """The slots of one worker."""

    blocks: tuple[BlockPlace, ...]
    caches: dict[PluginKey, CachePlace]
    groups: dict[PluginKey, GroupPlace]
    hosts: dict[PluginKey, HostsPlace]
    counts: dict[PluginKey, CountsPlace]
    systems: int  # where kube-dns's systems start; -1: there are none
    systems_prefix: str  # of their families
    slots: int


def lay_out(config: model.Config) -> Layout:
    at = int(WorkerSlot.WORKER_SLOTS)
    blocks = []
    for index, listener in find_servings(config):
        blocks.append(place_block(config, index, listener, at))
        at += BlockSlot.BLOCK_SLOTS
    caches: dict[PluginKey, CachePlace] = {}
    groups: dict[PluginKey, GroupPlace] = {}
    hosts: dict[PluginKey, HostsPlace] = {}
    counts: dict[PluginKey, CountsPlace] = {}
    for block, key, plugin in walk_plugins(config):
        if isinstance(plugin, model.Cache) and key not in caches:
            caches[key] = CachePlace(at, name_server(block.listeners[0]), ",".join(plugin.zones))
            at += CacheSlot.CACHE_SLOTS
        elif isinstance(plugin, model.Forward) and plugin.upstreams and key not in groups:
            groups[key] = place_group(plugin, at)
            at = groups[key].upstream_at(len(plugin.upstreams)) + len(groups[key].singles) * SINGLE_SLOTS
        elif isinstance(plugin, model.Hosts) and key not in hosts:
            hosts[key] = HostsPlace(at, plugin.path)
            at += HOSTS_SLOTS
        elif key not in counts and (series := name_series(block, plugin)):
            counts[key] = CountsPlace(at, series)
            at += len(series)
    systems, prefix = -1, ""
    kubedns = [one for block in config.blocks for one in block.plugins if isinstance(one, model.KubeDnsPages)]
    if kubedns:
        systems, at, prefix = at, at + SystemDimension.SYSTEMS * SystemSlot.SYSTEM_SLOTS, kubedns[0].metrics_prefix
    return Layout(tuple(blocks), caches, groups, hosts, counts, systems, prefix, at)


def name_series(block: model.ServerBlock, plugin: model.Plugin) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """What a plugin that works in Python counts."""
    server = name_server(block.listeners[0])
    match plugin:
        case filters.Acl():
            zones = dict.fromkeys(zone for rule in plugin.rules for zone in rule.zones)
            refused = [(family, (server, zone, "")) for family in ACL_COUNTS.values() for zone in zones]
            return ((ACL_ALLOWED, (server, "")), *refused)
        case filters.Local():
            return ((LOCALHOST, ()),)
        case filters.Dns64():
            return ((TRANSLATED, (server,)),)
    return ()


def place_group(plugin: model.Forward, first: int) -> GroupPlace:
    """A group's slots; behind them those of each upstream's own group, where upstreams are asked at once."""
    place = GroupPlace(first, tuple(map(name_upstream, plugin.upstreams)))
    if plugin.policy not in ("fastest", "all") or len(plugin.upstreams) < 2:
        return place
    behind = place.upstream_at(len(plugin.upstreams))
    singles = tuple(behind + index * SINGLE_SLOTS for index in range(len(plugin.upstreams)))
    return dataclasses.replace(place, singles=singles)


def find_servings(config: model.Config) -> Iterator[tuple[int, model.Listener]]:
    """Each zone on each of its listeners: (index of the block, listener)."""
    for index, block in enumerate(config.blocks):
        for listener in block.listeners:
            yield index, listener


def walk_plugins(config: model.Config) -> Iterator[tuple[model.ServerBlock, PluginKey, model.Plugin]]:
    for index, block in enumerate(config.blocks):
        for position, plugin in enumerate(block.plugins):
            yield block, key_of(config, index, position), plugin


def key_of(config: model.Config, index: int, position: int) -> PluginKey:
    """The zones of one Corefile block hold one and the same tuple of plugins."""
    plugins = config.blocks[index].plugins
    owner = next(at for at, block in enumerate(config.blocks) if block.plugins is plugins)
    return PluginKey(owner, position)


def place_block(config: model.Config, index: int, listener: model.Listener, first: int) -> BlockPlace:
    block = config.blocks[index]
    names = [type(plugin).__name__ for plugin in block.plugins]
    return BlockPlace(
        first=first,
        block=index,
        listener=listener,
        server=name_server(listener),
        zone=block.zone,
        plugin=next((name.lower() for name in names if name in HANDLERS), ""),
        last_plugin=next((name.lower() for name in reversed(names) if name in (*FIRST_HANDLERS, *HANDLERS)), ""),
        is_exposed="Prometheus" in names,
    )


def name_server(listener: model.Listener) -> str:
    """As CoreDNS's label `server`: `dns://:53`, `dns://[::1]:53`."""
    return f"{listener.scheme}://{join_host(listener.address, listener.port)}"


def name_upstream(upstream: model.Upstream) -> str:
    """As CoreDNS's label `to`."""
    return join_host(upstream.address, upstream.port)


def join_host(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
