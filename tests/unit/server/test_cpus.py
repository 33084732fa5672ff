import pathlib

import pytest

from fastdns.server import cpus


@pytest.fixture
def world(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "kube" / "pod").mkdir(parents=True)
    (tmp_path / "cpu" / "pod").mkdir(parents=True)
    return tmp_path


def test_quota_is_the_tightest_of_the_groups_above(world: pathlib.Path) -> None:
    (world / "self").write_text("0::/kube/pod\n")
    (world / "kube" / "pod" / "cpu.max").write_text("max 100000\n")
    (world / "kube" / "cpu.max").write_text("150000 100000\n")
    assert cpus.read_quota(world, world / "self") == 1.5


def test_quota_of_version_1(world: pathlib.Path) -> None:
    (world / "self").write_text("4:cpu,cpuacct:/pod\n3:memory:/pod\n")
    (world / "cpu,cpuacct").symlink_to(world / "cpu")
    (world / "cpu" / "pod" / "cpu.cfs_quota_us").write_text("10000\n")
    (world / "cpu" / "pod" / "cpu.cfs_period_us").write_text("100000\n")
    assert cpus.read_quota(world, world / "self") == 0.1
    assert cpus.count_workers(world, world / "self") == 1


@pytest.mark.parametrize("text", ["max 100000\n", "", "1 2 3\n", "-1 100000\n", "many few\n"])
def test_no_quota(world: pathlib.Path, text: str) -> None:
    (world / "self").write_text("0::/\n")
    (world / "cpu.max").write_text(text)
    assert cpus.read_quota(world, world / "self") is None
    assert cpus.count_workers(world, world / "self") >= 1


def test_path_of_the_host_is_passed_over(world: pathlib.Path) -> None:
    (world / "self").write_text("0::/../../elsewhere\n")
    (world / "cpu.max").write_text("200000 100000\n")
    assert cpus.read_quota(world, world / "self") == 2


@pytest.mark.parametrize("mib, workers", [(20, 1), (170, 4), (512, 12), (8192, 64)])
def test_memory_bounds_the_workers(
    world: pathlib.Path, monkeypatch: pytest.MonkeyPatch, mib: int, workers: int
) -> None:
    monkeypatch.setattr(cpus.os, "sched_getaffinity", lambda pid: set(range(64)))
    world.joinpath("self").write_text("0::/kube/pod\n")
    (world / "kube" / "pod" / "memory.max").write_text(f"{mib << 20}\n")
    assert cpus.count_workers(world, world / "self") == workers
