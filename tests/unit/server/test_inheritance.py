"""What is kept of a worker's caches when another configuration takes over."""

from __future__ import annotations

import dataclasses
import mmap

import pytest

from fastdns import _stored
from fastdns._cache import Lookup
from fastdns._counters import Counters
from fastdns.config import model
from fastdns.dns import names
from fastdns.server import compile as compiler
from fastdns.server import configuration, inheritance

BASE = """.:1053 {{
    forward a.test 127.0.0.1:{a}
    forward . 127.0.0.1:{root}
    cache 300
}}
other.test:1053 {{
    cache {other}
    forward . 127.0.0.1:1
}}
"""
NOW = 1000


def make(*, a: int = 1, root: int = 1, other: int = 60) -> model.Config:
    return configuration.parse(BASE.format(a=a, root=root, other=other))


def build(config: model.Config) -> compiler.Program:
    return compiler.build(config, Counters(mmap.mmap(-1, 8 * 8192)))


def fill(program: compiler.Program, *texts: str) -> None:
    for text in texts:
        name = names.to_canonical_wire(text)
        record = b"\300\14\0\1\0\1\0\0\1\54\0\4\300\0\2\1"
        wire = b"\0\0\x81\x80\0\1\0\1\0\0\0\0" + name + b"\0\1\0\1" + record
        for number in range(2):
            assert program.engine.cache(number).put(_stored.normalise(wire, name, 1), now=NOW)


def held(program: compiler.Program, number: int, *texts: str) -> list[str]:
    cache = program.engine.cache(number)
    wires = [(text, names.to_canonical_wire(text)) for text in texts]
    return [text for text, wire in wires if cache.get(wire, 1, now=NOW + 1)[0] is Lookup.CACHE_FRESH]


NAMES = ("www.example.org", "www.a.test", "a.test", "ba.test")


def test_the_same_caches_go_on() -> None:
    old, new = build(make()), build(make())
    fill(old, *NAMES)
    assert inheritance.load(new, inheritance.dump(old), make(), now=NOW + 1) == 8
    assert held(new, 0, *NAMES) == held(new, 1, *NAMES) == list(NAMES)


def test_names_with_other_upstreams_are_forgotten() -> None:
    old, new = build(make()), build(make(a=2))
    fill(old, *NAMES)
    inheritance.load(new, inheritance.dump(old), make(), now=NOW + 1)
    assert held(new, 0, *NAMES) == ["www.example.org", "ba.test"]


def test_other_upstreams_of_the_root_change_nothing() -> None:
    old, new = build(make()), build(make(root=2))
    fill(old, *NAMES)
    inheritance.load(new, inheritance.dump(old), make(), now=NOW + 1)
    assert held(new, 0, *NAMES) == list(NAMES)


def test_a_cache_of_other_limits_begins_empty() -> None:
    old, new = build(make()), build(make(other=30))
    fill(old, *NAMES)
    assert inheritance.load(new, inheritance.dump(old), make(), now=NOW + 1) == 4
    assert held(new, 1, *NAMES) == []


@pytest.mark.parametrize("where", ["old", "new"])
def test_a_zone_that_comes_or_goes_is_changed(where: str) -> None:
    config = make()
    (block, *others) = config.blocks
    forwards = tuple(plugin for plugin in block.plugins if getattr(plugin, "zone", "") != "a.test.")
    without = dataclasses.replace(config, blocks=(dataclasses.replace(block, plugins=forwards), *others))
    pair = (config, without) if where == "old" else (without, config)
    assert inheritance.find_changed(*pair) == {"a.test."}
