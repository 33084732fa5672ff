"""kube-dns's flags and ConfigMap as the one configuration model."""

from __future__ import annotations

from typing import TypeVar

import pytest

from fastdns.config import configmap, kubedns, model

T = TypeVar("T")
RESOLVERS = (model.Upstream("10.9.9.9", 53),)


def make(flags: kubedns.Flags | None = None, settings: configmap.Settings | None = None) -> model.Config:
    return kubedns.make_config(flags or kubedns.Flags(), settings, resolvers=RESOLVERS)


def find(config: model.Config, kind: type[T]) -> T:
    (found,) = [plugin for plugin in config.blocks[0].plugins if isinstance(plugin, kind)]
    return found


def test_blocks_are_the_systems_that_kubedns_counts() -> None:
    config = make(kubedns.Flags(domain="k8s.example."))
    assert [block.zone for block in config.blocks] == [".", "k8s.example.", "in-addr.arpa.", "ip6.arpa."]
    assert all(block.plugins is config.blocks[0].plugins for block in config.blocks)


def test_flags_hold_without_a_configmap() -> None:
    flags = kubedns.Flags(nameservers=(model.Upstream("10.0.0.1", 54),), federations=(("a", "b.c"),))
    config = make(flags)
    assert find(config, model.Forward).upstreams == flags.nameservers
    assert find(config, model.SkyDns).federations == flags.federations


def test_configmap_holds_beside_flags() -> None:
    flags = kubedns.Flags(nameservers=(model.Upstream("10.0.0.1", 54),), config_dir="/x")
    settings = configmap.Settings(federations={"a": "b.c"}, upstreams=("10.0.0.2:5353", "fd00::1"))
    config = make(flags, settings)
    assert find(config, model.Forward).upstreams == (model.Upstream("10.0.0.2", 5353), model.Upstream("fd00::1", 53))
    assert find(config, model.SkyDns).federations == (("a", "b.c"),)
    assert find(config, model.Reload).interval == 10.0


def test_resolvers_are_asked_where_nothing_else_is_named() -> None:
    assert find(make(), model.Forward).upstreams == RESOLVERS
    assert find(make(kubedns.Flags(config_dir="/x"), configmap.DEFAULTS), model.Forward).upstreams == RESOLVERS


def test_nothing_is_forwarded_without_any_resolver() -> None:
    config = kubedns.make_config(kubedns.Flags(), None, resolvers=())
    assert not any(isinstance(plugin, model.Forward) for plugin in config.blocks[0].plugins)


def test_servers_are_asked_in_order_each_once_and_the_first_again() -> None:
    forward = find(make(kubedns.Flags(nameservers=RESOLVERS * 2)), model.Forward)
    assert (forward.policy, forward.max_fails, forward.max_connect_attempts) == ("sequential", 0, 3)
    assert (forward.again, forward.labels_min) == ((2,), 2)


def test_digest_tells_what_is_served_apart() -> None:
    assert make().digest == make().digest
    assert make().digest != make(kubedns.Flags(domain="other.")).digest


@pytest.mark.parametrize(
    ("text", "expected"), [("$A-$B", "x-"), ("${A}b", "xb"), ("$$", "$$"), ("a$", "a$"), ("${}", ""), ("http://${A}:1", "http://x:1")]
)  # fmt: skip
def test_variables(text: str, expected: str) -> None:
    assert kubedns.expand_variables(text, {"A": "x"}) == expected
