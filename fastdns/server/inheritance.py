"""What a worker leaves to the one that takes its place after a reload: its caches, where they still hold.

A cache goes on if the new configuration has the same one for the same zone. Names in a zone that has other upstreams now
are asked again; other names keep their answers, as dnsmasq keeps them when its servers change.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator

from fastdns.config import model
from fastdns.dns import names
from fastdns.server import compile as compiler
from fastdns.server import metrics

logger = logging.getLogger(__name__)


def dump(program: compiler.Program) -> bytes:
    """Write all caches, each with what it belongs to."""
    return pickle.dumps(
        [(zone, plugin, program.engine.cache(number).dump()) for zone, plugin, number in _list(program)]
    )


def load(program: compiler.Program, octets: bytes, previous: model.Config, *, now: int) -> int:
    """Fill the caches with what dump() of a worker with the configuration `previous` gave; how many answers are kept."""
    kept = 0
    left = {(zone, plugin): dumped for zone, plugin, dumped in pickle.loads(octets)}
    forget = {names.to_canonical_wire(zone) for zone in find_changed(previous, program.config)}
    for zone, plugin, number in _list(program):
        dumped = left.get((zone, plugin), b"")
        try:
            kept += program.engine.cache(number).load(dumped, now=now, forget=forget)
        except ValueError as error:
            logger.error("a cache that makes no sense was left: %s", error)
    return kept


def find_changed(previous: model.Config, config: model.Config) -> set[str]:
    """Give the zones, but for the root, that are forwarded otherwise in `config`, or in one of the two alone."""
    old, new = set(_list_forwards(previous)), set(_list_forwards(config))
    return {zone for zone, _forward in old ^ new if zone != "."}


def _list_forwards(config: model.Config) -> Iterator[tuple[str, model.Forward]]:
    for block in config.blocks:
        for plugin in block.plugins:
            if isinstance(plugin, model.Forward):
                yield plugin.zone, plugin
                yield from ((zone, plugin) for zone in plugin.more_zones)


def _list(program: compiler.Program) -> Iterator[tuple[str, model.Cache, int]]:
    """The caches: (zone of the block, plugin, number of the Engine)."""
    seen = set()
    for block, key, plugin in metrics.walk_plugins(program.config):
        if isinstance(plugin, model.Cache) and key not in seen:
            seen.add(key)
            yield block.zone, plugin, program.caches[key]
