"""A ConfigMap that is mounted as a folder: one file for each key, all of them replaced at once by a link's change.

The kubelet writes a new folder beside the old one and then turns the link `..data` to it: what is read while that
happens is read again, so that no half of one version is mixed with half of another.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import stat
from collections.abc import Mapping

from fastdns import errors

FILE_MAX = 1 << 20  # octets: a whole ConfigMap has no more
_TRIES = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Contents:
    """Texts by key; `version` changes when a name or a text does, and is empty for an empty folder."""

    version: str
    data: Mapping[str, str]


def read(path: str) -> Contents:
    """Read the files of a folder, but not those of its folders nor what begins with a dot. Raises FolderError."""
    try:
        for _ in range(_TRIES):
            before = _generation(path)
            contents = _read_once(path)
            if _generation(path) == before:
                break
    except OSError as error:
        raise errors.FolderError(f"{error.filename or path}: {error.strerror or error}") from error
    return contents


def _generation(path: str) -> tuple[str, int]:
    """Tell one state of a folder from the next: where the link leads, and when a name last came, went or changed."""
    modified = os.stat(path).st_mtime_ns
    with contextlib.suppress(OSError):
        return os.readlink(os.path.join(path, "..data")), modified
    return "", modified


def _read_once(path: str) -> Contents:
    data = {}
    digest = hashlib.sha256()
    for name in sorted(os.listdir(path)):
        if name.startswith("."):
            continue
        text = _read_file(os.path.join(path, name))
        if text is not None:
            data[name] = text
            digest.update(b"%s\0%s\0" % (os.fsencode(name), text.encode()))
    return Contents(digest.hexdigest() if data else "", data)


def _read_file(path: str) -> str | None:
    """Give the text of a file, None for a folder. Raises OSError, FolderError."""
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        return None
    if not stat.S_ISREG(mode):  # reading a pipe would wait for ever
        raise errors.FolderError(f"{path}: no regular file")
    with open(path, "rb") as file:
        octets = file.read(FILE_MAX + 1)
    if len(octets) > FILE_MAX:
        raise errors.FolderError(f"{path}: more than {FILE_MAX} octets")
    try:
        return octets.decode()
    except UnicodeDecodeError as error:
        raise errors.FolderError(f"non-utf8 data in {path}: {error}") from error
