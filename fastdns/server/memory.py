"""This container's memory limit, and how near it is, so that caches are cut before the kernel kills a process."""

from __future__ import annotations

import os
import pathlib
import typing

from fastdns.server import cgroups

HIGH = 0.9  # of the limit: caches are cut, once a second as long as it lasts
LOW = 0.8  # they grow no further
NEAR = 0.5  # from here on it matters what the kernel could take back
USAGE = {
    "memory.max": "memory.current",
    "memory.limit_in_bytes": "memory.usage_in_bytes",
}  # by limit; of version 2 and 1
UNLIMITED = 1 << 60  # version 1 says nearly 2 ** 63 octets where there is no limit


class Use(typing.NamedTuple):
    used: int  # octets that can't be taken back
    limit: int

    @property
    def share(self) -> float:
        return self.used / self.limit if self.limit else 0.0

    @property
    def room(self) -> int:
        """Octets that caches may still take; more than there are without a limit."""
        return max(0, int(LOW * self.limit) - self.used) if self.limit else UNLIMITED


class Memory:
    """The limits of our cgroup and those above it. They are read at each question, since they may change.

    Workers ask between two batches of queries: files that aren't there are not looked for again.
    """

    def __init__(self, root: pathlib.Path = cgroups.CGROUPS, membership: pathlib.Path = cgroups.MEMBERSHIP) -> None:
        folders = cgroups.find_folders(root, membership, controller="memory")
        self._limits = [path for folder in folders for name in USAGE if os.path.exists(path := folder / name)]

    def limit(self) -> int:
        """The tightest limit, in octets; 0 without one."""
        return min(filter(None, map(_read_limit, self._limits)), default=0)

    def use(self) -> Use:
        """Of the limit that is the nearest; all 0 without one."""
        return max(map(_read_use, self._limits), key=lambda use: use.share, default=Use(0, 0))


def _read_limit(path: pathlib.Path) -> int:
    limit = _read_number(path)
    return limit if limit < UNLIMITED else 0


def _read_use(path: pathlib.Path) -> Use:
    """What is used beside this limit. Files that nobody has used for a while don't count: the kernel drops them first.

    They are counted in memory.stat, which costs the kernel a sum over all processors: it is read only when it matters.
    """
    limit = _read_limit(path)
    if not limit:
        return Use(0, 0)
    used = _read_number(path.with_name(USAGE[path.name]))
    if used < NEAR * limit:
        return Use(used, limit)
    fields = dict(line.split()[:2] for line in cgroups.read_lines(path.with_name("memory.stat")) if " " in line)
    idle = fields.get("total_inactive_file", fields.get("inactive_file", "0"))
    return Use(max(0, used - int(idle)), limit)


def _read_number(path: pathlib.Path) -> int:
    """0 for "max", and where there is no such file."""
    text = "".join(cgroups.read_lines(path)).strip()
    return int(text) if text.isascii() and text.isdigit() else 0
