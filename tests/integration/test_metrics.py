"""The metrics page beside CoreDNS's, both with kubeadm's plugins before one API server and asked the same questions."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import dns.message
import dns.query
import prometheus_client.parser
import pytest

from tests.peers.apiserver import ApiServer
from tests.peers.process import wait_until
from tests.peers.servers import CoreDns, DnsServer, Fastdns, Knot

pytestmark = pytest.mark.peers("kube-apiserver", "etcd", "openssl", "coredns", "knotd")

COREFILE = """.:{$PORT} {
    errors
    health 127.0.0.1:{$HEALTH} {
       lameduck 1s
    }
    ready 127.0.0.1:{$READY}
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       kubeconfig {$KUBECONFIG}
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus 127.0.0.1:{$METRICS}
    hosts {$FOLDER}/hosts {
       fallthrough
    }
    forward . 127.0.0.1:{$UPSTREAM} {
       max_concurrent 1000
    }
    cache 30 {
       disable success cluster.local
       disable denial cluster.local
       serve_stale
       prefetch 1
    }
    loop
    reload
    loadbalance
}
"""
ZONE = "$ORIGIN .\n@ 60 SOA ns. host. 1 60 60 60 60\n@ 60 NS ns.\nns 60 A 192.0.2.1\nwww.example.org. 60 A 192.0.2.80\n"
QUESTIONS = (
    "kubernetes.default.svc.cluster.local",
    "no.default.svc.cluster.local",
    "www.example.org",
    "no.example.org",
)
# CoreDNS shows these once there is something to tell, and the durations of rest_client never; ours are there at once.
LATER = {
    "coredns_cache_drops",
    "coredns_cache_evictions",
    "coredns_cache_prefetch",
    "coredns_cache_served_stale",
    "coredns_kubernetes_rest_client_rate_limiter_duration_seconds",
    "coredns_kubernetes_rest_client_request_duration_seconds",
    "coredns_proxy_healthcheck_failures",
    "coredns_reload_version_info",
}


@dataclasses.dataclass(frozen=True)
class Seen:
    kind: str
    labels: frozenset[str]


def families(server: DnsServer) -> dict[str, Seen]:
    """Each family's type, and the names of the labels that its series have."""
    found = {}
    for family in prometheus_client.parser.text_string_to_metric_families(server.metrics()):
        labels = frozenset(label for sample in family.samples for label in sample.labels)
        found[family.name] = Seen(family.type, labels)
    return found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Seen], dict[str, Seen]]]:
    folder = tmp_path_factory.mktemp("metrics")
    (folder / "hosts").write_text("192.0.2.7 web.example\n")
    (folder / "api").mkdir()
    with ApiServer(folder / "api") as api, Knot(folder=folder / "knot", zone=ZONE) as knot:
        env = {"KUBECONFIG": str(api.kubeconfig), "FOLDER": str(folder), "UPSTREAM": str(knot.port)}
        with (
            CoreDns(folder=folder / "coredns", corefile=COREFILE, env=env) as theirs,
            Fastdns(folder=folder / "fastdns", corefile=COREFILE, env=env) as ours,
        ):
            for server in (theirs, ours):
                for name in QUESTIONS:
                    for _ in range(3):
                        dns.query.udp(dns.message.make_query(name, "A"), "127.0.0.1", port=server.port, timeout=8)
            wait_until(lambda: "coredns_health_request_duration_seconds_count 0" not in theirs.metrics(), what="a beat")
            yield families(theirs), families(ours)


def test_every_family_of_coredns_is_there(pages: tuple[dict[str, Seen], dict[str, Seen]]) -> None:
    theirs, ours = pages
    expected = {name: seen for name, seen in theirs.items() if not name.startswith("go_")}
    assert {name: ours.get(name) for name in expected} == expected
    assert len(expected) > 30


def test_what_is_ours_is_called_so(pages: tuple[dict[str, Seen], dict[str, Seen]]) -> None:
    theirs, ours = pages
    assert {name for name in ours.keys() - theirs.keys() if name.startswith("coredns_")} == LATER
    assert {name.partition("_")[0] for name in ours} == {"coredns", "fastdns", "process", "python"}
