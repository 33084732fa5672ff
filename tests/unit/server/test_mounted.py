"""A mounted ConfigMap: what counts as a change, and what is said of one that can't be used."""

from __future__ import annotations

import pathlib

import pytest

from fastdns.config import configmap
from fastdns.server import mounted

ONE = configmap.Settings(upstreams=("1.1.1.1",))


def write(path: pathlib.Path, text: str) -> None:
    path.mkdir(exist_ok=True)
    (path / "upstreamNameservers").write_text(text)


def test_what_stands_there_first(tmp_path: pathlib.Path) -> None:
    write(tmp_path, '["1.1.1.1"]')
    config = mounted.MountedConfig(str(tmp_path))
    assert config.read_first() == ONE
    assert config.read_next() is None


def test_changes_and_an_emptied_folder(tmp_path: pathlib.Path) -> None:
    config = mounted.MountedConfig(str(tmp_path))
    assert config.read_first() == configmap.DEFAULTS
    write(tmp_path, '["1.1.1.1"]')
    assert config.read_next() == ONE
    (tmp_path / "upstreamNameservers").unlink()
    assert config.read_next() == configmap.DEFAULTS
    assert config.read_next() is None


def test_a_bad_text_is_told_once_and_changes_nothing(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, '["1.1.1.1"]')
    config = mounted.MountedConfig(str(tmp_path))
    config.read_first()
    write(tmp_path, '["x"]')
    assert config.read_next() is None
    assert config.read_next() is None
    assert caplog.messages == [
        "Invalid configuration for upstreamNameservers, ignoring update: address x: missing port in address"
    ]
    write(tmp_path, '["1.1.1.1"]')
    assert config.read_next() == ONE


def test_a_bad_text_at_the_start_gives_the_defaults(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, "[")
    assert mounted.MountedConfig(str(tmp_path)).read_first() == configmap.DEFAULTS
    assert caplog.messages[0].startswith(
        'Error getting initial config, using default: upstreamNameservers: invalid JSON "[": '
    )


def test_a_folder_that_comes_late(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "late"
    config = mounted.MountedConfig(str(path))
    assert config.read_first() == configmap.DEFAULTS
    assert config.read_next() is None
    assert config.read_next() is None
    path.mkdir()
    assert config.read_next() is None
    write(path, '["1.1.1.1"]')
    assert config.read_next() == ONE
    missing = f"{path}: No such file or directory"
    assert caplog.messages == [
        f"Error getting initial config, using default: {missing}",
        f"Error loading config from {path}: {missing}",
    ]


def test_a_folder_that_goes_and_comes_is_told_each_time(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "config"
    write(path, '["1.1.1.1"]')
    config = mounted.MountedConfig(str(path))
    config.read_first()
    for _ in range(2):
        path.rename(tmp_path / "away")
        assert config.read_next() is None
        (tmp_path / "away").rename(path)
        assert config.read_next() is None
    assert len(caplog.messages) == 2
