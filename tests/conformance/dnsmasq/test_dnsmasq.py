"""Each world: fastdns answers what the real dnsmasq was seen to answer; and, where it is installed, what it answers now."""

from __future__ import annotations

import pathlib

import pytest

from tests.conformance.dnsmasq import cases, servers, worlds

RECORDED = cases.load()
by_world = pytest.mark.parametrize("world", worlds.WORLDS, ids=lambda world: world.name)


def find_differences(world: worlds.World, expected: dict[str, servers.Answer], got: dict[str, servers.Answer]) -> str:
    lines = []
    for key in got:
        if not got[key].is_like(expected[key]):
            lines += [f"{world.name}: {key}", f"    dnsmasq {expected[key]}", f"    fastdns {got[key]}"]
    return "\n".join(lines)


def ask_ours(world: worlds.World, folder: pathlib.Path) -> dict[str, servers.Answer]:
    cases.write_files(world, folder)
    with (
        servers.Upstreams(world.arguments) as upstreams,
        servers.ours(world.arguments, folder=folder, upstreams=upstreams) as server,
    ):
        return cases.run(server, world, upstreams)


@by_world
def test_answers_as_dnsmasq_did(world: worlds.World, tmp_path: pathlib.Path) -> None:
    differences = find_differences(world, RECORDED[world.name], ask_ours(world, tmp_path))
    assert not differences, differences


@by_world
@pytest.mark.peers("dnsmasq")
def test_answers_as_dnsmasq_does(world: worlds.World, tmp_path: pathlib.Path) -> None:
    cases.write_files(world, tmp_path / "real")
    with (
        servers.Upstreams(world.arguments) as upstreams,
        servers.real(world.arguments, folder=tmp_path / "real", upstreams=upstreams) as server,
    ):
        expected = cases.run(server, world, upstreams)
    differences = find_differences(world, expected, ask_ours(world, tmp_path / "ours"))
    assert not differences, differences


def test_there_are_cases_enough() -> None:
    assert sum(len(answers) for answers in RECORDED.values()) >= 80
