import textwrap
from collections.abc import Callable

import pytest

from fastdns.config import interfaces, model
from fastdns.server import configuration


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[model.Plugin, ...]]:
    """Give the plugins of a server block with these lines."""
    machine = {"lo": ("127.0.0.1", "::1"), "eth0": ("192.0.2.10", "fe80::1%eth0")}
    monkeypatch.setattr(interfaces, "addresses", lambda: machine)

    def parse(lines: str, zones: str = ".") -> tuple[model.Plugin, ...]:
        text = f"{zones} {{\n{textwrap.dedent(lines)}\n}}\n"
        return configuration.parse(text).blocks[0].plugins

    return parse
