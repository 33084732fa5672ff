"""The name table against a plain dict, and against deltas that are broken."""

from __future__ import annotations

import struct

import hypothesis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastdns._names import NameTable
from fastdns._rrset import Form
from fastdns.errors import TableError
from tests.unit import deltas

labels = st.sampled_from(["a", "b", "*", "svc", "x" * 63])
names = st.lists(labels, max_size=4).map(".".join).filter(lambda text: len(text) <= 253)  # 255 octets on the wire
types = st.sets(st.sampled_from([1, 16, 28, 99]), max_size=3)


def data_of(rtypes: set[int]) -> list[bytes]:
    return [deltas.record_set(rtype, Form.FIXED, 30, 1, bytes(4)) for rtype in sorted(rtypes)]


class Model:
    """What a table holds, as dicts."""

    def __init__(self) -> None:
        self.data: dict[bytes, list[int]] = {}
        self.zones: list[bytes] = []

    def find(self, name: bytes) -> tuple[bytes, int, bool, list[int]] | None:
        zones = [zone for zone in self.zones if is_in(name, zone)]
        if not zones:
            return None
        held = [*self.data, *self.zones]
        remaining, at = 0, name
        while len(at) > 1 and not any(is_in(other, at) for other in held):
            at, remaining = at[at[0] + 1 :], remaining + 1
        return max(zones, key=len), remaining, at in self.data, self.data.get(at, [])


def is_in(name: bytes, zone: bytes) -> bool:
    while len(name) > len(zone):
        name = name[name[0] + 1 :]
    return name == zone


operations = st.lists(
    st.one_of(
        st.tuples(st.just("put"), names, types),
        st.tuples(st.just("put"), names, types),
        st.tuples(st.just("remove"), names, st.just(set[int]())),
        st.tuples(st.just("zone"), names, st.just(set[int]())),
    ),
    max_size=40,
)


def change(model: Model, operation: tuple[str, str, set[int]]) -> bytes:
    """Do an operation to the model; its delta."""
    kind, text, rtypes = operation
    name = deltas.name(text)
    if kind == "put":
        model.data[name] = sorted(rtypes)
        return deltas.put(text, *data_of(rtypes))
    if kind == "remove":
        model.data.pop(name, None)
        return deltas.remove(text)
    if name not in model.zones:
        model.zones.append(name)
    return deltas.zone(text)


@settings(max_examples=300)
@given(operations, st.lists(names, min_size=5, max_size=20))
def test_look_ups_are_the_model_s(changes: list[tuple[str, str, set[int]]], asked: list[str]) -> None:
    table, model = NameTable(), Model()
    table.apply(b"".join(change(model, one) for one in changes))
    for text in [*asked, *(one[1] for one in changes)]:
        assert table.find(deltas.name(text)) == model.find(deltas.name(text)), text
    assert table.stats()["names"] == len(model.data)


@given(operations)
def test_everything_removed_is_given_back(changes: list[tuple[str, str, set[int]]]) -> None:
    table, model = NameTable(), Model()
    empty = table.stats()
    puts = [one for one in changes if one[0] != "zone"]
    table.apply(b"".join(change(model, one) for one in puts))
    table.apply(b"".join(deltas.remove(one[1]) for one in puts))
    assert table.stats() == empty


@given(operations, operations)
def test_snapshot_is_seen_when_it_is_whole(
    before: list[tuple[str, str, set[int]]], after: list[tuple[str, str, set[int]]]
) -> None:
    table, old, new, fresh = NameTable(), Model(), Model(), NameTable()
    table.apply(b"".join(change(old, one) for one in before))
    seen = [deltas.name(one[1]) for one in [*before, *after]]
    delta = b"".join(change(new, one) for one in after)
    table.begin_snapshot()
    table.apply(delta)
    assert [table.find(name) for name in seen] == [old.find(name) for name in seen]
    table.end_snapshot()
    assert [table.find(name) for name in seen] == [new.find(name) for name in seen]
    fresh.apply(delta)
    assert table.stats() == fresh.stats()
    while table.reclaim(1):
        pass
    assert table.stats() == fresh.stats()


def test_reclaim_is_done_in_steps() -> None:
    table = NameTable()
    table.apply(b"".join(deltas.put(f"a{at}.b", *data_of({1})) for at in range(1000)))
    table.begin_snapshot()
    table.end_snapshot()
    steps = 1
    while table.reclaim(100):
        steps += 1
    assert steps in (10, 11)


def test_snapshot_begun_twice_starts_again() -> None:
    table = NameTable()
    table.begin_snapshot()
    table.apply(deltas.put("a"))
    table.begin_snapshot()
    table.apply(deltas.put("b") + deltas.put("c") + deltas.put("d"))
    table.end_snapshot()
    assert table.stats()["names"] == 3


def test_snapshots_may_follow_without_reclaim() -> None:
    table = NameTable()
    for at in range(5):
        table.begin_snapshot()
        table.apply(deltas.put(f"a{at}"))
        table.end_snapshot()
    assert table.stats()["names"] == 1 and not table.reclaim(100)


def test_snapshot_that_was_not_begun() -> None:
    with pytest.raises(TableError, match="not begun"):
        NameTable().end_snapshot()


def test_memory_grows_with_what_is_held() -> None:
    table = NameTable()
    empty = table.stats()["octets"]
    table.apply(deltas.put("a.b", deltas.record_set(16, Form.WHOLE, 1, 1, deltas.sized(bytes(10_000)))))
    assert table.stats()["octets"] > empty + 10_000
    table.apply(deltas.put("a.b"))
    assert table.stats()["octets"] < empty + 1000


def test_thousands_of_siblings() -> None:
    table = NameTable()
    table.apply(deltas.zone(".") + b"".join(deltas.put(f"n{at}", *data_of({1})) for at in range(20_000)))
    table.apply(b"".join(deltas.remove(f"n{at}") for at in range(0, 20_000, 2)))
    found = [table.find(deltas.name(f"n{at}")) for at in range(20_000)]
    assert [entry is not None and entry[2] for entry in found] == [at % 2 == 1 for at in range(20_000)]
    table.apply(b"".join(deltas.remove(f"n{at}") for at in range(1, 20_000, 2)))
    assert table.stats()["names"] == 0 and table.stats()["nodes"] == 1


def test_the_longest_names() -> None:
    table = NameTable()
    for name in (".".join(["x"] * 127), ".".join(["y" * 63] * 3 + ["y" * 61])):
        table.apply(deltas.zone(".") + deltas.put(name, *data_of({1})))
        assert table.find(deltas.name(name)) == (b"\0", 0, True, [1])
        table.apply(deltas.remove(name))
    assert table.stats()["names"] == 0


@pytest.mark.parametrize("length", range(1, 64))
def test_labels_are_compared_to_the_last_octet(length: int) -> None:
    label = bytes(ord("a") + at % 20 for at in range(length))
    others = [label[:at] + b"z" + label[at + 1 :] for at in range(length)]
    table = NameTable()
    table.apply(deltas.zone(".") + b"".join(deltas.put(f"{one.decode()}.b", *data_of({1})) for one in (label, *others)))
    for one in (label, *others):
        assert table.find(wire_of(one)) == (b"\0", 0, True, [1])
    absent = [label[:at] + b"y" + label[at + 1 :] for at in range(length)] + [label[:-1]] * (length > 1)
    absent += [label[:at] + b"\0" + label[at + 1 :] for at in range(length)] + [label + b"\0"] * (length < 63)
    for one in absent:
        assert table.find(wire_of(one)) == (b"\0", 1, False, [])


def wire_of(label: bytes) -> bytes:
    """The name of a label below `b`."""
    return bytes([len(label)]) + label + b"\1b\0"


def test_serial_and_synced() -> None:
    table = NameTable()
    table.apply(deltas.serial(2**32 - 1) + deltas.synced())
    assert (table.stats()["serial"], table.stats()["synced"]) == (2**32 - 1, True)


# --- broken deltas --------------------------------------------------------------------------------------------------

GOOD = deltas.example_cluster()
ASKED = [
    deltas.name(text) for text in ("cluster.local", "kubernetes.default.svc.cluster.local", "x.in-addr.arpa", "org")
]


def filled() -> NameTable:
    table = NameTable()
    table.apply(GOOD)
    return table


def starts_of_operations() -> set[int]:
    """Where an operation of GOOD begins: a delta cut there is whole."""
    starts, size = {0, len(GOOD)}, len(GOOD)
    for cut in range(size):
        table = NameTable()
        try:
            table.apply(GOOD[:cut])
        except TableError:
            continue
        starts.add(cut)
    return starts


def test_every_truncation_is_broken_but_between_operations() -> None:
    assert len(starts_of_operations()) == 18 + 1


def test_what_stands_before_the_broken_operation_is_applied() -> None:
    table = NameTable()
    with pytest.raises(TableError, match="at octet "):
        table.apply(deltas.zone("a") + deltas.put("b.a", *data_of({1})) + b"\x09")
    assert table.find(deltas.name("b.a")) == (deltas.name("a"), 0, True, [1])


@settings(max_examples=400)
@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_flipped_octets_leave_a_table_that_works(at: int, flip: int) -> None:
    table = filled()
    delta = bytearray(GOOD)
    delta[at] ^= flip
    try:
        table.apply(delta)
    except TableError:
        hypothesis.event("refused")
    table.apply(GOOD)
    found = [table.find(name) for name in ASKED]
    assert found[1] == filled().find(ASKED[1])


A_SET = deltas.record_set(1, Form.FIXED, 30, 1, bytes(4))
BROKEN = {
    "an operation 0": b"\0",
    "an operation 7": b"\7",
    "an upper-case name": b"\2\1A\0",
    "a name with a pointer": b"\2\xc0\x0c",
    "a name of 256 octets": b"\2" + (b"\x3f" + b"x" * 63) * 3 + b"\x3e" + b"x" * 62 + b"\0",
    "17 sets": deltas.put("a", *[A_SET] * 17),
    "octets behind the sets": b"\1\1a\0" + struct.pack(">IHB", 4, 0, 0) + b"x",
    "a form of 5": deltas.put("a", deltas.record_set(1, 5, 30, 1, bytes(4))),  # type: ignore[arg-type]
    "no records of equal size": deltas.put("a", deltas.record_set(1, Form.FIXED, 30, 0, b"")),
    "records of unequal size": deltas.put("a", deltas.record_set(1, Form.FIXED, 30, 3, bytes(4))),
    "a size that is too long": deltas.put("a", deltas.record_set(16, Form.WHOLE, 30, 1, b"\0\5abcd")),
    "octets behind the last": deltas.put("a", deltas.record_set(16, Form.WHOLE, 30, 1, b"\0\1ab")),
    "a CNAME of nothing": deltas.put("a", deltas.record_set(5, Form.WHOLE, 30, 1, b"\0\0")),
    "a CNAME that is no name": deltas.put("a", deltas.record_set(5, Form.WHOLE, 30, 1, b"\0\2\5a")),
    "a CNAME without root": deltas.put("a", deltas.record_set(5, Form.WHOLE, 30, 1, b"\0\2\1a")),
    "two CNAMEs": deltas.put("a", deltas.record_set(5, Form.WHOLE, 30, 2, b"\0\1\0" * 2)),
    "a CNAME below its zone": deltas.put("a", deltas.record_set(5, Form.ZONED, 30, 1, b"\0\2\1a")),
    "a CNAME of fixed size": deltas.put("a", deltas.record_set(5, Form.FIXED, 30, 1, b"\1a\0")),
    "an NS that is no name": deltas.put("a", deltas.record_set(2, Form.ZONED, 30, 1, b"\0\2\5a")),
    "an NS of fixed size": deltas.put("a", deltas.record_set(2, Form.FIXED, 30, 1, b"\1a\0")),
    "data that leave no room for the zone": deltas.put("a", deltas.record_set(99, Form.ZONED, 3, 1, b"\xff\xf0" + bytes(65520))),
    "a SERVICE of type A": deltas.put("a", deltas.service("a", [], []).replace(b"\0\x21", b"\0\1", 1)),
    "a SERVICE without a name": deltas.put("a", deltas.service("", [], [])),
    "an address of family 5": deltas.put("a", deltas.service("a", [], [deltas.group([], [b"\5" + bytes(17)])])),
    "a label of 64 octets": deltas.put("a", deltas.service("a", [], [deltas.group([], [deltas.address("10.0.0.1", "x" * 64)])])),
    "an IPv6 endpoint without a label": deltas.put("a", deltas.service("a", [], [deltas.group([], [deltas.address("::1")])])),
    "more addresses than there are": deltas.put("a", deltas.service("a", [], [b"\0\xff\xff\xff\xff"])),
    "zone flags that are no AA or RA": deltas.zone("a").replace(b"\4\0\4\0\4\0", b"\xff\4\4\0\4\0"),
    "an SOA cut": deltas.zone("a")[:-1],
    "an SOA name of 65 octets": deltas.zone("a").replace(b"\x07\2ns\3dns", b"\x41\x3f" + b"x" * 63 + b"\0"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_broken_delta_is_refused(what: str) -> None:
    table = filled()
    before = table.stats()
    with pytest.raises(TableError, match="at octet 0"):
        table.apply(BROKEN[what])
    assert table.stats() == before


@pytest.mark.parametrize("name", [b"", b"\1a", b"\5a\0", b"\0\0", b"\x40" + bytes(65), b"\xc0\x0c"])
def test_find_wants_a_name(name: bytes) -> None:
    with pytest.raises(ValueError, match="not a canonical name"):
        NameTable().find(name)
