"""The real dnsmasq in front of kube-dns, with the arguments of kube-dns's stock Deployment: the same answers behind it."""

from __future__ import annotations

from collections.abc import Iterator

import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from tests.conformance.test_kubedns import PATHS, ZONE, objects
from tests.conformance.upstream import Upstream
from tests.peers import build
from tests.peers.kubedns import LOOPBACK, KubeDns
from tests.peers.process import Process, free_port
from tests.peers.servers import is_answering
from tests.unit.kubernetes.fake_apiserver import FakeApiServer

pytestmark = pytest.mark.peers("dnsmasq")
STOCK = ("-k", "--cache-size=1000", "--no-negcache", "--dns-loop-detect", "--log-facility=-")


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """dnsmasq's port."""
    place = tmp_path_factory.mktemp("chain")
    api = FakeApiServer()
    for item in objects():
        if item["kind"] in PATHS:
            api.put(PATHS[item["kind"]], item)
    port = free_port()
    with Upstream(ZONE) as upstream:
        arguments = [f"--nameservers={LOOPBACK}:{upstream.port}"]
        with KubeDns([f"--kube-master-url={api.url}"], folder=place, arguments=arguments) as server:
            zones = ("cluster.local", "in-addr.arpa", "ip6.arpa")
            places = [f"--server=/{zone}/{LOOPBACK}#{server.port}" for zone in zones]
            here = ["--conf-file=/dev/null", "--user=root", "--pid-file=", f"--listen-address={LOOPBACK}"]
            words = [*STOCK, *places, *here, "--bind-interfaces", "--no-resolv", "--no-hosts", f"--port={port}"]
            dnsmasq = Process([build.find("dnsmasq"), *words], log=place / "dnsmasq.log")
            try:
                dnsmasq.wait_until(lambda: is_answering(port), what="its first answer")
                yield port
            finally:
                dnsmasq.stop()
    api.close()


@pytest.mark.parametrize(
    ("name", "rdtype", "expected"),
    [
        ("api.shop.svc.cluster.local", "A", ["10.96.2.1"]),
        ("both.shop.svc.cluster.local", "AAAA", ["fd00:10:96::203"]),
        ("_https._tcp.api.shop.svc.cluster.local", "SRV", ["10 100 443 api.shop.svc.cluster.local."]),
        ("db-0.db.data.svc.cluster.local", "A", ["10.4.1.1"]),
        ("1.2.96.10.in-addr.arpa", "PTR", ["api.shop.svc.cluster.local."]),
        ("5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.4.0.0.0.0.0.d.f.ip6.arpa", "PTR", ["db-5.db.data.svc.cluster.local."]),
        ("www.out.svc.cluster.local", "A", ["192.0.2.53", "www.example.org."]),
        ("10-4-9-8.shop.pod.cluster.local", "A", ["10.4.9.8"]),
    ],
)  # fmt: skip
def test_answer_comes_through(name: str, rdtype: str, expected: list[str], chain: int) -> None:
    for _ in range(2):  # from kube-dns, then from dnsmasq's cache
        answer = dns.query.udp(dns.message.make_query(name, rdtype), LOOPBACK, timeout=10, port=chain)
        assert sorted(str(one) for rrset in answer.answer for one in rrset) == expected


@pytest.mark.parametrize(
    ("name", "rcode"), [("none.shop.svc.cluster.local", "NXDOMAIN"), ("api.shop.svc.cluster.local", "NOERROR")]
)
def test_denial_comes_through(name: str, rcode: str, chain: int) -> None:
    answer = dns.query.udp(dns.message.make_query(name, "AAAA"), LOOPBACK, timeout=10, port=chain)
    assert (answer.rcode(), answer.answer) == (dns.rcode.from_text(rcode), [])
