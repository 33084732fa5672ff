import io
import pathlib

import pytest

from fastdns.config import interfaces, model
from fastdns.server import configuration

WHOAMI = (model.Log(), model.Whoami())


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> pathlib.Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def served(config: model.Config) -> list[tuple[str, int]]:
    return [(block.zone, listener.port) for block in config.blocks for listener in block.listeners]


def test_nothing_at_all() -> None:
    (block,) = configuration.load(port=1053).blocks
    assert (block.zone, block.listeners, block.plugins) == (".", (model.Listener("", 1053),), WHOAMI)


def test_default_file(folder: pathlib.Path) -> None:
    (folder / "Corefile").write_text("example.org {\n whoami\n}\n")
    assert served(configuration.load()) == [("example.org.", 53)]


@pytest.mark.parametrize("text", ["", "# nothing\n", "(unused) {\n errors\n}\n"])
def test_no_server_block(folder: pathlib.Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "empty").write_text(text)
    assert configuration.load("empty").blocks[0].plugins == WHOAMI
    assert "empty has no server block" in caplog.text


def test_missing_file() -> None:
    with pytest.raises(FileNotFoundError):
        configuration.load("nothing-of-this-name")


def test_stdin_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    configuration._stdin.cache_clear()
    monkeypatch.setattr("sys.stdin", io.StringIO("example.org {\n whoami\n}\n"))
    first = configuration.load("stdin")
    assert configuration.load("stdin") == first
    assert (first.blocks[0].zone, first.blocks[0].file) == ("example.org.", "/dev/stdin")
    configuration._stdin.cache_clear()


def test_keys_become_blocks_that_share_plugins() -> None:
    config = configuration.parse("example.org dns://example.net:1053, 10.96.0.0/15 {\n whoami\n}\n")
    assert served(config) == [
        ("example.org.", 53),
        ("example.net.", 1053),
        ("96.10.in-addr.arpa.", 53),
        ("97.10.in-addr.arpa.", 53),
    ]
    assert len({id(block.plugins) for block in config.blocks}) == 1


def test_blocks_know_their_place() -> None:
    config = configuration.parse("a,\nb {\n whoami\n}\n\nc {\n}\n")
    assert [(block.zone, block.file, block.line) for block in config.blocks] == [
        ("a.", "Corefile", 1),
        ("b.", "Corefile", 2),
        ("c.", "Corefile", 6),
    ]


def test_bind_makes_the_listeners(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interfaces, "addresses", lambda: {"lo": ("127.0.0.1", "::1")})
    (block,) = configuration.parse(".:1053 {\n bind lo\n}\n").blocks
    assert block.listeners == (model.Listener("127.0.0.1", 1053), model.Listener("::1", 1053))


@pytest.mark.parametrize(
    "text",
    [
        ". {\n}\nexample.org {\n}\n",
        ".:53 {\n}\n.:1053 {\n}\n",
        ". {\n bind 127.0.0.1\n}\n. {\n bind 127.0.0.2\n}\n",
    ],
)
def test_no_overlap(text: str) -> None:
    assert len(configuration.parse(text).blocks) == 2


def test_digest_follows_the_text() -> None:
    first, same, other = (configuration.parse(text) for text in (". {\n}\n", ". {\n}\n", ". {\n log\n}\n"))
    assert first.digest == same.digest != other.digest


def test_describe() -> None:
    config = configuration.parse(
        ". example.org:1053 {\n whoami\n log\n}\nexample.net {\n bind 127.0.0.1 ::1\n}\nb {\n}\n"
    )
    assert configuration.describe(config).splitlines() == [
        ". on dns://:53 (Corefile:1)",
        "    log, whoami",
        "example.org. on dns://:1053 (Corefile:1)",
        "    log, whoami",
        "example.net. on dns://127.0.0.1:53, dns://[::1]:53 (Corefile:5)",
        "    bind",
        "b. on dns://:53 (Corefile:8)",
        "    no plugins: every query is refused",
    ]
