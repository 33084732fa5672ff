"""Text of a Corefile in, words out: what a line, a quoted argument and a comment are.

The rules are those of CoreDNS's reader, with two of its accidents put right: a comment that touches a word lasts to the
end of its line, and a quote that is never closed is an error instead of a word that swallows the rest of the file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from fastdns import errors

# What Go's unicode.IsSpace takes for space; str.isspace would add the separators U+001C to U+001F.
_SPACES = frozenset("\t\n\v\f\r \u0085\u00a0\u1680\u2028\u2029\u202f\u205f\u3000") | {
    chr(c) for c in range(0x2000, 0x200B)
}
_BYTE_ORDER_MARK = "\ufeff"


@dataclasses.dataclass(frozen=True, slots=True)
class Token:
    """One word and where it stands.

    `starts_line` tells a word that is the first on its line; `is_quoted` one that was written in quotes, which is never a
    brace nor `import`. `source` is the word as it is written where a variable stands in it, else empty.
    """

    text: str
    file: str
    line: int
    starts_line: bool
    is_quoted: bool = False
    source: str = ""

    @property
    def opens(self) -> bool:
        return self.text == "{" and not self.is_quoted

    @property
    def closes(self) -> bool:
        return self.text == "}" and not self.is_quoted

    @property
    def imports(self) -> bool:
        return self.text == "import" and not self.is_quoted


def read_tokens(text: str, file: str) -> list[Token]:
    """Split `text` into words that say `file` as their place.

    Raises ConfigError for a quote that is never closed, and for a NUL, which no path nor name may hold.
    """
    nul = text.find("\0")
    if nul >= 0:
        raise errors.ConfigError(file, text.count("\n", 0, nul) + 1, "Unexpected NUL; is this a text file?")
    return list(_Lexer(text.removeprefix(_BYTE_ORDER_MARK), file).tokens())


class _Lexer:
    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._file = file
        self._position = 0
        self._line = 1
        self._line_has_word = False

    def tokens(self) -> Iterator[Token]:
        while self._skip_to_word():
            if self._text[self._position] == '"':
                yield self._quoted()
            else:
                yield self._bare()

    def _skip_to_word(self) -> bool:
        """Pass over spaces and comments; tell whether a word follows."""
        while self._position < len(self._text):
            character = self._text[self._position]
            if character == "#":
                self._skip_comment()
            elif character in _SPACES:
                self._pass(character)
            else:
                return True
        return False

    def _skip_comment(self) -> None:
        end = self._text.find("\n", self._position)
        self._position = len(self._text) if end < 0 else end

    def _pass(self, space: str) -> None:
        self._position += 1
        if space == "\n":
            self._line += 1
            self._line_has_word = False

    def _bare(self) -> Token:
        start = self._position
        while self._position < len(self._text):
            character = self._text[self._position]
            # A carriage return is no part of a word and doesn't end one either.
            if character == "#" or (character in _SPACES and character != "\r"):
                break
            self._position += 1
        return self._token(self._text[start : self._position].replace("\r", ""), self._line)

    def _quoted(self) -> Token:
        """Read up to the closing quote; only a quote may be escaped, any other backslash stands for itself."""
        line = self._line
        self._position += 1
        parts: list[str] = []
        while self._position < len(self._text):
            character = self._text[self._position]
            self._position += 1
            if character == '"':
                return self._token("".join(parts), line, is_quoted=True)
            if character == "\\" and self._text[self._position : self._position + 1] == '"':
                character = '"'
                self._position += 1
            elif character == "\n":
                self._line += 1
            parts.append(character)
        raise errors.ConfigError(self._file, line, "Unexpected EOF; the quote that opens here is never closed")

    def _token(self, text: str, line: int, *, is_quoted: bool = False) -> Token:
        starts_line = not self._line_has_word
        self._line_has_word = True
        return Token(text, self._file, line, starts_line, is_quoted)
