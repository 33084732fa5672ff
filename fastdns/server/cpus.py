"""How many workers: the processors that this container may use, not those that the host has."""

from __future__ import annotations

import math
import os
import pathlib

CGROUPS = pathlib.Path("/sys/fs/cgroup")
MEMBERSHIP = pathlib.Path("/proc/self/cgroup")


def count_workers(root: pathlib.Path = CGROUPS, membership: pathlib.Path = MEMBERSHIP) -> int:
    """The smaller of the affinity and the cgroup's quota, a part of a processor counting as one; at least 1."""
    quota = read_quota(root, membership)
    affinity = len(os.sched_getaffinity(0))
    return max(1, affinity if quota is None else min(affinity, math.ceil(quota)))


def read_quota(root: pathlib.Path, membership: pathlib.Path) -> float | None:
    """The tightest quota, in processors, of our cgroup and those above it; None without one."""
    quotas = [quota for folder in find_folders(root, membership) if (quota := read_folder_quota(folder)) is not None]
    return min(quotas, default=None)


def find_folders(root: pathlib.Path, membership: pathlib.Path) -> list[pathlib.Path]:
    """The folders of our cgroup, version 2 or the cpu controller of version 1, up to the root of the hierarchy."""
    folders = []
    for line in read_lines(membership):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root / controllers if controllers else root
        own = pathlib.PurePosixPath(path.lstrip("/"))
        folders += [base / part for part in (own, *own.parents) if ".." not in part.parts]
    # Inside a container the path is often that of the host, and the container's own limit stands at the root.
    return [*folders, root, root / "cpu"]


def read_folder_quota(folder: pathlib.Path) -> float | None:
    """cpu.max (version 2), or cpu.cfs_quota_us over cpu.cfs_period_us (version 1)."""
    words = " ".join(read_lines(folder / "cpu.max")).split()
    if not words:
        words = " ".join(read_lines(folder / "cpu.cfs_quota_us") + read_lines(folder / "cpu.cfs_period_us")).split()
    try:
        quota, period = (int(word) for word in words)
    except ValueError:
        return None  # no limit ("max"), or no such file
    return quota / period if quota > 0 and period > 0 else None


def read_lines(path: pathlib.Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
