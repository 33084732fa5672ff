"""The whole way of a query, from the packet to the answer, over the example cluster's names."""

from __future__ import annotations

import mmap
import pathlib

from fastdns._counters import Counters
from fastdns._engine import Engine
from fastdns.config import model
from fastdns.kubernetes.manifests import Manifests
from fastdns.kubernetes.treecache import TreeCache
from tests.differential.questions import Question
from tests.fuzz import fuzz_packet

EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "examples" / "cluster"
CLIENT, SERVER = ("127.0.0.1", 40000), ("127.0.0.1", 53)
ZONES = ("cluster.local.", "in-addr.arpa.", "ip6.arpa.")
SEEDS = [
    *fuzz_packet.SEEDS,
    *(
        Question(name, qtype, size=size).wire()
        for name, qtype, size in (
            ("db.shop.svc.cluster.local", "AAAA", None),
            ("db-0.db.shop.svc.cluster.local", "A", 1232),
            ("10-244-1-30.workers.shop.svc.cluster.local", "A", None),
            ("_sql._tcp.db.shop.svc.cluster.local", "SRV", 4096),
            ("storefront.default.svc.cluster.local", "A", None),
            ("10-0-0-1.shop.pod.cluster.local", "A", 512),
            ("10.0.96.10.in-addr.arpa", "PTR", None),
            ("cluster.local", "SOA", 1232),
            ("dns-version.cluster.local", "TXT", None),
            ("x.db.shop.svc.cluster.local", "A", None),
        )
    ),
]


def engine_of(config: model.Kubernetes, manifests: str) -> tuple[Engine, int]:
    """An engine that has one block with one table, filled; and its listener."""
    engine = Engine(Counters(memoryview(mmap.mmap(-1, 8 * 4096))))
    cache = TreeCache(config, local_ips=("10.96.0.10",), clock=lambda: 0.0, complain=lambda _: None)
    source = Manifests([manifests], complain=lambda _: None)
    source.poll()
    for kind, items in source.current().items():
        for item in items:
            cache.apply(kind, item)
    cache.set_synced(True)
    table = engine.add_table()
    block = engine.add_block(b"\0", udp_max=1232, rotate=True, deadline_ms=5000, log=False, errors=False, counters=0)
    engine.add_table_step(block, table, fallthrough=[])
    listener = engine.add_listener([block])
    engine.begin_snapshot(table)
    for delta in cache.snapshot():
        engine.apply(table, delta)
    engine.end_snapshot(table)
    return engine, listener


ENGINE, LISTENER = engine_of(model.Kubernetes(zones=ZONES, pods="insecure", ttl=30), str(EXAMPLE))


def run(data: bytes) -> object:
    outcomes: list[object] = []
    for is_stream in (False, True):
        answer = ENGINE.ask(data, LISTENER, remote=CLIENT, local=SERVER, is_stream=is_stream)
        if isinstance(answer, int):  # a CNAME that leads out of the cluster: what Python would do
            for slow in ENGINE.slow_queries():
                ENGINE.reply_rcode(slow.token, 2)
            outcomes.append("slow")
            continue
        assert not answer or (answer[:2] == data[:2] and answer[2] & 0x80)
        assert len(answer) <= (65535 if is_stream else 1232)
        outcomes.append((len(answer) // 32, answer[3:4], answer[6:12]))
    ENGINE.completed()
    return tuple(outcomes)
