"""What the metrics page tells: CoreDNS's families with their labels, and ours; and their values summed over workers.

A worker's slots are read with the Layout of its configuration. Counters and histograms of workers that have left stay
in a Totals of their own, so that nothing ever counts backwards.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from fastdns._counters import (
    BlockSlot,
    CacheSlot,
    Dimension,
    GroupSlot,
    System,
    SystemDimension,
    SystemSlot,
    UpstreamSlot,
    WorkerSlot,
)
from fastdns.server import metrics

Slots = memoryview  # of one worker, cast to "Q"
Labels = tuple[str, ...]

PROTOCOLS = ("udp", "tcp")
FAMILIES = ("1", "2")  # of addresses
SIDES = ("success", "denial")
# fmt: off
TYPES = (
    "AAAA", "A", "CNAME", "DNSKEY", "DS", "MX", "NSEC3", "NSEC", "NS", "PTR", "RRSIG", "SOA", "SRV", "TXT", "HTTPS",
    "SVCB", "IXFR", "AXFR", "ANY", "other",
)  # as type_slot() counts them
LOW_RCODES = (
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH",
    "NOTZONE",
)
# fmt: on
RCODES = {
    **dict(enumerate(LOW_RCODES)),
    11: "DSOTYPENI",
    16: "BADSIG",  # BADVERS has the same number; CoreDNS says this one
    17: "BADKEY",
    18: "BADTIME",
    19: "BADMODE",
    20: "BADNAME",
    21: "BADALG",
    22: "BADTRUNC",
    23: "BADCOOKIE",
}
SIZE_BOUNDS = (0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16e3, 32e3, 48e3, 64e3)
DURATION_BOUNDS = tuple(0.00025 * 2**power for power in range(16))
SYSTEMS = {System.SYSTEM_AUTH: "auth", System.SYSTEM_REVERSE: "reverse", System.SYSTEM_RECURSIVE: "recursive"}
CAUSES = ("nxdomain", "servfail", "refused", "truncated", "overflow")
SYSTEM_DURATION_BOUNDS = (0.001, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SYSTEM_SIZE_BOUNDS = (0, 512, 1024, 1500, 2048, *range(4096, 65537, 4096))
SLIM_BOUNDS = tuple(0.00025 * 10**power for power in range(5))


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    kind: str  # counter, gauge, histogram
    help: str
    labels: Labels = ()
    bounds: Sequence[float] = ()


SERVER = ("server", "zone", "view")
CACHE = ("server", "zones", "view")
TYPED_CACHE = ("server", "type", "zones", "view")

KNOWN: dict[str, Family] = {
    "coredns_build_info": Family("gauge", "What version this is.", ("version", "revision", "goversion")),
    "coredns_panics_total": Family("counter", "A metrics that counts the number of panics."),
    "coredns_plugin_enabled": Family(
        "gauge", "A metric that indicates whether a plugin is enabled on per server and zone basis.", (*SERVER, "name")
    ),
    "coredns_reload_failed_total": Family("counter", "Counter of the number of failed reload attempts."),
    "coredns_reload_version_info": Family(
        "gauge", "A metric with a constant '1' value labeled by hash, and value.", ("hash", "value")
    ),
    "coredns_dns_requests_total": Family(
        "counter",
        "Counter of DNS requests made per zone, protocol and family.",
        (*SERVER, "proto", "family", "type"),
    ),
    "coredns_dns_do_requests_total": Family("counter", "Counter of DNS requests with DO bit set per zone.", SERVER),
    "coredns_dns_request_duration_seconds": Family(
        "histogram", "Histogram of the time (in seconds) each request took per zone.", SERVER, DURATION_BOUNDS
    ),
    "coredns_dns_request_size_bytes": Family(
        "histogram",
        "Size of the EDNS0 UDP buffer in bytes (64K for TCP) per zone and protocol.",
        (*SERVER, "proto"),
        SIZE_BOUNDS,
    ),
    "coredns_dns_response_size_bytes": Family(
        "histogram", "Size of the returned response in bytes.", (*SERVER, "proto"), SIZE_BOUNDS
    ),
    "coredns_dns_responses_total": Family("counter", "Counter of response status codes.", (*SERVER, "rcode", "plugin")),
    "coredns_cache_entries": Family("gauge", "The number of elements in the cache.", TYPED_CACHE),
    "coredns_cache_requests_total": Family("counter", "The count of cache requests.", CACHE),
    "coredns_cache_hits_total": Family("counter", "The count of cache hits.", TYPED_CACHE),
    "coredns_cache_misses_total": Family(
        "counter",
        "The count of cache misses. Deprecated, derive misses from cache hits/requests counters.",
        CACHE,
    ),
    "coredns_cache_prefetch_total": Family(
        "counter", "The number of times the cache has prefetched a cached item.", CACHE
    ),
    "coredns_cache_drops_total": Family(
        "counter", "The number responses that are not cached, because the reply is malformed.", CACHE
    ),
    "coredns_cache_served_stale_total": Family(
        "counter", "The number of requests served from stale cache entries.", CACHE
    ),
    "coredns_cache_evictions_total": Family("counter", "The count of cache evictions.", TYPED_CACHE),
    "coredns_forward_healthcheck_broken_total": Family(
        "counter", "Counter of the number of complete failures of the healthchecks."
    ),
    "coredns_forward_max_concurrent_rejects_total": Family(
        "counter",
        "Counter of the number of queries rejected because the concurrent queries were at maximum.",
    ),
    "coredns_proxy_request_duration_seconds": Family(
        "histogram",
        "Histogram of the time each request took.",
        ("proxy_name", "to", "rcode"),
        DURATION_BOUNDS,
    ),
    "coredns_proxy_healthcheck_failures_total": Family(
        "counter", "Counter of the number of failed healthchecks.", ("proxy_name", "to")
    ),
    "coredns_proxy_conn_cache_hits_total": Family(
        "counter",
        "Counter of connection cache hits per upstream and protocol.",
        ("proxy_name", "to", "proto"),
    ),
    "coredns_proxy_conn_cache_misses_total": Family(
        "counter",
        "Counter of connection cache misses per upstream and protocol.",
        ("proxy_name", "to", "proto"),
    ),
    "coredns_health_request_duration_seconds": Family(
        "histogram", "Histogram of the time (in seconds) each request took.", (), SLIM_BOUNDS
    ),
    "coredns_health_request_failures_total": Family("counter", "The number of times the health check failed."),
    metrics.ACL_ALLOWED: Family("counter", "Counter of DNS requests being allowed.", ("server", "view")),
    metrics.ACL_COUNTS["block"]: Family("counter", "Counter of DNS requests being blocked.", SERVER),
    metrics.ACL_COUNTS["filter"]: Family("counter", "Counter of DNS requests being filtered.", SERVER),
    metrics.ACL_COUNTS["drop"]: Family("counter", "Counter of DNS requests being dropped.", SERVER),
    metrics.LOCALHOST: Family("counter", "Counter of special localhost subdomain requests."),
    metrics.TRANSLATED: Family("counter", "Counter of DNS requests translated by dns64.", ("server",)),
    "coredns_hosts_entries": Family("gauge", "The combined number of entries in hosts and Corefile.", ("hostsfile",)),
    "coredns_hosts_reload_timestamp_seconds": Family("gauge", "The timestamp of the last reload of hosts file."),
    "coredns_nodecache_setup_errors_total": Family(
        "counter", "The number of errors during periodic network setup for node-cache.", ("errortype",)
    ),
    "fastdns_cache_octets": Family("gauge", "Memory that answers in the cache take.", CACHE),
    "fastdns_forward_mismatched_replies_total": Family(
        "counter", "Datagrams from upstreams that answered no question of ours."
    ),
    "fastdns_forward_coalesced_total": Family(
        "counter", "Queries that waited for an equal question that was already asked."
    ),
    "fastdns_server_workers": Family("gauge", "Worker processes that serve."),
    "fastdns_server_worker_restarts_total": Family("counter", "Worker processes that died and were replaced."),
    "fastdns_server_control_restarts_total": Family("counter", "Control processes that died and were replaced."),
    "fastdns_server_slow_queries_total": Family("counter", "Queries that took a step in Python."),
    "fastdns_server_log_dropped_total": Family("counter", "Log lines that standard output could not take."),
    "fastdns_server_tcp_connections": Family("gauge", "Open connections of clients."),
    "fastdns_server_tcp_accepted_total": Family("counter", "Connections that clients opened."),
    "fastdns_server_tcp_evicted_total": Family("counter", "Connections closed to make room for another."),
    "fastdns_server_tcp_timeouts_total": Family("counter", "Connections closed for their silence."),
    "fastdns_server_accept_failures_total": Family("counter", "Connections that could not be accepted."),
    "fastdns_server_udp_failures_total": Family("counter", "Failures to read or write a UDP socket."),
    "fastdns_server_deltas_total": Family("counter", "Deltas of the cluster's records that workers applied."),
    "fastdns_process_cpu_seconds_total": Family("counter", "CPU time of one process.", ("process",)),
    "fastdns_process_resident_memory_bytes": Family("gauge", "Resident memory of one process.", ("process",)),
    "fastdns_process_open_fds": Family("gauge", "Open descriptors of one process.", ("process",)),
    "python_info": Family("gauge", "Python platform information.", ("implementation", "major", "minor", "patchlevel")),
    "python_gc_collections_total": Family(
        "counter", "Number of times this generation was collected, in the supervisor.", ("generation",)
    ),
    "process_cpu_seconds_total": Family("counter", "Total user and system CPU time spent, all processes."),
    "process_resident_memory_bytes": Family("gauge", "Resident memory size in bytes, all processes."),
    "process_virtual_memory_bytes": Family("gauge", "Virtual memory size in bytes, all processes."),
    "process_virtual_memory_max_bytes": Family(
        "gauge", "Maximum amount of virtual memory available in bytes, to one process."
    ),
    "process_network_receive_bytes_total": Family(
        "counter", "Number of bytes received over the network, by all that shares it with these processes."
    ),
    "process_network_transmit_bytes_total": Family(
        "counter", "Number of bytes sent over the network, by all that shares it with these processes."
    ),
    "process_open_fds": Family("gauge", "Number of open file descriptors, all processes."),
    "process_max_fds": Family("gauge", "Maximum number of open file descriptors of one process."),
    "process_start_time_seconds": Family("gauge", "Start time of the supervisor since unix epoch in seconds."),
}


SKYDNS: dict[str, Family] = {
    "dns_request_count_total": Family("counter", "Counter of DNS requests made.", ("system",)),
    "dns_request_duration_seconds": Family(
        "histogram",
        "Histogram of the time (in seconds) each request took to resolve.",
        ("system",),
        SYSTEM_DURATION_BOUNDS,
    ),
    "dns_response_size_bytes": Family(
        "histogram", "Size of the returns response in bytes.", ("system",), SYSTEM_SIZE_BOUNDS
    ),
    "dns_error_count_total": Family("counter", "Counter of DNS requests resulting in an error.", ("system", "cause")),
    "dns_cachemiss_count_total": Family("counter", "Counter of DNS requests that result in a cache miss.", ("cache",)),
}
"""By kube-dns's names, to which the configuration gives a prefix."""


@dataclasses.dataclass(slots=True)
class Histogram:
    buckets: list[int]  # not cumulative; the last is +Inf
    sum: float


class Totals:
    """Values by family and labels."""

    def __init__(self) -> None:
        self.values: dict[str, dict[Labels, float]] = {}
        self.histograms: dict[str, dict[Labels, Histogram]] = {}
        self.foreign: dict[str, Family] = {}  # families that another process told of

    def family(self, name: str) -> Family:
        return KNOWN.get(name) or self.foreign[name]

    def add(self, name: str, amount: float, labels: Labels = ()) -> None:
        series = self.values.setdefault(name, {})
        series[labels] = series.get(labels, 0) + amount

    def raise_to(self, name: str, value: float, labels: Labels = ()) -> None:
        """For a gauge that every worker has the same of: the largest, not the sum."""
        series = self.values.setdefault(name, {})
        series[labels] = max(series.get(labels, 0), value)

    def observe(self, name: str, buckets: Sequence[int], total: float, labels: Labels = ()) -> None:
        """Add a whole histogram."""
        held = self.histograms.setdefault(name, {}).setdefault(labels, Histogram([0] * len(buckets), 0))
        held.buckets = [one + other for one, other in zip(held.buckets, buckets, strict=True)]
        held.sum += total

    def merge(self, other: Totals, *, gauges: bool) -> None:
        self.foreign |= other.foreign
        for name, series in other.values.items():
            if gauges or self.family(name).kind != "gauge":
                for labels, value in series.items():
                    self.add(name, value, labels)
        for name, histograms in other.histograms.items():
            for labels, one in histograms.items():
                self.observe(name, one.buckets, one.sum, labels)

    def add_foreign(self, told: Sequence[Mapping[str, Any]]) -> None:
        """Add families as another process gave them: name, kind, help, labels, bounds, series of labels and value."""
        for one in told:
            name = one["name"]
            self.foreign[name] = Family(one["kind"], one["help"], tuple(one["labels"]), tuple(one["bounds"]))
            for labels, value in one["series"]:
                if isinstance(value, dict):
                    self.observe(name, value["buckets"], value["sum"], tuple(labels))
                else:
                    self.add(name, value, tuple(labels))


def read_worker(layout: metrics.Layout, slots: Slots, totals: Totals) -> None:
    """Add what one worker has counted."""
    for place in layout.blocks:
        if place.is_exposed:
            read_block(slots, place.first, (place.server, place.zone, ""), place.plugin, totals)
    if layout.blocks and any(place.is_exposed for place in layout.blocks):
        labels = (layout.blocks[0].server, "dropped", "")
        read_block(slots, WorkerSlot.WORKER_UNDECIDED, labels, "", totals)
    for cache in layout.caches.values():
        read_cache(slots, cache, totals)
    for group in layout.groups.values():
        read_group(slots, group, totals)
    for hosts in layout.hosts.values():
        totals.raise_to("coredns_hosts_entries", slots[hosts.first + metrics.HOSTS_ENTRIES], (hosts.path,))
        reloaded = slots[hosts.first + metrics.HOSTS_RELOADED] / 1e3
        totals.raise_to("coredns_hosts_reload_timestamp_seconds", reloaded)
    for counts in layout.counts.values():
        for index, (family, names) in enumerate(counts.series):
            if slots[counts.first + index]:  # as in CoreDNS there is none before the first
                totals.add(family, slots[counts.first + index], names)
    if layout.systems >= 0:
        read_systems(slots, layout.systems, layout.systems_prefix, totals)
    totals.add(metrics.LOCALHOST, 0)  # which CoreDNS has without the plugin, too
    read_process(slots, totals)


def read_systems(slots: Slots, first: int, prefix: str, totals: Totals) -> None:
    """What kube-dns counts, by system; one that has answered nothing isn't there."""
    totals.foreign |= {prefix + name: family for name, family in SKYDNS.items()}
    for system, word in SYSTEMS.items():
        start = first + system * SystemSlot.SYSTEM_SLOTS
        if not slots[start + SystemSlot.SYSTEM_REQUESTS]:
            continue
        totals.add(f"{prefix}dns_request_count_total", slots[start + SystemSlot.SYSTEM_REQUESTS], (word,))
        for name, at, buckets, sum_at, unit in (
            ("dns_request_duration_seconds", SystemSlot.SYSTEM_DURATION, SystemDimension.SYSTEM_DURATION_BUCKETS,
             SystemSlot.SYSTEM_DURATION_SUM, 1e9),
            ("dns_response_size_bytes", SystemSlot.SYSTEM_SIZE, SystemDimension.SYSTEM_SIZE_BUCKETS,
             SystemSlot.SYSTEM_SIZE_SUM, 1),
        ):  # fmt: skip
            counts = slots[start + at : start + at + buckets].tolist()
            totals.observe(prefix + name, counts, slots[start + sum_at] / unit, (word,))
        for index, cause in enumerate(CAUSES):
            count = slots[start + SystemSlot.SYSTEM_ERRORS + index]
            if count:
                totals.add(f"{prefix}dns_error_count_total", count, (word, cause))
        if slots[start + SystemSlot.SYSTEM_MISSES]:
            totals.add(f"{prefix}dns_cachemiss_count_total", slots[start + SystemSlot.SYSTEM_MISSES], ("response",))


def read_block(slots: Slots, first: int, labels: Labels, plugin: str, totals: Totals) -> None:
    requests = itertools.product(PROTOCOLS, FAMILIES, TYPES)
    for at, (protocol, family, qtype) in enumerate(requests, first + BlockSlot.BLOCK_REQUESTS):
        if slots[at]:
            totals.add("coredns_dns_requests_total", slots[at], (*labels, protocol, family, qtype))
    answered = sum(slots[first + BlockSlot.BLOCK_DURATION : first + BlockSlot.BLOCK_DURATION_SUM])
    if not answered:
        return
    if slots[first + BlockSlot.BLOCK_DO_REQUESTS]:
        totals.add("coredns_dns_do_requests_total", slots[first + BlockSlot.BLOCK_DO_REQUESTS], labels)
    read_sizes(slots, first, labels, totals)
    start = first + BlockSlot.BLOCK_DURATION
    totals.observe(
        "coredns_dns_request_duration_seconds",
        slots[start : start + Dimension.DURATION_BUCKETS].tolist(),
        slots[first + BlockSlot.BLOCK_DURATION_SUM] / 1e9,
        labels,
    )
    for rcode in range(Dimension.RCODES):
        count = slots[first + BlockSlot.BLOCK_RESPONSES + rcode]
        if count:
            totals.add("coredns_dns_responses_total", count, (*labels, name_rcode(rcode), plugin))


def read_sizes(slots: Slots, first: int, labels: Labels, totals: Totals) -> None:
    for name, buckets, sums in (
        ("coredns_dns_request_size_bytes", BlockSlot.BLOCK_REQUEST_SIZE, BlockSlot.BLOCK_REQUEST_SIZE_SUM),
        ("coredns_dns_response_size_bytes", BlockSlot.BLOCK_RESPONSE_SIZE, BlockSlot.BLOCK_RESPONSE_SIZE_SUM),
    ):
        for index, protocol in enumerate(PROTOCOLS):
            start = first + buckets + index * Dimension.SIZE_BUCKETS
            counts = slots[start : start + Dimension.SIZE_BUCKETS].tolist()
            if any(counts):
                totals.observe(name, counts, slots[first + sums + index], (*labels, protocol))


def read_cache(slots: Slots, cache: metrics.CachePlace, totals: Totals) -> None:
    labels = (cache.server, cache.zones, "")
    for name, slot in (
        ("coredns_cache_requests_total", CacheSlot.CACHE_REQUESTS),
        ("coredns_cache_misses_total", CacheSlot.CACHE_MISSES),
        ("coredns_cache_prefetch_total", CacheSlot.CACHE_PREFETCHES),
        ("coredns_cache_served_stale_total", CacheSlot.CACHE_SERVED_STALE),
        ("coredns_cache_drops_total", CacheSlot.CACHE_DROPS),
        ("fastdns_cache_octets", CacheSlot.CACHE_OCTETS),
    ):
        totals.add(name, slots[cache.first + slot], labels)
    for name, slot in (
        ("coredns_cache_hits_total", CacheSlot.CACHE_HITS),
        ("coredns_cache_entries", CacheSlot.CACHE_ENTRIES),
        ("coredns_cache_evictions_total", CacheSlot.CACHE_EVICTIONS),
    ):
        for index, side in enumerate(SIDES):
            totals.add(name, slots[cache.first + slot + index], (cache.server, side, cache.zones, ""))


def read_group(slots: Slots, group: metrics.GroupPlace, totals: Totals) -> None:
    for name, slot in (
        ("coredns_forward_max_concurrent_rejects_total", GroupSlot.GROUP_MAX_CONCURRENT_REJECTS),
        ("coredns_forward_healthcheck_broken_total", GroupSlot.GROUP_HEALTHCHECK_BROKEN),
        ("fastdns_forward_mismatched_replies_total", GroupSlot.GROUP_MISMATCHED_REPLIES),
        ("fastdns_forward_coalesced_total", GroupSlot.GROUP_COALESCED),
    ):
        totals.add(name, slots[group.first + slot])
    for index, upstream in enumerate(group.upstreams):
        read_upstream(slots, group.upstream_at(index), upstream, totals)


def read_upstream(slots: Slots, first: int, upstream: str, totals: Totals) -> None:
    labels = ("forward", upstream)
    for rcode in range(Dimension.RCODES):
        start = first + UpstreamSlot.UPSTREAM_DURATION + rcode * Dimension.DURATION_BUCKETS
        counts = slots[start : start + Dimension.DURATION_BUCKETS].tolist()
        if any(counts):
            total = slots[first + UpstreamSlot.UPSTREAM_DURATION_SUM + rcode] / 1e9
            totals.observe("coredns_proxy_request_duration_seconds", counts, total, (*labels, name_rcode(rcode)))
    failures = slots[first + UpstreamSlot.UPSTREAM_HEALTHCHECK_FAILURES]
    totals.add("coredns_proxy_healthcheck_failures_total", failures, labels)
    for index, protocol in enumerate(PROTOCOLS):
        hits = slots[first + UpstreamSlot.UPSTREAM_CONN_CACHE_HITS + index]
        misses = slots[first + UpstreamSlot.UPSTREAM_CONN_CACHE_MISSES + index]
        totals.add("coredns_proxy_conn_cache_hits_total", hits, (*labels, protocol))
        totals.add("coredns_proxy_conn_cache_misses_total", misses, (*labels, protocol))


def read_process(slots: Slots, totals: Totals) -> None:
    for name, slot in (
        ("coredns_panics_total", WorkerSlot.WORKER_PANICS),
        ("fastdns_server_slow_queries_total", WorkerSlot.WORKER_SLOW_QUERIES),
        ("fastdns_server_log_dropped_total", WorkerSlot.WORKER_LOG_DROPPED),
        ("fastdns_server_tcp_connections", WorkerSlot.WORKER_TCP_CONNECTIONS),
        ("fastdns_server_tcp_accepted_total", WorkerSlot.WORKER_TCP_ACCEPTED),
        ("fastdns_server_tcp_evicted_total", WorkerSlot.WORKER_TCP_EVICTED),
        ("fastdns_server_tcp_timeouts_total", WorkerSlot.WORKER_TCP_TIMEOUTS),
        ("fastdns_server_accept_failures_total", WorkerSlot.WORKER_ACCEPT_FAILURES),
        ("fastdns_server_udp_failures_total", WorkerSlot.WORKER_UDP_FAILURES),
        ("fastdns_server_deltas_total", WorkerSlot.WORKER_DELTAS),
    ):
        totals.add(name, slots[slot])


def name_rcode(rcode: int) -> str:
    return RCODES.get(rcode, f"RCODE{rcode}")
