"""How many workers: the processors that this container may use, not those that the host has."""

from __future__ import annotations

import math
import os
import pathlib

from fastdns.server import cgroups


def count_workers(root: pathlib.Path = cgroups.CGROUPS, membership: pathlib.Path = cgroups.MEMBERSHIP) -> int:
    """The smaller of the affinity and the cgroup's quota, a part of a processor counting as one; at least 1."""
    quota = read_quota(root, membership)
    affinity = len(os.sched_getaffinity(0))
    return max(1, affinity if quota is None else min(affinity, math.ceil(quota)))


def read_quota(root: pathlib.Path, membership: pathlib.Path) -> float | None:
    """The tightest quota, in processors, of our cgroup and those above it; None without one."""
    folders = cgroups.find_folders(root, membership, controller="cpu")
    quotas = [quota for folder in folders if (quota := read_folder_quota(folder)) is not None]
    return min(quotas, default=None)


def read_folder_quota(folder: pathlib.Path) -> float | None:
    """cpu.max (version 2), or cpu.cfs_quota_us over cpu.cfs_period_us (version 1)."""
    words = " ".join(cgroups.read_lines(folder / "cpu.max")).split()
    if not words:
        words = " ".join(
            cgroups.read_lines(folder / "cpu.cfs_quota_us") + cgroups.read_lines(folder / "cpu.cfs_period_us")
        ).split()
    try:
        quota, period = (int(word) for word in words)
    except ValueError:
        return None  # no limit ("max"), or no such file
    return quota / period if quota > 0 and period > 0 else None
