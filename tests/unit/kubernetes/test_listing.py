"""A list read in blocks is the list."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastdns import errors
from fastdns.kubernetes import listing

TRICKY = ['},{"metadata":', '"items":[', "\\", '"', "}]}", "ü", ""]
items = st.lists(
    st.fixed_dictionaries(
        {"metadata": st.dictionaries(st.sampled_from(["name", "x"]), st.sampled_from(TRICKY))},
        optional={"ports": st.lists(st.fixed_dictionaries({"metadata": st.sampled_from(TRICKY)}), max_size=3)},
    ),
    max_size=12,
)


def pieces(text: bytes, size: int) -> Iterator[bytes]:
    return (text[at : at + size] for at in range(0, len(text), size))


@given(items, st.integers(1, 50), st.integers(0, 60), st.booleans())
def test_blocks_are_the_items(made: list[object], size: int, block: int, compact: bool) -> None:
    body = {"kind": "List", "metadata": {"resourceVersion": "7", "continue": "x"}, "items": made}
    text = json.dumps(body, separators=(",", ":") if compact else None, ensure_ascii=False).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "BLOCK_SIZE", block)
        page = listing.Listing(pieces(text, size))
        found = [json.loads(bytes(item)) for one in page for item in one]
    assert found == made
    assert page.metadata == listing.Metadata("7", "x")


def test_a_large_list_comes_in_several_blocks() -> None:
    one = {"metadata": {"name": "x" * 1000}}
    text = json.dumps({"metadata": {}, "items": [one] * 5000}, separators=(",", ":")).encode()
    sizes = [len(block) for block in listing.Listing(pieces(text, 65536))]
    assert sum(sizes) == 5000
    assert max(sizes) < 1200


def test_metadata_may_follow_the_items() -> None:
    page = listing.Listing([b'{"items":[{"metadata":{}}],"metadata":{"resourceVersion":"9"}}'])
    assert len(list(page)[-1]) == 1
    assert page.metadata.resource_version == "9"


@given(items, st.data())
def test_a_cut_list_is_no_list(made: list[object], data: st.DataObject) -> None:
    text = json.dumps({"metadata": {}, "items": made}, separators=(",", ":")).encode()
    cut = data.draw(st.integers(0, len(text) - 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "BLOCK_SIZE", 0)
        with pytest.raises(errors.ApiError, match="LIST is not a list"):
            list(listing.Listing(pieces(text[:cut], 20)))
