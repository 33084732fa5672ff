"""kube-dns's command line: what is taken, what is refused with which exit status, and what is only logged."""

from __future__ import annotations

import logging
import pathlib

import pytest

from fastdns.cli import kubedns as command
from fastdns.config import kubedns, model

API = "--kube-master-url=http://127.0.0.1:1"


def read(*arguments: str, **environment: str) -> kubedns.Flags:
    return command.read_flags(command.make_flags().parse(list(arguments)), environment)


@pytest.fixture(autouse=True)
def out_of_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "PROMETHEUS_PORT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def logging_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command.klog, "start", lambda verbosity: None)
    logging.getLogger("fastdns").setLevel(logging.INFO)


def test_defaults_are_kubednss() -> None:
    assert read() == kubedns.Flags()
    assert kubedns.Flags() == kubedns.Flags(
        domain="cluster.local.",
        port=53,
        healthz_port=8081,
        config_period=10.0,
        config_map_namespace="kube-system",
        initial_sync_timeout=60.0,
        metrics_port=0,
        metrics_path="/metrics",
        metrics_prefix="skydns_skydns_",
    )


def test_stock_arguments_are_taken() -> None:
    stock = ["--domain=cluster.local.", "--dns-port=10053", "--config-dir=/kube-dns-config", "--v=2", "--logtostderr"]
    flags = read(*stock, PROMETHEUS_PORT="10055")
    assert (flags.port, flags.config_dir, flags.metrics_port) == (10053, "/kube-dns-config", 10055)


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        (["--domain=k8s.corp.example"], "domain", "k8s.corp.example."),
        (["--domain", "cluster"], "domain", "cluster."),
        (["--dns_port=1053"], "port", 1053),
        (["--dns-bind-address=127.0.0.1"], "address", "127.0.0.1"),
        (["--dns-bind-address=[::1]"], "address", "::1"),
        (["--dns-bind-address=0.0.0.0"], "address", ""),
        (["--nameservers=10.0.0.1,[fd00::1]:54"], "nameservers", (model.Upstream("10.0.0.1", 53), model.Upstream("fd00::1", 54))),
        (["--federations=a=b.c, d=e.f"], "federations", (("a", "b.c"), ("d", "e.f"))),
        (["--config-dir=/x", "--config-period=200ms"], "config_period", 0.2),
        (["--initial-sync-timeout=1m30s"], "initial_sync_timeout", 90.0),
        (["--config-map=m", "--config-map-namespace=n"], "config_map_namespace", "n"),
        (["--config-dir=/x", "--federations=a=b.c"], "federations", ()),
        (["--kube-master-url=https://k8s.example:6443"], "master_url", "https://k8s.example:6443"),
    ],
)  # fmt: skip
def test_flag(arguments: list[str], name: str, value: object) -> None:
    assert getattr(read(*arguments), name) == value


def test_master_url_may_hold_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("H", "10.0.0.9")
    assert read("--kube-master-url=http://${H}:$PORT_OF_NOBODY").master_url == "http://10.0.0.9:"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--nosuch"], "unknown flag: --nosuch"),
        (["--domain="], "invalid domain"),
        (["--domain=a..b"], "invalid domain"),
        (["--domain=Cluster.Local"], "invalid domain"),
        (["--domain=a_b.local"], "invalid domain"),
        (["--domain=cluster.local.."], "invalid domain"),
        (["--federations=a"], "must be key=value"),
        (["--federations=a=b,"], "must be key=value"),
        (["--federations=A=b"], "not a valid federation name"),
        (["--config-dir=/x", "--federations=a"], "must be key=value"),
        (["--kube-master-url=127.0.0.1"], "scheme and host are expected"),
        (["--kube-master-url=/path"], "scheme and host are expected"),
        (["--kube-master-url=${NOBODY_SET_IT}"], "scheme and host are expected"),
        (["--dns-port=x"], 'invalid argument "x" for "--dns-port" flag'),
        (["--config-period=10"], 'invalid argument "10" for "--config-period" flag'),
        (["--v=x"], "invalid argument"),
        (["--config-map"], "flag needs an argument: --config-map"),
    ],
)
def test_refused_with_status_2(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main([API, *arguments] if "--kube-master-url" not in arguments[0] else arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "unable to load in-cluster configuration"),
        ([API, "--config-map=m", "--config-dir=/x"], "Cannot use both ConfigMap and ConfigDir"),
        (["--kubecfg-file=/nowhere/config"], "/nowhere/config can't be read"),
        ([API, "--healthz-port=70000"], "listen tcp: address 70000: invalid port"),
    ],
)
def test_fatal_with_status_255(arguments: list[str], words: str, caplog: pytest.LogCaptureFixture) -> None:
    assert command.main(arguments) == 255
    assert any(words in record.message for record in caplog.records if record.levelno == logging.CRITICAL)


@pytest.mark.parametrize("port", ["-1", "0", "70000"])
def test_port_to_listen_at_that_is_none_ends_with_status_1(port: str, caplog: pytest.LogCaptureFixture) -> None:
    assert command.main([API, f"--dns-port={port}"]) == 1
    assert f"listen udp: address {port}: invalid port" in caplog.messages


@pytest.mark.parametrize(("argument", "text"), [("--version", "Kube-DNS 0."), ("--version=raw", '"0.')])
def test_version(argument: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main([argument])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(text)


def test_help_ends_with_status_0(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["--help"])
    assert ended.value.code == 0
    assert "--initial-sync-timeout" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["10.0.0.1,nonsense", "10.0.0.1:0", "10.0.0.1:", "ns.example.org", "10.0.0.1,"])
def test_one_bad_nameserver_makes_all_void(text: str, caplog: pytest.LogCaptureFixture) -> None:
    assert read(f"--nameservers={text}").nameservers == ()
    assert "resolv.conf is used" in caplog.text


@pytest.mark.parametrize("text", ["x", "0", "70000", "-1"])
def test_bad_metrics_port_means_no_metrics(text: str, caplog: pytest.LogCaptureFixture) -> None:
    assert read(PROMETHEUS_PORT=text).metrics_port == 0
    assert "no metrics are served" in caplog.text


def test_names_of_metrics_are_the_environments() -> None:
    flags = read(PROMETHEUS_NAMESPACE="a", PROMETHEUS_SUBSYSTEM="b", PROMETHEUS_PATH="/m")
    assert (flags.metrics_prefix, flags.metrics_path) == ("a_b_", "/m")


def test_every_flag_is_logged(caplog: pytest.LogCaptureFixture, tmp_path: pathlib.Path) -> None:
    caplog.set_level(logging.INFO)
    command.main([f"--kubecfg-file={tmp_path}/none"])
    assert 'FLAG: --domain="cluster.local."' in caplog.text
    assert 'FLAG: --config-period="10s"' in caplog.text
