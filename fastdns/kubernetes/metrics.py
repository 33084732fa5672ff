"""What the kubernetes plugin counts, under CoreDNS's names where CoreDNS has them; filled by several threads.

`families` gives plain data for whoever makes the page: prometheus_client isn't needed here.
"""

from __future__ import annotations

import bisect
import dataclasses
import threading
from collections.abc import Sequence

PREFIX = "coredns_kubernetes_"
OURS = "fastdns_kubernetes_"
DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
PROGRAMMING = tuple(0.001 * 2**power for power in range(20))

Labels = tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    """A metric: kind is counter, gauge or histogram; bounds are a histogram's upper ones, without +Inf."""

    name: str
    kind: str
    help: str
    labels: Labels = ()
    bounds: tuple[float, ...] = ()


REQUESTS = Family(
    PREFIX + "rest_client_requests_total",
    "counter",
    "Number of HTTP requests, partitioned by status code, method, and host.",
    ("code", "method", "host"),
)
REQUEST_DURATION = Family(
    PREFIX + "rest_client_request_duration_seconds",
    "histogram",
    "Request latency in seconds. Broken down by verb and host.",
    ("verb", "host"),
    DURATIONS,
)
LIMITER_DURATION = Family(
    PREFIX + "rest_client_rate_limiter_duration_seconds",
    "histogram",
    "Client side rate limiter latency in seconds. Broken down by verb and host.",
    ("verb", "host"),
    DURATIONS,
)
PROGRAMMING_DURATION = Family(
    PREFIX + "dns_programming_duration_seconds",
    "histogram",
    "Histogram of the time (in seconds) it took to program a dns instance.",
    ("service_kind",),
    PROGRAMMING,
)
OBJECTS = Family(OURS + "objects", "gauge", "Objects of the cluster that are known.", ("resource",))
DATA_AGE = Family(
    OURS + "data_age_seconds",
    "gauge",
    "Time since the API server last said something about a resource, if only that nothing changed.",
    ("resource",),
)
SYNCED = Family(OURS + "synced", "gauge", "1 if the resource has been listed completely.", ("resource",))
ERRORS = Family(
    OURS + "watch_errors_total",
    "counter",
    "Lists and watches that failed, by resource and reason (an HTTP status, or a word).",
    ("resource", "reason"),
)
LISTS = Family(OURS + "lists_total", "counter", "Complete lists of a resource.", ("resource",))
EVENTS = Family(OURS + "watch_events_total", "counter", "Watch events of a resource, by type.", ("resource", "type"))
FROM_SNAPSHOT = Family(
    OURS + "from_snapshot", "gauge", "1 while answers come from the state directory's snapshot, unconfirmed."
)


@dataclasses.dataclass(slots=True)
class Histogram:
    """Counts below each bound (not cumulative) and above all, the sum of what was observed."""

    buckets: list[int]
    sum: float = 0.0


class Metrics:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[Family, dict[Labels, float]] = {}
        self._histograms: dict[Family, dict[Labels, Histogram]] = {}

    def increment(self, family: Family, *labels: str) -> None:
        with self._lock:
            series = self._values.setdefault(family, {})
            series[labels] = series.get(labels, 0) + 1

    def set(self, family: Family, value: float, *labels: str) -> None:
        with self._lock:
            self._values.setdefault(family, {})[labels] = value

    def observe(self, family: Family, seconds: float, *labels: str) -> None:
        with self._lock:
            series = self._histograms.setdefault(family, {})
            if labels not in series:
                series[labels] = Histogram([0] * (len(family.bounds) + 1))
            series[labels].buckets[bisect.bisect_left(family.bounds, seconds)] += 1
            series[labels].sum += seconds

    def value(self, family: Family, *labels: str) -> float:
        with self._lock:
            return self._values.get(family, {}).get(labels, 0)

    def families(self) -> list[tuple[Family, dict[Labels, float | Histogram]]]:
        """A copy of everything, that may be read at leisure."""
        with self._lock:
            plain: list[tuple[Family, dict[Labels, float | Histogram]]] = [
                (family, {**series}) for family, series in self._values.items()
            ]
            return plain + [
                (family, {labels: Histogram(list(one.buckets), one.sum) for labels, one in series.items()})
                for family, series in self._histograms.items()
            ]

    def as_json(self) -> list[dict[str, object]]:
        """The same as JSON's own types: of a histogram `{"buckets": [...], "sum": ...}`."""
        return [
            {
                "name": family.name,
                "kind": family.kind,
                "help": family.help,
                "labels": list(family.labels),
                "bounds": list(family.bounds),
                "series": [[list(labels), _plain(value)] for labels, value in series.items()],
            }
            for family, series in self.families()
        ]


def _plain(value: float | Histogram) -> float | dict[str, Sequence[int] | float]:
    return {"buckets": value.buckets, "sum": value.sum} if isinstance(value, Histogram) else value
