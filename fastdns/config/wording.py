"""How mistakes in a Corefile are told: the place, what CoreDNS says of it, where the word came from, what may be meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from fastdns import errors
from fastdns.config import lexer


def error(
    token: lexer.Token, message: str, *, hint: str = "", kind: str = "Error during parsing"
) -> errors.ConfigError:
    """Make the error that says `message` of `token`, and which variable it came from if one stands there."""
    hints = "".join(f"; {text}" for text in (_origin(token), hint) if text)
    return errors.ConfigError(token.file, token.line, message + hints, kind=kind)


def syntax_error(token: lexer.Token, expected: str, *, hint: str = "") -> errors.ConfigError:
    """Make the error for a word that stands where only `expected` may."""
    return error(token, f"Unexpected token '{token.text}', expecting {expected}", hint=hint, kind="Syntax error")


def wrong_count(token: lexer.Token) -> str:
    """Say that too few or too many words stand on a line; `token` is the last that was looked at."""
    return f"Wrong argument count or unexpected line ending after '{token.text}'"


def suggest(word: str, known: Iterable[str]) -> str:
    """Give the hint `did you mean "X"?` when `known` has a word that is nearly `word`, else nothing."""
    close = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.7)
    return f'did you mean "{close[0]}"?' if close else ""


def _origin(token: lexer.Token) -> str:
    if not token.source:
        return ""
    return f"'{token.text}' stands for {token.source}" if token.text else f"{token.source} is empty or not set"
