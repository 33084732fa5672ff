"""Weights and preferred networks from the Corefile to the answer."""

from __future__ import annotations

import collections
import logging
import os
import pathlib

import dns.message
import pytest

from fastdns import _counters, errors
from fastdns.server import compile as compiler
from fastdns.server import configuration, hosts, metrics, weights

NAMES = """hosts /nowhere {
    192.0.2.1 www.test
    192.0.2.2 www.test
    10.0.0.3 www.test
}
"""
ADDRESSES = ["192.0.2.1", "192.0.2.2", "10.0.0.3"]
HEAVY = "www.test\n192.0.2.2 255\n"


def build(directive: str) -> compiler.Program:
    config = configuration.parse(f". {{\n{directive}\n{NAMES}}}\n")
    program = compiler.build(config, _counters.Counters(bytearray(8 * metrics.lay_out(config).slots)))
    for table in program.hosts.values():
        for delta in hosts.HostsSource(table.plugin).start():
            program.engine.apply(table.table, delta)
    return program


def ask(program: compiler.Program) -> list[str]:
    (listener,) = program.listeners.values()
    answer = program.engine.ask(dns.message.make_query("www.test", "A").to_wire(), listener)
    assert isinstance(answer, bytes)
    return [record.to_text() for rrset in dns.message.from_wire(answer).answer for record in rrset]


def test_preferred_networks_come_first_and_the_rest_goes_round() -> None:
    program = build("loadbalance {\n prefer 10.0.0.0/8\n}")
    answers = [tuple(ask(program)) for _ in range(20)]
    assert {answer[0] for answer in answers} == {"10.0.0.3"}
    assert len(set(answers)) == 2


def test_weights_are_drawn_and_nothing_goes_round(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "weights"
    path.write_text(HEAVY)
    program = build(f"loadbalance weighted {path}")
    (weighted,) = program.weighted.values()
    weights.WeightSource(weighted, is_talkative=False).start()
    seen = collections.Counter(tuple(ask(program)) for _ in range(500))
    swapped = [ADDRESSES[1], ADDRESSES[0], ADDRESSES[2]]
    assert seen[tuple(swapped)] > 450
    assert set(seen) <= {tuple(swapped), tuple(ADDRESSES), ("10.0.0.3", "192.0.2.2", "192.0.2.1")}


def test_zones_of_a_block_share_their_weights(tmp_path: pathlib.Path) -> None:
    config = configuration.parse(f"a.test b.test {{\n loadbalance weighted {tmp_path}/later\n whoami\n}}\n")
    program = compiler.build(config, _counters.Counters(bytearray(8 * metrics.lay_out(config).slots)))
    assert len(program.weighted) == 1


def test_file_is_read_when_it_comes_and_when_it_changes(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "weights"
    (weighted,) = build(f"loadbalance weighted {path}").weighted.values()
    taken: list[weights.weights.Weights] = []
    source = weights.WeightSource(
        compiler.WeightedOrder(type("Order", (), {"set_weights": taken.append})(), weighted.plugin),  # type: ignore[arg-type]
        is_talkative=True,
    )
    with caplog.at_level(logging.INFO):
        source.start()
        path.write_text(HEAVY)
        source.refresh()
        source.refresh()
        path.write_text("www.test\n192.0.2.2 256\n")
        source.refresh()
        source.refresh()
        os.unlink(path)
        source.refresh()
    assert taken == [((b"\3www\4test\0", "192.0.2.2", 255),)]
    told = [record.levelname for record in caplog.records if record.name == weights.__name__]
    assert told == ["WARNING", "INFO", "ERROR", "ERROR"]
    assert f"weight file: {path}: No such file or directory. Will try again in 30s" in caplog.text
    assert f"{path}:2 - Error in weight file" in caplog.text


@pytest.mark.parametrize(
    ("text", "reload", "expected"),
    [
        ("www.test\n192.0.2.1 0\n", "1s", 'weights:2 - Error in weight file: wrong weight value:"0"'),
        ("192.0.2.1 1\n", "0s", "weights:1 - Error in weight file: missing domain name"),
        (None, "0s", "failed to open weight file: .*weights: No such file"),
    ],
)
def test_weights_that_can_never_be_used_are_an_error(
    tmp_path: pathlib.Path, text: str | None, reload: str, expected: str
) -> None:
    path = tmp_path / "weights"
    if text is not None:
        path.write_text(text)
    with pytest.raises(errors.ConfigError, match=expected):
        configuration.parse(f". {{\n loadbalance weighted {path} {{\n reload {reload}\n }}\n}}\n")
