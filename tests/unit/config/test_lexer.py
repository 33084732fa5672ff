import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastdns import errors
from fastdns.config import lexer

WORD = st.text(
    st.characters(codec="utf-8", exclude_characters='"#\\\r\ufeff', exclude_categories=["Z", "C"]), min_size=1
)
ANY = st.text(st.characters(codec="utf-8", exclude_characters="\ufeff\0"))


def words(text: str) -> list[str]:
    return [token.text for token in lexer.read_tokens(text, "Corefile")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("a b\tc\nd", ["a", "b", "c", "d"]),
        ("\ufeffa", ["a"]),
        ("a # b\nc", ["a", "c"]),
        ("a#b c\nd", ["a", "d"]),
        ("#a", []),
        ('"a b" c', ["a b", "c"]),
        ('a"b', ['a"b']),
        ('"a"b', ["a", "b"]),
        ('""', [""]),
        (r'"a\"b"', ['a"b']),
        (r'"a\nb\\c"', [r"a\nb\\c"]),
        ('"a#b"', ["a#b"]),
        ('"a\nb"', ["a\nb"]),
        ("a\r\nb\rc\r\n", ["a", "bc"]),
        ("{a} {{ }}", ["{a}", "{{", "}}"]),
        ("a\u00a0b\u2003c", ["a", "b", "c"]),
        ("a\x1cb", ["a\x1cb"]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_lines() -> None:
    tokens = lexer.read_tokens('a b\n\nc "d\ne" f\ng', "Corefile")
    assert [(token.text, token.line, token.starts_line) for token in tokens] == [
        ("a", 1, True),
        ("b", 1, False),
        ("c", 3, True),
        ("d\ne", 3, False),
        ("f", 4, False),
        ("g", 5, True),
    ]


def test_quoted_braces_are_words() -> None:
    opening, closing, quoted = lexer.read_tokens('{ } "{"', "Corefile")
    assert (opening.opens, closing.closes, quoted.opens) == (True, True, False)


def test_open_quote() -> None:
    with pytest.raises(errors.ConfigError, match=r"^Corefile:2 - .* the quote that opens here is never closed"):
        words('a\n"b\nc\n')


def test_nul() -> None:
    with pytest.raises(errors.ConfigError, match=r"^Corefile:2 - .*Unexpected NUL"):
        words("a\nb\0c\n")


@given(ANY)
def test_no_text_breaks_it(text: str) -> None:
    try:
        tokens = lexer.read_tokens(text, "Corefile")
    except errors.ConfigError:
        return
    lines = [token.line for token in tokens]
    assert lines == sorted(lines)
    assert all(1 <= line <= text.count("\n") + 1 for line in lines)


@given(st.lists(WORD))
def test_bare_words_come_back(expected: list[str]) -> None:
    assert words(" ".join(expected)) == expected


@given(st.lists(ANY.filter(lambda text: not text.endswith("\\") and '\\"' not in text)))
def test_quoted_words_come_back(expected: list[str]) -> None:
    quoted = [text.replace('"', '\\"') for text in expected]
    assert words(" ".join(f'"{text}"' for text in quoted)) == expected


@given(st.lists(st.lists(WORD, min_size=1)))
def test_first_words_start_lines(lines: list[list[str]]) -> None:
    tokens = lexer.read_tokens("\n".join(" ".join(line) for line in lines), "Corefile")
    assert [token.starts_line for token in tokens] == [index == 0 for line in lines for index in range(len(line))]
