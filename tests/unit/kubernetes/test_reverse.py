"""The index of addresses against a plain dictionary."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from fastdns.kubernetes import nodes, reverse

KEYS = [
    nodes.key_of(ipaddress.ip_address(text).packed)
    for text in ("10.0.0.1", "10.0.0.2", "10.0.1.1", "0.0.0.1", "::1", "fd00::1", "fd00::2", "fd00::1:1")
]
OWNERS = [object(), object(), object()]
steps = st.lists(st.tuples(st.booleans(), st.sampled_from(KEYS), st.sampled_from(OWNERS)), max_size=40)


@given(steps)
def test_an_address_has_its_owners_in_order(steps: list[tuple[bool, int, object]]) -> None:
    index: reverse.Index[object] = reverse.Index()
    expected: dict[int, list[object]] = {}
    for is_added, key, owner in steps:
        known = expected.setdefault(key, [])
        if is_added and owner not in known:
            index.add(key, owner)
            known.append(owner)
        elif not is_added:
            index.remove(key, owner)
            expected[key] = [one for one in known if one is not owner]
    held = {key for key in KEYS if expected.get(key)}
    assert {key: index.get(key) for key in KEYS} == {key: expected.get(key, []) for key in KEYS}
    assert {key for key in KEYS if key in index} == held
    assert sorted(index) == sorted(held)
    assert bool(index) == bool(held)


def test_an_index_may_change_while_it_is_read() -> None:
    index: reverse.Index[object] = reverse.Index()
    for key in KEYS:
        index.add(key, OWNERS[0])
    for key in index:
        index.remove(key, OWNERS[0])
        index.add(key ^ 0x300, OWNERS[1])
    assert all(OWNERS[0] not in index.get(key) for key in KEYS)
