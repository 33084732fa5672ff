"""A worker stays small: what it imports, and that it can be imported alone."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import fastdns
from tests.project.compiled import ROOT

HEAVY = ("kubernetes", "fastdns.kubernetes", "yaml", "prometheus_client", "requests", "urllib3", "dns.resolver")
MODULES = sorted(module.name for module in pkgutil.walk_packages(fastdns.__path__, "fastdns."))


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("start", ["fastdns.server.worker"])
def test_worker_loads_nothing_of_the_cluster(start: str) -> None:
    done = python(f"import sys, {start}; print(*sorted(sys.modules))")
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert not loaded & set(HEAVY)


def test_every_module_can_be_imported_alone() -> None:
    """In one process per module this would take a minute; forks of one fresh interpreter do as well."""
    code = f"""
import importlib, os, sys, traceback
failed = []
for name in {MODULES!r}:
    child = os.fork()
    if not child:
        try:
            importlib.import_module(name)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    if os.waitpid(child, 0)[1]:
        failed.append(name)
print(failed)
sys.exit(bool(failed))
"""
    done = python(code)
    assert done.returncode == 0, done.stdout + done.stderr
