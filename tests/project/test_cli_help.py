"""The command line says what it takes, as CoreDNS's does: each flag with one dash and with two, and errors on stderr."""

from __future__ import annotations

import subprocess
import sys

import pytest

import fastdns
from tests.project.compiled import ROOT

FLAGS = (
    "conf",
    "dns.port",
    "p",
    "pidfile",
    "plugins",
    "quiet",
    "version",
    "workers",
    "coalesce",
    "state-dir",
    "check",
    "log-format",
)


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fastdns.cli.fastdns", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize("dashes", ["-", "--"])
def test_help_names_every_flag(dashes: str) -> None:
    done = cli(f"{dashes}help")
    assert done.returncode == 0
    for flag in FLAGS:
        assert f"-{flag}" in done.stdout


@pytest.mark.parametrize("dashes", ["-", "--"])
def test_version(dashes: str) -> None:
    done = cli(f"{dashes}version")
    assert done.returncode == 0
    assert fastdns.__version__ in done.stdout


@pytest.mark.parametrize("dashes", ["-", "--"])
def test_plugins_are_listed(dashes: str) -> None:
    done = cli(f"{dashes}plugins")
    assert done.returncode == 0
    for word in ("kubernetes", "forward", "cache", "hosts", "loadbalance", "loop"):
        assert word in done.stdout.split() or f"dns.{word}" in done.stdout.split()


@pytest.mark.parametrize("arguments", [["-nonsense"], ["extra"], ["-p"], ["-conf", "/nowhere/Corefile"]])
def test_wrong_arguments_are_told_and_fail(arguments: list[str]) -> None:
    done = cli(*arguments)
    assert done.returncode != 0
    assert done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_check_tells_what_it_would_serve() -> None:
    done = cli("-conf", "examples/Corefile", "--check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cluster.local" in done.stdout + done.stderr
