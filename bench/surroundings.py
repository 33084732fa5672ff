"""What servers need around them: a folder, free ports, the fake API server, an upstream. Both run on the load's core."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

from bench import load, ports, process, servers
from bench.process import Command, Running
from bench.scenarios import MISS_QUESTION, Scenario
from bench.servers import Scene
from bench.world import World

START_TIMEOUT = 180.0  # CoreDNS reads 100,000 Services in JSON for half a minute


def say(line: str) -> None:
    """Tell how far a long run is."""
    print(line, file=sys.stderr, flush=True)


@dataclasses.dataclass(frozen=True, slots=True)
class Bench:
    """What all scenarios share: the world, which servers are wanted, how long to measure, and where CoreDNS is.

    `settle`: seconds that a server may go on starting before its memory is read. `upstream`: knot, or bench's own.
    """

    world: World
    rounds: int = 8
    seconds: float = 0.5
    wanted: frozenset[str] = frozenset({"fastdns"})
    say: Callable[[str], None] = say
    coredns: str = ""
    settle: float = 2.0
    upstream: str = "knot"

    def wants(self, server: str) -> bool:
        """By the name before the comma: what follows tells variants of one server apart."""
        return server.partition(",")[0] in self.wanted


@contextlib.contextmanager
def surroundings(bench: Bench, scenario: Scenario, place: pathlib.Path) -> Iterator[Scene]:
    """The fake API server and the upstream, as the scenario needs them."""
    scene = Scene(place, bench.world, port=0, metrics=0, extra=scenario.extra)
    with contextlib.ExitStack() as stop:
        if scenario.needs_upstream:
            scene = dataclasses.replace(scene, upstream=start_upstream(bench, scene, stop))
        if scenario.needs_api:
            scene = dataclasses.replace(scene, api=start_api(bench, scene, stop))
        yield scene


def start_upstream(bench: Bench, scene: Scene, stop: contextlib.ExitStack, *options: str) -> int:
    """Its port; with `options` it is bench's own. The caller's stack ends it."""
    port = ports.free_port()
    folder = scene.folder / f"upstream-{port}"
    folder.mkdir()
    if bench.upstream == "knot" and not options:
        command = servers.knot(dataclasses.replace(scene, port=port, folder=folder, world=World(services=1)))
    else:
        command = servers.python("-m", "bench.upstream", "--port", str(port), *options)
    running = start_beside(f"upstream-{port}", command, scene, stop)
    load.first_right_answer(port, MISS_QUESTION, since=running.started, timeout=START_TIMEOUT)
    running.pin(process.cores()[1])
    return port


def start_api(bench: Bench, scene: Scene, stop: contextlib.ExitStack) -> int:
    """Its port. The caller's stack ends it."""
    port = ports.free_port()
    world = bench.world
    sizes = ["--services", str(world.services), "--endpoints", str(world.endpoints)]
    sizes += [word for size in world.large for word in ("--large", str(size))]
    command = servers.python("-m", "bench.fake_api", "--port", str(port), *sizes)
    wait_for_line(start_beside(f"api-{port}", command, scene, stop), b"services on port")
    return port


def start_beside(name: str, command: Command, scene: Scene, stop: contextlib.ExitStack) -> Running:
    running = process.start(name, command, core=process.cores()[1], folder=scene.folder)
    stop.callback(running.stop)
    return running


def wait_for_line(running: Running, line: bytes, timeout: float = START_TIMEOUT) -> None:
    deadline = time.monotonic() + timeout
    while line not in running.log.read_bytes():
        running.check()
        if time.monotonic() > deadline:
            raise TimeoutError(f"{running.name} isn't ready after {timeout} s")
        time.sleep(0.02)


@contextlib.contextmanager
def folder() -> Iterator[pathlib.Path]:
    """A new one, removed in the end."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="fastdns-bench-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def find_coredns(given: str = "") -> str:
    """`given`, or what is on PATH, what `go install` left, or what `make peers` built; empty: it isn't there."""
    cache = pathlib.Path(os.environ.get("FASTDNS_CACHE") or "~/.cache/fastdns").expanduser()
    usual = [given, shutil.which("coredns") or "", str(pathlib.Path.home() / "go/bin/coredns")]
    usual += sorted((str(path) for path in cache.glob("coredns-*/bin/coredns")), reverse=True)
    return next((path for path in usual if path and os.access(path, os.X_OK)), "")
