"""Command lines are read, and mistakes are told, as Go's packages flag and pflag do it."""

from __future__ import annotations

import pytest

import fastdns
from fastdns.cli import goflags


def go() -> goflags.Flags:
    flags = goflags.Flags("program", style=goflags.GO)
    flags.add("exec", goflags.TEXT, "/usr/sbin/dnsmasq", "location of the `path`")
    flags.add("restart", goflags.BOOL, False, "restart it")
    flags.add("interval", goflags.DURATION, 10.0, "how often")
    flags.add("count", goflags.INT, 0, "how many")
    flags.add("dns.port", goflags.UINT, 53, "where")
    flags.add_klog()
    return flags


def pflag() -> goflags.Flags:
    flags = goflags.Flags("program", style=goflags.PFLAG)
    flags.add("dns-port", goflags.INT, 53, "where")
    flags.add("probe", goflags.TEXT, [], "`LABEL` to probe", is_repeated=True)
    flags.add("profiling", goflags.BOOL, False, "profile")
    flags.add("domain", goflags.TEXT, "cluster.local.", "of the cluster")
    flags.add_version("Kube-DNS")
    flags.add_klog()
    return flags


def test_what_is_not_given_has_its_default() -> None:
    options = go().parse([])
    assert (options.exec, options.restart, options.interval, options.dns_port, options.v, options.rest) == (
        "/usr/sbin/dnsmasq", False, 10.0, 53, 0, [])  # fmt: skip
    assert pflag().parse([]).probe == []


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["-exec", "/bin/x"], "exec", "/bin/x"),
        (["-exec=/bin/x"], "exec", "/bin/x"),
        (["--exec=/bin/x"], "exec", "/bin/x"),
        (["--exec", "-x"], "exec", "-x"),
        (["-exec="], "exec", ""),
        (["-exec=a=b"], "exec", "a=b"),
        (["-restart"], "restart", True),
        (["-restart=T"], "restart", True),
        (["-restart=false"], "restart", False),
        (["-restart", "-restart=0"], "restart", False),
        (["-interval=1m30s"], "interval", 90.0),
        (["-interval", "150ms"], "interval", 0.15),
        (["-interval=0"], "interval", 0.0),
        (["-count=-5"], "count", -5),
        (["-count=0x10"], "count", 16),
        (["-count=010"], "count", 8),
        (["-dns.port=1053"], "dns_port", 1053),
        (["-v=2"], "v", 2),
        (["-v", "3"], "v", 3),
        (["-logtostderr"], "logtostderr", True),
        (["-logtostderr=false"], "logtostderr", False),
        (["-stderrthreshold=2", "-log_dir=/tmp", "-vmodule=a=1", "-alsologtostderr"], "log_dir", "/tmp"),
    ],
)
def test_go_style(words: list[str], name: str, value: object) -> None:
    assert getattr(go().parse(words), name) == value


@pytest.mark.parametrize(
    ("words", "rest"),
    [
        (["--", "-k", "--", "--cache-size=1"], ["-k", "--", "--cache-size=1"]),
        (["-restart", "x", "-exec=y"], ["x", "-exec=y"]),
        (["-restart", "true"], ["true"]),
        (["-"], ["-"]),
        (["-restart", "", "--"], ["", "--"]),
        (["-exec", "--", "--", "a"], ["a"]),
    ],
)
def test_go_style_stops_at_the_first_word_that_is_no_flag(words: list[str], rest: list[str]) -> None:
    assert go().parse(words).rest == rest


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-nosuch"], "flag provided but not defined: -nosuch"),
        (["--nosuch=1"], "flag provided but not defined: -nosuch"),
        (["-count"], "flag needs an argument: -count"),
        (["---count"], "bad flag syntax: ---count"),
        (["-=1"], "bad flag syntax: -=1"),
        (["-count=x"], 'invalid value "x" for flag -count: parse error'),
        (["-count=1.5"], 'invalid value "1.5" for flag -count: parse error'),
        (["-count=9223372036854775808"], 'invalid value "9223372036854775808" for flag -count: value out of range'),
        (["-dns.port=-1"], 'invalid value "-1" for flag -dns.port: parse error'),
        (["-interval=5"], 'invalid value "5" for flag -interval: parse error'),
        (["-restart=yes"], 'invalid boolean value "yes" for -restart: parse error'),
        (["-restart="], 'invalid boolean value "" for -restart: parse error'),
        (["-v=x"], 'invalid value "x" for flag -v: strconv.ParseInt: parsing "x": invalid syntax'),
        (["-interval=5", "-nosuch"], 'invalid value "5" for flag -interval: parse error'),
        (["-log-dir=x"], "flag provided but not defined: -log-dir"),
    ],
)
def test_go_style_tells_a_mistake_and_its_usage(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        go().parse(words)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"{message}\nUsage of program:\n  -add_dir_header\n    \t")


@pytest.mark.parametrize("word", ["-h", "--help", "-help"])
def test_go_style_help(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        go().parse([word, "-nosuch"])
    assert ended.value.code == 0
    lines = capsys.readouterr().err
    assert '  -exec path\n    \tlocation of the path (default "/usr/sbin/dnsmasq")\n' in lines
    assert "  -interval duration\n    \thow often (default 10s)\n" in lines
    assert "  -restart\n    \trestart it\n" in lines
    assert "  -v Level\n" in lines


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--dns-port=1"], "dns_port", 1),
        (["--dns-port", "1"], "dns_port", 1),
        (["--dns_port=1"], "dns_port", 1),
        (["--probe=a", "--probe", "b,c"], "probe", ["a", "b,c"]),
        (["--profiling"], "profiling", True),
        (["--profiling=false"], "profiling", False),
        (["--v=2"], "v", 2),
        (["-v=2"], "v", 2),
        (["-v2"], "v", 2),
        (["-v", "2"], "v", 2),
        (["--log-dir=/x", "--log_backtrace_at=a.go:1", "--log-flush-frequency=1s"], "log_dir", "/x"),
        (["--logtostderr", "--stderrthreshold=ERROR"], "logtostderr", True),
        (["x", "--dns-port=1", "--", "--dns-port=2"], "rest", ["x", "--dns-port=2"]),
        (["x", "--dns-port=1", "--", "--dns-port=2"], "dns_port", 1),
        (["--version=false"], "version", "false"),
    ],
)
def test_pflag_style(words: list[str], name: str, value: object) -> None:
    assert getattr(pflag().parse(words), name) == value


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--no_such=1"], "unknown flag: --no_such"),
        (["-domain=x"], "unknown shorthand flag: 'd' in -domain=x"),
        (["--dns-port"], "flag needs an argument: --dns-port"),
        (["-v"], "flag needs an argument: 'v' in -v"),
        (["--=1"], "bad flag syntax: --=1"),
        (["--dns_port=x"], 'invalid argument "x" for "--dns-port" flag: strconv.ParseInt: parsing "x": invalid syntax'),
        (["-vx"], 'invalid argument "x" for "-v, --v" flag: strconv.ParseInt: parsing "x": invalid syntax'),
        (
            ["--profiling=maybe"],
            'invalid argument "maybe" for "--profiling" flag: strconv.ParseBool: parsing "maybe": invalid syntax',
        ),
        (["--log-flush-frequency=5"],
         'invalid argument "5" for "--log-flush-frequency" flag: time: missing unit in duration "5"'),
    ],
)  # fmt: skip
def test_pflag_style_tells_a_mistake_and_its_usage(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        pflag().parse(words)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"{message}\nUsage of program:\n")


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_pflag_style_help(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        pflag().parse([word])
    assert ended.value.code == 0
    lines = capsys.readouterr().err.splitlines()
    assert any(line.startswith("      --dns-port int ") and line.endswith("   where (default 53)") for line in lines)
    assert any(line.startswith("      --probe LABEL ") and line.endswith("   LABEL to probe") for line in lines)
    assert any(line.startswith("  -v, --v Level ") for line in lines)
    assert any(line.startswith("      --version version[=true] ") for line in lines)


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("--version", f"Kube-DNS {fastdns.__version__}\n"),
        ("--version=true", f"Kube-DNS {fastdns.__version__}\n"),
        ("--version=raw", f'"{fastdns.__version__}"\n'),
    ],
)
def test_version(word: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        pflag().parse([word])
    assert ended.value.code == 0
    assert capsys.readouterr().out == shown


def test_a_kind_of_ones_own_says_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    def read(text: str) -> str:
        if text != "good":
            raise ValueError("must be good")
        return text

    for style, message in (
        (goflags.GO, 'invalid value "bad" for flag -own: must be good'),
        (goflags.PFLAG, 'invalid argument "bad" for "--own" flag: must be good'),
    ):
        flags = goflags.Flags("program", style=style)
        flags.add("own", goflags.Kind("own", read), "good", "")
        with pytest.raises(SystemExit):
            flags.parse(["--own=bad"])
        assert capsys.readouterr().err.startswith(f"{message}\n")


def test_values_are_shown_as_go_writes_them() -> None:
    flags = pflag()
    shown = dict(flags.show(flags.parse(["--profiling", "--probe=a", "--probe=b", "--log-flush-frequency=90s"])))
    assert shown["profiling"] == "true"
    assert shown["probe"] == "a,b"
    assert shown["log-flush-frequency"] == "1m30s"
    assert shown["dns-port"] == "53"
