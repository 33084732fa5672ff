import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastdns import errors
from fastdns.config import corefile

WORDS = corefile.Words(served=("errors", "log", "cache", "whoami"), planned=("rewrite",))


def read(text: str, **environment: str) -> corefile.Corefile:
    return corefile.parse(text, file="Corefile", words=WORDS, environment=environment)


def keys(text: str, **environment: str) -> list[list[str]]:
    return [[key.text for key in block.keys] for block in read(text, **environment).blocks]


def lines(text: str, **environment: str) -> list[list[str]]:
    return [[one.word, *one.words] for block in read(text, **environment).blocks for one in block.directives]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("# nothing\n", []),
        (".", [["."]]),
        (". {\n}\n", [["."]]),
        ("a b {\n}\nc {\n}\n", [["a", "b"], ["c"]]),
        ("a, b {\n}\n", [["a", "b"]]),
        ("a,\nb {\n}\n", [["a", "b"]]),
        ("a,b,c {\n}\n", [["a", "b", "c"]]),
        ("a\n{\n}\n", [["a"]]),
        ("a\nlog\nerrors\n", [["a"]]),
        ("{$ZONE}:53 {\n}\n", [["example.org:53"]]),
        ("{$ZONES} {\n}\n", [["a.example", "b.example"]]),
        ('"a" {\n}\n', [["a"]]),
    ],
)
def test_keys(text: str, expected: list[list[str]]) -> None:
    assert keys(text, ZONE="example.org", ZONES="a.example, b.example") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (". {\n log\n errors\n}\n", [["log"], ["errors"]]),
        (".\nlog a b\nerrors\n", [["log", "a", "b"], ["errors"]]),
        ('. {\n log . "{remote}\n{port}" x\n}\n', [["log", ".", "{remote}\n{port}", "x"]]),
        ('. {\n log "{" "}"\n}\n', [["log", "{", "}"]]),
        (". {\n {$NAME} {%NAME%}\n}\n", [["log", "log"]]),
        (". {\n log {$UNSET} a{$NAME}b{$NAME}\n}\n", [["log", "", "alogblog"]]),
        (". {\n log {$} {%%} {$NAME\n}\n", [["log", "{$}", "{%%}", "{$NAME"]]),
    ],
)
def test_lines(text: str, expected: list[list[str]]) -> None:
    assert lines(text, NAME="log") == expected


def test_value_is_not_looked_at_again() -> None:
    assert lines(". {\n log {$SELF}\n}\n", SELF="{$SELF}") == [["log", "{$SELF}"]]


def test_block_of_a_plugin() -> None:
    (block,) = read(". {\n cache 30 {\n  success 10\n  denial 20 30\n }\n log\n}\n").blocks
    cache, log = block.directives
    assert [(option.word, option.words, option.plugin) for option in cache.block] == [
        ("success", ("10",), "cache"),
        ("denial", ("20", "30"), "cache"),
    ]
    assert (log.word, log.block) == ("log", ())


def test_block_within_a_line() -> None:
    (block,) = read(". {\n cache 30 { success 10 }\n log { class all\n class error }\n}\n").blocks
    cache, log = block.directives
    assert [(option.word, option.words) for option in cache.block] == [("success", ("10",))]
    assert [option.words for option in log.block] == [("all",), ("error",)]


def test_blocks_nest() -> None:
    (block,) = read(". {\n cache {\n  a {\n   b c\n  }\n }\n}\n").blocks
    (outer,) = block.directives[0].block
    (inner,) = outer.block
    assert (inner.word, inner.words, inner.plugin) == ("b", ("c",), "cache")


def test_words_know_their_place() -> None:
    (block,) = read(". {\n\n log a\n}\n").blocks
    assert (block.directives[0].args[0].file, block.directives[0].args[0].line) == ("Corefile", 3)


def test_error_says_where_a_word_came_from() -> None:
    (block,) = read(". {\n log {$NAME}\n}\n", NAME="x").blocks
    (log,) = block.directives
    assert str(log.error("bad", at=log.args[0], hint="do this")) == (
        "Corefile:2 - Error during parsing: bad (plugin/log); 'x' stands for {$NAME}; do this"
    )


def test_unset_variable_is_named() -> None:
    with pytest.raises(errors.ConfigError, match=r"\{\$NAME\} is empty or not set"):
        read(". {\n {$NAME}\n}\n")


def test_blocks_nest_to_a_bound() -> None:
    deep = ". {\n cache " + "{\n a " * 21 + "\n" + "}\n" * 22
    with pytest.raises(errors.ConfigError, match="blocks nest at most 20 deep"):
        read(deep)


@given(
    st.lists(st.sampled_from([*'{}()",#.\n', "\n", " ", " ", "import", "(a)", "a", "log", "cache 30", "{$NAME}", "{%"]))
)
def test_no_text_breaks_it(parts: list[str]) -> None:
    try:
        parsed = read("".join(parts), NAME="log")
    except errors.ConfigError as error:
        assert str(error).startswith("Corefile:")
    else:
        assert all(block.keys for block in parsed.blocks)
