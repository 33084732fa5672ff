import pathlib

import pytest

from fastdns.server import memory


def write(folder: pathlib.Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"memory.{name}").write_text(text)


def share_of(root: pathlib.Path, groups: str) -> float:
    (root / "self").write_text(groups)
    return memory.Memory(root, root / "self").use().share


def test_tightest_of_the_groups_above_counts(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "kube" / "pod", max="max\n", current="900\n", stat="inactive_file 0\n")
    write(tmp_path / "kube", max="1000\n", current="950\n", stat="anon 10\ninactive_file 200\n")
    assert share_of(tmp_path, "0::/kube/pod\n") == 0.75


def test_version_1(tmp_path: pathlib.Path) -> None:
    write(
        tmp_path / "memory" / "pod", limit_in_bytes="1000\n", usage_in_bytes="900\n", stat="total_inactive_file 100\n"
    )
    assert share_of(tmp_path, "4:cpu,cpuacct:/pod\n3:memory:/pod\n") == 0.8


def test_what_could_be_taken_back_is_summed_up_only_near_the_limit(tmp_path: pathlib.Path) -> None:
    write(tmp_path, max="1000\n", current="400\n", stat="inactive_file 300\n")
    assert share_of(tmp_path, "0::/\n") == 0.4


def test_room_ends_below_the_limit() -> None:
    assert memory.Use(500, 1000).room == 300
    assert memory.Use(850, 1000).room == 0
    assert memory.Use(0, 0).room == memory.UNLIMITED


@pytest.mark.parametrize(
    ("name", "text", "limit"),
    [
        ("max", "178257920\n", 170 << 20),
        ("max", "max\n", 0),
        ("max", "", 0),
        ("limit_in_bytes", "178257920\n", 170 << 20),
        ("limit_in_bytes", "9223372036854771712\n", 0),
    ],
)
def test_limit(tmp_path: pathlib.Path, name: str, text: str, limit: int) -> None:
    write(tmp_path / "pod", **{name: text})
    (tmp_path / "self").write_text("0::/pod\n")
    assert memory.Memory(tmp_path, tmp_path / "self").limit() == limit


@pytest.mark.parametrize("limit", ["max\n", "", "0\n", "many\n"])
def test_no_limit(tmp_path: pathlib.Path, limit: str) -> None:
    write(tmp_path, max=limit, current="900\n", stat="inactive_file 0\n")
    assert share_of(tmp_path, "0::/\n") == 0.0


def test_no_groups_at_all(tmp_path: pathlib.Path) -> None:
    assert memory.Memory(tmp_path / "none", tmp_path / "none").use().share == 0.0


def test_limit_that_is_lowered_is_seen(tmp_path: pathlib.Path) -> None:
    (tmp_path / "self").write_text("0::/\n")
    write(tmp_path, max="1000\n", current="500\n", stat="")
    made = memory.Memory(tmp_path, tmp_path / "self")
    assert made.use().share == 0.5
    write(tmp_path, max="500\n")
    assert made.use().share == 1.0
