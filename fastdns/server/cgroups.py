"""The control groups that we are in, of version 1 or 2: where limits of CPU and memory stand (cgroups(7))."""

from __future__ import annotations

import pathlib

CGROUPS = pathlib.Path("/sys/fs/cgroup")
MEMBERSHIP = pathlib.Path("/proc/self/cgroup")


def find_folders(root: pathlib.Path, membership: pathlib.Path, *, controller: str) -> list[pathlib.Path]:
    """The folders of our cgroup, version 2 or a controller of version 1, up to the root of the hierarchy."""
    folders = []
    for line in read_lines(membership):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        base = root / controllers if controllers else root
        own = pathlib.PurePosixPath(path.lstrip("/"))
        folders += [base / part for part in (own, *own.parents) if ".." not in part.parts]
    # Inside a container the path is often that of the host, and the container's own limit stands at the root.
    return list(dict.fromkeys([*folders, root, root / controller]))


def read_lines(path: pathlib.Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
