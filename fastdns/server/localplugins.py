"""Plugins that no Corefile has, compiled into an Engine: names of our own, rules for replies, upstreams asked at once."""

from __future__ import annotations

import typing

from fastdns import _engine
from fastdns._plan import Manner
from fastdns.config import local, model
from fastdns.dns import constants, names
from fastdns.server import localnames, metrics

if typing.TYPE_CHECKING:
    from fastdns.server import compile as compiler

AD, RA = 0x0020, 0x0080
SPREADS = ("fastest", "all")  # policies that ask several upstreams at once


def set_manners(engine: _engine.Engine, number: int, plugins: tuple[model.Plugin, ...]) -> None:
    """How a block ends what it can't answer; without upstreams dnsmasq refuses."""
    for plugin in plugins:
        if isinstance(plugin, model.Manner):
            manners = Manner.END_REFUSED | Manner.END_NOT_READY
            manners |= Manner.ERRORS_CARRY_RA if plugin.errors_carry_ra else 0
            manners |= Manner.SILENT if plugin.fails_silently else 0
            manners |= Manner.FINDS_KNOWN if plugin.finds_known else 0
            engine.set_manners(number, manners)
        elif isinstance(plugin, local.ReplyRules):
            set_rules(engine, number, plugin)


def refuse_all(engine: _engine.Engine, number: int) -> None:
    """A block in which no plugin looks at queries, as CoreDNS has it."""
    engine.set_manners(number, Manner.END_REFUSED)


def set_rules(engine: _engine.Engine, number: int, rules: local.ReplyRules) -> None:
    engine.set_rules(
        number,
        unblocked=[names.to_canonical_wire(zone) for zone in rules.private_zones],
        clear_flags=0 if rules.keeps_ad else AD,
        set_flags=RA,
        max_ttl=rules.max_ttl,
        hidden=rules.hidden_types,
        ignored=[(network.first, network.last) for network in rules.ignored],
        bogus=[(network.first, network.last) for network in rules.bogus],
        blocked=[(network.first, network.last) for network in rules.private],
        aliases=[(one.network.first, one.network.last, one.address, one.mask) for one in rules.aliases],
    )


def add_table(program: compiler.Program, plugin: local.LocalNames | local.LocalDomains) -> int:
    """A table for names of our own; that of domains never changes, so it is filled now."""
    table = program.engine.add_table()
    if isinstance(plugin, local.LocalDomains):
        for delta in localnames.domain_deltas(plugin):
            program.engine.apply(table, delta)
    else:
        program.names[table] = plugin
    return table


def add_steps(program: compiler.Program, number: int, plugin: model.Plugin) -> list[int]:
    """The steps of a plugin of ours; none: it is a setting."""
    engine = program.engine
    match plugin:
        case local.LocalNames() | local.LocalDomains():
            return [engine.add_table_step(number, add_table(program, plugin), fallthrough=[])]
        case local.Undotted():
            return [engine.add_undotted_step(number)]
        case local.NoWindows():
            types = (constants.Type.SOA, constants.Type.SRV, constants.Type.ANY)
            return [engine.add_python_step(number, qtype=qtype) for qtype in types]
        case local.LoopDetect():
            return [engine.add_python_step(number, qtype=constants.Type.TXT)]
        case local.QueryLog():
            engine.log_answers(number)
            return [engine.add_python_step(number)]
        case local.Statistics():
            return [engine.add_classes_step(number)]
        case _:
            return []


def add_spread(
    program: compiler.Program, key: metrics.PluginKey, plugin: model.Forward, place: metrics.GroupPlace
) -> None:
    """The upstreams of a forward one by one, to be asked at once, if its policy does so."""
    engine = program.engine
    first = None
    for upstream, slot in zip(plugin.upstreams, place.singles, strict=False):
        group = engine.add_group(
            [(upstream.address, upstream.port)],
            policy=2,
            max_concurrent=plugin.max_concurrent,
            read_timeout_ms=int(1000 * plugin.read_timeout),
            max_fails=plugin.max_fails,
            max_connect_attempts=1,
            failfast=plugin.failfast_all_unhealthy_upstreams,
            failover=[],
            source_address=plugin.source_address,
            in_python=False,
            first_slot=slot,
        )
        first = group if first is None else first
    if first is not None:
        program.singles[key] = first
        always = plugin.policy == "all"
        program.spreads[key] = engine.add_spread(first, len(place.singles), failover=plugin.failover, always=always)
