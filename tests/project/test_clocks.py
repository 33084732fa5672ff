"""A clock that somebody sets must not end a TTL, a deadline or a pause: these go by a monotonic one.

The wall clock is asked where a date is what is wanted: a token's end, a change's age, a zone's serial, a line of a log.
"""

from __future__ import annotations

import re

from tests.project.compiled import ROOT

WALL_CLOCK = re.compile(r"\btime\.time\b|\btime_ns\(|\.now\(|\.utcnow\(|\bCLOCK_REALTIME\b|\bgettimeofday\b")
DATES = {
    "fastdns/kubernetes/client.py",
    "fastdns/kubernetes/cluster.py",
    "fastdns/kubernetes/skycache.py",
    "fastdns/kubernetes/treecache.py",
    "fastdns/server/sidecar.py",
    "fastdns/server/supervisor.py",
}


def test_wall_clock_tells_dates_alone() -> None:
    sources = [*(ROOT / "fastdns").rglob("*.p[yx]*"), *(ROOT / "src").glob("*.pyx")]
    found = {
        str(path.relative_to(ROOT))
        for path in sources
        if path.suffix in (".py", ".pyx", ".pxd") and WALL_CLOCK.search(path.read_text())
    }
    assert found == DATES
    assert "CLOCK_MONOTONIC" in (ROOT / "fastdns" / "_observe.pxd").read_text()
