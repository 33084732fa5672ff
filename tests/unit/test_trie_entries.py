"""Entries and nodes of kube-dns's tree, as the name table tells them apart."""

from __future__ import annotations

import pytest

from fastdns._names import NameTable
from fastdns._rrset import DataFlag, Form
from tests.unit import deltas

A = deltas.record_set(1, Form.FIXED, 30, 1, bytes(4))
NAMES = {
    "web.ns.svc.z": 0,
    "h.web.ns.svc.z": DataFlag.ENTRY,
    "api.ns.svc.z": 0,
    "g.api.ns.svc.z": DataFlag.ENTRY,
    "_http._tcp.api.ns.svc.z": 0,
    "g._http._tcp.api.ns.svc.z": DataFlag.ENTRY,
    "ext.ns.svc.z": DataFlag.ENTRY,
    "web.other.svc.z": 0,
    "k.web.other.svc.z": DataFlag.ENTRY,
}


@pytest.fixture
def table() -> NameTable:
    made = NameTable()
    made.apply(deltas.zone("z") + b"".join(deltas.put(name, A, flags=flags) for name, flags in NAMES.items()))
    return made


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("web.ns.svc.z", {"h.web.ns.svc.z"}),
        ("h.web.ns.svc.z", {"h.web.ns.svc.z"}),
        ("none.ns.svc.z", set()),
        ("x.h.web.ns.svc.z", set()),
        ("ns.svc.z", {"ext.ns.svc.z"}),
        ("*.ns.svc.z", {"ext.ns.svc.z"}),
        ("*.web.ns.svc.z", {"h.web.ns.svc.z"}),
        ("web.*.svc.z", {"h.web.ns.svc.z", "k.web.other.svc.z"}),
        ("*.*.ns.svc.z", {"h.web.ns.svc.z", "g.api.ns.svc.z"}),
        ("_http._tcp.*.ns.svc.z", {"g._http._tcp.api.ns.svc.z"}),
        ("_http.*.api.ns.svc.z", set()),
        ("*.ext.ns.svc.z", set()),
        ("z", set()),
    ],
)
def test_entries_of(name: str, expected: set[str], table: NameTable) -> None:
    names = {entry for entry, _ in table.entries(deltas.name(name), 100)}
    assert names == {deltas.name(text) for text in expected}


def test_no_more_names_are_looked_at_than_allowed(table: NameTable) -> None:
    assert table.entries(deltas.name("*.*.ns.svc.z"), 0) == []
    assert len(table.entries(deltas.name("*.*.*.svc.z"), 5)) < len(table.entries(deltas.name("*.*.*.svc.z"), 100))


def test_entry_has_its_sets(table: NameTable) -> None:
    ((_, sets),) = table.entries(deltas.name("h.web.ns.svc.z"), 10)
    ((rtype, form, ttl, count, octets),) = sets
    assert (rtype, form, ttl, count, octets[-4:]) == (1, Form.FIXED, 30, 1, bytes(4))


def test_holds_tells_flags_and_sets(table: NameTable) -> None:
    held = table.holds(deltas.name("h.web.ns.svc.z"))
    assert held is not None
    assert (held[0], len(held[1])) == (DataFlag.ENTRY, 1)
    assert table.holds(deltas.name("ns.svc.z")) is None
    assert table.holds(deltas.name("none.z")) is None


@pytest.mark.parametrize("name", [b"", b"\3web", b"\x40" + b"a" * 64 + b"\0"])
def test_no_name_is_refused(name: bytes, table: NameTable) -> None:
    for method in (lambda: table.entries(name, 1), lambda: table.holds(name)):
        with pytest.raises(ValueError, match="canonical"):
            method()
