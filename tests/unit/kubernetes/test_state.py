"""The state file: whole or unused."""

from __future__ import annotations

import os
import pathlib

import pytest

from fastdns.kubernetes import state
from tests.unit.kubernetes import worlds

HEADER = state.Header("options", 1000.0, 7)
ENTRIES = [("services", "ns", "a", 1, b"\0\1", [b"\n\0\0\1"], "2026"), ("namespaces", "ns", "ns")]


def save(path: pathlib.Path) -> None:
    writer = state.Writer(str(path), HEADER)
    writer.write(ENTRIES[:1])
    writer.write(ENTRIES[1:])
    writer.finish()


def test_what_is_written_is_read(tmp_path: pathlib.Path) -> None:
    save(tmp_path / "x")
    header, entries = state.read(str(tmp_path / "x"), "options")
    assert header == HEADER
    assert list(entries) == ENTRIES
    assert os.listdir(tmp_path) == ["x"]
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o600


def test_nothing_is_there_until_it_is_finished(tmp_path: pathlib.Path) -> None:
    save(tmp_path / "x")
    before = (tmp_path / "x").read_bytes()
    writer = state.Writer(str(tmp_path / "x"), HEADER)
    writer.write(ENTRIES * 1000)
    assert (tmp_path / "x").read_bytes() == before
    writer.abandon()
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("at", [0, 15, 16, 47, 48, 52, 60, -1])
def test_a_damaged_octet_anywhere_is_noticed(tmp_path: pathlib.Path, at: int) -> None:
    save(tmp_path / "x")
    octets = bytearray((tmp_path / "x").read_bytes())
    octets[at] ^= 1
    (tmp_path / "x").write_bytes(octets)
    with pytest.raises(state.StateError, match="damaged"):
        state.read(str(tmp_path / "x"), "options")


@pytest.mark.parametrize("size", [0, 10, 47, 48, 60])
def test_a_cut_file_is_noticed(tmp_path: pathlib.Path, size: int) -> None:
    save(tmp_path / "x")
    (tmp_path / "x").write_bytes((tmp_path / "x").read_bytes()[:size])
    with pytest.raises(state.StateError):
        state.read(str(tmp_path / "x"), "options")


def test_other_options_are_another_state(tmp_path: pathlib.Path) -> None:
    save(tmp_path / "x")
    with pytest.raises(state.StateError, match="other options"):
        state.read(str(tmp_path / "x"), "others")
    plain = worlds.config()
    assert state.options_of(plain) == state.options_of(worlds.config(ttl=60, zones=("other.",)))
    assert state.options_of(plain) != state.options_of(worlds.config(endpoint_pod_names=True))


def test_a_missing_file_says_so(tmp_path: pathlib.Path) -> None:
    with pytest.raises(state.StateError, match="No such file"):
        state.read(str(tmp_path / "x"), "options")


def test_size_is_bounded(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "SIZE_MAX", 1000)
    writer = state.Writer(str(tmp_path / "x"), HEADER)
    with pytest.raises(state.StateError, match="more than 1000"):
        writer.write(ENTRIES * 100)
    writer.abandon()
    (tmp_path / "x").write_bytes(bytes(5000))
    with pytest.raises(state.StateError, match="too many"):
        state.read(str(tmp_path / "x"), "options")
