"""kube-dns as a process: what it says before it knows the cluster, messages of every kind, updates, pages, its end."""

from __future__ import annotations

import json
import pathlib
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import dns.flags
import dns.message
import dns.opcode
import dns.query
import dns.rcode
import dns.rdataclass
import pytest

from tests.conformance.upstream import DENIAL, Upstream
from tests.peers.kubedns import COMMAND, LOOPBACK, KubeDns
from tests.peers.process import free_port, wait_until
from tests.unit.kubernetes.fake_apiserver import LIST, FakeApiServer, Fault

SERVICES, ENDPOINTS = "/api/v1/services", "/api/v1/endpoints"
ZONE = {
    "www.example.org. A": "NOERROR AA\nwww.example.org. 300 IN A 192.0.2.53",
    "broken.example.org. *": "SERVFAIL",
    "*": DENIAL,
}


def service(name: str, address: str = "None", **spec: Any) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}]
    body = {"clusterIP": address, "clusterIPs": [address], "ports": ports, **spec}
    return {"kind": "Service", "metadata": {"name": name, "namespace": "ns"}, "spec": body}


def endpoints(name: str, *addresses: str, hostname: str = "") -> dict[str, Any]:
    listed = [{"ip": one, **({"hostname": hostname} if hostname else {})} for one in addresses]
    subsets = [{"addresses": listed, "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}]
    return {"kind": "Endpoints", "metadata": {"name": name, "namespace": "ns"}, "subsets": subsets}


def data(message: dns.message.Message) -> list[str]:
    return sorted(str(one) for rrset in message.answer for one in rrset)


@pytest.fixture
def api() -> Iterator[FakeApiServer]:
    made = FakeApiServer()
    yield made
    made.close()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(ZONE) as made:
        yield made


@pytest.fixture
def server(api: FakeApiServer, upstream: Upstream, tmp_path: pathlib.Path) -> Iterator[KubeDns]:
    api.put(SERVICES, service("web", "10.96.0.1"))
    api.put(SERVICES, service("db"))
    api.put(ENDPOINTS, endpoints("db", "10.1.0.1", hostname="db-0"))
    arguments = [f"--nameservers={LOOPBACK}:{upstream.port}", "--v=2"]
    with KubeDns([f"--kube-master-url={api.url}"], folder=tmp_path, arguments=arguments) as made:
        yield made


# --- messages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("version.bind", ['"2.5.3a"']),
        ("VERSION.server", ['"2.5.3a"']),
        ("hostname.bind", ['"localhost"']),
        ("id.server", ['"localhost"']),
        ("authors.bind", ['"Brian Ketelsen"', '"Erik St. Martin"', '"Michael Crosby"', '"Miek Gieben"']),
        ("cluster.local", ['"Brian Ketelsen"', '"Erik St. Martin"', '"Michael Crosby"', '"Miek Gieben"']),
        ("nothing.bind", []),
        ("www.example.org", []),
    ],
)
def test_chaos(name: str, expected: list[str], server: KubeDns, upstream: Upstream) -> None:
    answer = server.ask(name, "TXT", rdclass="CH")
    assert data(answer) == expected
    assert answer.rcode() == (dns.rcode.NOERROR if expected else dns.rcode.SERVFAIL)
    assert answer.flags & dns.flags.AA
    assert not upstream.take()


def test_chaos_has_the_soa_of_the_domain(server: KubeDns) -> None:
    answer = server.ask("cluster.local", "SOA", rdclass="CH")
    assert (answer.answer[0].ttl, str(answer.answer[0][0].mname)) == (3600, "ns.dns.cluster.local.")


def test_chaos_of_another_type_fails(server: KubeDns) -> None:
    assert server.ask("version.bind", "A", rdclass="CH").rcode() == dns.rcode.SERVFAIL


def test_any_is_refused_inside_and_outside(server: KubeDns, upstream: Upstream) -> None:
    for name in ("web.ns.svc.cluster.local", "www.example.org"):
        answer = server.ask(name, "ANY")
        assert (answer.rcode(), answer.flags & ~0xF) == (dns.rcode.REFUSED, dns.flags.QR)
    assert not upstream.take()


@pytest.mark.parametrize("count", [28, 29, 30, 100])
def test_truncated_answer_holds_what_fits_below_512(count: int, api: FakeApiServer, server: KubeDns) -> None:
    """12 octets of header, 36 of question and 29 records of 16 are 512: that is too much for SkyDNS."""
    name = "nine-edge.ns.svc.cluster.local"
    api.put(SERVICES, service("nine-edge"))
    api.put(ENDPOINTS, endpoints("nine-edge", *(f"10.2.0.{at + 1}" for at in range(count))))
    wait_until(lambda: len(data(server.ask(name, tcp=True))) == count, timeout=20, what="the addresses")
    answer = server.ask(name, use_edns=False)
    assert len(data(answer)) == min(count, 28)
    assert bool(answer.flags & dns.flags.TC) == (count > 28)
    assert len(data(server.ask(name, use_edns=0, payload=4096))) == count


def test_answer_over_tcp_is_whole(api: FakeApiServer, server: KubeDns) -> None:
    api.put(ENDPOINTS, endpoints("db", *(f"10.2.{at // 250}.{at % 250}" for at in range(2000))))
    wait_until(
        lambda: len(data(server.ask("db.ns.svc.cluster.local", tcp=True))) == 2000, timeout=20, what="2000 addresses"
    )


def test_more_than_a_message_takes_is_servfail(api: FakeApiServer, server: KubeDns) -> None:
    api.put(ENDPOINTS, endpoints("db", *(f"10.2.{at // 250}.{at % 250}" for at in range(4200))))

    def is_too_much() -> bool:
        return server.ask("db.ns.svc.cluster.local", tcp=True).rcode() == dns.rcode.SERVFAIL

    wait_until(is_too_much, timeout=20, what="SERVFAIL")


@pytest.mark.parametrize("rdtype", ["SRV", "HTTPS", "SOA", "PTR", "DNSKEY"])
def test_pod_names_of_any_type_are_answered_and_survived(rdtype: str, server: KubeDns) -> None:
    """kube-dns answers and dies."""
    assert server.ask("10-1-2-3.ns.pod.cluster.local", rdtype).rcode() == dns.rcode.NOERROR
    assert data(server.ask("web.ns.svc.cluster.local")) == ["10.96.0.1"]


# --- forwarding ------------------------------------------------------------------------------------------------------


def test_transport_and_reply_are_passed_on(server: KubeDns, upstream: Upstream) -> None:
    assert server.ask("www.example.org").answer[0].ttl == 300
    assert server.ask("www.example.org", tcp=True).flags & dns.flags.AA
    assert upstream.take() == ["www.example.org. A udp", "www.example.org. A tcp"]


def test_no_reply_is_kept(server: KubeDns, upstream: Upstream) -> None:
    for _ in range(3):
        server.ask("www.example.org")
    assert len(upstream.take()) == 3


def test_servfail_is_asked_once_more(server: KubeDns, upstream: Upstream) -> None:
    assert server.ask("broken.example.org").rcode() == dns.rcode.SERVFAIL
    assert len(upstream.take()) == 2


def test_name_of_one_label_is_not_forwarded(server: KubeDns, upstream: Upstream) -> None:
    answer = server.ask("localhost")
    assert (answer.rcode(), bool(answer.flags & dns.flags.RA)) == (dns.rcode.SERVFAIL, True)
    assert not upstream.take()


def test_inner_lookups_go_over_udp(api: FakeApiServer, server: KubeDns, upstream: Upstream) -> None:
    api.put(SERVICES, service("ext", "", type="ExternalName", externalName="www.example.org"))
    wait_until(lambda: server.ask("ext.ns.svc.cluster.local").answer, timeout=20, what="ext")
    upstream.take()
    assert server.ask("ext.ns.svc.cluster.local", tcp=True).answer
    assert upstream.take() == ["www.example.org. A udp"]


def test_second_server_is_asked_when_the_first_one_is_closed(
    api: FakeApiServer, upstream: Upstream, tmp_path: pathlib.Path
) -> None:
    arguments = [f"--nameservers={LOOPBACK}:{free_port()},{LOOPBACK}:{upstream.port}"]
    with KubeDns([f"--kube-master-url={api.url}"], folder=tmp_path, arguments=arguments) as server:
        assert data(server.ask("www.example.org")) == ["192.0.2.53"]


def test_nothing_is_said_when_no_server_answers(api: FakeApiServer, tmp_path: pathlib.Path) -> None:
    arguments = [f"--nameservers={LOOPBACK}:{free_port()}"]
    with (
        KubeDns([f"--kube-master-url={api.url}"], folder=tmp_path, arguments=arguments) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        client.connect((LOOPBACK, server.port))
        client.send(dns.message.make_query("www.example.org", "A", id=1).to_wire())
        client.send(dns.message.make_query("cluster.local", "SOA", id=2).to_wire())
        client.settimeout(10)
        assert dns.message.from_wire(client.recv(4096)).id == 2
        client.settimeout(1)
        with pytest.raises(TimeoutError):
            client.recv(4096)


# --- updates ---------------------------------------------------------------------------------------------------------


def test_changes_are_followed(api: FakeApiServer, server: KubeDns) -> None:
    api.put(SERVICES, service("web", "10.96.0.2"))
    wait_until(
        lambda: data(server.ask("web.ns.svc.cluster.local")) == ["10.96.0.2"], timeout=20, what="the new address"
    )
    assert data(server.ask("2.0.96.10.in-addr.arpa", "PTR")) == ["web.ns.svc.cluster.local."]
    assert server.ask("1.0.96.10.in-addr.arpa", "PTR").rcode() == dns.rcode.NXDOMAIN  # kube-dns keeps it for ever


def test_deleted_endpoints_take_their_names_along(api: FakeApiServer, server: KubeDns) -> None:
    assert data(server.ask("db-0.db.ns.svc.cluster.local")) == ["10.1.0.1"]
    api.delete(ENDPOINTS, "ns", "db")

    def is_gone() -> bool:
        return server.ask("db-0.db.ns.svc.cluster.local").rcode() == dns.rcode.NXDOMAIN

    wait_until(is_gone, timeout=20, what="no answer")  # kube-dns keeps it until the Service goes


def test_services_and_endpoints_alone_are_listed_and_watched(api: FakeApiServer, server: KubeDns) -> None:
    assert {request.path for request in api.requests} == {SERVICES, ENDPOINTS}


# --- before the cluster is known -------------------------------------------------------------------------------------


def test_everything_is_refused_until_the_lists_are_there(api: FakeApiServer, tmp_path: pathlib.Path) -> None:
    api.missing.add(SERVICES)
    words = [f"--kube-master-url={api.url}"]
    with KubeDns(words, folder=tmp_path, waits_for_ready=False) as server:
        for name, rdtype, rdclass in (
            ("web.ns.svc.cluster.local", "A", "IN"),
            ("www.example.org", "A", "IN"),
            ("1.0.96.10.in-addr.arpa", "PTR", "IN"),
            ("version.bind", "TXT", "CH"),
        ):
            answer = server.ask(name, rdtype, rdclass=rdclass)
            assert (answer.rcode(), answer.flags & ~0xF) == (dns.rcode.REFUSED, dns.flags.QR)
        assert server.get("/readiness")[0] == 0  # nobody can connect
        api.missing.clear()
        assert server.process is not None
        server.process.wait_until(server.is_ready, what="/readiness")


def test_gives_up_when_the_lists_do_not_come(api: FakeApiServer, tmp_path: pathlib.Path) -> None:
    api.missing.add(SERVICES)
    words = [f"--kube-master-url={api.url}"]
    with KubeDns(words, folder=tmp_path, arguments=["--initial-sync-timeout=1s"], waits_for_ready=False) as server:
        assert server.process is not None
        assert server.process.wait(20) == 255
        assert "Timeout waiting for initialization" in server.log()


def test_serves_on_without_the_api_server(api: FakeApiServer, server: KubeDns) -> None:
    api.faults[LIST].extend([Fault(status=500)] * 50)
    api.drop_connections()
    assert data(server.ask("web.ns.svc.cluster.local")) == ["10.96.0.1"]
    assert server.is_ready()


# --- pages -----------------------------------------------------------------------------------------------------------


def test_pages_are_on_both_ports(server: KubeDns) -> None:
    for port in (server.http_port, server.metrics_port):
        assert server.get("/readiness", port=port) == (200, "ok\n")
        assert server.get("/cache", port=port)[0] == 200
        assert server.get("/metrics", port=port)[0] == 200
        for path in ("/", "/healthz", "/healthcheck/kubedns", "/health", "/ready"):
            assert server.get(path, port=port)[0] == 404


def test_cache_is_the_tree(server: KubeDns) -> None:
    _, text = server.get("/cache")
    assert text.startswith('{\n\t"ChildNodes": {\n\t\t"local": {\n')
    assert not text.endswith("\n")
    space = json.loads(text)
    for label in ("local", "cluster", "svc", "ns"):
        space = space["ChildNodes"][label]
    assert space["ChildNodes"]["db"]["Entries"] == {
        "db-0": {"host": "10.1.0.1", "priority": 10, "weight": 10, "ttl": 30}
    }


def metrics(server: KubeDns, path: str = "/metrics") -> dict[str, float]:
    _, text = server.get(path, port=server.metrics_port)
    return {
        name: float(value) for name, _, value in (line.rpartition(" ") for line in text.splitlines()) if name[:1] != "#"
    }


def test_metrics_have_skydns_names_and_are_counted_as_it_does(server: KubeDns) -> None:
    for name in ("web.ns.svc.cluster.local", "none.ns.svc.cluster.local", "localhost", "www.example.org"):
        server.ask(name)
    server.ask("none.ns.svc.cluster.local", tcp=True)
    server.ask("web.ns.svc.cluster.local", "ANY")
    server.ask("version.bind", "TXT", rdclass="CH")
    server.ask("1.0.96.10.in-addr.arpa", "PTR")
    server.ask("1.0.96.10.in-addr.arpa", "TXT")
    found = metrics(server)
    prefix = "skydns_skydns_dns_"
    assert {name: found.get(prefix + name) for name in (
        'request_count_total{system="auth"}',
        'request_count_total{system="reverse"}',
        'request_count_total{system="recursive"}',
        'error_count_total{cause="nxdomain",system="auth"}',
        'error_count_total{cause="refused",system="auth"}',
        'error_count_total{cause="servfail",system="recursive"}',
        'cachemiss_count_total{cache="response"}',
        'request_duration_seconds_count{system="auth"}',
        'response_size_bytes_bucket{system="auth",le="512"}',
        'request_duration_seconds_bucket{system="auth",le="+Inf"}',
    )} == {
        'request_count_total{system="auth"}': 5,
        'request_count_total{system="reverse"}': 1,
        'request_count_total{system="recursive"}': 3,
        'error_count_total{cause="nxdomain",system="auth"}': 3,  # twice over UDP, as kube-dns counts
        'error_count_total{cause="refused",system="auth"}': 1,
        'error_count_total{cause="servfail",system="recursive"}': 1,
        'cachemiss_count_total{cache="response"}': 4,
        'request_duration_seconds_count{system="auth"}': 5,
        'response_size_bytes_bucket{system="auth",le="512"}': 5,
        'request_duration_seconds_bucket{system="auth",le="+Inf"}': 5,
    }  # fmt: skip
    sizes = re.findall(r'response_size_bytes_bucket\{system="auth",le="([^"]*)"', server.get("/metrics")[1])
    assert sizes[:6] == ["0", "512", "1024", "1500", "2048", "4096"]
    durations = re.findall(r'request_duration_seconds_bucket\{system="auth",le="([^"]*)"', server.get("/metrics")[1])
    assert durations[:4] == ["0.001", "0.003", "0.005", "0.01"]


def test_an_answer_that_is_cut_is_one_error(api: FakeApiServer, server: KubeDns) -> None:
    api.put(ENDPOINTS, endpoints("db", *(f"10.1.1.{number}" for number in range(1, 60))))
    wait_until(lambda: len(server.ask("db.ns.svc.cluster.local", tcp=True).answer[0]) == 59)
    assert server.ask("db.ns.svc.cluster.local", use_edns=False).flags & dns.flags.TC
    assert metrics(server)['skydns_skydns_dns_error_count_total{cause="truncated",system="auth"}'] == 1


def test_metrics_are_where_the_environment_says(api: FakeApiServer, tmp_path: pathlib.Path) -> None:
    env = {"PROMETHEUS_NAMESPACE": "kube", "PROMETHEUS_SUBSYSTEM": "sky", "PROMETHEUS_PATH": "/m"}
    with KubeDns([f"--kube-master-url={api.url}"], folder=tmp_path, env=env) as server:
        server.ask("none.ns.svc.cluster.local")
        assert metrics(server, "/m")['kube_sky_dns_request_count_total{system="auth"}'] == 1
        assert server.get("/metrics", port=server.metrics_port)[0] == 404


def test_there_are_no_metrics_without_a_port(api: FakeApiServer, tmp_path: pathlib.Path) -> None:
    with KubeDns([f"--kube-master-url={api.url}"], folder=tmp_path, env={"PROMETHEUS_PORT": ""}) as server:
        assert server.get("/metrics")[0] == 404


# --- its end ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_answers_on_and_ends_in_order(number: signal.Signals, server: KubeDns) -> None:
    """kube-dns hears neither."""
    assert server.process is not None
    server.process.send_signal(number)
    server.process.wait_until(lambda: "Going into lameduck mode for 5s" in server.log(), what="the lameduck line")
    assert data(server.ask("web.ns.svc.cluster.local")) == ["10.96.0.1"]
    assert server.process.wait(15.0) == 0


def test_log_is_klogs_on_stderr(server: KubeDns) -> None:
    lines = server.log().splitlines()
    assert any('FLAG: --domain="cluster.local."' in line for line in lines)
    assert any('FLAG: --v="2"' in line for line in lines)
    assert all(re.match(r"[IWEF]\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ \w+\.py:\d+\] ", line) for line in lines)


def test_port_that_is_taken_ends_it(api: FakeApiServer) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((LOOPBACK, 0))
        words = [
            f"--kube-master-url={api.url}",
            f"--dns-bind-address={LOOPBACK}",
            f"--dns-port={taken.getsockname()[1]}",
        ]
        done = subprocess.run(
            [*COMMAND, *words, f"--healthz-port={free_port()}"], capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 1
    assert "address already in use" in done.stderr.lower()
