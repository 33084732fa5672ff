"""The three programs of kube-dns's stock Deployment, with its arguments: dnsmasq asks kube-dns, and sidecar asks both.

In the middle stands dnsmasq-nanny with fastdns's dnsmasq or with the real one, or either of these alone: the answers are the same.
"""

from __future__ import annotations

import contextlib
import pathlib
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence

import dns.message
import dns.query
import dns.rcode
import pytest

from tests.conformance.test_kubedns import ZONE, objects
from tests.conformance.upstream import Upstream
from tests.peers import build
from tests.peers.apiserver import ApiServer
from tests.peers.kubedns import LOOPBACK, KubeDns
from tests.peers.process import Process, free_port, wait_until
from tests.peers.servers import ROOT, is_answering

pytestmark = pytest.mark.peers("kube-apiserver", "etcd", "openssl", "dnsmasq")
FASTDNS = (sys.executable, "-m", "fastdns")
BUILT_IN = str(ROOT / "fastdns" / "__main__.py")  # what FASTDNS starts: the nanny's dnsmasq is then fastdns's own
NANNY = (*FASTDNS, "dnsmasq-nanny", "-v=2", "-logtostderr", "-restartDnsmasq=true")
STOCK = ("-k", "--cache-size=1000", "--no-negcache", "--dns-loop-detect", "--log-facility=-")
HERE = ("--conf-file=/dev/null", "--user=root", "--pid-file=", f"--listen-address={LOOPBACK}", "--bind-interfaces")
PROBED = "kubernetes.default.svc.cluster.local"
MIDDLES = ("dnsmasq-nanny", "dnsmasq-nanny of the real dnsmasq", "dnsmasq", "the real dnsmasq")


@pytest.fixture(scope="module")
def kubedns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeDns]:
    place = tmp_path_factory.mktemp("chain")
    with Upstream(ZONE) as upstream, ApiServer(place) as api:
        for item in objects():
            api.create(item)
        words = [f"--kubecfg-file={api.kubeconfig}"]
        arguments = ["--v=2", f"--nameservers={LOOPBACK}:{upstream.port}"]
        with KubeDns(words, folder=place / "server", arguments=arguments) as server:
            yield server


def command(middle: str, folder: pathlib.Path, arguments: Sequence[str]) -> list[str]:
    real = build.find("dnsmasq")
    nanny = [*NANNY, f"-configDir={folder}"]
    begin = {
        "dnsmasq-nanny": [*nanny, f"-dnsmasqExec={BUILT_IN}", "--"],
        "dnsmasq-nanny of the real dnsmasq": [*nanny, f"-dnsmasqExec={real}", "--"],
        "dnsmasq": [*FASTDNS, "dnsmasq"],
        "the real dnsmasq": [real],
    }
    return [*begin[middle], *arguments]


@pytest.fixture(scope="module", params=MIDDLES)
def chain(
    request: pytest.FixtureRequest, kubedns: KubeDns, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, int]]:
    """What stands in the middle, and its port."""
    place = tmp_path_factory.mktemp("middle")
    (place / "config").mkdir()
    port = free_port()
    zones = ("cluster.local", "in-addr.arpa", "ip6.arpa")
    to = [f"--server=/{zone}/{LOOPBACK}#{kubedns.port}" for zone in zones]
    words = [*STOCK, *to, *HERE, "--no-resolv", "--no-hosts", f"--port={port}"]
    process = Process(command(request.param, place / "config", words), log=place / "log", cwd=ROOT)
    try:
        process.wait_until(lambda: is_answering(port), what="its first answer")
        yield request.param, port
    finally:
        process.stop()


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
def test_answer_comes_through(name: str, rdtype: str, expected: list[str], chain: tuple[str, int]) -> None:
    for _ in range(2):  # from kube-dns, then from dnsmasq's cache
        answer = dns.query.udp(dns.message.make_query(name, rdtype), LOOPBACK, timeout=10, port=chain[1])
        assert sorted(str(one) for rrset in answer.answer for one in rrset) == expected


@pytest.mark.parametrize(
    ("name", "rcode"), [("none.shop.svc.cluster.local", "NXDOMAIN"), ("api.shop.svc.cluster.local", "NOERROR")]
)
def test_denial_comes_through(name: str, rcode: str, chain: tuple[str, int]) -> None:
    answer = dns.query.udp(dns.message.make_query(name, "AAAA"), LOOPBACK, timeout=10, port=chain[1])
    assert (answer.rcode(), answer.answer) == (dns.rcode.from_text(rcode), [])


def get(port: int, path: str) -> tuple[int, str]:
    """A page's status and text; status 0: nobody can connect."""
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def test_sidecar_sees_both(chain: tuple[str, int], kubedns: KubeDns, tmp_path: pathlib.Path) -> None:
    """With the stock probes: both are healthy, and dnsmasq's statistics are exported."""
    port = free_port()
    probes = [
        f"--probe={label},{LOOPBACK}:{asked},{PROBED},5,SRV"
        for label, asked in (("kubedns", kubedns.port), ("dnsmasq", chain[1]))
    ]
    own = [f"--dnsmasq-port={chain[1]}", "--dnsmasq-poll-interval-ms=200", f"--prometheus-port={port}"]
    process = Process([*FASTDNS, "sidecar", "--v=2", "--logtostderr", *probes, *own], log=tmp_path / "log", cwd=ROOT)
    with contextlib.ExitStack() as stop:
        stop.callback(process.stop)
        for label in ("kubedns", "dnsmasq"):
            process.wait_until(lambda: get(port, f"/healthcheck/{label}")[0] == 200, what=f"a healthy {label}")  # noqa: B023  # asked at once
        wait_until(lambda: figure(port, "kubedns_dnsmasq_max_size") == 1000, what="dnsmasq's cache size")
        assert figure(port, "kubedns_dnsmasq_hits") > 0
        assert figure(port, "kubedns_dnsmasq_errors") == 0
        assert kubedns.get("/metrics", port=kubedns.metrics_port)[0] == 200


def figure(port: int, name: str) -> float:
    found = re.search(rf"^{name} ([0-9.e+]+)$", get(port, "/metrics")[1], re.MULTILINE)
    return float(found[1]) if found else -1.0
