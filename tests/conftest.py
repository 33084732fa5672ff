"""For all tests: what needs a real component is marked, and is left out or insisted on as a whole.

`@pytest.mark.peers("kube-apiserver", ...)` names the components that a test needs. Without --peers such tests are not
collected at all; with it, a component that is missing fails its tests with one line that says how to get it.
"""

from __future__ import annotations

import hypothesis
import pytest

from tests.peers import build

# How long one example takes says more about what else the machine does.
hypothesis.settings.register_profile("fastdns", deadline=None)
hypothesis.settings.load_profile("fastdns")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--peers", action="store_true", help="also run the tests that need real components (make peers builds them)"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "peers(*commands): needs these real components")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--peers"):
        return
    kept = [item for item in items if item.get_closest_marker("peers") is None]
    dropped = [item for item in items if item.get_closest_marker("peers") is not None]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture starts a component, all that the test names are looked for."""
    for marker in item.iter_markers("peers"):
        if lines := build.missing(marker.args):
            pytest.fail("\n".join(f"MISSING {line}" for line in lines), pytrace=False)
