"""What dnsmasq counts, made of our counters: as TXT records in class CHAOS, and as lines of the log."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterable

from fastdns._counters import BlockSlot, CacheSlot, Dimension, UpstreamSlot, WorkerSlot
from fastdns.config import local, model
from fastdns.dns import constants
from fastdns.server import metrics, questions

VERSION = "dnsmasq-2.90"  # what fastdns stands in for: programs look at it
AUTHORS = "Simon Kelley"
COPYRIGHT = "Copyright (c) 2000-2024 Simon Kelley"
NXDOMAIN, SERVFAIL, NOTIMP = 3, 2, 4
QR, AA, RA = 0x8000, 0x0400, 0x0080
STRING_MAX = 255
QNAME_POINTER = 0xC00C
_RECORD = struct.Struct(">HHHIH")

Slots = memoryview  # of one worker, cast to "Q"


@dataclasses.dataclass(slots=True)
class ServerCounts:
    """One upstream's, named as dnsmasq does."""

    sent: int = 0
    failed: int = 0
    nxdomain: int = 0
    replies: int = 0
    nanoseconds: int = 0

    @property
    def latency_ms(self) -> int:
        return self.nanoseconds // self.replies // 1_000_000 if self.replies else 0


@dataclasses.dataclass(slots=True)
class Counts:
    cache_size: int = 0
    insertions: int = 0
    evictions: int = 0
    forwarded: int = 0
    local: int = 0
    servers: dict[str, ServerCounts] = dataclasses.field(default_factory=dict)


def find_plugin(config: model.Config) -> local.Statistics | None:
    found = (plugin for block in config.blocks for plugin in block.plugins if isinstance(plugin, local.Statistics))
    return next(found, None)


def count(config: model.Config, layout: metrics.Layout, workers: Iterable[Slots]) -> Counts:
    """Sum the counters of workers."""
    plugin = find_plugin(config)
    counts = Counts(cache_size=plugin.cache_size if plugin else 0)
    for place in layout.groups.values():
        for upstream in place.upstreams:
            counts.servers.setdefault(name_server(upstream), ServerCounts())
    for slots in workers:
        add_worker(counts, layout, slots)
    return counts


def add_worker(counts: Counts, layout: metrics.Layout, slots: Slots) -> None:
    counts.forwarded += slots[WorkerSlot.WORKER_FORWARDED]
    counts.local -= slots[WorkerSlot.WORKER_UPSTREAM_ANSWERS]
    for block in layout.blocks:
        first = block.first + BlockSlot.BLOCK_RESPONSES
        counts.local += sum(slots[at] for at in range(first, first + Dimension.RCODES))
    for cache in layout.caches.values():
        counts.insertions += slots[cache.first + CacheSlot.CACHE_INSERTIONS]
        counts.evictions += sum(slots[cache.first + CacheSlot.CACHE_EVICTIONS + side] for side in range(2))
    for group in layout.groups.values():
        for index, upstream in enumerate(group.upstreams):
            server = counts.servers[name_server(upstream)]
            add_upstream(server, slots, group.upstream_at(index))
            if group.singles:
                add_upstream(server, slots, metrics.GroupPlace(group.singles[index], ()).upstream_at(0))


def add_upstream(server: ServerCounts, slots: Slots, first: int) -> None:
    sent = (UpstreamSlot.UPSTREAM_CONN_CACHE_HITS, UpstreamSlot.UPSTREAM_CONN_CACHE_MISSES)
    server.sent += sum(slots[first + at + protocol] for at in sent for protocol in range(Dimension.PROTOCOLS))
    for rcode in range(Dimension.RCODES):
        buckets = first + UpstreamSlot.UPSTREAM_DURATION + rcode * Dimension.DURATION_BUCKETS
        replies = sum(slots[at] for at in range(buckets, buckets + Dimension.DURATION_BUCKETS))
        server.replies += replies
        server.nanoseconds += slots[first + UpstreamSlot.UPSTREAM_DURATION_SUM + rcode]
        server.nxdomain += replies if rcode == NXDOMAIN else 0
        server.failed += replies if rcode in (SERVFAIL, constants.Rcode.REFUSED) else 0


def name_server(upstream: str) -> str:
    """`ADDRESS#PORT` of `ADDRESS:PORT`."""
    host, _, port = upstream.rpartition(":")
    return f"{host.strip('[]')}#{port}"


# --- in class CHAOS ---------------------------------------------------------------------------------------------------------


def answer(query: bytes, counts: Counts, *, is_told: bool) -> bytes:
    """The answer to a query of class CHAOS."""
    question = questions.read_question(query)
    wire = query[questions.HEADER_SIZE : question.size]
    asked = question.name.rstrip(".")
    strings = describe(counts).get(asked) if is_told else None
    if strings is None or question.qtype not in (constants.Type.TXT, constants.Type.ANY):
        return query[:2] + struct.pack(">HHHHH", QR | RA | NOTIMP, 1, 0, 0, 0) + wire
    data = b"".join(bytes([len(text)]) + text for text in (one.encode()[:STRING_MAX] for one in strings))
    record = _RECORD.pack(QNAME_POINTER, constants.Type.TXT, constants.Class.CH, 0, len(data)) + data
    return query[:2] + struct.pack(">HHHHH", QR | AA | RA, 1, 1, 0, 0) + wire + record


def describe(counts: Counts) -> dict[str, list[str]]:
    """The strings of each name."""
    servers = [f"{name} {server.sent} {server.failed}" for name, server in counts.servers.items()]
    return {
        "version.bind": [VERSION],
        "authors.bind": [AUTHORS],
        "copyright.bind": [COPYRIGHT],
        "cachesize.bind": [str(counts.cache_size)],
        "insertions.bind": [str(counts.insertions)],
        "evictions.bind": [str(counts.evictions)],
        "misses.bind": [str(counts.forwarded)],
        "hits.bind": [str(counts.local)],
        "auth.bind": ["0"],
        "servers.bind": servers or [""],
    }


# --- in the log -----------------------------------------------------------------------------------------------------------


def describe_for_log(counts: Counts, *, unix_time: int) -> list[str]:
    """The lines of SIGUSR1."""
    lines = [
        f"time {unix_time}",
        f"cache size {counts.cache_size}, {counts.evictions}/{counts.insertions} cache insertions re-used unexpired "
        "cache entries.",
        f"queries forwarded {counts.forwarded}, queries answered locally {counts.local}",
        "queries for authoritative zones 0",
    ]
    for name, server in counts.servers.items():
        lines.append(
            f"server {name}: queries sent {server.sent}, retried 0, failed {server.failed}, "
            f"nxdomain replies {server.nxdomain}, avg. latency {server.latency_ms}ms"
        )
    return lines
