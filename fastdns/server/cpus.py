"""How many workers: the processors that this container may use, not those that the host has, and what its memory is for."""

from __future__ import annotations

import math
import os
import pathlib

from fastdns.server import cgroups, memory

WORKER_OCTETS = 20 << 20
"""What one more worker takes with the names of 10,000 Services, none shared; a third of that with few."""
WORKERS_SHARE = 0.5
"""Of the memory; the rest is for the process that follows the cluster, and for a reload."""


def count_workers(root: pathlib.Path = cgroups.CGROUPS, membership: pathlib.Path = cgroups.MEMBERSHIP) -> int:
    """The smallest of the affinity, the cgroup's quota, a part of a processor counting as one, and what fits; at least 1.

    kubeadm's Deployment limits memory to 170 MiB and processors not at all: on a large node a worker for each is too many.
    """
    bounds = [len(os.sched_getaffinity(0))]
    if (quota := read_quota(root, membership)) is not None:
        bounds.append(math.ceil(quota))
    if limit := memory.Memory(root, membership).limit():
        bounds.append(int(limit * WORKERS_SHARE) // WORKER_OCTETS)
    return max(1, min(bounds))


def read_quota(root: pathlib.Path, membership: pathlib.Path) -> float | None:
    """The tightest quota, in processors, of our cgroup and those above it; None without one."""
    folders = cgroups.find_folders(root, membership, controller="cpu")
    return min((quota for folder in folders if (quota := read_folder_quota(folder)) is not None), default=None)


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
