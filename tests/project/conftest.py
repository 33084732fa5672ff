"""What several tests of the project need."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def bench_built() -> None:
    """The floor and the load client, compiled in place."""
    command = [sys.executable, "bench/setup.py", "-q", "build_ext", "--inplace"]
    subprocess.run(command, cwd=ROOT, check=True, timeout=300, capture_output=True)
