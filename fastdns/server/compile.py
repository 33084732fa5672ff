"""A configuration in, an Engine out that answers by it; and what Python has to know about the Engine's numbers.

Everything that can be decided ahead is decided here. Numbers of tables are those of frames: the kubernetes plugins of
the configuration in its order, equal ones once; hosts tables follow.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

from fastdns import _counters, _engine, _order
from fastdns._counters import System
from fastdns._plan import Manner
from fastdns.config import filters, local, model, rewriting, templates
from fastdns.dns import names
from fastdns.server import filters as filtering
from fastdns.server import hosts, localplugins, metrics, rewrite, template

UDP_OURS = 1232  # octets: no fragments on common paths (RFC 9715)
DEADLINE = 4.0  # seconds for a query, all upstreams and retries together: below a stub resolver's 5
CACHE_OCTETS = 512  # of memory for each entry of a cache's capacity
HINFO, AAAA, ANY = 13, 28, 255
IN_ADDR = "in-addr.arpa."
KUBE_DNS = (
    Manner.REFUSE_ANY
    | Manner.REFUSE_UNSYNCED
    | Manner.CHAOS_IN_PYTHON
    | Manner.ANY_CLASS
    | Manner.NOTIFY_AS_QUERY
    | Manner.NO_OPT
    | Manner.SILENT
    | Manner.PASS_ON
)
POLICIES = {"random": 0, "round_robin": 1, "sequential": 2, **dict.fromkeys(localplugins.SPREADS, 2)}


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """A step of the Engine that Python has a part in."""

    plugin: model.Plugin
    block: int  # index in Config.blocks
    number: int  # of the step within the Engine's block
    group: int = -1  # of a forward


@dataclasses.dataclass(frozen=True, slots=True)
class HostsTable:
    table: int
    plugin: model.Hosts
    first_slot: int


@dataclasses.dataclass(frozen=True, slots=True)
class WeightedOrder:
    """An order of addresses whose weights come from a file."""

    order: _order.AddressOrder
    plugin: model.Loadbalance


@dataclasses.dataclass(slots=True)
class Program:
    """An Engine and the meaning of its numbers."""

    engine: _engine.Engine
    config: model.Config
    listeners: dict[model.Listener, int] = dataclasses.field(default_factory=dict)
    blocks: list[metrics.BlockPlace] = dataclasses.field(default_factory=list)  # of the Engine
    steps: dict[tuple[int, int], Step] = dataclasses.field(default_factory=dict)  # by the Engine's (block, step)
    clusters: list[model.Kubernetes] = dataclasses.field(default_factory=list)  # by table
    hosts: dict[metrics.PluginKey, HostsTable] = dataclasses.field(default_factory=dict)
    weighted: dict[metrics.PluginKey, WeightedOrder] = dataclasses.field(default_factory=dict)
    caches: dict[metrics.PluginKey, int] = dataclasses.field(default_factory=dict)
    groups: dict[metrics.PluginKey, int] = dataclasses.field(default_factory=dict)
    forwards: list[model.Forward] = dataclasses.field(default_factory=list)  # by group
    spreads: dict[metrics.PluginKey, int] = dataclasses.field(default_factory=dict)
    singles: dict[metrics.PluginKey, int] = dataclasses.field(default_factory=dict)  # the first group of each spread
    names: dict[int, local.LocalNames] = dataclasses.field(default_factory=dict)  # by table
    counts: dict[metrics.PluginKey, metrics.CountsPlace] = dataclasses.field(default_factory=dict)
    udp_max: int = UDP_OURS  # octets of the largest answer over UDP, of all blocks
    upstream_slots: list[metrics.GroupPlace] = dataclasses.field(default_factory=list)  # by group


def build(config: model.Config, counters: _counters.Counters) -> Program:
    layout = metrics.lay_out(config)
    program = Program(_engine.Engine(counters), config, counts=layout.counts)
    for cluster in find_clusters(config):
        program.clusters.append(cluster)
        # Until control tells more, its zones are known to be ours: SERVFAIL, and nothing of them goes upstream.
        table = program.engine.add_table()
        program.engine.apply(table, b"".join(map(hosts.encode_zone, cluster.zones)))
    for _, key, plugin in metrics.walk_plugins(config):
        add_shared(program, layout, key, plugin)
    for _, key, plugin in metrics.walk_plugins(config):
        if isinstance(plugin, model.Forward) and key in program.groups and key not in program.spreads:
            localplugins.add_spread(program, key, plugin, layout.groups[key])
    for place in layout.blocks:
        add_block(program, place)
    for listener in dict.fromkeys(place.listener for place in layout.blocks):
        program.listeners[listener] = add_listener(program, listener)
    return program


def add_listener(program: Program, listener: model.Listener) -> int:
    """Each UDP socket needs a number of its own, since late answers leave by the socket of their query's."""
    served = [number for number, place in enumerate(program.blocks) if place.listener == listener]
    return program.engine.add_listener(served, server_port=listener.port)


def find_clusters(config: model.Config) -> list[model.Kubernetes]:
    """The kubernetes plugins by the number of their table."""
    found = (plugin for block in config.blocks for plugin in block.plugins if isinstance(plugin, model.Kubernetes))
    return list(dict.fromkeys(found))


def add_shared(program: Program, layout: metrics.Layout, key: metrics.PluginKey, plugin: model.Plugin) -> None:
    """What the zones of one Corefile block share."""
    if isinstance(plugin, model.Hosts) and key not in program.hosts:
        program.hosts[key] = HostsTable(program.engine.add_table(), plugin, layout.hosts[key].first)
    elif isinstance(plugin, model.Cache) and key not in program.caches:
        program.caches[key] = add_cache(program.engine, plugin, layout.caches[key].first)
    elif isinstance(plugin, model.Forward) and plugin.upstreams and key not in program.groups:
        program.groups[key] = add_group(program.engine, plugin, layout.groups[key])
        program.forwards.append(plugin)
        program.upstream_slots.append(layout.groups[key])


def add_block(program: Program, place: metrics.BlockPlace) -> None:
    config_block = program.config.blocks[place.block]
    found = {type(plugin): plugin for plugin in config_block.plugins}
    manner = found.get(model.Manner)
    bufsize, cancel, balance = found.get(model.Bufsize), found.get(model.Cancel), found.get(model.Loadbalance)
    udp_max = bufsize.size if isinstance(bufsize, model.Bufsize) else UDP_OURS
    program.udp_max = max(program.udp_max, udp_max)
    number = program.engine.add_block(
        names.to_canonical_wire(config_block.zone),
        udp_max=udp_max,
        rotate=isinstance(balance, model.Loadbalance) and not balance.weight_file,
        deadline_ms=int(1000 * find_deadline(manner, cancel)),
        log=model.Log in found,
        errors=model.Errors in found,
        counters=place.first,
    )
    program.blocks.append(place)
    localplugins.set_manners(program.engine, number, config_block.plugins)
    if not place.last_plugin and manner is None:
        localplugins.refuse_all(program.engine, number)
    skydns = found.get(model.SkyDns)
    if isinstance(skydns, model.SkyDns):
        set_manners(program, number, place, skydns)
    for position in order_steps(config_block.plugins):
        plugin = config_block.plugins[position]
        if isinstance(plugin, model.Loadbalance):
            set_order(program, number, metrics.key_of(program.config, place.block, position), plugin)
        else:
            add_step(program, number, place, position, plugin)


def set_manners(program: Program, number: int, place: metrics.BlockPlace, plugin: model.SkyDns) -> None:
    """What kube-dns does before it looks at the name; and in which of its systems it counts the block's answers."""
    layout = metrics.lay_out(program.config)
    config_block = program.config.blocks[place.block]
    cluster = next(one for one in config_block.plugins if isinstance(one, model.Kubernetes))
    system, manners = System.SYSTEM_RECURSIVE, KUBE_DNS
    if config_block.zone == plugin.domain:
        system = System.SYSTEM_AUTH
    elif config_block.zone != ".":
        system = System.SYSTEM_REVERSE
        manners |= Manner.PTR_ALONE if config_block.zone == IN_ADDR else 0
    gate = program.clusters.index(cluster)
    program.engine.set_manners(number, manners, gate=gate)
    program.engine.count_system(number, system, counters=layout.systems)


def find_deadline(manner: model.Plugin | None, cancel: model.Plugin | None) -> float:
    if isinstance(manner, model.Manner):
        return manner.deadline
    return min(DEADLINE, cancel.timeout) if isinstance(cancel, model.Cancel) else DEADLINE


def order_steps(plugins: Sequence[model.Plugin]) -> list[int]:
    """The places of the plugins, tables before the cache in front of them, which keeps nothing of theirs.

    So a name of the cluster costs no look-up in the cache; and what changes answers changes those of the cache, too. A step
    of another kind between them stays where it is, and what follows it too.
    """
    ordered: list[int] = []
    cache: int | None = None  # where it stands in `ordered`
    for position, plugin in enumerate(plugins):
        if isinstance(plugin, model.Hosts | model.Kubernetes | filters.Header | filters.Minimal) and cache is not None:
            ordered.insert(cache, position)
            cache += 1
            continue
        if isinstance(plugin, model.Cache):
            cache = len(ordered)
        elif isinstance(plugin, model.Loop | model.Whoami | model.Forward | templates.Template):
            cache = None
        ordered.append(position)
    return ordered


def set_order(program: Program, number: int, key: metrics.PluginKey, plugin: model.Loadbalance) -> None:
    """What plugin loadbalance does beside rotating. The blocks of one Corefile block share its weights."""
    if not plugin.prefer and not plugin.weight_file:
        return
    if plugin.weight_file and key not in program.weighted:
        program.weighted[key] = WeightedOrder(_order.AddressOrder(plugin.prefer), plugin)
    shared = program.weighted.get(key)
    program.engine.set_order(number, shared.order if shared else _order.AddressOrder(plugin.prefer))


def add_step(program: Program, number: int, place: metrics.BlockPlace, position: int, plugin: model.Plugin) -> None:
    key = metrics.key_of(program.config, place.block, position)
    engine = program.engine
    group = -1
    match plugin:
        case model.Kubernetes():
            table = program.clusters.index(plugin)
            step = engine.add_table_step(number, table, fallthrough=encode_zones(plugin.fallthrough.zones))
        case model.Hosts():
            table = program.hosts[key].table
            zones = (*plugin.fallthrough.zones, *hosts.REVERSE)
            step = engine.add_table_step(number, table, fallthrough=encode_zones(zones))
        case model.Cache():
            step = engine.add_cache_step(number, program.caches[key])
        case model.SkyDns() if plugin.federations:
            federations = [f"{name}.svc.{plugin.domain}" for name, _ in plugin.federations]
            step = engine.add_python_step(number, zones=encode_zones(federations))
        case model.Forward() if not plugin.upstreams:
            return  # what comes to the end of a block is refused
        case model.Forward():
            group = program.groups[key]
            step = engine.add_forward_step(
                number,
                group,
                zone=names.to_canonical_wire(plugin.zone),
                excluded=encode_zones(plugin.excluded),
                next_rcodes=plugin.next,
                next_on_nodata=plugin.next_on_nodata,
                labels_min=plugin.labels_min,
                more_zones=encode_zones(plugin.more_zones),
                is_undotted=plugin.is_undotted,
                spread=program.spreads.get(key),
            )
        case model.Loop():
            step = engine.add_python_step(number, qtype=HINFO)
        case model.Whoami():
            step = engine.add_python_step(number)
        case filters.Local():
            for zones, label in ((filtering.LOCAL_ZONES, b""), ((), filtering.LOCALHOST if plugin.prefix else b"")):
                if zones or label:
                    step = engine.add_python_step(number, zones=encode_zones(zones), first_label=label)
                    program.steps[number, step] = Step(plugin, place.block, step)
            return
        case filters.Dns64():
            step = engine.add_python_step(number, qtype=AAAA)
        case filters.Any():
            step = engine.add_python_step(number, qtype=ANY)
        case filters.Acl():
            zones = tuple(dict.fromkeys(zone for rule in plugin.rules for zone in rule.zones))
            step = engine.add_python_step(number, zones=encode_zones(zones))
        case filters.Minimal() | filters.Header():
            step = engine.add_python_step(number)
        case filters.Chaos():
            step = engine.add_classes_step(number)
        case rewriting.Rewrite():
            step = engine.add_python_step(number, zones=encode_zones(rewrite.zones_of(plugin)))
        case templates.Template():
            for qtype in template.types_of(plugin):
                step = engine.add_python_step(number, qtype=qtype, zones=encode_zones(template.zones_of(plugin)))
                program.steps[number, step] = Step(plugin, place.block, step)
            return
        case _:
            for step in localplugins.add_steps(program, number, plugin):
                program.steps[number, step] = Step(plugin, place.block, step)
            return  # without steps it is a setting of the block or of the server
    program.steps[number, step] = Step(plugin, place.block, step, group)


def add_cache(engine: _engine.Engine, plugin: model.Cache, counters: int) -> int:
    stale, prefetch = plugin.serve_stale, plugin.prefetch
    return engine.add_cache(
        success=encode_side(plugin.success),
        denial=encode_side(plugin.denial),
        max_octets=CACHE_OCTETS * (plugin.success.capacity + plugin.denial.capacity),
        servfail_ttl=int(plugin.servfail),
        stale_for=int(stale.duration) if stale else 0,
        stale_verify=stale is not None and stale.refresh == "verify",
        verify_timeout_ms=math.ceil(1000 * stale.verify_timeout) if stale else 0,
        stale_ttl=stale.ttl if stale else 0,
        recheck=math.ceil(stale.recheck) if stale else 0,
        prefer_positive=stale is not None and stale.prefer_positive,
        prefetch=(prefetch.amount, int(prefetch.duration), prefetch.percentage) if prefetch else (0, 0, 0),
        keep_ttl=plugin.keepttl,
        zones=encode_zones(plugin.zones),
        disable_success=encode_zones(plugin.disable_success),
        disable_denial=encode_zones(plugin.disable_denial),
        counters=counters,
        by_record=plugin.records is not None,
        types=plugin.records.types if plugin.records else (),
        negative_ttl=plugin.records.negative_ttl if plugin.records else 0,
    )


def add_group(engine: _engine.Engine, plugin: model.Forward, place: metrics.GroupPlace) -> int:
    return engine.add_group(
        [(upstream.address, upstream.port) for upstream in plugin.upstreams],
        policy=POLICIES[plugin.policy],
        max_concurrent=plugin.max_concurrent,
        read_timeout_ms=int(1000 * plugin.read_timeout),
        max_fails=plugin.max_fails,
        max_connect_attempts=plugin.max_connect_attempts,
        failfast=plugin.failfast_all_unhealthy_upstreams,
        failover=plugin.failover,
        again=plugin.again,
        source_address=plugin.source_address,
        in_python=asks_in_python(plugin),
        first_slot=place.first,
    )


def asks_in_python(plugin: model.Forward) -> bool:
    """TCP, TLS and HTTPS; and `prefer_udp`, which asks over TCP what came back truncated over UDP."""
    is_plain = all(upstream.protocol is model.Protocol.DNS for upstream in plugin.upstreams)
    return plugin.force_tcp or plugin.prefer_udp or not is_plain


def encode_side(side: model.CacheSide) -> tuple[int, int, int]:
    return side.capacity, side.max_ttl, side.min_ttl


def encode_zones(zones: Iterable[str]) -> Sequence[bytes]:
    return [names.to_canonical_wire(zone) for zone in zones]
