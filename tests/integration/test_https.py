"""CoreDNS as an upstream over HTTPS and TLS: the whole server before it, and CoreDNS itself asked the same way beside it."""

from __future__ import annotations

import pathlib
import subprocess
from collections.abc import Iterator

import dns.flags
import dns.message
import dns.query
import dns.rcode
import prometheus_client.parser
import pytest

from tests.peers.process import free_port, wait_until
from tests.peers.servers import CoreDns, Fastdns

pytestmark = pytest.mark.peers("coredns", "openssl")

UPSTREAM = """https://.:{$HTTPS} tls://.:{$TLS} .:{$PORT} {
    bind 127.0.0.1
    tls {$FOLDER}/server.pem {$FOLDER}/server.key
    hosts {$FOLDER}/hosts {
        ttl 77
        fallthrough
    }
    template IN TXT big.example. {
        answer "{{ .Name }} 60 IN TXT \\"TEXT\\""
    }
    template ANY ANY {
        rcode NXDOMAIN
    }
}
""".replace("TEXT", r"\" \"".join(["x" * 200] * 12))
QUESTIONS = (("web.example", "A"), ("web.example", "AAAA"), ("no.example", "A"), ("big.example", "TXT"))
FORWARDING = """.:{$PORT} {
    bind 127.0.0.1
    errors
    prometheus 127.0.0.1:{$METRICS}
    forward . UPSTREAM {
        tls {$FOLDER}/server.pem
        tls_servername NAME
        OPTION
    }
    cache
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("https")
    (folder / "hosts").write_text("192.0.2.7 web.example\n2001:db8::7 web.example\n")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=dns.example", "-addext", "subjectAltName=DNS:dns.example",
         "-keyout", folder / "server.key", "-out", folder / "server.pem"],
        capture_output=True, check=True,
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def environment(folder: pathlib.Path) -> Iterator[dict[str, str]]:
    environment = {"FOLDER": str(folder), "HTTPS": str(free_port()), "TLS": str(free_port())}
    with CoreDns(folder=folder / "upstream", corefile=UPSTREAM, env=environment):
        yield environment


def corefile(environment: dict[str, str], scheme: str, *, option: str = "", name: str = "dns.example") -> str:
    upstream = f"{scheme}://127.0.0.1:{environment[scheme.upper()]}"
    return FORWARDING.replace("UPSTREAM", upstream).replace("OPTION", option).replace("NAME", name)


def ask(port: int, name: str, qtype: str = "A", *, tcp: bool = False) -> dns.message.Message:
    send = dns.query.tcp if tcp else dns.query.udp
    return send(dns.message.make_query(name, qtype), "127.0.0.1", port=port, timeout=8)


@pytest.mark.parametrize(
    ("scheme", "option"), [("https", ""), ("https", "doh_method GET"), ("https", "force_tcp"), ("tls", "")]
)
def test_answers_are_those_of_coredns_asked_the_same_way(
    tmp_path: pathlib.Path, environment: dict[str, str], scheme: str, option: str
) -> None:
    text = corefile(environment, scheme, option=option)
    with (
        Fastdns(folder=tmp_path / "fastdns", corefile=text, env=environment) as ours,
        CoreDns(folder=tmp_path / "coredns", corefile=text, env=environment) as theirs,
    ):
        for name, qtype in QUESTIONS:
            for tcp in (True, False):
                own, other = (ask(server.port, name, qtype, tcp=tcp) for server in (ours, theirs))
                assert own.rcode() == other.rcode(), (name, qtype)
                assert own.flags & dns.flags.TC == other.flags & dns.flags.TC
                assert own.answer == other.answer or own.flags & dns.flags.TC
        for rcode in ("NOERROR", "NXDOMAIN"):
            assert count_exchanges(ours, rcode) > 0


def count_exchanges(server: Fastdns, rcode: str) -> float:
    families = prometheus_client.parser.text_string_to_metric_families(server.metrics())
    name = "coredns_proxy_request_duration_seconds"
    samples = next(family for family in families if family.name == name).samples
    return sum(one.value for one in samples if one.name == f"{name}_count" and one.labels["rcode"] == rcode)


def test_certificate_for_another_name_is_servfail(tmp_path: pathlib.Path, environment: dict[str, str]) -> None:
    text = corefile(environment, "https", name="other.example")
    with Fastdns(folder=tmp_path / "fastdns", corefile=text, env=environment) as ours:
        assert ask(ours.port, "web.example").rcode() == dns.rcode.SERVFAIL
        said = "tls: failed to verify certificate: x509: "
        wait_until(lambda: said in ours.log(), what=said)
