"""A Corefile's text in, its server blocks out: words grouped, snippets and files imported, environment put in.

What a plugin's words mean is not known here: the server blocks hold Directives, which the modules of `plugins` read.
That keeps `config` below `plugins`; the words that may begin a line are handed in as `Words`.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Collection, Iterator, Mapping

from fastdns import errors
from fastdns.config import lexer, stream, wording

MAX_DEPTH = 20


@dataclasses.dataclass(frozen=True, slots=True)
class Words:
    """The words that may begin a line of a server block.

    `planned` are CoreDNS's that are not served yet; `removed` were CoreDNS's, each with the word that took its place.
    """

    served: Collection[str]
    planned: Collection[str] = ()
    removed: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Directive:
    """A line of a server block or of a plugin's block: its first word, the words after it, the lines in its braces.

    `plugin` is the word that begins the outermost line: it is named in every error.
    """

    name: lexer.Token
    args: tuple[lexer.Token, ...]
    block: tuple[Directive, ...]
    plugin: str

    @property
    def word(self) -> str:
        return self.name.text

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(token.text for token in self.args)

    def error(self, message: str, *, at: lexer.Token | None = None, hint: str = "") -> errors.ConfigError:
        """Make the error that says `message` of the word `at`, or else of the first word."""
        return wording.error(at or self.name, f"{message} (plugin/{self.plugin})", hint=hint)

    def argument_error(self, *, after: lexer.Token | None = None, hint: str = "") -> errors.ConfigError:
        """Make the error for too few or too many arguments; CoreDNS names the last word that it saw."""
        last = after or (self.args[-1] if self.args else self.name)
        return self.error(wording.wrong_count(last), at=last, hint=hint)


@dataclasses.dataclass(frozen=True, slots=True)
class RawBlock:
    """A server block: its keys as written, environment put in, and its lines in the order of the file.

    `fault` is what is wrong with the block as a whole, to be told when nothing is wrong with its lines.
    """

    keys: tuple[lexer.Token, ...]
    directives: tuple[Directive, ...]
    fault: errors.ConfigError | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Corefile:
    """All server blocks of a text and its imports. `digest` is the SHA-512 of every octet of the `files` read."""

    blocks: tuple[RawBlock, ...]
    digest: str
    files: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Scope:
    """What a plugin's parser may know of the server block around it: its zones, canonical, in the order of the keys."""

    zones: tuple[str, ...] = (".",)


def parse(text: str, *, file: str, words: Words, environment: Mapping[str, str] | None = None) -> Corefile:
    """Group the words of `text` into server blocks. Raises ConfigError with the file, line and word that is wrong.

    Relative imports are looked for beside the file that names them. `environment` is the process's own without one.
    """
    source = stream.Stream(text, file=file, environment=os.environ if environment is None else environment)
    blocks = tuple(_Parser(source, words).blocks())
    return Corefile(blocks, source.digest.hexdigest(), tuple(source.files))


class _Parser:
    def __init__(self, source: stream.Stream, words: Words) -> None:
        self._source = source
        self._words = words
        self._fault: errors.ConfigError | None = None

    def blocks(self) -> Iterator[RawBlock]:
        while self._source.peek():
            keys = tuple(self._keys())
            name = _snippet_name(keys)
            if name is not None:
                self._source.define_snippet(name)
            elif keys:
                yield RawBlock(keys, tuple(self._block()), self._fault)
            else:
                self._expect_end()

    def _keys(self) -> Iterator[lexer.Token]:
        """Take the keys up to the block's brace or the end of the line; a comma goes on to the next line."""
        last: lexer.Token | None = None
        while token := self._source.peek():
            wants_more = last is not None and last.text.endswith(",")
            if token.imports and token.starts_line:
                self._source.follow_import()
                continue
            if token.closes:
                raise wording.error(token, "Unexpected '}' because no matching opening brace")
            if token.opens and wants_more:
                raise wording.error(token, "Expected another address but had '{' - check for extra comma")
            if token.opens or (last is not None and token.starts_line and not wants_more):
                return
            last = self._source.take()
            yield from _split_key(last)
        if last is not None and last.text.endswith(","):
            raise wording.error(last, "Unexpected EOF", hint="another address is expected after the comma")

    def _expect_end(self) -> None:
        """Refuse a block without a key; an import that brought nothing may end the text."""
        token = self._source.peek()
        if token is not None:
            raise wording.syntax_error(token, "an address", hint="a server block begins with its zone")

    def _block(self) -> Iterator[Directive]:
        """Take a server block's lines; a file with one block may go without braces."""
        opening = self._source.peek()
        is_braced = opening is not None and opening.opens
        if is_braced:
            self._source.take()
        while token := self._source.peek():
            if token.closes and is_braced:
                self._source.take()
                return
            if token.closes:
                raise wording.error(token, "Unexpected '}' because no matching opening brace")
            if token.imports:
                self._source.follow_import()
            else:
                yield self._directive()
        if opening is not None and is_braced:
            self._miss_closing(opening)

    def _miss_closing(self, opening: lexer.Token) -> None:
        last = self._source.last
        hint = f"the server block at line {opening.line} is not closed"
        if not last.closes:
            raise wording.syntax_error(last, "'}'", hint=hint)
        # The last plugin took the block's brace, or lacks its own: then its lines tell more than the missing brace does.
        self._fault = wording.error(last, "Unexpected EOF", hint=hint)

    def _directive(self) -> Directive:
        name = self._source.take()
        self._check_word(name)
        args = tuple(self._arguments())
        token = self._source.peek()
        if token is not None and token.closes and not token.starts_line:
            hint = "the brace that closes a server block stands on a line of its own"
            raise wording.error(token, "Unexpected '}' because no matching opening brace", hint=hint)
        block = tuple(self._options(name, depth=1)) if token is not None and token.opens else ()
        return Directive(name, args, block, name.text)

    def _check_word(self, name: lexer.Token) -> None:
        if name.text in self._words.served:
            return
        hint = wording.suggest(name.text, [*self._words.served, *self._words.planned])
        if name.text in self._words.planned:
            hint = "it is a plugin of CoreDNS that fastdns does not have yet"
        elif name.text in self._words.removed:
            hint = f'CoreDNS removed this plugin; "{self._words.removed[name.text]}" took its place'
        raise wording.error(name, f"Unknown directive '{name.text}'", hint=hint)

    def _arguments(self) -> Iterator[lexer.Token]:
        while token := self._source.peek():
            if token.starts_line or token.opens or token.closes:
                return
            yield self._source.take()

    def _options(self, plugin: lexer.Token, *, depth: int) -> Iterator[Directive]:
        """Take the lines between braces, the braces included. A block may open and close within one line."""
        opening = self._source.take()
        if opening.starts_line:
            hint = f"the brace that opens a block stands on the line of '{plugin.text}'"
            raise wording.error(opening, "Unexpected token '{'", hint=hint)
        if depth > MAX_DEPTH:
            raise wording.error(opening, "Unexpected token '{'", hint=f"blocks nest at most {MAX_DEPTH} deep")
        while token := self._source.peek():
            if token.closes:
                self._close()
                return
            if token.imports:
                self._source.follow_import()
            elif token.opens:
                raise wording.error(token, "Unexpected token '{', expecting argument")
            else:
                yield self._option(plugin, depth=depth)
        hint = f"the block of '{plugin.text}' at line {plugin.line} is not closed"
        raise wording.error(self._source.last, "Unexpected EOF", hint=hint)

    def _option(self, plugin: lexer.Token, *, depth: int) -> Directive:
        name = self._source.take()
        args = tuple(self._arguments())
        token = self._source.peek()
        nests = token is not None and token.opens
        return Directive(name, args, tuple(self._options(plugin, depth=depth + 1)) if nests else (), plugin.text)

    def _close(self) -> None:
        self._source.take()
        token = self._source.peek()
        if token is not None and not (token.starts_line or token.closes):
            raise wording.error(token, f"Unexpected token '{token.text}'", hint="nothing may follow a closing brace")


def _snippet_name(keys: tuple[lexer.Token, ...]) -> str | None:
    if len(keys) == 1 and keys[0].text.startswith("(") and keys[0].text.endswith(")"):
        return keys[0].text[1:-1]
    return None


def _split_key(token: lexer.Token) -> list[lexer.Token]:
    """Split what commas or an environment variable's spaces hold together."""
    return [dataclasses.replace(token, text=text) for text in re.split(r"[,\s]+", token.text) if text]
