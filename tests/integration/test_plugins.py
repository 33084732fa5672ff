"""What takes a step outside of the compiled path: CNAMEs that lead out of the cluster, whoami, loop, the log."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from tests.peers.process import Process, free_port, wait_until
from tests.peers.servers import ROOT, Fastdns

SERVICES = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: out, namespace: shop}
spec: {type: ExternalName, externalName: far.example.org}
---
apiVersion: v1
kind: Service
metadata: {name: nowhere, namespace: shop}
spec: {type: ExternalName, externalName: missing.invalid}
"""
COREFILE = """cluster.local:{$PORT} {
    bind 127.0.0.1
    log . "{type} {name} {proto} {rcode} {>rflags}"
    kubernetes cluster.local {
        manifests FOLDER/services.yaml
    }
    forward . 127.0.0.1:{$PORT}
}
example.org:{$PORT} {
    bind 127.0.0.1
    hosts FOLDER/hosts
}
denied.local:{$PORT} {
    bind 127.0.0.1
    log . "{type} {name} {rcode}" {
        class denial
    }
    kubernetes denied.local {
        manifests FOLDER/services.yaml
    }
}
invalid:{$PORT} {
    bind 127.0.0.1
    template_is_not_needed
}
whoami.example.net:{$PORT} {
    bind 127.0.0.1
    whoami
}
.:{$READY} {
    bind 127.0.0.1
    ready 127.0.0.1:{$READY}
}
""".replace("    template_is_not_needed\n", "")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fastdns]:
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "services.yaml").write_text(SERVICES)
    (folder / "hosts").write_text("192.0.2.1 far.example.org\n2001:db8::1 far.example.org\n")
    corefile = COREFILE.replace("FOLDER", str(folder)).replace(".:{$READY} {", ".:{$HEALTH} {")
    with Fastdns(folder=folder / "server", corefile=corefile, env={}, workers=2) as running:
        yield running


def ask(server: Fastdns, name: str, qtype: str = "A", *, tcp: bool = False) -> dns.message.Message:
    query = dns.message.make_query(name, qtype)
    send = dns.query.tcp if tcp else dns.query.udp
    return send(query, "127.0.0.1", port=server.port, timeout=5)


def records(message: dns.message.Message) -> list[str]:
    return sorted(line for rrset in message.answer for line in rrset.to_text().splitlines())


@pytest.mark.parametrize("tcp", [False, True])
def test_cname_is_chased_out_of_the_cluster(server: Fastdns, tcp: bool) -> None:
    answer = ask(server, "out.shop.svc.cluster.local", tcp=tcp)
    assert answer.flags & dns.flags.AA
    assert records(answer) == [
        "far.example.org. 3600 IN A 192.0.2.1",
        "out.shop.svc.cluster.local. 5 IN CNAME far.example.org.",
    ]
    assert "2001:db8::1" in records(ask(server, "out.shop.svc.cluster.local", "AAAA", tcp=tcp))[0]


def test_cname_that_leads_nowhere_goes_alone(server: Fastdns) -> None:
    answer = ask(server, "nowhere.shop.svc.cluster.local")
    assert answer.rcode() == dns.rcode.NOERROR
    assert records(answer) == ["nowhere.shop.svc.cluster.local. 5 IN CNAME missing.invalid."]


@pytest.mark.parametrize("tcp", [False, True])
def test_whoami_tells_the_client(server: Fastdns, tcp: bool) -> None:
    answer = ask(server, "whoami.example.net", tcp=tcp)
    assert not answer.answer
    address, port = answer.additional
    assert address.to_text() == "whoami.example.net. 0 IN A 127.0.0.1"
    label = "_tcp" if tcp else "_udp"
    assert re.fullmatch(rf"{label}\.whoami\.example\.net\. 0 IN SRV 0 0 \d+ \.", port.to_text())


def test_query_log_has_the_format_that_was_asked_for(server: Fastdns) -> None:
    ask(server, "out.Shop.svc.cluster.local")
    expected = "[INFO] A out.shop.svc.cluster.local. udp NOERROR qr,aa,rd\n"
    wait_until(lambda: expected in server.log(), timeout=5, what="the line")


def test_query_log_has_only_the_classes_that_were_asked_for(server: Fastdns) -> None:
    ask(server, "x.denied.local", "A")
    ask(server, "denied.local", "MX")
    for line in ("A x.denied.local. NXDOMAIN", "MX denied.local. NOERROR"):
        said = f"[INFO] {line}\n"
        wait_until(lambda: said in server.log(), timeout=5, what="the line")  # noqa: B023  # called before the next turn
    ask(server, "denied.local", "SOA")
    ask(server, "denied.local", "MX")
    wait_until(lambda: server.log().count("MX denied.local. NOERROR") == 2, timeout=5, what="the line")
    assert "SOA denied.local." not in server.log()


def test_loop_ends_the_server(tmp_path: pathlib.Path) -> None:
    import sys

    port = free_port()
    (tmp_path / "Corefile").write_text(f".:{port} {{\n bind 127.0.0.1\n loop\n forward . 127.0.0.1:{port}\n}}\n")
    command = [sys.executable, "-m", "fastdns", "-conf", str(tmp_path / "Corefile"), "--workers", "2"]
    process = Process(command, log=tmp_path / "log", cwd=ROOT)
    try:
        assert process.wait(15) == 1
    finally:
        process.stop()
    assert "[FATAL] plugin/loop: Loop (127.0.0.1:" in process.log()
    assert (
        f'-> 127.0.0.1:{port}) detected for zone ".", see https://coredns.io/plugins/loop#troubleshooting'
        in process.log()
    )


@pytest.mark.parametrize(
    ("corefile", "expected"),
    [
        ("nonsense {\n foo\n}\n", "Unknown directive 'foo'"),
        (". {\n bind 192.0.2.1\n whoami\n}\n", r"listen udp 192\.0\.2\.1:\d+: Cannot assign requested address"),
    ],
)
def test_start_that_fails_is_told_in_one_line(tmp_path: pathlib.Path, corefile: str, expected: str) -> None:
    import sys

    (tmp_path / "Corefile").write_text(corefile)
    port = str(free_port())
    command = [sys.executable, "-m", "fastdns", "-conf", str(tmp_path / "Corefile"), "-p", port]
    process = Process(command, log=tmp_path / "log", cwd=ROOT)
    try:
        assert process.wait(15) == 1
    finally:
        process.stop()
    assert len(process.log().splitlines()) == 1
    assert re.search(expected, process.log())
