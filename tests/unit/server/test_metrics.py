import os
import re
import resource

import pytest
from prometheus_client import parser, samples

from fastdns._counters import BlockSlot, CacheSlot, Counters, WorkerSlot
from fastdns.config import model
from fastdns.server import exposition, families, metrics

CACHE = model.Cache(zones=("cluster.local.", "."))
FORWARD = model.Forward(zone=".", upstreams=(model.Upstream("192.0.2.1", 53), model.Upstream("2001:db8::1", 853)))
HERE = model.Listener("", 53)
LOOPBACK = model.Listener("::1", 53)


def make_block(
    zone: str, plugins: tuple[model.Plugin, ...], line: int = 1, on: tuple[model.Listener, ...] = (HERE,)
) -> model.ServerBlock:
    return model.ServerBlock(zone, on, plugins, "Corefile", line)


@pytest.fixture
def config() -> model.Config:
    shared = (model.Prometheus(), model.Errors(), CACHE, FORWARD)
    return model.Config(
        (
            make_block(".", shared, on=(HERE, LOOPBACK)),
            make_block("example.org.", shared, on=(HERE, LOOPBACK)),
            make_block("hidden.", (CACHE, model.Hosts("/etc/hosts", (".",))), line=9),
        ),
        digest="abc",
    )


def test_layout_places_nothing_twice(config: model.Config) -> None:
    layout = metrics.lay_out(config)
    places = [(place.first, BlockSlot.BLOCK_SLOTS) for place in layout.blocks]
    places += [(cache.first, CacheSlot.CACHE_SLOTS) for cache in layout.caches.values()]
    places += [(group.first, group.upstream_at(2) - group.first) for group in layout.groups.values()]
    places += [(hosts.first, 2) for hosts in layout.hosts.values()]
    at = int(WorkerSlot.WORKER_SLOTS)
    for first, size in sorted(places):
        assert first == at
        at += size
    assert at == layout.slots


def test_zones_of_one_corefile_block_share_caches_and_groups(config: model.Config) -> None:
    layout = metrics.lay_out(config)
    assert len(layout.blocks) == 5
    assert len(layout.caches) == 2
    assert len(layout.groups) == 1


def order_labels(sample: samples.Sample) -> tuple[str, ...]:
    """Label values in the order of the family's definition, `le` last."""
    stem = re.sub("_(bucket|sum|count)$", "", sample.name)
    names = families.KNOWN.get(sample.name, families.KNOWN.get(stem)).labels
    return tuple(sample.labels[name] for name in (*names, "le") if name in sample.labels)


def read_page(config: model.Config, *workers: bytearray) -> dict[str, dict[tuple[str, ...], float]]:
    totals = families.Totals()
    for memory in workers:
        families.read_worker(metrics.lay_out(config), memoryview(memory).cast("Q"), totals)
    exposition.describe_build(totals)
    exposition.describe_config(config, totals)
    exposition.describe_processes([("supervisor", os.getpid())], totals)
    page: dict[str, dict[tuple[str, ...], float]] = {}
    for family in parser.text_string_to_metric_families(exposition.render(totals).decode()):
        for sample in family.samples:
            page.setdefault(sample.name, {})[order_labels(sample)] = sample.value
    return page


def test_limits_and_traffic_of_the_process(config: model.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    page = read_page(config)
    assert page["process_virtual_memory_max_bytes"] == {(): 2.0**64}
    assert page["process_network_receive_bytes_total"][()] > 0
    assert page["process_network_transmit_bytes_total"][()] > 0


def test_workers_are_summed_under_coredns_names(config: model.Config) -> None:
    layout = metrics.lay_out(config)
    workers = [bytearray(8 * layout.slots) for _ in range(2)]
    place = layout.blocks[1]  # the root zone on ::1
    for memory in workers:
        counters = Counters(memory)
        counters.add(place.first + 1, 3)  # udp, IPv4, type A
        counters.add(place.first + BlockSlot.BLOCK_DURATION + 2, 3)
        counters.add(place.first + BlockSlot.BLOCK_DURATION_SUM, 1_500_000)
        counters.add(place.first + BlockSlot.BLOCK_RESPONSES + 3, 3)
        counters.add(layout.caches[metrics.PluginKey(0, 2)].first + CacheSlot.CACHE_HITS + 1, 4)
    page = read_page(config, *workers)
    server = ("dns://[::1]:53", ".", "")
    assert page["coredns_dns_requests_total"] == {(*server, "udp", "1", "A"): 6}
    assert page["coredns_dns_responses_total"] == {(*server, "NXDOMAIN", "errors"): 6}
    assert page["coredns_dns_request_duration_seconds_sum"] == {server: 0.003}
    buckets = page["coredns_dns_request_duration_seconds_bucket"]
    assert buckets[(*server, "0.0005")] == 0
    assert buckets[(*server, "0.001")] == buckets[(*server, "+Inf")] == 6
    assert page["coredns_cache_hits_total"][("dns://:53", "denial", "cluster.local.,.", "")] == 8
    assert page["coredns_plugin_enabled"][("dns://:53", "example.org.", "", "forward")] == 1
    assert page["coredns_reload_version_info"] == {("sha512", "abc"): 1}
    assert page["process_resident_memory_bytes"][()] > 1e6
    assert page["process_start_time_seconds"][()] > 1.7e9


def test_block_without_prometheus_is_not_told(config: model.Config) -> None:
    layout = metrics.lay_out(config)
    memory = bytearray(8 * layout.slots)
    Counters(memory).add(layout.blocks[-1].first, 3)
    assert "coredns_dns_requests_total" not in read_page(config, memory)


def test_exchanges_keep_their_rcode(config: model.Config) -> None:
    layout = metrics.lay_out(config)
    memory = bytearray(8 * layout.slots)
    (group,) = layout.groups.values()
    Counters(memory).add(group.upstream_at(1) + 17 * 2 + 16, 2)  # SERVFAIL, above every bound
    page = read_page(config, memory)
    assert page["coredns_proxy_request_duration_seconds_count"] == {("forward", "[2001:db8::1]:853", "SERVFAIL"): 2}


def test_retired_workers_keep_their_counters_and_lose_their_gauges(config: model.Config) -> None:
    layout = metrics.lay_out(config)
    memory = bytearray(8 * layout.slots)
    counters = Counters(memory)
    counters.add(WorkerSlot.WORKER_TCP_CONNECTIONS, 5)
    counters.add(WorkerSlot.WORKER_TCP_ACCEPTED, 7)
    gone, now = families.Totals(), families.Totals()
    families.read_worker(layout, memoryview(memory).cast("Q"), gone)
    now.merge(gone, gauges=False)
    assert now.values["fastdns_server_tcp_accepted_total"] == {(): 7}
    assert "fastdns_server_tcp_connections" not in now.values


def test_what_another_process_tells_is_on_the_page() -> None:
    totals = families.Totals()
    told = {
        "name": "coredns_kubernetes_x_seconds",
        "kind": "histogram",
        "help": "X.",
        "labels": ["kind"],
        "bounds": [1.0],
    }
    totals.add_foreign([{**told, "series": [[["a"], {"buckets": [1, 2], "sum": 5.0}]]}])
    assert b'coredns_kubernetes_x_seconds_bucket{kind="a",le="+Inf"} 3.0' in exposition.render(totals)


def test_every_family_is_named_by_the_rules() -> None:
    for name, family in families.KNOWN.items():
        assert name.startswith(("coredns_", "fastdns_", "process_", "python_"))
        assert name.endswith("_total") == (family.kind == "counter"), name
        assert family.help.endswith(".")
