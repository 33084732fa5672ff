"""The metrics page's text, through prometheus_client; and the figures of our processes.

The only door to prometheus_client. The supervisor imports this when the page is first asked for.
"""

from __future__ import annotations

import gc
import itertools
import os
import platform
import re
import resource
from collections.abc import Iterable, Iterator, Mapping

import prometheus_client
from prometheus_client import core, exposition, registry, utils

import fastdns
from fastdns.config import model
from fastdns.server import families, metrics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LE_LABEL = re.compile(rb'\{(?:le="([^"]*?)(?:\.0)?")(?:,([^}]*))?\}')
PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")


class Page(registry.Collector):
    """A registry of what `totals` holds."""

    def __init__(self, totals: families.Totals) -> None:
        self._totals = totals

    def collect(self) -> Iterator[core.Metric]:
        for name, series in sorted(self._totals.values.items()):
            yield make_plain(name, self._totals.family(name), series)
        for name, histograms in sorted(self._totals.histograms.items()):
            yield make_histogram(name, self._totals.family(name), histograms)


def render(totals: families.Totals) -> bytes:
    """Write the page. Counters whose name has no `_total`, as sidecar's, are written without."""
    own = prometheus_client.CollectorRegistry(auto_describe=False)
    own.register(Page(totals))
    page: bytes = exposition.generate_latest(own)
    for name in totals.values:
        if totals.family(name).kind == "counter" and not name.endswith("_total"):
            page = re.sub(rb"(?m)^(# HELP |# TYPE |)%s_total(?=[ {])" % name.encode(), rb"\1" + name.encode(), page)
    return page


def render_as_go(totals: families.Totals) -> bytes:
    """As Go's client writes it: `le` is the last label, and a whole number has no fraction there."""

    def turn(match: re.Match[bytes]) -> bytes:
        others = match[2] + b"," if match[2] else b""
        return b'{%sle="%s"}' % (others, match[1])

    return LE_LABEL.sub(turn, render(totals))


def make_plain(name: str, family: families.Family, series: Mapping[families.Labels, float]) -> core.Metric:
    metric: core.CounterMetricFamily | core.GaugeMetricFamily
    if family.kind == "counter":
        metric = core.CounterMetricFamily(name, family.help, labels=family.labels)
    else:
        metric = core.GaugeMetricFamily(name, family.help, labels=family.labels)
    for labels, value in sorted(series.items()):
        metric.add_metric(labels, value)
    return metric


def make_histogram(
    name: str, family: families.Family, series: Mapping[families.Labels, families.Histogram]
) -> core.Metric:
    metric = core.HistogramMetricFamily(name, family.help, labels=family.labels)
    bounds = [*(format_bound(bound) for bound in family.bounds), "+Inf"]
    for labels, one in sorted(series.items()):
        counts = itertools.accumulate(one.buckets)
        metric.add_metric(labels, list(zip(bounds, counts, strict=True)), one.sum)
    return metric


def format_bound(bound: float) -> str:
    return str(utils.floatToGoString(bound))  # type: ignore[no-untyped-call]


def describe_build(totals: families.Totals) -> None:
    labels = (fastdns.__version__, "", f"python{platform.python_version()}")
    totals.raise_to("coredns_build_info", 1, labels)
    describe_interpreter(totals)


def describe_interpreter(totals: families.Totals) -> None:
    totals.raise_to("python_info", 1, (platform.python_implementation(), *platform.python_version_tuple()))
    for generation, stats in enumerate(gc.get_stats()):
        totals.add("python_gc_collections_total", stats["collections"], (str(generation),))


def describe_config(config: model.Config, totals: families.Totals) -> None:
    """What the configuration alone tells: plugins that are on, and its digest."""
    for index, listener in metrics.find_servings(config):
        block = config.blocks[index]
        for plugin in block.plugins:
            labels = (metrics.name_server(listener), block.zone, "", type(plugin).__name__.lower())
            totals.raise_to("coredns_plugin_enabled", 1, labels)
    totals.raise_to("coredns_reload_version_info", 1, ("sha512", config.digest))


def describe_processes(processes: Iterable[tuple[str, int]], totals: families.Totals) -> None:
    """The figures of processes by their name and id; the first is the supervisor."""
    totals.raise_to("process_max_fds", resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    totals.raise_to("process_virtual_memory_max_bytes", read_memory_limit())
    received, sent = read_traffic()
    totals.raise_to("process_network_receive_bytes_total", received)
    totals.raise_to("process_network_transmit_bytes_total", sent)
    for index, (name, pid) in enumerate(processes):
        try:
            figures = read_figures(pid)
        except OSError:
            continue  # gone in the meantime
        totals.add("process_cpu_seconds_total", figures["cpu"])
        totals.add("process_resident_memory_bytes", figures["resident"])
        totals.add("process_virtual_memory_bytes", figures["virtual"])
        totals.add("process_open_fds", figures["fds"])
        totals.add("fastdns_process_cpu_seconds_total", figures["cpu"], (name,))
        totals.add("fastdns_process_resident_memory_bytes", figures["resident"], (name,))
        totals.add("fastdns_process_open_fds", figures["fds"], (name,))
        if index == 0:
            totals.raise_to("process_start_time_seconds", figures["start"])


def read_figures(pid: int) -> dict[str, float]:
    """proc(5): /proc/PID/stat, counted from the field after the command's name, which may hold anything."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return {
        "cpu": (int(fields[11]) + int(fields[12])) / TICKS,
        "start": boot_time() + int(fields[19]) / TICKS,
        "virtual": int(fields[20]),
        "resident": int(fields[21]) * PAGE,
        "fds": len(os.listdir(f"/proc/{pid}/fd")),
    }


def read_memory_limit() -> int:
    """Without a limit the largest number that the kernel has for it, as Go's client tells it."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return 2**64 - 1 if limit == resource.RLIM_INFINITY else limit


def read_traffic() -> tuple[int, int]:
    """Octets received and sent over IP in our network namespace: proc_pid_net(5), netstat's two lines IpExt."""
    with open("/proc/self/net/netstat", encoding="ascii") as file:
        names, numbers = (line.split() for line in file if line.startswith("IpExt:"))
    counted = dict(zip(names, numbers, strict=True))
    return int(counted["InOctets"]), int(counted["OutOctets"])


def boot_time() -> float:
    with open("/proc/stat", "rb") as file:
        for line in file:
            if line.startswith(b"btime "):
                return float(line.split()[1])
    return 0.0
