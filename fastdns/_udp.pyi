"""UDP sockets: recvmmsg, answer, sendmmsg, with the GIL released; knows no DNS rule."""

from typing import final

from fastdns._engine import Engine

@final
class UdpListener:
    """One bound socket. `fileno` stays the caller's to close, after this object is gone."""

    def __init__(self, engine: Engine, listener: int, fileno: int) -> None: ...
    def on_readable(self) -> bool:
        """Answer what waits, in batches, up to a bound. True: the engine has slow queries, log or error records to collect."""
    def flush(self) -> None:
        """Send the answers that replies, Python or timers made ready for clients of this socket."""
