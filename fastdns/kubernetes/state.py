"""The last known objects on disk, for a server that starts while its API server can't be reached.

    file      16 octets magic   32 octets SHA-256 of what follows   header   entry*
    header, entry   MessagePack, each preceded by u32 size

Written beside the old file and renamed, so that there is always a whole one. A file that is damaged, too large, of
another version, or made under options that name things differently is left unused.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator

import msgspec

from fastdns import errors
from fastdns.config import model

MAGIC = b"fastdns state 1\n"
SIZE_MAX = 1 << 30
_HEAD = len(MAGIC) + 32

Entry = tuple[object, ...]


class StateError(errors.FastdnsError):
    """A state file that can't be used: says why."""


class Header(msgspec.Struct, frozen=True):
    options: str
    saved_at: float
    serial: int


def options_of(config: model.Kubernetes) -> str:
    """What the entries depend on besides the cluster itself."""
    parts = (config.labels, config.namespace_labels, config.endpoint_pod_names, config.pods == "verified")
    names = (config.multicluster, config.zonal, config.noendpoints)
    return repr((*parts, *names, config.endpoint, config.kubeconfig, config.context))


class Writer:
    """Makes a state file step by step; nothing is there until `finish`."""

    def __init__(self, path: str, header: Header) -> None:
        """Raises OSError: the folder can't be written to."""
        self._path = path
        self._part = f"{path}.part"
        self._digest = hashlib.sha256()
        self._size = 0
        fd = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(fd, "wb")
        self._file.write(MAGIC + bytes(32))
        self.write([msgspec.to_builtins(header)])

    def write(self, entries: Iterable[object]) -> None:
        """Raises StateError: the file gets too large. Raises OSError: the disk is full."""
        for entry in entries:
            packed = msgspec.msgpack.encode(entry)
            octets = len(packed).to_bytes(4, "big") + packed
            self._size += len(octets)
            if self._size > SIZE_MAX:
                raise StateError(f"{self._path}: more than {SIZE_MAX} octets of state")
            self._digest.update(octets)
            self._file.write(octets)

    def finish(self) -> None:
        """Put the file in place of the old one, once it is on disk."""
        self._file.seek(len(MAGIC))
        self._file.write(self._digest.digest())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self._part, self._path)

    def abandon(self) -> None:
        self._file.close()
        with contextlib.suppress(OSError):
            os.unlink(self._part)


def read(path: str, options: str) -> tuple[Header, Iterator[Entry]]:
    """What was saved. Raises StateError: it is missing, or can't be used."""
    try:
        size = os.stat(path).st_size
        if size > SIZE_MAX + _HEAD:
            raise StateError(f"{path}: {size} octets are too many")
        with open(path, "rb") as file:
            text = file.read()
    except OSError as error:
        raise StateError(f"{path}: {error.strerror}") from error
    if not text.startswith(MAGIC) or hashlib.sha256(memoryview(text)[_HEAD:]).digest() != text[len(MAGIC) : _HEAD]:
        raise StateError(f"{path}: damaged, or of another version")
    pieces = _pieces(text)
    try:
        header = msgspec.msgpack.decode(next(pieces), type=Header)
    except (msgspec.MsgspecError, StopIteration) as error:
        raise StateError(f"{path}: no header: {error}") from error
    if header.options != options:
        raise StateError(f"{path}: made under other options of the kubernetes plugin")
    return header, (tuple(msgspec.msgpack.decode(piece)) for piece in pieces)


def _pieces(text: bytes) -> Iterator[memoryview]:
    view = memoryview(text)
    at = _HEAD
    while at + 4 <= len(text):
        size = int.from_bytes(text[at : at + 4], "big")
        yield view[at + 4 : at + 4 + size]
        at += 4 + size
