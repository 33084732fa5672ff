import asyncio
import dataclasses
import logging
import pathlib
from collections.abc import Awaitable, Callable

import pytest

from fastdns import errors
from fastdns.config import model
from fastdns.server import configuration, reload

BLOCK = model.ServerBlock(".", (model.Listener("", 53),), (model.Reload(30, 15),), "Corefile", 1)
FIRST = model.Config((BLOCK,), digest="first")


class World:
    """What is on disk, what is served, and what failed."""

    def __init__(self) -> None:
        self.on_disk: model.Config | Exception = FIRST
        self.refuses = ""
        self.served: list[str] = []
        self.failures = 0
        self.reloader = reload.Reloader(
            FIRST, load=self.load, adopt=self.adopt, on_failure=self.fail, random_number=lambda: 0.75
        )

    def load(self) -> model.Config:
        if isinstance(self.on_disk, Exception):
            raise self.on_disk
        return self.on_disk

    async def adopt(self, config: model.Config) -> None:
        if self.refuses:
            raise errors.ListenError(self.refuses)
        self.served.append(config.digest)

    def fail(self) -> None:
        self.failures += 1


def run(test: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        await test(World())

    asyncio.run(main())


def change(digest: str) -> model.Config:
    return dataclasses.replace(FIRST, digest=digest)


def test_only_a_change_is_adopted_unless_the_operator_insists() -> None:
    async def test(world: World) -> None:
        await world.reloader.look(is_forced=False)
        assert world.served == []
        await world.reloader.look(is_forced=True)
        world.on_disk = change("second")
        await world.reloader.look(is_forced=False)
        await world.reloader.look(is_forced=False)
        assert world.served == ["first", "second"]

    run(test)


def test_broken_file_is_told_once_and_the_next_good_one_is_served(caplog: pytest.LogCaptureFixture) -> None:
    async def test(world: World) -> None:
        world.on_disk = errors.ConfigError("Corefile", 3, "Unknown directive 'x'")
        for _ in range(3):
            await world.reloader.look(is_forced=False)
        assert world.failures == 1
        world.on_disk = change("second")
        await world.reloader.look(is_forced=False)
        assert world.served == ["second"]

    run(test)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.getMessage() == (
        "Corefile changed but reload failed: Corefile:3 - Error during parsing: Unknown directive 'x'"
    )


def test_configuration_that_cannot_be_served_is_not_tried_again() -> None:
    async def test(world: World) -> None:
        world.on_disk, world.refuses = change("second"), "port taken"
        await world.reloader.look(is_forced=False)
        world.refuses = ""
        await world.reloader.look(is_forced=False)
        assert (world.served, world.failures) == ([], 1)
        world.on_disk = FIRST  # back again
        await world.reloader.look(is_forced=False)
        assert world.served == ["first"]

    run(test)


def test_file_that_is_away_for_a_moment_is_no_end() -> None:
    async def test(world: World) -> None:
        world.on_disk = FileNotFoundError(2, "No such file or directory", "Corefile")
        await world.reloader.look(is_forced=False)
        world.on_disk = RuntimeError("a bug")
        await world.reloader.look(is_forced=False)
        assert world.failures == 2

    run(test)


def test_config_map_that_is_swapped_is_served_as_a_whole(tmp_path: pathlib.Path) -> None:
    """As the kubelet does it: a new folder, then `..data` points there; in between and while one is broken, nothing is lost."""
    for name, text in (("..1", ". {\n whoami\n}\n"), ("..2", ". {\n who"), ("..3", "example.org {\n whoami\n}\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "Corefile").write_text(text)
    (tmp_path / "Corefile").symlink_to("..data/Corefile")

    def point_to(name: str) -> None:
        (tmp_path / "..data_tmp").symlink_to(name)
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")

    async def test(world: World) -> None:
        zones: list[str] = []

        async def adopt(config: model.Config) -> None:
            zones.extend(block.zone for block in config.blocks)

        point_to("..1")
        path = str(tmp_path / "Corefile")
        reloader = reload.Reloader(
            configuration.load(path), load=lambda: configuration.load(path), adopt=adopt, on_failure=world.fail
        )
        for name in ("..1", "..2", "..3"):
            point_to(name)
            await reloader.look(is_forced=False)
        (tmp_path / "..data").unlink()
        await reloader.look(is_forced=False)
        assert (zones, world.failures) == (["example.org."], 2)

    run(test)


@pytest.mark.parametrize(
    ("plugin", "expected"),
    [(model.Reload(30, 15), 33.75), (model.Reload(10, 15), 11.25), (model.Reload(2, 0), 2), (None, reload.IDLE)],
)
def test_interval_has_jitter_of_at_most_half_of_it(plugin: model.Reload | None, expected: float) -> None:
    block = dataclasses.replace(BLOCK, plugins=(plugin,) if plugin else ())
    config = dataclasses.replace(FIRST, blocks=(block,))

    async def main() -> None:
        world = World()
        reloader = reload.Reloader(
            config, load=world.load, adopt=world.adopt, on_failure=world.fail, random_number=lambda: 0.75
        )
        assert reloader.interval() == expected

    asyncio.run(main())
