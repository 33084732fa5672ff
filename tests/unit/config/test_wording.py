import pytest

from fastdns.config import lexer, wording


@pytest.mark.parametrize(
    ("word", "hint"),
    [("cachr", 'did you mean "cache"?'), ("LOG", 'did you mean "log"?'), ("frobnicate", "")],
)
def test_suggest(word: str, hint: str) -> None:
    assert wording.suggest(word, ["cache", "log"]) == hint


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (lexer.Token("x", "Corefile", 3, True), "Corefile:3 - Error during parsing: bad; do this"),
        (
            lexer.Token("x", "Corefile", 3, True, source="{$NAME}"),
            "Corefile:3 - Error during parsing: bad; 'x' stands for {$NAME}; do this",
        ),
        (
            lexer.Token("", "Corefile", 3, True, source="{$NAME}"),
            "Corefile:3 - Error during parsing: bad; {$NAME} is empty or not set; do this",
        ),
    ],
)
def test_error(token: lexer.Token, message: str) -> None:
    assert str(wording.error(token, "bad", hint="do this")) == message


def test_syntax_error() -> None:
    token = lexer.Token("x", "Corefile", 3, True)
    assert str(wording.syntax_error(token, "'{'")) == "Corefile:3 - Syntax error: Unexpected token 'x', expecting '{'"
