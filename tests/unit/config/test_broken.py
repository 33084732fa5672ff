"""Corefiles that can't be served, each with its whole message: a file of cases for each area, in broken/.

A case is `=== NAME`, the Corefile, `---` and the message. The words up to the first `(plugin/NAME)` or `;` are those of
CoreDNS 1.15 where CoreDNS refuses the Corefile for the same reason.
"""

import pathlib

import pytest

from fastdns import errors
from fastdns.config import interfaces
from fastdns.server import configuration

FOLDER = pathlib.Path(__file__).parent / "broken"


def read_cases():
    for path in sorted(FOLDER.glob("*.txt")):
        for case in path.read_text().split("=== ")[1:]:
            name, _, rest = case.partition("\n")
            text, _, message = rest.partition("\n---\n")
            yield pytest.param(text + "\n", message.strip(), id=f"{path.stem}: {name}")


CASES = list(read_cases())


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    """A machine with known interfaces and variables, and nothing to import."""
    monkeypatch.setattr(interfaces, "addresses", lambda: {"lo": ("127.0.0.1", "::1"), "eth0": ("192.0.2.10",)})
    monkeypatch.setenv("FASTDNS_TEST_WORD", "often")
    monkeypatch.setenv("FASTDNS_TEST_BAD_ZONE", "a..b")
    monkeypatch.delenv("FASTDNS_TEST_UNSET", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("text", "message"), CASES)
def test_broken(text: str, message: str) -> None:
    with pytest.raises(errors.ConfigError) as raised:
        configuration.parse(text)
    assert str(raised.value) == message


def test_there_are_many() -> None:
    assert len(CASES) >= 80
