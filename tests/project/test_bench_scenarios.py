"""Each scenario of the bench works, with a tiny cluster and without peers; nothing here is about speed."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.usefixtures("bench_built")

LOADS = ("hit", "hosts", "pod-mix", "cache-hit-1k", "miss", "workers", "tcp", "churn", "chain")
OTHERS = ("start", "update", "limit")
TINY = ("--rounds", "1", "--seconds", "0.05", "--services", "30", "--settle", "0", "--upstream", "own")


def run_bench(out: pathlib.Path, servers: str, scenarios: Sequence[str]) -> dict[str, Any]:
    """The outcomes by scenario."""
    command = [sys.executable, "-m", "bench", *scenarios, *TINY, "--servers", servers, "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, timeout=300, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return {one["scenario"]: one for one in json.loads((out / "bench.json").read_text())["outcomes"]}


@pytest.fixture(scope="module")
def outcomes(bench_built: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One run of everything that needs no peer."""
    return run_bench(tmp_path_factory.mktemp("bench"), "fastdns", (*LOADS, *OTHERS))


@pytest.mark.parametrize("name", LOADS)
def test_load_is_answered_rightly(outcomes: dict[str, Any], name: str) -> None:
    figures = [sample["figures"] for sample in outcomes[name]["samples"] if "cpu_us" in sample["figures"]]
    assert figures
    assert all(one["rate"] > 0 and one["cpu_us"] > 0 and one["wrong"] == 0 for one in figures)


def test_each_way_of_asking_is_measured(outcomes: dict[str, Any]) -> None:
    tables = {name: {sample["table"] for sample in outcome["samples"]} for name, outcome in outcomes.items()}
    assert tables["hit"] == {"saturated", "20k q/s"}
    assert tables["miss"] == {"saturated", "5k q/s", "20k q/s"}
    assert tables["tcp"] == {"one per connection", "100 on each of 100 connections"}
    assert tables["chain"] == {"few names", "all names", "all names, 2k q/s"}
    assert tables["churn"] == {"quiet", "100 slices/s", "500 slices/s"}


def test_start_has_time_and_memory(outcomes: dict[str, Any]) -> None:
    (sample,) = outcomes["start"]["samples"]
    assert sample["figures"]["pss_mib"] > 1
    assert 0 < sample["figures"]["first_s"] <= sample["figures"]["all_s"]


@pytest.mark.parametrize("name", ["update", "churn"])
def test_changes_are_seen(outcomes: dict[str, Any], name: str) -> None:
    figures = [sample["figures"] for sample in outcomes[name]["samples"] if "updates" in sample["figures"]]
    assert figures
    assert all(one["missing"] < one["updates"] and one["shown_p50_ms"] > 0 for one in figures)


def test_limit_is_searched_for_the_floor_too(outcomes: dict[str, Any]) -> None:
    assert {sample["server"] for sample in outcomes["limit"]["samples"]} == {"floor", "fastdns"}


def test_questions_wait_upstream_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench import flight
    from bench.scenarios import miss
    from bench.surroundings import Bench
    from bench.world import World

    monkeypatch.setattr(flight, "PATIENCE", 3.0)
    (sample,) = flight.run(Bench(World(1), rounds=1), miss(""), asked=100).samples
    assert sample.figures["in_flight"] == sample.figures["asked"] == 100
    assert sample.figures["wrong"] == 0


def test_sizes_and_large_services_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench import scale
    from bench.surroundings import Bench
    from bench.world import World

    monkeypatch.setattr(scale, "UPDATES", 2)
    bench = Bench(World(1), rounds=1, seconds=0.05, settle=0.0)
    outcome = scale.run(bench, "scale", (20, 40))
    assert outcome.failed == {}
    for size in ("20 Services", "40 Services"):
        assert (outcome.figure("fastdns", size, "pss_per_1k") or 0) > 1
        assert outcome.figure("fastdns", size, "wrong") == 0
    assert (outcome.figure("fastdns", "TCP, 1,000 addresses", "rate") or 0) > 0
    assert outcome.figure("fastdns", "5,000 endpoints, 50 of 50 slices", "updates") == 2
    assert (outcome.figure("fastdns", "5,000 endpoints, 50 of 50 slices", "blocked_ms") or 0) > 0


@pytest.mark.peers("dnsmasq", "coredns")
def test_pod_is_measured_with_each_dnsmasq_and_beside_one_server(tmp_path: pathlib.Path) -> None:
    outcome = run_bench(tmp_path, "fastdns,dnsmasq,CoreDNS", ["chain"])["chain"]
    assert outcome["failed"] == {}
    figures = {sample["server"]: sample["figures"] for sample in outcome["samples"] if sample["table"] == "all names"}
    pods = {"fastdns, the Pod", "dnsmasq, in that Pod"}
    assert set(figures) == {"floor", "fastdns", *pods, "dnsmasq, alone: A and AAAA", "CoreDNS"}
    assert all(one["rate"] > 0 and one["wrong"] == 0 for one in figures.values())


@pytest.mark.peers("knotd", "dnsperf")
def test_knot_is_measured_beside_the_floor(tmp_path: pathlib.Path) -> None:
    found = run_bench(tmp_path, "knot", ("hit", "start", "dnsperf"))
    for name in ("hit", "dnsperf"):
        samples = found[name]["samples"]
        assert {sample["server"] for sample in samples} == {"floor", "knot"}
        assert all(sample["figures"]["cpu_us"] > 0 for sample in samples)
    assert found["start"]["samples"][0]["figures"]["pss_mib"] > 1
    assert "| knot |" in (tmp_path / "bench.md").read_text()
