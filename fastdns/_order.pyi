"""The order of the addresses in an answer: those of preferred networks first, or one drawn by weight."""

from collections.abc import Sequence
from typing import final

@final
class AddressOrder:
    """`prefer`: networks whose addresses come first. Raises ValueError: not a network."""

    def __init__(self, prefer: Sequence[str] = ()) -> None: ...
    def set_weights(self, weights: Sequence[tuple[bytes, str, int]]) -> None:
        """Take [(canonical wire name, address text, weight 1..255)] in the place of those before."""
    def order(self, wire: bytes) -> bytes:
        """The message with its addresses in order; for tests."""
