"""One plugin's names: a trie of them, changed by deltas (their format is drawn in _names.pxd), replaced by snapshots."""

import enum
from typing import final

from typing_extensions import Buffer

class Operation(enum.IntEnum):
    PUT = 1
    REMOVE = 2
    ZONE = 3
    SERIAL = 4
    SYNCED = 5
    PRIMARY = 6

_Sets = list[tuple[int, int, int, int, bytes]]

@final
class NameTable:
    """One plugin's names: the live table, and beside it, while a snapshot comes in, the next one."""

    def __init__(self) -> None: ...
    def begin_snapshot(self) -> None:
        """What apply() gets from now on fills a new table beside the live one."""
    def end_snapshot(self) -> None:
        """Swap the new table in. The replaced one is freed by reclaim(), in steps."""
    def reclaim(self, budget: int) -> bool:
        """Free up to `budget` names of a replaced table. True: there is more to free."""
    def apply(self, delta: Buffer) -> None:
        """Apply a delta. Raises TableError with the operation's offset; what stands before it has been applied."""
    def stats(self) -> dict[str, int]:
        """{names, nodes, octets, serial, synced} of the live table."""
    def find(self, name: bytes) -> tuple[bytes, int, bool, list[int]] | None:
        """Look a canonical wire name up: None outside every zone, else (zone, labels not found, holds data, set types)."""
    def entries(self, name: bytes, limit: int) -> list[tuple[bytes, _Sets]]:
        """The entries that a name of kube-dns's tree means: itself if it is an ENTRY, those below it if it is a node.

        A label `*` stands for each node that doesn't begin with `_`; as the first label for all entries. Each is
        (canonical name, [(type, form, ttl, count, octets)]); at most `limit` names are looked at.
        """
    def holds(self, name: bytes) -> tuple[int, _Sets] | None:
        """What a canonical wire name holds: (flags, sets as in `entries`); None: nothing."""
