"""README tells the truth: its Corefiles are read by the real parser, and its compatibility table has every known difference."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest

from tests.differential import differences
from tests.project.compiled import ROOT

README = (ROOT / "README.md").read_text()
COREFILES = re.findall(r"^```(?:corefile|Corefile)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", COREFILES, ids=range(len(COREFILES)))
def test_corefile_is_accepted(text: str, tmp_path: pathlib.Path) -> None:
    """As a server started with it would; what it names in the file system is made to be there."""
    (tmp_path / "Corefile").write_text(text)
    command = [sys.executable, "-m", "fastdns.cli.fastdns", "-conf", str(tmp_path / "Corefile"), "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_has_the_default_corefile_of_kubeadm() -> None:
    assert any("kubernetes cluster.local in-addr.arpa ip6.arpa" in text and "lameduck 5s" in text for text in COREFILES)


@pytest.mark.parametrize("known", differences.load(), ids=lambda known: known.id)
def test_known_difference_is_in_the_compatibility_table(known: differences.Difference) -> None:
    assert known.id in README


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`make ([a-z-]+)", README))) or ["run"])
def test_named_make_target_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_linked_files_exist() -> None:
    linked = set(re.findall(r"\]\(([\w./-]+)\)", README))
    assert not {path for path in linked if not (ROOT / path).exists()}
