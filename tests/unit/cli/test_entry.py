"""One command under several names: each starts its own front end, and no other is loaded."""

from __future__ import annotations

import subprocess
import sys
import types

import pytest

from fastdns.cli import entry


@pytest.mark.parametrize(
    ("argv", "chosen"),
    [
        (["/coredns", "-conf", "x"], ("coredns", ["-conf", "x"])),
        (["/kube-dns", "--domain=a."], ("kube-dns", ["--domain=a."])),
        (["/dnsmasq-nanny", "--", "-k"], ("dnsmasq-nanny", ["--", "-k"])),
        (["/usr/sbin/dnsmasq", "-k"], ("dnsmasq", ["-k"])),
        (["/sidecar"], ("sidecar", [])),
        (["./node-cache", "coredns"], ("node-cache", ["coredns"])),
        (["/opt/bin/fastdns", "-version"], ("fastdns", ["-version"])),
        (["/opt/bin/fastdns", "sidecar", "--v=2"], ("sidecar", ["--v=2"])),
        (["/opt/bin/fastdns", "fastdns", "-p", "5"], ("fastdns", ["-p", "5"])),
        (["/x/fastdns/__main__.py", "dnsmasq", "dnsmasq"], ("dnsmasq", ["dnsmasq"])),
        (["/x/renamed", "-p", "5"], ("fastdns", ["-p", "5"])),
        (["fastdns", "-p", "dnsmasq"], ("fastdns", ["-p", "dnsmasq"])),
        ([], ("fastdns", [])),
    ],
)
def test_the_name_decides(argv: list[str], chosen: tuple[str, list[str]]) -> None:
    assert entry.choose(argv) == chosen


@pytest.mark.parametrize("name", entry.PROGRAMS)
def test_a_front_end_gets_its_arguments_and_gives_the_status(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    got = []

    def main(arguments: list[str]) -> int:
        got.append(arguments)
        return 7

    module = types.ModuleType(f"fastdns.cli.{entry.PROGRAMS[name]}")
    module.main = main  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(sys, "argv", [f"/{name}", "-a", "b"])
    assert entry.main() == 7
    assert got == [["-a", "b"]]


@pytest.mark.parametrize("name", ["sidecar", "dnsmasq-nanny"])
def test_no_other_front_end_is_loaded(name: str) -> None:
    code = (
        "import sys; from fastdns.cli import entry; sys.argv = ['/x/' + sys.argv[1], '-h']\n"
        "try: entry.main()\n"
        "except SystemExit as ended: assert ended.code == 0\n"
        "print(sorted(n for n in sys.modules if n.startswith('fastdns.cli.')), 'kubernetes' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, timeout=60, check=True)
    own = entry.PROGRAMS[name]
    loaded = sorted(f"fastdns.cli.{module}" for module in ("entry", "goflags", "klog", own))
    assert done.stdout.strip() == f"{loaded} False"
