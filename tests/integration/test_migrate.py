"""What `fastdns migrate` prints, served: it answers as the pod that it was made of.

The pod's arguments and ConfigMap are stock ones, with stub domains and upstreams on loopback. In the place of kube-dns
stands a server of examples/cluster, for the real dnsmasq asks it as it asks kube-dns; dnsmasq has the arguments that the
nanny gives it.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import re
from collections.abc import Iterator

import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from fastdns.config.migrate import plan, pod, writing
from tests.peers import build
from tests.peers.process import Process, free_port
from tests.peers.servers import ROOT, Fastdns, is_answering

OWN = ("cluster.local", "in-addr.arpa", "ip6.arpa")
STOCK = ("--cache-size=1000", "--no-negcache", "--dns-loop-detect", "--log-facility=-")
HOSTS = ".:{$PORT} {\n    bind 127.0.0.1\n    hosts {\nRECORDS\n    }\n}\n"
UPSTREAM = ("192.0.2.80 www.example.com", "2001:db8::80 www.example.com", "192.0.2.81 billing.example.com")
STUB = ("192.0.2.90 www.acme.local",)
CLUSTER = """.:{$PORT} {
    bind 127.0.0.1
    ready 127.0.0.1:{$READY}
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        manifests FOLDER
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }
    forward . 127.0.0.1:UPSTREAM
}
"""
QUESTIONS = {
    "web.shop.svc.cluster.local A": ("NOERROR", {"10.96.0.20"}),
    "WEB.shop.SVC.cluster.local A": ("NOERROR", {"10.96.0.20"}),
    "web.shop.svc.cluster.local AAAA": ("NOERROR", set()),
    "gateway.shop.svc.cluster.local AAAA": ("NOERROR", {"fd00:10:96::30"}),
    "db.shop.svc.cluster.local A": ("NOERROR", {"10.244.1.20", "10.244.2.20"}),
    "db-0.db.shop.svc.cluster.local A": ("NOERROR", {"10.244.1.20"}),
    "_sql._tcp.db.shop.svc.cluster.local SRV": (
        "NOERROR",
        {"0 25 5432 db-0.db.shop.svc.cluster.local.", "0 25 5432 db-1.db.shop.svc.cluster.local."},
    ),
    "billing.shop.svc.cluster.local A": ("NOERROR", {"billing.example.com.", "192.0.2.81"}),
    "10-244-1-10.shop.pod.cluster.local A": ("NOERROR", {"10.244.1.10"}),
    "nothing.shop.svc.cluster.local A": ("NXDOMAIN", set()),
    "20.0.96.10.in-addr.arpa PTR": ("NOERROR", {"web.shop.svc.cluster.local."}),
    "80.2.0.192.in-addr.arpa PTR": ("NOERROR", {"www.example.com."}),
    "www.acme.local A": ("NOERROR", {"192.0.2.90"}),
    "other.acme.local A": ("SERVFAIL", set()),
    "www.example.com A": ("NOERROR", {"192.0.2.80"}),
    "www.example.com AAAA": ("NOERROR", {"2001:db8::80"}),
}


class World:
    """The servers behind the pod, and the pod's ConfigMap."""

    def __init__(self, folder: pathlib.Path, servers: contextlib.ExitStack) -> None:
        self.folder = folder
        self._servers = servers
        self.upstream = self.start("upstream", HOSTS.replace("RECORDS", "\n".join(UPSTREAM)))
        self.stub = self.start("stub", HOSTS.replace("RECORDS", "\n".join(STUB)))
        self.data = {
            "stubDomains": json.dumps({"acme.local": [f"127.0.0.1:{self.stub.port}"]}),
            "upstreamNameservers": json.dumps([f"127.0.0.1:{self.upstream.port}"]),
        }

    def start(self, name: str, corefile: str) -> Fastdns:
        return self._servers.enter_context(Fastdns(folder=self.folder / name, corefile=corefile, env={}, workers=1))

    def start_migrated(self) -> Fastdns:
        """The Corefile as it is printed, but on ports of the test, with manifests in the place of an API server."""
        servers = [f"--server=/{zone}/127.0.0.1#10053" for zone in OWN]
        kubedns = ["--domain=cluster.local.", "--dns-port=10053"]
        made = plan.make_plan(pod.Pod(kubedns, [*STOCK, *servers], self.data))
        assert not made.notes
        text = writing.write(made)
        for pattern, moved in (
            (r"^(\S+):53 \{\n", r"\1:{$PORT} {\n    bind 127.0.0.1\n"),
            (r"^    (health) \{", r"    \1 127.0.0.1:{$HEALTH} {"),
            (r"^    (ready)$", r"    \1 127.0.0.1:{$READY}"),
            (r"^    (prometheus) :9153$", r"    \1 127.0.0.1:{$METRICS}"),
            (r"^(    kubernetes .*\{)$", rf"\1\n        manifests {ROOT / 'examples' / 'cluster'}"),
        ):
            text, count = re.subn(pattern, moved, text, flags=re.MULTILINE)
            assert count, pattern
        return self.start("migrated", text)

    def start_pod(self) -> int:
        """The real dnsmasq before a server of the cluster; its port."""
        corefile = CLUSTER.replace("FOLDER", str(ROOT / "examples" / "cluster"))
        kubedns = self.start("kubedns", corefile.replace("UPSTREAM", str(self.upstream.port)))
        port = free_port()
        words = ["-k", "--conf-file=/dev/null", "--no-hosts", "--user=root", f"--pid-file={self.folder / 'pid'}"]
        words += ["--listen-address=127.0.0.1", "--bind-interfaces", f"--port={port}", *STOCK]
        words += [f"--server=/{zone}/127.0.0.1#{kubedns.port}" for zone in OWN]
        words += ["--server", f"/acme.local/127.0.0.1#{self.stub.port}"]
        words += ["--server", f"127.0.0.1#{self.upstream.port}", "--no-resolv"]
        dnsmasq = Process([build.find("dnsmasq"), *words], log=self.folder / "dnsmasq.log")
        self._servers.callback(dnsmasq.stop)
        dnsmasq.wait_until(lambda: is_answering(port), what="its first answer")
        return port


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with contextlib.ExitStack() as servers:
        yield World(tmp_path_factory.mktemp("migrate"), servers)


@pytest.fixture(scope="module")
def migrated(world: World) -> Fastdns:
    return world.start_migrated()


def ask(port: int, question: str) -> tuple[str, set[str]]:
    """The rcode and the data of the answer section."""
    name, qtype = question.split()
    reply = dns.query.udp(dns.message.make_query(name, qtype), "127.0.0.1", port=port, timeout=20)
    return dns.rcode.to_text(reply.rcode()), {str(rdata) for rrset in reply.answer for rdata in rrset}


@pytest.mark.parametrize("question", QUESTIONS)
def test_migrated_corefile_answers(migrated: Fastdns, question: str) -> None:
    assert ask(migrated.port, question) == QUESTIONS[question]


@pytest.mark.peers("dnsmasq")
def test_pod_with_the_real_dnsmasq_answers_the_same(world: World, migrated: Fastdns) -> None:
    port = world.start_pod()
    for _ in range(2):  # the second time from caches
        differences = {
            question: (ours, theirs)
            for question in QUESTIONS
            if (ours := ask(migrated.port, question)) != (theirs := ask(port, question))
        }
        assert not differences
