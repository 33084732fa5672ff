"""Plugins that change a question or make an answer, through real processes: fastdns has to say what CoreDNS says."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import dns.edns
import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from tests.peers.process import wait_until
from tests.peers.servers import CoreDns, DnsServer, Fastdns

HOSTS = """192.0.2.1 www.test a.test b.test
2001:db8::1 www.test
192.0.2.7 www.example.org x.example.org
"""
COREFILE = r"""test:{$PORT} example.org:{$PORT} {
    bind 127.0.0.1
    any
    rewrite name old.test www.test
    rewrite name exact Caps.Test a.test
    rewrite name suffix .plain.example.org .example.org
    rewrite name suffix .auto.example.org .example.org answer auto
    rewrite name substring zzz.test www.test answer auto
    rewrite name regex ^(.*)\.rx\.test\.$ {1}.test
    rewrite stop {
        name regex ^(.*)\.coffee\.test\.$ {1}.test
        answer name ^(.*)\.test\.$ {1}.coffee.test
    }
    rewrite name exact invalid.test a..b
    rewrite continue ttl exact b.test 30
    rewrite ttl suffix b.test 10-20
    rewrite type MX A
    rewrite rcode exact missing.test SERVFAIL NXDOMAIN
    hosts FOLDER/hosts
}
made.test:{$PORT} {
    bind 127.0.0.1
    template IN A made.test {
        match ^ip-(?P<a>[0-9]+)-(?P<b>[0-9]+)\.made\.test\.$
        answer "{{ .Name }} 60 IN A 10.0.{{ .Group.a }}.{{ index .Match 2 }}"
        fallthrough
    }
    template IN A made.test {
        match ^hex-([0-9a-f]+)\.made\.test\.$
        answer "{{ .Name }} A 10.0.0.{{ if eq (index .Match 1) \"ff\" }}1{{ else }}{{ parseInt (index .Match 1) 16 8 }}{{ end }}"
        additional "x.{{ .Zone }} 60 IN A 192.0.2.5"
        authority "{{ .Zone }} 60 IN NS x.{{ .Zone }}"
    }
    template IN TXT made.test {
        answer "{{ .Name }} 60 IN TXT \"{{ .Class }} {{ .Type }} {{ .Zone }} {{ .Remote }} {{ .Match }} {{ .Question.Qtype }}\""
    }
    hosts FOLDER/hosts
}
denied.test:{$PORT} {
    bind 127.0.0.1
    template IN ANY denied.test {
        rcode NXDOMAIN
        authority "{{ .Zone }} 60 IN SOA ns.{{ .Zone }} h.{{ .Zone }} (1 60 60 60 60)"
    }
}
filtered.test:{$PORT} {
    bind 127.0.0.1
    template ANY AAAA {
        rcode NOERROR
    }
    template IN A {
        match ^cname\.
        answer "{{ .Name }} 60 IN CNAME www.test."
        fallthrough
    }
    template IN A {
        match ^blocked\.
        rcode REFUSED
        ederror 15 "not here"
    }
    hosts FOLDER/hosts
}
cname.test:{$PORT} {
    bind 127.0.0.1
    rewrite cname exact target.test. www.test.
    template IN ANY cname.test {
        answer "{{ .Name }} 60 IN CNAME target.test."
    }
}
acl.test:{$PORT} {
    bind 127.0.0.1
    acl {
        allow type SRV net *
        block type AAAA net 192.0.2.0/24 127.0.0.1
        filter type TXT
        drop type MX net 127.0.0.0/8
        block type A net 10.0.0.0/8
    }
    template IN ANY acl.test {
        answer "{{ .Name }} 60 IN A 192.0.2.1"
    }
}
minimal.test:{$PORT} {
    bind 127.0.0.1
    header {
        response set ra
        response clear aa rd
    }
    minimal
    template IN A minimal.test {
        answer "{{ .Name }} 60 IN A 192.0.2.1"
        additional "x.{{ .Zone }} 60 IN A 192.0.2.5"
        authority "{{ .Zone }} 60 IN NS x.{{ .Zone }}"
    }
    template IN MX minimal.test {
        authority "{{ .Zone }} 60 IN SOA ns.{{ .Zone }} h.{{ .Zone }} (1 60 60 60 60)"
    }
}
chaos.test:{$PORT} {
    bind 127.0.0.1
    chaos made-1.0 "One Author"
    multisocket 2
    whoami
}
localhost:{$PORT} arpa:{$PORT} sub.test:{$PORT} {
    bind 127.0.0.1
    local
    hosts FOLDER/hosts
}
six.test:{$PORT} {
    bind 127.0.0.1
    dns64 {
        allow_ipv4
        prefix 64:1337::/64
    }
    template IN A six.test {
        match ^four\.
        answer "{{ .Name }} 700 IN A 192.0.2.1"
        fallthrough
    }
    template IN AAAA six.test {
        match ^both\.
        answer "{{ .Name }} 60 IN AAAA 2001:db8::1"
        fallthrough
    }
    template IN ANY six.test {
        match ^none\.
        rcode NXDOMAIN
        fallthrough
    }
    template IN AAAA six.test {
        rcode NOERROR
    }
}
cached.test:{$PORT} {
    bind 127.0.0.1
    cache 30
    template IN A cached.test {
        answer "{{ .Name }} 60 IN A 192.0.2.1"
    }
}
"""
CASES = [
    ("old.test A", "NOERROR QR AA RD", "old.test. 3600 IN A 192.0.2.1"),
    ("OLD.test AAAA", "NOERROR QR AA RD", "old.test. 3600 IN AAAA 2001:db8::1"),
    ("old.test TXT", "NOERROR QR AA RD"),
    ("caps.test A", "NOERROR QR AA RD", "caps.test. 3600 IN A 192.0.2.1"),
    ("www.plain.example.org A", "NOERROR QR AA RD", "www.example.org. 3600 IN A 192.0.2.7"),
    ("www.auto.example.org A", "NOERROR QR AA RD", "www.auto.example.org. 3600 IN A 192.0.2.7"),
    ("zzz.test A", "NOERROR QR AA RD", "zzz.test. 3600 IN A 192.0.2.1"),
    ("www.rx.test A", "NOERROR QR AA RD", "www.test. 3600 IN A 192.0.2.1"),
    ("www.coffee.test AAAA", "NOERROR QR AA RD", "www.coffee.test. 3600 IN AAAA 2001:db8::1"),
    ("invalid.test A", "SERVFAIL QR RD"),
    ("b.test A", "NOERROR QR AA RD", "b.test. 30 IN A 192.0.2.1"),
    ("www.b.test A", "SERVFAIL QR RD"),
    ("a.test MX", "NOERROR QR AA RD", "a.test. 3600 IN A 192.0.2.1"),
    ("missing.test A", "NXDOMAIN QR RD"),
    ("other.test A", "SERVFAIL QR RD"),
    ("a.test ANY", "NOERROR QR RD", 'a.test. 8482 IN HINFO "ANY obsoleted" "See RFC 8482"'),
    ("ip-7-9.made.test A", "NOERROR QR AA RD", "ip-7-9.made.test. 60 IN A 10.0.7.9"),
    ("ip-7-9.made.test ANY", "NOERROR QR AA RD", "ip-7-9.made.test. 60 IN A 10.0.7.9"),
    ("ip-7-999.made.test A", "SERVFAIL QR RD"),
    (
        "hex-ff.made.test A",
        "NOERROR QR AA RD",
        "hex-ff.made.test. 3600 IN A 10.0.0.1",
        "made.test. 60 IN NS x.made.test.",
        "x.made.test. 60 IN A 192.0.2.5",
    ),
    (
        "hex-0a.made.test A",
        "NOERROR QR AA RD",
        "hex-0a.made.test. 3600 IN A 10.0.0.10",
        "made.test. 60 IN NS x.made.test.",
        "x.made.test. 60 IN A 192.0.2.5",
    ),
    ("nothing.made.test A", "SERVFAIL QR RD"),
    ("t.made.test TXT", "NOERROR QR AA RD", 't.made.test. 60 IN TXT "IN TXT made.test. 127.0.0.1 [t.made.test.] 16"'),
    ("x.denied.test MX", "NXDOMAIN QR AA RD", "denied.test. 60 IN SOA ns.denied.test. h.denied.test. 1 60 60 60 60"),
    ("x.filtered.test AAAA", "NOERROR QR AA RD"),
    (
        "cname.filtered.test A",
        "NOERROR QR AA RD",
        "cname.filtered.test. 60 IN CNAME www.test.",
        "www.test. 3600 IN A 192.0.2.1",
    ),
    ("blocked.filtered.test A", "REFUSED QR AA RD", "EDE 15 (Blocked): not here"),
    ("x.cname.test A", "NOERROR QR AA RD", "www.test. 3600 IN A 192.0.2.1", "x.cname.test. 60 IN CNAME www.test."),
    ("x.acl.test AAAA", "REFUSED QR RD", "EDE 15 (Blocked)"),
    ("x.acl.test TXT", "NOERROR QR RD", "EDE 17 (Filtered)"),
    ("x.acl.test MX", "silence"),
    ("x.acl.test A", "NOERROR QR AA RD", "x.acl.test. 60 IN A 192.0.2.1"),
    ("x.minimal.test A", "NOERROR QR RA", "x.minimal.test. 60 IN A 192.0.2.1"),
    (
        "x.minimal.test MX",
        "NOERROR QR RA",
        "minimal.test. 60 IN SOA ns.minimal.test. h.minimal.test. 1 60 60 60 60",
    ),
    ("version.bind.chaos.test TXT", "NOERROR QR AA RD"),
    ("localhost A", "NOERROR QR RD", "localhost. 604800 IN A 127.0.0.1"),
    ("x.localhost AAAA", "NOERROR QR RD", "x.localhost. 604800 IN AAAA ::1"),
    ("x.localhost MX", "NOERROR QR RD", "x.localhost. 604800 IN SOA localhost. root.localhost. 1 0 0 0 604800"),
    ("localhost.sub.test A", "NOERROR QR RD", "localhost.sub.test. 604800 IN A 127.0.0.1"),
    (
        "localhost.sub.test TXT",
        "NOERROR QR RD",
        "localhost.sub.test. 604800 IN SOA localhost. root.localhost. 1 0 0 0 604800",
    ),
    ("www.sub.test A", "SERVFAIL QR RD"),
    ("localhost NS", "NOERROR QR RD", "localhost. 604800 IN NS localhost."),
    (
        "127.in-addr.arpa A",
        "NOERROR QR RD",
        "127.in-addr.arpa. 604800 IN SOA localhost. root.localhost. 1 0 0 0 604800",
    ),
    ("0.in-addr.arpa SOA", "NOERROR QR RD", "0.in-addr.arpa. 604800 IN SOA localhost. root.localhost. 1 0 0 0 604800"),
    ("1.0.0.127.in-addr.arpa PTR", "NOERROR QR RD", "1.0.0.127.in-addr.arpa. 604800 IN PTR localhost."),
    (
        "1.0.0.127.in-addr.arpa A",
        "NOERROR QR RD",
        "127.in-addr.arpa. 604800 IN SOA localhost. root.localhost. 1 0 0 0 604800",
    ),
    (
        "2.0.0.127.in-addr.arpa PTR",
        "NXDOMAIN QR RD",
        "127.in-addr.arpa. 604800 IN SOA localhost. root.localhost. 1 0 0 0 604800",
    ),
    ("four.six.test AAAA", "NOERROR QR RD", "four.six.test. 600 IN AAAA 64:1337::c0:2:100:0"),
    ("both.six.test AAAA", "NOERROR QR AA RD", "both.six.test. 60 IN AAAA 2001:db8::1"),
    ("none.six.test AAAA", "NXDOMAIN QR AA RD"),
    ("x.cached.test A", "NOERROR QR AA RD", "x.cached.test. 30 IN A 192.0.2.1"),
]
CHAOS = ".:{$PORT} {\n bind 127.0.0.1\n chaos made-1.0 A-B\n whoami\n}\n"


@pytest.fixture(scope="module", params=["fastdns", pytest.param("coredns", marks=pytest.mark.peers("coredns"))])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DnsServer]:
    folder = tmp_path_factory.mktemp("rewriting")
    (folder / "hosts").write_text(HOSTS)
    corefile = COREFILE.replace("FOLDER", str(folder))
    with make_server(request.param, folder, corefile) as running:
        wait_until(lambda: ask(running, "a.test A", with_edns=False)[0] != "silence", timeout=5, what="an answer")
        yield running


def make_server(name: str, folder: pathlib.Path, corefile: str) -> DnsServer:
    if name == "coredns":
        return CoreDns(folder=folder / "server", corefile=corefile, env={})
    return Fastdns(folder=folder / "server", corefile=corefile, env={}, workers=1)


def ask(server: DnsServer, question: str, *, with_edns: bool, tcp: bool = False) -> tuple[str, ...]:
    name, qtype = question.split()
    query = dns.message.make_query(name, qtype, use_edns=with_edns)
    send = dns.query.tcp if tcp else dns.query.udp
    try:
        answer = send(query, "127.0.0.1", port=server.port, timeout=1)
    except dns.exception.Timeout:
        return ("silence",)
    lines = [option.to_text().rstrip() for option in answer.options]
    for section in answer.sections[1:]:
        lines += sorted(line for rrset in section for line in rrset.to_text().splitlines())
    if name.startswith("version.bind."):
        lines = []  # whoami's port is never the same
    lowered = [line if "EDE" in line or '"' in line else line.lower().replace(" in ", " IN ") for line in lines]
    head = f"{dns.rcode.to_text(answer.rcode())} {dns.flags.to_text(answer.flags)}"
    return head, *(restore_types(line) for line in lowered)


def restore_types(line: str) -> str:
    owner, _, rest = line.partition(" IN ")
    kind, _, data = rest.partition(" ")
    return f"{owner} IN {kind.upper()} {data}" if rest else line


@pytest.mark.parametrize(("question", "expected"), [(case[0], case[1:]) for case in CASES])
def test_answers(server: DnsServer, question: str, expected: tuple[str, ...]) -> None:
    assert ask(server, question, with_edns=True) == expected
    if expected != ("silence",) and "cached" not in question:  # what the cache says of AA is told elsewhere
        assert ask(server, question, with_edns=True, tcp=True) == expected


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("version.bind TXT CH", ("NOERROR QR RD", 'version.bind. 0 CH TXT "made-1.0"')),
        ("VERSION.server TXT CH", ("NOERROR QR RD", 'VERSION.server. 0 CH TXT "made-1.0"')),
        ("authors.bind TXT CH", ("NOERROR QR RD", 'authors.bind. 0 CH TXT "A-B"')),
    ],
)
@pytest.mark.parametrize("peer", ["fastdns", pytest.param("coredns", marks=pytest.mark.peers("coredns"))])
def test_chaos(tmp_path: pathlib.Path, peer: str, question: str, expected: tuple[str, ...]) -> None:
    with make_server(peer, tmp_path, CHAOS) as running:
        name, qtype, qclass = question.split()
        query = dns.message.make_query(name, qtype, qclass)
        answer = dns.query.udp(query, "127.0.0.1", port=running.port, timeout=3)
        head = f"{dns.rcode.to_text(answer.rcode())} {dns.flags.to_text(answer.flags)}"
        assert (head, *(rrset.to_text() for rrset in answer.answer)) == expected


def test_acl_says_why_only_to_those_who_can_read_it(server: DnsServer) -> None:
    """RFC 6891 section 6.1.1; CoreDNS adds an OPT that was not asked for."""
    if isinstance(server, Fastdns):
        assert ask(server, "x.acl.test AAAA", with_edns=False) == ("REFUSED QR RD",)


ENDS = {  # what a block is made of, and how it ends a query that nothing in it answers
    "errors": "SERVFAIL",
    "log": "SERVFAIL",
    "bufsize": "SERVFAIL",
    "cancel": "SERVFAIL",
    "loadbalance": "SERVFAIL",
    "cache": "SERVFAIL",
    "any": "SERVFAIL",
    "loop": "SERVFAIL",
    "debug": "REFUSED",
    "reload": "REFUSED",
    "": "REFUSED",
}


@pytest.mark.parametrize("peer", ["fastdns", pytest.param("coredns", marks=pytest.mark.peers("coredns"))])
def test_a_query_that_no_plugin_answers(tmp_path: pathlib.Path, peer: str) -> None:
    blocks = [f"{word or 'nothing'}.test:{{$PORT}} {{\n    bind 127.0.0.1\n    {word}\n}}\n" for word in ENDS]
    with make_server(peer, tmp_path, "".join(blocks)) as running:
        ends = {word: ask(running, f"x.{word or 'nothing'}.test A", with_edns=False)[0].split()[0] for word in ENDS}
        assert ends == ENDS


FAILING = """.:{$PORT} {
    bind 127.0.0.1
    errors
    rewrite name exact invalid.test a..b
    template IN A bad.test {
        answer "{{ .Name }} 60 IN A 1.2.3.456"
    }
    forward example.org 127.0.0.1:1
}
"""


@pytest.mark.parametrize("peer", ["fastdns", pytest.param("coredns", marks=pytest.mark.peers("coredns"))])
def test_errors_tells_of_them(tmp_path: pathlib.Path, peer: str) -> None:
    with make_server(peer, tmp_path, FAILING) as running:
        for name in ("nobody.test", "x.bad.test", "invalid.test"):
            assert ask(running, f"{name} A", with_edns=False) == ("SERVFAIL QR RD",)
        lines = [
            "[ERROR] plugin/errors: 2 nobody.test. A: plugin/forward: no next plugin found",
            "[ERROR] plugin/errors: 2 x.bad.test. A: ",
            "[ERROR] plugin/errors: 2 invalid.test. A: invalid name after rewrite: a..b.",
        ]
        wait_until(lambda: all(line in running.log() for line in lines), timeout=3, what="the log")


COUNTED = """.:{$PORT} {
    bind 127.0.0.1
    prometheus 127.0.0.1:{$METRICS}
    local
    dns64 {
        allow_ipv4
    }
    acl test {
        block type TXT
        filter type MX
    }
    acl a.test {
        drop type SRV
    }
    template IN A test {
        answer "{{ .Name }} 60 IN A 192.0.2.1"
    }
}
"""
COUNTS = {
    'coredns_acl_allowed_requests_total{server="S",view=""}': 1,
    'coredns_acl_blocked_requests_total{server="S",view="",zone="test."}': 2,
    'coredns_acl_filtered_requests_total{server="S",view="",zone="test."}': 1,
    'coredns_acl_dropped_requests_total{server="S",view="",zone="a.test."}': 1,
    "coredns_local_localhost_requests_total": 2,
}


@pytest.mark.parametrize("peer", ["fastdns", pytest.param("coredns", marks=pytest.mark.peers("coredns"))])
def test_counts(tmp_path: pathlib.Path, peer: str) -> None:
    with make_server(peer, tmp_path, COUNTED) as running:
        before = read_counts(running)
        for question in ("a.test A", "a.test TXT", "b.test TXT", "b.test MX", "a.test SRV"):
            ask(running, question, with_edns=False)
        for question in ("x.localhost A", "localhost.test MX", "localhost A"):
            ask(running, question, with_edns=False)
        after = read_counts(running)
        assert {name: value - before.get(name, 0) for name, value in after.items() if name in COUNTS} == COUNTS
        assert not [name for name in after if name.startswith("coredns_dns64")]


def read_counts(server: DnsServer) -> dict[str, float]:
    lines = [line.rsplit(" ", 1) for line in server.metrics().splitlines() if not line.startswith("#")]
    return {name.replace(f"dns://127.0.0.1:{server.port}", "S"): float(value) for name, value in lines}


TWO_PORTS = """first.test:{$PORT} second.test:{$HEALTH} {
    bind 127.0.0.1
    acl {
        block type TXT
    }
    whoami
}
"""


def test_blocks_of_two_ports_count_together(tmp_path: pathlib.Path) -> None:
    with make_server("fastdns", tmp_path, TWO_PORTS) as running:
        query = dns.message.make_query("x.second.test", "TXT")
        answer = dns.query.udp(query, "127.0.0.1", port=int(running._env["HEALTH"]), timeout=3)
        assert answer.rcode() == dns.rcode.REFUSED
        query = dns.message.make_query("x.second.test", "A")
        answer = dns.query.udp(query, "127.0.0.1", port=int(running._env["HEALTH"]), timeout=3)
        assert answer.rcode() == dns.rcode.NOERROR
