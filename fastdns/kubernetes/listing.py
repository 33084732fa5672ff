"""A LIST's answer, read in blocks: 100,000 objects are 100 MB of JSON, which need never be in memory at once.

The API server gives the first list (from its cache) in one piece, whatever page size was asked for. Objects are handed
out as soon as a block of them has come, still as JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from fastdns import errors
from fastdns.kubernetes import objects

BLOCK_SIZE = 1 << 20
_ITEMS = re.compile(rb'"items":\s*\[')
_BETWEEN = b'},{"metadata":'
"""How the API server writes the end of an object and the next one. Where it doesn't, the list comes as one block."""


class Metadata(objects.Struct, frozen=True):
    resource_version: str | None = None
    continue_: str | None = msgspec.field(name="continue", default=None)


class Page(objects.Struct, frozen=True):
    metadata: Metadata | None = None
    items: list[msgspec.Raw] | None = None


_PAGE = msgspec.json.Decoder(Page)
_BLOCK = msgspec.json.Decoder(list[msgspec.Raw])


class Listing:
    """One page of a list: iterate over its blocks, then `metadata` is there."""

    def __init__(self, octets: Iterable[bytes]) -> None:
        self.metadata = Metadata()
        self._octets = octets

    def __iter__(self) -> Iterator[Sequence[msgspec.Raw]]:
        """Blocks of objects. Raises ApiError: what came is no list."""
        head, rest = b"", bytearray()
        tried = 0
        for octets in self._octets:
            rest += octets
            if not head:
                head, rest = _cut_head(rest)
            if head and len(rest) - tried > BLOCK_SIZE:
                block = _cut_block(rest)
                tried = len(rest)
                if block:
                    yield block
        page = _read(head + bytes(rest))
        self.metadata = page.metadata or Metadata()
        yield page.items or ()


def _cut_head(text: bytearray) -> tuple[bytes, bytearray]:
    """What stands before the first object, and what follows it; nothing and everything, if that isn't there yet."""
    match = _ITEMS.search(text)
    return (b"", text) if match is None else (bytes(text[: match.end()]), text[match.end() :])


def _cut_block(rest: bytearray) -> list[msgspec.Raw]:
    """Take whole objects off the front. That they are whole is known by their being JSON: no part of a list's text that ends
    inside an object is."""
    at = rest.rfind(_BETWEEN)
    if at < 0:
        return []
    try:
        block = _BLOCK.decode(b"[" + bytes(rest[: at + 1]) + b"]")
    except msgspec.MsgspecError:
        return []  # that was inside an object, or a text
    del rest[: at + 2]
    return block


def _read(text: bytes) -> Page:
    try:
        return _PAGE.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise errors.ApiError(f"LIST is not a list: {error}", 0, "malformed") from error
