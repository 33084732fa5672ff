"""A ConfigMap in a folder: which files count, when its version changes, and what makes it unreadable."""

from __future__ import annotations

import os
import pathlib

import pytest

from fastdns import errors
from fastdns.config import folder


def test_each_file_is_a_key(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a").write_text("1\n")
    (tmp_path / "b").write_text("")
    assert folder.read(str(tmp_path)).data == {"a": "1\n", "b": ""}


def test_folders_and_hidden_files_are_passed_over(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a").write_text("1")
    before = folder.read(str(tmp_path))
    (tmp_path / ".hidden").write_bytes(b"\xff")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "b").write_text("2")
    assert folder.read(str(tmp_path)) == before


def test_the_version_is_that_of_names_and_texts(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a").write_text("1")
    first = folder.read(str(tmp_path)).version
    (tmp_path / "a").write_text("2")
    second = folder.read(str(tmp_path)).version
    (tmp_path / "a").rename(tmp_path / "b")
    third = folder.read(str(tmp_path)).version
    (tmp_path / "b").rename(tmp_path / "a")
    (tmp_path / "a").write_text("1")
    assert len({first, second, third}) == 3
    assert folder.read(str(tmp_path)).version == first


def test_an_empty_folder_has_no_version(tmp_path: pathlib.Path) -> None:
    assert folder.read(str(tmp_path)) == folder.Contents("", {})


def mount(path: pathlib.Path, generation: str, **texts: str) -> None:
    """Write a version as the kubelet does."""
    (path / generation).mkdir()
    for name, text in texts.items():
        (path / generation / name).write_text(text)
        if not (path / name).is_symlink():
            (path / name).symlink_to(f"..data/{name}")
    (path / "..new").symlink_to(generation)
    (path / "..new").rename(path / "..data")


def test_a_link_that_turns_to_another_version(tmp_path: pathlib.Path) -> None:
    mount(tmp_path, "..1", a="one", b="one")
    first = folder.read(str(tmp_path))
    mount(tmp_path, "..2", a="two", b="two")
    second = folder.read(str(tmp_path))
    assert (first.data, second.data) == ({"a": "one", "b": "one"}, {"a": "two", "b": "two"})
    assert first.version != second.version


def test_what_turns_while_it_is_read_is_read_again(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mount(tmp_path, "..1", a="one", b="one")
    read_file = folder._read_file
    seen = []

    def turning(path: str) -> str | None:
        text = read_file(path)
        seen.append(path)
        if len(seen) == 1:
            mount(tmp_path, "..2", a="two", b="two")
        return text

    monkeypatch.setattr(folder, "_read_file", turning)
    assert folder.read(str(tmp_path)).data == {"a": "two", "b": "two"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "{path}/missing: No such file or directory"),
        ("file", "{path}/file: Not a directory"),
    ],
)
def test_what_is_no_folder(tmp_path: pathlib.Path, name: str, message: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.FolderError) as raised:
        folder.read(str(tmp_path / name))
    assert str(raised.value) == message.format(path=tmp_path)


def test_a_file_that_is_no_text(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a").write_bytes(b"\xff\xfe")
    with pytest.raises(errors.FolderError, match=f"^non-utf8 data in {tmp_path}/a: "):
        folder.read(str(tmp_path))


def test_a_link_to_nothing(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a").symlink_to("nowhere")
    with pytest.raises(errors.FolderError, match=r"/a: No such file or directory$"):
        folder.read(str(tmp_path))


def test_a_pipe_is_not_waited_for(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "a")
    with pytest.raises(errors.FolderError, match=r"/a: no regular file$"):
        folder.read(str(tmp_path))


def test_a_file_that_is_too_large(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a").write_text("x" * (folder.FILE_MAX + 1))
    with pytest.raises(errors.FolderError, match=r"/a: more than 1048576 octets$"):
        folder.read(str(tmp_path))
