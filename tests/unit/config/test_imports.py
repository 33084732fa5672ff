import pathlib

import pytest

from fastdns import errors
from fastdns.config import corefile, stream

WORDS = corefile.Words(served=("errors", "log", "cache", "whoami"))


@pytest.fixture
def read(tmp_path: pathlib.Path):
    """Read a Corefile of this text from tmp_path."""

    def parse(text: str, **environment: str) -> corefile.Corefile:
        return corefile.parse(text, file=str(tmp_path / "Corefile"), words=WORDS, environment=environment)

    return parse


def words(parsed: corefile.Corefile) -> list[str]:
    return [directive.word for block in parsed.blocks for directive in block.directives]


def test_snippet(read) -> None:
    parsed = read("(common) {\n log\n errors\n}\n. {\n whoami\n import common\n cache\n}\n")
    assert words(parsed) == ["whoami", "log", "errors", "cache"]


def test_snippet_on_one_line(read) -> None:
    assert words(read("(common) { log }\n. {\n import common\n whoami\n}\n")) == ["log", "whoami"]


def test_snippet_in_a_snippet(read) -> None:
    assert words(read("(a) {\n log\n}\n(b) {\n import a\n errors\n}\n. {\n import b\n}\n")) == ["log", "errors"]


def test_snippet_in_a_block(read) -> None:
    parsed = read("(sizes) {\n success 10\n denial 20\n}\n. {\n cache 30 {\n  import sizes\n  prefetch 1\n }\n}\n")
    (cache,) = parsed.blocks[0].directives
    assert [option.word for option in cache.block] == ["success", "denial", "prefetch"]


def test_snippet_goes_before_file(read, tmp_path: pathlib.Path) -> None:
    (tmp_path / "common").write_text("errors\n")
    assert words(read("(common) {\n log\n}\n. {\n import common\n}\n")) == ["log"]


def test_file_beside_the_corefile(read, tmp_path: pathlib.Path) -> None:
    (tmp_path / "common.conf").write_text("log\nerrors\n")
    parsed = read(". {\n import common.conf\n whoami\n}\n")
    assert words(parsed) == ["log", "errors", "whoami"]
    assert parsed.files == (str(tmp_path / "Corefile"), str(tmp_path / "common.conf"))
    assert parsed.blocks[0].directives[1].name.file == str(tmp_path / "common.conf")


def test_file_of_server_blocks(read, tmp_path: pathlib.Path) -> None:
    (tmp_path / "zones.conf").write_text("a.example {\n log\n}\nb.example {\n errors\n}\n")
    parsed = read("import zones.conf\n. {\n whoami\n}\n")
    assert [block.keys[0].text for block in parsed.blocks] == ["a.example", "b.example", "."]


def test_snippet_of_a_file(read, tmp_path: pathlib.Path) -> None:
    (tmp_path / "snippets.conf").write_text("(common) {\n log\n}\n")
    assert words(read("import snippets.conf\n. {\n import common\n}\n")) == ["log"]


def test_file_relative_to_the_importing_file(read, tmp_path: pathlib.Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "one.conf").write_text("import two.conf\n")
    (tmp_path / "sub" / "two.conf").write_text("log\n")
    assert words(read(". {\n import sub/one.conf\n}\n")) == ["log"]


def test_variable_in_an_import(read, tmp_path: pathlib.Path) -> None:
    (tmp_path / "common.conf").write_text("log\n")
    assert words(read(". {\n import {$DIR}/common.conf\n}\n", DIR=str(tmp_path))) == ["log"]


def test_glob_is_sorted(read, tmp_path: pathlib.Path) -> None:
    for name, word in (("b.override", "errors"), ("a.override", "log"), ("c.server", "whoami")):
        (tmp_path / name).write_text(word + "\n")
    assert words(read(". {\n import *.override\n}\n")) == ["log", "errors"]


def test_glob_passes_over_what_a_config_map_hides(read, tmp_path: pathlib.Path) -> None:
    (tmp_path / "custom" / "..data").mkdir(parents=True)
    (tmp_path / "custom" / "a.conf").write_text("log\n")
    assert words(read(". {\n import custom/*\n}\n")) == ["log"]


def test_empty_glob_is_no_error(read, caplog: pytest.LogCaptureFixture) -> None:
    assert words(read("import custom/*.server\n. {\n import custom/*.override\n log\n}\n")) == ["log"]
    assert "No files matching import glob pattern: custom/*.override" in caplog.text


def test_file_that_imports_itself(read, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_IMPORTS", 10)
    (tmp_path / "self.conf").write_text("log\nimport self.conf\n")
    with pytest.raises(errors.ConfigError, match=r"self.conf:2 - .* maximum file import depth \(10\) exceeded"):
        read(". {\n import self.conf\n}\n")


def bomb(tmp_path: pathlib.Path, form: str) -> str:
    """A Corefile that stays within the number of imports, and means more words than any memory holds."""
    long = "errors\n" * 10_000
    if form == "a long snippet again and again":
        return "(a) {\n" + long + "}\n. {\n" + " import a\n" * 9_000 + "}\n"
    if form == "snippets that import one another":
        return "(a) {\n import b\n" + long + "}\n(b) {\n import a\n" + long + "}\n. {\n import a\n}\n"
    (tmp_path / "a.conf").write_text("import a.conf\n" * (form == "a long file that imports itself") + long)
    return ". {\n" + " import a.conf\n" * 9_000 + "}\n"


@pytest.mark.parametrize(
    "form",
    [
        "a long snippet again and again",
        "snippets that import one another",
        "a long file that imports itself",
        "a long file again and again",
    ],
)
def test_imports_that_multiply_are_told(read, tmp_path: pathlib.Path, form: str) -> None:
    with pytest.raises(errors.ConfigError, match="imports bring in more than 500000 words"):
        read(bomb(tmp_path, form))


def test_file_without_an_end_is_told(read) -> None:
    with pytest.raises(errors.ConfigError, match=r"Could not import /dev/zero: it has more than 16777216 octets"):
        read(". {\n import /dev/zero\n}\n")


def test_error_names_the_imported_file(read, tmp_path: pathlib.Path) -> None:
    (tmp_path / "common.conf").write_text("log\n\nfrobnicate\n")
    with pytest.raises(errors.ConfigError) as raised:
        read(". {\n import common.conf\n}\n")
    assert str(raised.value) == f"{tmp_path}/common.conf:3 - Error during parsing: Unknown directive 'frobnicate'"


def test_digest_covers_imports(read, tmp_path: pathlib.Path) -> None:
    (tmp_path / "common.conf").write_text("log\n")
    before = read(". {\n import common.conf\n}\n").digest
    assert before == read(". {\n import common.conf\n}\n").digest
    (tmp_path / "common.conf").write_text("errors\n")
    assert before != read(". {\n import common.conf\n}\n").digest
