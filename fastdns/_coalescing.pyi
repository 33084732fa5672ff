"""When a listener lets datagrams gather before it looks again, as a network card coalesces its interrupts."""

from typing import final

@final
class Coalescing:
    """Decides from what arrives; `hold_ns` is how long a sleep takes, without the kernel's timer slack. 0: never sleep."""

    hold_ns: int

    def __init__(self, hold_ns: int) -> None: ...
    def decide(self, count: int, now_ns: int) -> bool:
        """Note a batch of `count` datagrams (at least one) at `now_ns`, nanoseconds of the monotonic clock. True: sleep
        before the next look."""
