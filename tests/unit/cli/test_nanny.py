"""dnsmasq-nanny's flags: what each is for, and each bad value with its message and exit code."""

from __future__ import annotations

import os
import pathlib

import pytest

from fastdns.cli import nanny
from fastdns.config import nanny as config


def options(*words: str) -> config.Options:
    own, dnsmasq = config.split_arguments(words)
    return nanny.make_options(nanny.make_flags().parse(own), dnsmasq)


def test_defaults() -> None:
    assert options() == config.Options(
        program="/usr/sbin/dnsmasq",
        restarts=False,
        config_dir="/etc/k8s/dns/dnsmasq-nanny",
        sync_interval=10.0,
        kubedns_server="127.0.0.1:10053",
        log_interval=0.0,
        arguments=(),
    )


def test_the_stock_arguments() -> None:
    dnsmasq = (
        "-k", "--cache-size=1000", "--no-negcache", "--dns-loop-detect", "--log-facility=-",
        "--server=/cluster.local/127.0.0.1#10053", "--server=/in-addr.arpa/127.0.0.1#10053",
        "--server=/ip6.arpa/127.0.0.1#10053",
    )  # fmt: skip
    found = options(
        "-v=2", "-logtostderr", "-configDir=/etc/k8s/dns/dnsmasq-nanny", "-restartDnsmasq=true", "--", *dnsmasq
    )
    assert found == config.Options(restarts=True, arguments=dnsmasq)


def test_every_flag() -> None:
    found = options(
        "-dnsmasqExec", "/bin/x", "--restartDnsmasq", "-configDir=/c", "-syncInterval=1m", "-kubednsServer=[::1]:5",
        "-logInterval=90s", "-v=4", "-alsologtostderr", "-vmodule=a=1", "-log_dir=/tmp", "-stderrthreshold=WARNING",
    )  # fmt: skip
    assert found == config.Options("/bin/x", True, "/c", 60.0, "[::1]:5", 90.0, ())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-nosuch"], "flag provided but not defined: -nosuch"),
        (["-config-dir=x"], "flag provided but not defined: -config-dir"),
        (["-configDir", "--", "-k"], "flag needs an argument: -configDir"),
        (["-syncInterval=5"], 'invalid value "5" for flag -syncInterval: parse error'),
        (["-syncInterval=0"], "-syncInterval: 0s is no period"),
        (["-logInterval=x"], 'invalid value "x" for flag -logInterval: parse error'),
        (["-logInterval=-1s"], "-logInterval: -1s is negative"),
        (["-restartDnsmasq=maybe"], 'invalid boolean value "maybe" for -restartDnsmasq: parse error'),
        (["-v=x"], 'invalid value "x" for flag -v: strconv.ParseInt: parsing "x": invalid syntax'),
    ],
)
def test_bad_arguments(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        nanny.main(words)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"{message}\nUsage of dnsmasq-nanny:\n\nManages the dnsmasq daemon, ")


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        nanny.main(["-h", "--", "-k"])
    assert ended.value.code == 0
    assert "\n  -syncInterval duration\n    \tinterval to check for configuration updates (default 10s)\n" in (
        capsys.readouterr().err
    )


def test_the_program_is_built_in_if_it_is_this_command(tmp_path: pathlib.Path) -> None:
    command, link, other = tmp_path / "fastdns", tmp_path / "dnsmasq", tmp_path / "other"
    command.touch()
    other.touch()
    link.symlink_to(command)
    assert nanny.is_builtin(str(link), str(command))
    assert not nanny.is_builtin(str(other), str(command))
    assert not nanny.is_builtin(str(tmp_path / "missing"), str(command))


def test_the_default_program_is_built_in_if_it_is_missing(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.path.exists
    monkeypatch.setattr(os.path, "exists", lambda path: path != "/usr/sbin/dnsmasq" and real(path))
    assert nanny.is_builtin("/usr/sbin/dnsmasq", str(tmp_path))
