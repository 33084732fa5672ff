"""In which order the upstreams of a group are asked, and when to give up: CoreDNS's plugin/forward/{policy,forward}.go.

The compiled in-flight table does the same for UDP.
"""

from __future__ import annotations

import random
from collections.abc import Callable


class Policy:
    """Orders the upstreams 0..count-1 for one question at a time."""

    def __init__(self, name: str, *, count: int, generator: random.Random) -> None:
        orders = {"random": self._shuffled, "round_robin": self._turned}
        self._order = orders.get(name, self._as_written)  # those that ask several at once do so over UDP only
        self._count = count
        self._generator = generator
        self._turn = 0

    def order(self) -> list[int]:
        return self._order()

    def pick(self) -> int:
        """Any of them, whatever the policy."""
        return self._generator.randrange(self._count)

    def _shuffled(self) -> list[int]:
        return self._generator.sample(range(self._count), self._count)

    def _turned(self) -> list[int]:
        """The one whose turn it is, then the others as they stand."""
        self._turn = (self._turn + 1) % self._count
        return [self._turn, *(at for at in range(self._count) if at != self._turn)]

    def _as_written(self) -> list[int]:
        return list(range(self._count))


class Tries:
    """The way of one question through the upstreams: which is next, and whether there is a next."""

    def __init__(self, policy: Policy, *, max_attempts: int, is_down: Callable[[int], bool], failfast: bool) -> None:
        self.is_broken = False  # all upstreams were found down
        self._policy = policy
        self._list = policy.order()
        self._max_attempts = max_attempts
        self._is_down = is_down
        self._failfast = failfast
        self._position = 0
        self._fails = 0
        self._attempts = 0

    def next_upstream(self) -> int | None:
        """The next that is not down; one at random if all are, or None if the group fails fast then."""
        while True:
            if self._position >= len(self._list):
                self._position = self._fails = 0
            upstream = self._list[self._position]
            self._position += 1
            if not self._is_down(upstream):
                return upstream
            self._fails += 1
            if self._fails < len(self._list):
                continue
            self.is_broken = True
            return None if self._failfast else self._policy.pick()

    def may_go_on(self) -> bool:
        """True if another upstream may be asked after one has failed; asked once for each failure."""
        self._attempts += 1
        if self._max_attempts and self._attempts >= self._max_attempts:
            return False
        return self._fails < len(self._list)
