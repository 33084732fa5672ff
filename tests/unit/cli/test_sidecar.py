"""sidecar's flags: what each is for, and each bad value with its message and exit code."""

from __future__ import annotations

import socket

import pytest

import fastdns
from fastdns.cli import sidecar
from fastdns.config import sidecar as config
from fastdns.dns.constants import Type


def options(*words: str) -> config.Options:
    return sidecar.make_options(sidecar.make_flags().parse(words))


def test_defaults() -> None:
    assert options() == config.Options(
        dnsmasq_address="127.0.0.1",
        dnsmasq_port=53,
        poll_interval=5.0,
        probes=(),
        address="0.0.0.0",
        port=10054,
        path="/metrics",
        namespace="kubedns",
    )


def test_the_stock_arguments() -> None:
    found = options(
        "--v=2",
        "--logtostderr",
        "--probe=kubedns,127.0.0.1:10053,kubernetes.default.svc.cluster.local,5,SRV",
        "--probe=dnsmasq,127.0.0.1:53,kubernetes.default.svc.cluster.local,5,SRV",
    )
    name = "kubernetes.default.svc.cluster.local."
    assert found.probes == (
        config.Probe("kubedns", "127.0.0.1:10053", name, 5.0, Type.SRV),
        config.Probe("dnsmasq", "127.0.0.1:53", name, 5.0, Type.SRV),
    )


def test_every_flag() -> None:
    found = options(
        "--dnsmasq-addr", "::1", "--dnsmasq_port=54", "--dnsmasq-poll-interval-ms=250", "--prometheus-addr=127.0.0.1",
        "--prometheus-port=10055", "--prometheus-path=/stats", "--prometheus-namespace=ns", "--stderrthreshold=INFO",
        "--vmodule=server=4", "--log-flush-frequency=1s", "--alsologtostderr=true", "-v", "4",
    )  # fmt: skip
    assert found == config.Options("::1", 54, 0.25, (), "127.0.0.1", 10055, "/stats", "ns")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--nosuch"], "unknown flag: --nosuch"),
        (["--probe=a,b"],
         'invalid argument "a,b" for "--probe" flag: invalid format to --probe: 3 to 5 words are expected, not 2'),
        (["--probe=a,b,c,1,TXT"],
         'invalid argument "a,b,c,1,TXT" for "--probe" flag: invalid type for DNS: "TXT"; one of A, AAAA, ANY, SRV is expected'),
        (["--probe=a,b,c", "--probe=a,b,c"], '--probe: label "a" is given twice'),
        (["--dnsmasq-port=x"],
         'invalid argument "x" for "--dnsmasq-port" flag: strconv.ParseInt: parsing "x": invalid syntax'),
        (["--dnsmasq-poll-interval-ms=0"], "--dnsmasq-poll-interval-ms: at least 1 is expected"),
        (["--prometheus-path=x"], '--prometheus-path: "x" does not begin with a slash'),
        (["--version=maybe"],
         'invalid argument "maybe" for "--version" flag: strconv.ParseBool: parsing "maybe": invalid syntax'),
    ],
)  # fmt: skip
def test_bad_arguments(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        sidecar.main(words)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"{message}\nUsage of sidecar:\n")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        sidecar.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"Kube-DNS {fastdns.__version__}\n"


def test_a_port_that_is_taken_is_fatal() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert sidecar.serve(config.Options(address="127.0.0.1", port=taken.getsockname()[1])) == 255


def test_a_port_that_is_none_is_fatal() -> None:
    assert sidecar.serve(config.Options(address="127.0.0.1", port=70000)) == 255
