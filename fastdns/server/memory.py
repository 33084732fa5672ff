"""How near this container is to its memory limit, so that caches are cut before the kernel kills a process."""

from __future__ import annotations

import pathlib

from fastdns.server import cgroups

HIGH = 0.9  # of the limit: caches are cut, once a second as long as it lasts
LOW = 0.8  # they may grow again


class Memory:
    """The limits of our cgroup and those above it. Files are read at each question, since limits may change."""

    def __init__(self, root: pathlib.Path = cgroups.CGROUPS, membership: pathlib.Path = cgroups.MEMBERSHIP) -> None:
        self._folders = cgroups.find_folders(root, membership, controller="memory")

    def share(self) -> float:
        """The part of the tightest limit that is in use and can't be taken back; 0 without a limit."""
        return max(map(_read_share, self._folders), default=0.0)


def _read_share(folder: pathlib.Path) -> float:
    """Version 2, else version 1. Files that nobody has used for a while don't count: the kernel drops them first."""
    limit = _read_number(folder / "memory.max") or _read_number(folder / "memory.limit_in_bytes")
    if not limit:
        return 0.0
    used = _read_number(folder / "memory.current") or _read_number(folder / "memory.usage_in_bytes")
    fields = dict(line.split()[:2] for line in cgroups.read_lines(folder / "memory.stat") if " " in line)
    idle = fields.get("total_inactive_file", fields.get("inactive_file", "0"))
    return max(0, used - int(idle)) / limit


def _read_number(path: pathlib.Path) -> int:
    """0 for "max", and where there is no such file."""
    text = "".join(cgroups.read_lines(path)).strip()
    return int(text) if text.isascii() and text.isdigit() else 0
