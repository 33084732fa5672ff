"""Compiled modules know only those below them; import-linter can't see them."""

from __future__ import annotations

import pathlib
import re

import pytest

from tests.project.compiled import ROOT

# From the top; modules of one row don't know each other, except where a pair is named.
ROWS = (
    {"_udp"},
    {"_engine"},
    {"_late"},
    {"_answer"},
    {"_observe"},
    {"_plan"},
    {"_encode", "_cache", "_inflight", "_askers"},
    {"_decide", "_names"},
    {"_trie", "_stored"},
    {"_rrset"},
    {"_service", "_reply", "_order", "_rules", "_exchange"},
    {"_rewrite", "_questions"},
    {"_message", "_pool"},
    {"_packet", "_dashed", "_random", "_siphash", "_wheel"},
    {"_wire", "_counters", "_coalescing", "_key", "_prefetch", "_sockets"},
)
CIMPORT = re.compile(r"^\s*(?:from fastdns\.(_\w+) cimport|cimport fastdns\.(_\w+))", re.MULTILINE)
PYTHON_IMPORT = re.compile(r"^\s*(?:from (fastdns[\w.]*) import|import (fastdns[\w.]*))", re.MULTILINE)
FILES = sorted([*(ROOT / "src").glob("*.pyx"), *(ROOT / "fastdns").glob("*.pxd")])


def row_of(module: str) -> int:
    rows = [number for number, row in enumerate(ROWS) if module in row]
    assert rows, f"{module} has no place in ROWS: give it one"
    return rows[0]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_cimports_go_down(file: pathlib.Path) -> None:
    own = row_of(file.stem)
    for found in CIMPORT.finditer(file.read_text()):
        other = found[1] or found[2]
        assert other == file.stem or row_of(other) > own, f"{file.name} cimports {other}, which is not below it"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_compiled_modules_import_no_python_of_ours_but_errors(file: pathlib.Path) -> None:
    imported = {found[1] or found[2] for found in PYTHON_IMPORT.finditer(file.read_text())}
    allowed = {"fastdns.errors", *(f"fastdns.{name}" for row in ROWS for name in row)}
    assert imported <= allowed
