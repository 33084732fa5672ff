"""UDP sockets: recvmmsg, answer, sendmmsg, with the GIL released; knows no DNS rule."""

from collections.abc import Callable
from typing import final

from fastdns._engine import Engine

@final
class UdpListener:
    """One bound socket. `fileno` stays the caller's to close, after this object is gone.

    `on_notes` is called when a batch left slow queries, log or error records to be collected from the engine. `hold_ns` is
    how long datagrams may gather under load (see _coalescing), less than a second; 0: never.
    """

    def __init__(
        self, engine: Engine, listener: int, fileno: int, on_notes: Callable[[], object], hold_ns: int = 0
    ) -> None: ...
    def on_readable(self) -> None:
        """Answer what waits, in batches, up to a bound. For an event loop: a batch that C can answer runs no Python."""
    @property
    def heard(self) -> float:
        """When a datagram last came, in seconds of the monotonic clock; 0.0: none has."""
