"""A stored reply given to clients: patched, rotated, cut to the room that there is; and its Python face."""

from typing import final

from fastdns._message import ReplyKind, ReplyStatus

@final
class StoredReply:
    """A reply that was read: what it says, and the message that is stored of it. Made by normalise()."""

    def __init__(self, stored_size: int, ttl_at_size: int) -> None: ...
    @property
    def status(self) -> ReplyStatus:
        """Anything but REPLY_OK: nothing else here means anything."""
    @property
    def kind(self) -> ReplyKind: ...
    @property
    def flags(self) -> int:
        """The header's, as received."""
    @property
    def rcode(self) -> int:
        """Extended by OPT."""
    @property
    def has_soa(self) -> bool: ...
    @property
    def min_ttl(self) -> int: ...
    @property
    def counts(self) -> tuple[int, int, int]:
        """Records of answer, authority and additional section."""
    @property
    def run(self) -> tuple[int, int, int, int]:
        """(offset, stride, count, octets of one) of the addresses that can be rotated; zeros without any."""
    @property
    def wire(self) -> bytes:
        """The stored message."""
    @property
    def ttl_offsets(self) -> list[int]: ...
    def render(
        self,
        query: bytes,
        *,
        age: int = 0,
        ttl: int | None = None,
        clear_aa: bool = False,
        rotation: int = 0,
        limit: int = ...,
        udp_max: int = ...,
        ede: int = ...,
    ) -> bytes:
        """The answer to `query`; `ttl`: written into each record. Raises ValueError: it asks something else."""

def normalise(
    wire: bytes, name: bytes, qtype: int, qclass: int = ..., *, stored_size: int = ..., ttl_at_size: int = ...
) -> StoredReply:
    """Read an upstream's reply to the question of the canonical `name`; its `status` says what came of it."""
