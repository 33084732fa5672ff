"""docs/ tells the truth: what it links exists, and its tables have the flags that the commands take."""

from __future__ import annotations

import pathlib
import re

import pytest

from fastdns.cli import nodecache
from fastdns.config.dnsmasq import options
from tests.project.compiled import ROOT

PAGES = sorted((ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_linked_files_exist(page: pathlib.Path) -> None:
    linked = set(re.findall(r"\]\(([\w./-]+)(?:#[\w-]+)?\)", page.read_text()))
    assert not {path for path in linked if not (page.parent / path).exists()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_make_target_exists(page: pathlib.Path) -> None:
    targets = re.findall(r"`make ([a-z-]+)", page.read_text())
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def test_node_caches_flags_are_all_told() -> None:
    page = (ROOT / "docs" / "node-cache.md").read_text()
    table = "".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| `-"))
    told = set(re.findall(r"`-([\w.-]+)", table))
    taken = set(re.findall(r"^  -([\w.-]+)", nodecache.make_flags().usage(), re.MULTILINE))
    assert told == taken


def test_dnsmasqs_options_are_all_told() -> None:
    page = (ROOT / "docs" / "dnsmasq.md").read_text()
    told = set(re.findall(r"`([A-Za-z0-9-]+)(?:\[=\w+\])?`", page))
    assert set(options.SERVED) <= told
