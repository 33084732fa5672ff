"""Scripted upstreams that are closed again."""

from collections.abc import Callable, Iterator

import pytest

from tests.unit.engines import Upstream


@pytest.fixture
def make_upstream() -> Iterator[Callable[[], Upstream]]:
    made: list[Upstream] = []

    def make() -> Upstream:
        made.append(Upstream())
        return made[-1]

    yield make
    for upstream in made:
        upstream.close()


@pytest.fixture
def upstream(make_upstream: Callable[[], Upstream]) -> Upstream:
    return make_upstream()
