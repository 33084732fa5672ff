"""Each compiled module has a stub, and the stub says what the module has."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

from tests.project.compiled import ROOT, SOURCES

# what Cython adds to every module and no stub needs to tell; and __init__, since __cinit__ has the parameters
ALLOWED = r"""
.*\.__pyx_capi__
.*\.__test__
.*\.__init__
.*\.__reduce_cython__
.*\.__setstate_cython__
.*\.__pyx_\w+
"""


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_every_module_has_stub_and_declaration(source: pathlib.Path) -> None:
    assert (ROOT / "fastdns" / f"{source.stem}.pyi").is_file()


def test_stubs_agree_with_modules(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("mypy", reason="part of make lint")
    allowlist = tmp_path / "allowed"
    allowlist.write_text(ALLOWED)
    modules = [f"fastdns.{source.stem}" for source in SOURCES]
    command = [
        sys.executable,
        "-m",
        "mypy.stubtest",
        "--ignore-unused-allowlist",
        "--allowlist",
        str(allowlist),
        *modules,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
