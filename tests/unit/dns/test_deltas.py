"""The encoder of deltas, read by the table that they are for."""

from __future__ import annotations

import struct
from enum import IntEnum

import pytest

from fastdns import _names, _rrset, _trie
from fastdns.dns import deltas, names
from tests.unit import deltas as by_hand

ZONE = names.to_canonical_wire("cluster.local")


@pytest.mark.parametrize(
    ("enum", "names"),
    [
        (_trie.ZoneFlag, ["ENT_NODATA", "SOA_APEX_ONLY", "NO_SOA", "MISS_SERVFAIL", "WILDCARD_ONE_LABEL"]),
        (_rrset.DataFlag, ["TXT_NXDOMAIN", "ONLY_THESE", "POD_ADDRESSES"]),
        (_rrset.Form, ["FIXED", "WHOLE", "ZONED", "PRIMARY_ZONED", "SERVICE"]),
    ],
)
def test_numbers_are_the_table_s(enum: type[IntEnum], names: list[str]) -> None:
    assert [getattr(deltas, name) for name in names] == [enum[name] for name in names]


def test_operations_are_what_the_format_says() -> None:
    soa = deltas.soa_data(b"\2ns\3dns", b"\x0ahostmaster", refresh=7200, retry=1800, expire=86400, minimum=30)
    assert deltas.zone(ZONE, soa, flags=2, soa_ttl=30) == by_hand.zone("cluster.local")
    assert deltas.serial(1 << 32 | 7) == by_hand.serial(7)
    assert deltas.synced(False) == by_hand.synced(False)
    assert deltas.primary(ZONE) == by_hand.primary("cluster.local")
    assert deltas.remove(ZONE) == by_hand.remove("cluster.local")
    target = names.to_canonical_wire("www.example.com")
    assert deltas.put(ZONE, deltas.data(1, deltas.cname_set(target, 30))) == by_hand.put(
        "cluster.local", by_hand.cname("www.example.com"), flags=1
    )


def test_addresses_are_kept_once_and_by_family() -> None:
    four, six = bytes([192, 0, 2, 1]), bytes(15) + b"\1"
    assert deltas.address_sets([six, four, six], 5) == (
        struct.pack(">HBIHI", 1, 0, 5, 1, 4) + four,
        struct.pack(">HBIHI", 28, 0, 5, 1, 16) + six,
    )
    assert deltas.address_sets([], 5) == ()


@pytest.mark.parametrize(
    ("made", "types"),
    [
        (deltas.data(0, *deltas.address_sets([bytes(4), bytes(16)], 5)), [1, 28]),
        (deltas.data(0, deltas.text_set(b"1.1.0", 5)), [16]),
        (deltas.data(0, deltas.cname_set(ZONE, 5)), [5]),
        (deltas.data(0, deltas.ptr_set([ZONE, ZONE], 5)), [12]),
        (deltas.ptr_data([b"\1a", b"\1b\1c"], 5), [12]),
        (deltas.data(0, deltas.ns_set([b"\2ns"], 5)), [2]),
        (deltas.data(0), []),
    ],
)
def test_a_table_takes_every_set(made: bytes, types: list[int]) -> None:
    table = _names.NameTable()
    table.apply(by_hand.zone("cluster.local") + deltas.put(ZONE, made))
    found = table.find(ZONE)
    assert found is not None
    assert found[2:] == (True, types)


def test_operations_are_packed_whole() -> None:
    small = [deltas.remove(bytes([1, 97 + index]) + b"\0") for index in range(3)]
    large = deltas.put(ZONE, bytes(deltas.FRAME_MAX))
    assert list(deltas.pack([*small, large, *small])) == [b"".join(small), large, b"".join(small)]
    assert list(deltas.pack([])) == []
