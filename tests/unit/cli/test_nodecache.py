import os
import pathlib

import pytest

from fastdns.cli import nodecache
from fastdns.config import nodecache as config


def read(*arguments: str) -> config.Settings:
    return nodecache.read_settings(nodecache.make_flags().parse(["-localip", "169.254.20.10", *arguments]))


def test_defaults_are_node_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodecache, "DEFAULT_CONFIGMAP", "/nowhere")
    settings = read()
    assert settings == config.Settings(local_ips=config.read_local_ips("169.254.20.10"), corefile="/etc/Corefile")
    assert (settings.base_corefile, settings.upstream_service) == ("/etc/coredns/Corefile.base", "kube-dns")
    assert (settings.port, settings.health_port, settings.interface) == (53, 8080, "nodelocaldns")
    assert (settings.metrics_host, settings.metrics_port, settings.sync_interval) == ("0.0.0.0", 9353, 60.0)
    assert (settings.sets_up_interface, settings.sets_up_rules, settings.skips_teardown) == (True, True, False)
    assert (settings.reloads_by_signal, settings.configmap) == (False, "")


@pytest.mark.parametrize("dashes", ["-", "--"])
def test_every_flag_is_read(dashes: str) -> None:
    words = """conf=/tmp/C basecorefile=/tmp/B kubednscm=/tmp/k upstreamsvc=dns dns.port=5353 health-port=8081
        metrics-listen-address=[::1]:9354 interfacename=dns0 setupinterface=false setupiptables=0 skipteardown
        syncinterval=30ns reloadwithsignal=true pidfile=/tmp/p quiet"""
    settings = read(*(dashes + word for word in words.split()))
    assert settings == config.Settings(
        local_ips=config.read_local_ips("169.254.20.10"),
        corefile="/tmp/C",
        base_corefile="/tmp/B",
        configmap="/tmp/k",
        upstream_service="dns",
        port=5353,
        health_port=8081,
        metrics_host="::1",
        metrics_port=9354,
        interface="dns0",
        sets_up_interface=False,
        sets_up_rules=False,
        skips_teardown=True,
        sync_interval=30.0,
        reloads_by_signal=True,
    )


def test_conf_decides_and_corefile_is_taken_without_it() -> None:
    assert read("-corefile", "/a").corefile == "/a"
    assert read("-corefile", "/a", "-conf", "/b").corefile == "/b"


def test_configmap_is_looked_for_where_it_usually_is(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setattr(nodecache, "DEFAULT_CONFIGMAP", os.fspath(tmp_path))
    assert read().configmap == os.fspath(tmp_path)
    assert read("-kubednscm", "/other").configmap == "/other"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-localip", "x"], 'invalid localip specified - "x"'),
        (["-localip", "10.0.0.1,fd00::1"], 'unexpected IP Family for localIP - "fd00::1", want IPv6=false'),
        (["-dns.port", "x"], 'invalid port specified - "x"'),
        (["-p", "70000"], 'invalid port specified - "70000"'),
        (["-health-port", "http"], 'invalid healthcheck port specified - "http"'),
        (["-metrics-listen-address", "9353"], "address 9353: missing port in address"),
        (["-metrics-listen-address", ":x"], 'invalid metrics port specified - "x"'),
        (["-syncinterval", "0s"], "non-positive syncinterval"),
    ],
)
def test_bad_value_is_told_and_fails(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert nodecache.main(["-localip", "10.0.0.1", *arguments]) == 1
    assert capsys.readouterr().err == f"Error parsing flags - {message}, Exiting\n"


def test_localip_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert nodecache.main(["-conf", "/tmp/C"]) == 1
    assert capsys.readouterr().err == 'Error parsing flags - invalid localip specified - "", Exiting\n'


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-nosuch"], "flag provided but not defined: -nosuch"),
        (["-setupiptables=maybe"], 'invalid boolean value "maybe" for -setupiptables: parse error'),
        (["-syncinterval", "60"], 'invalid value "60" for flag -syncinterval: parse error'),
        (["-localip"], "flag needs an argument: -localip"),
    ],
)
def test_what_is_no_flag_leaves_with_2(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        nodecache.main(arguments)
    assert caught.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith(message + "\nUsage of node-cache:\n")
    assert "(default 60ns)" in told


def test_version_and_plugins_need_no_address(capsys: pytest.CaptureFixture[str]) -> None:
    assert nodecache.main(["-version"]) == 0
    assert capsys.readouterr().out.startswith("fastdns-")
    assert nodecache.main(["-plugins"]) == 0
    assert "  dns.forward\n" in capsys.readouterr().out
