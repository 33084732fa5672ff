from collections.abc import Sequence
from typing import TypedDict, final

class Tally(TypedDict):
    sent: int
    answered: int
    lost: int
    stray: int
    empty: int
    octets: int
    seconds: float
    rcodes: list[int]
    latency: dict[int, int]

def bucket_floor(bucket: int) -> int: ...

@final
class Load:
    def __init__(self, filenos: Sequence[int], questions: Sequence[bytes]) -> None: ...
    def run(
        self,
        *,
        seconds: float,
        window: int = 128,
        rate: float = 0.0,
        timeout: float = 1.0,
        limit: int = 0,
        wait: bool = False,
        salt: int | None = None,
    ) -> Tally: ...
