from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.inflight.upstreams import Upstream


@pytest.fixture
def upstreams() -> Iterator[list[Upstream]]:
    servers = [Upstream() for _ in range(3)]
    yield servers
    for server in servers:
        server.close()
