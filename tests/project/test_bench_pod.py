"""kube-dns's stock Pod in the bench: the manifest's own arguments, moved; several processes that are one server."""

from __future__ import annotations

import os
import pathlib
import re
import signal
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import yaml

if TYPE_CHECKING:
    from bench.process import Running
    from bench.servers import Scene

pytestmark = pytest.mark.usefixtures("bench_built")

SLEEPS = "import time; time.sleep(60)"


def scene(folder: pathlib.Path) -> Scene:
    from bench.servers import Scene
    from bench.world import World

    return Scene(folder, World(services=20), port=20053, metrics=20054, api=20080, upstream=20099)


def test_containers_have_the_arguments_of_the_manifest(tmp_path: pathlib.Path) -> None:
    from bench import pod

    command = pod.containers(lambda: "DNSMASQ")(scene(tmp_path))
    nanny, kubedns, sidecar = (" ".join(one.argv) for one in (command, *command.beside))
    own = re.search(r"--dns-port=(\d+)", kubedns)
    assert own
    assert "fastdns dnsmasq-nanny -dnsmasqExec=DNSMASQ -v=2 -logtostderr " in nanny
    assert " -- -k --cache-size=1000 --no-negcache --dns-loop-detect --log-facility=- " in nanny
    assert f" --server=/cluster.local/127.0.0.1#{own[1]} " in nanny
    assert " --port=20053 " in nanny
    assert f"--probe=kubedns,127.0.0.1:{own[1]},kubernetes.default.svc.cluster.local,5,SRV" in sidecar
    assert "--probe=dnsmasq,127.0.0.1:20053," in sidecar
    assert "--dnsmasq-port=20053" in sidecar
    assert "--domain=cluster.local." in kubedns
    assert "--kube-master-url=http://127.0.0.1:20080" in kubedns
    assert not re.search(r"\b(53|8081|1005[345])\b", " ".join((nanny, kubedns, sidecar)))
    assert command.beside[0].environment["PROMETHEUS_PORT"] not in ("", "10055")
    assert "/kube-dns-config" not in kubedns
    (place,) = tmp_path.iterdir()
    assert f"--config-dir={place}" in kubedns
    assert f"-configDir={place}" in nanny
    assert (place / "upstreamNameservers").read_text() == '["127.0.0.1:20099"]'


def test_every_container_is_there() -> None:
    from bench import pod

    (deployment,) = (one for one in yaml.safe_load_all(pod.MANIFEST.read_text()) if one["kind"] == "Deployment")
    assert {one["name"] for one in pod.specification(deployment)["containers"]} == set(pod.HERE)


def test_corefile_is_migrated_from_the_same_arguments(tmp_path: pathlib.Path) -> None:
    from bench import pod

    text = pod.corefile(scene(tmp_path))
    assert text.startswith(".:20053 {\n")
    lines = {line.strip() for line in text.splitlines()}
    assert lines >= {"endpoint http://127.0.0.1:20080", "prometheus 127.0.0.1:20054", "forward . 127.0.0.1:20099 {"}
    assert lines >= {"success 9984 3600 0", "disable success cluster.local", "disable denial", "loop", "reload"}
    assert not {line for line in lines if line.startswith(("health", "ready", "lameduck"))}


@pytest.fixture
def pair(tmp_path: pathlib.Path) -> Iterator[Running]:
    """A server of two processes."""
    from bench import process
    from bench.process import Command

    beside = (Command((sys.executable, "-c", SLEEPS), end=signal.SIGUSR1),)
    command = Command((sys.executable, "-c", SLEEPS), beside=beside)
    running = process.start("pair", command, core=process.cores()[0], folder=tmp_path)
    yield running
    running.stop()


def test_parts_of_a_server_are_counted_and_ended_together(pair: Running) -> None:
    assert set(pair.cpu_ns()) == {child.pid for child, _ in pair.parts}
    assert len(pair.pids()) == 2
    pair.check()
    pair.stop()
    assert [child.returncode for child, _ in pair.parts] == [-signal.SIGTERM, -signal.SIGUSR1]


def test_server_is_gone_with_one_of_its_parts(pair: Running) -> None:
    last, _ = pair.parts[1]
    last.kill()
    last.wait()
    with pytest.raises(RuntimeError, match="pair left with -9"):
        pair.check()


def test_what_can_not_be_started_leaves_nothing_behind(tmp_path: pathlib.Path) -> None:
    from bench import process
    from bench.process import Command

    command = Command((sys.executable, "-c", SLEEPS), beside=(Command((str(tmp_path / "none"),)),))
    before = process.children(os.getpid())
    with pytest.raises(FileNotFoundError):
        process.start("pair", command, core=process.cores()[0], folder=tmp_path)
    assert process.children(os.getpid()) == before


def test_server_that_is_gone_before_it_answers_is_told_at_once(tmp_path: pathlib.Path) -> None:
    from bench import measure
    from bench.process import Command
    from bench.scenarios import ECHO_QUESTION, Entrant

    beside = (Command((sys.executable, "-c", "raise SystemExit(3)")),)
    entrant = Entrant("pair", lambda _: Command((sys.executable, "-c", SLEEPS), beside=beside), ECHO_QUESTION)
    begin = time.monotonic()
    with pytest.raises(RuntimeError, match="pair left with 3"):
        measure.start_entrant(entrant, scene(tmp_path))
    assert time.monotonic() - begin < 20
