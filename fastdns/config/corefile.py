"""A Corefile's text in, its server blocks out: words grouped, snippets and files imported, environment put in.

What a plugin's words mean is not known here: the server blocks hold Directives, which the modules of `plugins` read.
That keeps `config` below `plugins`; the words that may begin a line are handed in as `Words`.
"""

from __future__ import annotations

import dataclasses
import difflib
import glob
import hashlib
import itertools
import logging
import os
import re
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping

from fastdns import errors
from fastdns.config import lexer

logger = logging.getLogger(__name__)

MAX_IMPORTS = 10_000

# {%NAME%} is replaced first, as CoreDNS does; a value is never looked at again, so that one can't refer to itself.
_ENVIRONMENT = (re.compile(r"\{%(.+?)%\}"), re.compile(r"\{\$(.+?)\}"))
_MANY_WILDCARDS = re.compile(r"\*.*\*|\?.*\?|\[.*\]|\].*\[", re.DOTALL)
_WILDCARD = re.compile(r"[*?\[\]]")


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
        return error(at or self.name, f"{message} (plugin/{self.plugin})", hint=hint)

    def argument_error(self, *, after: lexer.Token | None = None, hint: str = "") -> errors.ConfigError:
        """Make the error for too few or too many arguments; CoreDNS names the last word that it saw."""
        last = after or (self.args[-1] if self.args else self.name)
        return self.error(_wrong_count(last), at=last, hint=hint)


@dataclasses.dataclass(frozen=True, slots=True)
class RawBlock:
    """A server block: its keys as written, environment put in, and its lines in the order of the file."""

    keys: tuple[lexer.Token, ...]
    directives: tuple[Directive, ...]


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
    parser = _Parser(text, file=file, words=words, environment=os.environ if environment is None else environment)
    blocks = tuple(parser.blocks())
    return Corefile(blocks, parser.digest.hexdigest(), tuple(parser.files))


def error(
    token: lexer.Token, message: str, *, hint: str = "", kind: str = "Error during parsing"
) -> errors.ConfigError:
    """Make the error that says `message` of `token`, and where the token came from when a variable stands there."""
    hints = "".join(f"; {text}" for text in (_origin(token), hint) if text)
    return errors.ConfigError(token.file, token.line, message + hints, kind=kind)


def suggest(word: str, known: Iterable[str]) -> str:
    """Give the hint `did you mean "X"?` when `known` has a word that is nearly `word`, else nothing."""
    close = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.7)
    return f'did you mean "{close[0]}"?' if close else ""


class _Parser:
    def __init__(self, text: str, *, file: str, words: Words, environment: Mapping[str, str]) -> None:
        self.digest = hashlib.sha512()
        self.files: list[str] = []
        self._words = words
        self._environment = environment
        self._snippets: dict[str, list[lexer.Token]] = {}
        self._snippet_imports = 0
        self._file_imports = 0
        self._last = lexer.Token("", file, 1, starts_line=True)
        self._tokens = deque(self._read(text, file))

    def blocks(self) -> Iterator[RawBlock]:
        while self._tokens:
            keys = self._keys()
            name = _snippet_name(keys)
            if name is not None:
                self._define_snippet(name)
            elif keys:
                yield RawBlock(tuple(keys), tuple(self._block()))
            elif self._tokens:
                raise _syntax_error(self._tokens[0], "an address", hint="a server block begins with its zone")

    # The keys of a block.

    def _keys(self) -> list[lexer.Token]:
        """Read up to the block's brace or the end of the line; a comma goes on to the next line."""
        keys: list[lexer.Token] = []
        expects_another = False
        while self._tokens:
            token = self._tokens[0]
            if token.text == "import" and token.starts_line and not token.is_quoted:
                self._import()
                continue
            if token.closes:
                raise error(token, "Unexpected '}' because no matching opening brace")
            if token.opens:
                if expects_another:
                    raise error(token, "Expected another address but had '{' - check for extra comma")
                return keys
            if keys and token.starts_line and not expects_another:
                return keys
            token = self._expanded(self._next())
            keys += _split_keys(token)
            expects_another = token.text.endswith(",")
        if expects_another:
            raise error(self._last, "Unexpected EOF", hint="another address is expected after the comma")
        return keys

    # Snippets and imports.

    def _define_snippet(self, name: str) -> None:
        if name in self._snippets:
            raise error(self._upcoming(), f"redeclaration of previously declared snippet {name}")
        if not self._tokens or not self._tokens[0].opens:
            raise _syntax_error(self._upcoming(), "'{'")
        self._next()
        tokens = list(self._until_closed())
        if any(
            token.text == "import" and token.starts_line and self._expand(target.text) == name
            for token, target in itertools.pairwise(tokens)
        ):
            raise self._snippet_limit(self._last, hint=f"snippet {name} imports itself")
        self._snippets[name] = tokens

    def _until_closed(self) -> Iterator[lexer.Token]:
        depth = 1
        while self._tokens:
            token = self._next()
            depth += token.opens - token.closes
            if not depth:
                return
            yield token
        raise _syntax_error(self._last, "'}'", hint="a snippet is not closed")

    def _import(self) -> None:
        """Put what is imported in the place of `import NAME`."""
        word = self._next()
        if not self._tokens or self._tokens[0].starts_line or self._tokens[0].opens:
            raise error(word, _wrong_count(word))
        target = self._expanded(self._next())
        if not target.text:
            raise error(target, "Import requires a non-empty filepath")
        if self._tokens and not (self._tokens[0].starts_line or self._tokens[0].closes):
            extra = self._tokens[0]
            raise error(extra, "Import takes only one argument (glob pattern or file)")
        tokens = self._imported(target)
        if tokens:
            tokens = [dataclasses.replace(tokens[0], starts_line=True), *tokens[1:]]
        self._tokens.extendleft(reversed(tokens))

    def _imported(self, target: lexer.Token) -> list[lexer.Token]:
        if target.text in self._snippets:
            self._snippet_imports += 1
            if self._snippet_imports > MAX_IMPORTS:
                raise self._snippet_limit(target)
            return self._snippets[target.text]
        self._file_imports += 1
        if self._file_imports > MAX_IMPORTS:
            hint = "does a file import itself?"
            raise error(target, f"maximum file import depth ({MAX_IMPORTS}) exceeded", hint=hint)
        return [token for path in self._matches(target) for token in self._read_file(path, target)]

    def _snippet_limit(self, token: lexer.Token, hint: str = "do snippets import one another?") -> errors.ConfigError:
        return error(token, f"maximum snippet import depth ({MAX_IMPORTS}) exceeded", hint=hint)

    def _matches(self, target: lexer.Token) -> list[str]:
        """Give the files that an import names: sorted, beside the importing file when the name is relative."""
        pattern = os.path.join(os.path.dirname(os.path.abspath(target.file)), target.text)
        if _MANY_WILDCARDS.search(pattern):
            message = f"Glob pattern may only contain one wildcard (*), but has others: {pattern}"
            raise error(target, message)
        if not _WILDCARD.search(pattern):
            if not os.path.exists(pattern):
                hint = suggest(target.text, self._snippets) or "no snippet has this name either"
                raise error(target, f"File to import not found: {target.text}", hint=hint)
            return [pattern]
        found = sorted(glob.glob(pattern))
        if not found:
            logger.warning("No files matching import glob pattern: %s", target.text)
        return found

    def _read_file(self, path: str, target: lexer.Token) -> list[lexer.Token]:
        try:
            with open(path, encoding="utf-8", errors="replace", newline="") as file:
                return self._read(file.read(), path)
        except IsADirectoryError:
            raise error(target, f"Could not import {path}: is a directory") from None
        except OSError as failure:
            raise error(target, f"Could not import {path}: {failure.strerror}") from failure

    def _read(self, text: str, file: str) -> list[lexer.Token]:
        self.digest.update(f"{file}\0{len(text)}\0".encode(errors="replace") + text.encode(errors="replace"))
        if file not in self.files:
            self.files.append(file)
        return lexer.read_tokens(text, file)

    # The lines of a block.

    def _block(self) -> Iterator[Directive]:
        """Read a server block's lines; a file with one block may go without braces."""
        opening = self._upcoming()
        braced = bool(self._tokens) and opening.opens
        if braced:
            self._next()
        while self._tokens:
            if self._tokens[0].closes:
                if not braced:
                    raise error(self._tokens[0], "Unexpected '}' because no matching opening brace")
                self._next()
                return
            if self._tokens[0].text == "import" and not self._tokens[0].is_quoted:
                self._import()
            else:
                yield self._directive()
        if braced:
            hint = f"the server block at line {opening.line} is not closed"
            if self._last.closes:
                # CoreDNS takes the brace of the last plugin for that of the server block, too.
                raise error(self._last, "Unexpected EOF", hint=hint)
            raise _syntax_error(self._last, "'}'", hint=hint)

    def _directive(self) -> Directive:
        name = self._expanded(self._next())
        self._check_word(name)
        args = self._arguments()
        if not self._tokens or (self._tokens[0].starts_line and not self._tokens[0].opens):
            return Directive(name, args, (), name.text)
        if self._tokens[0].closes:
            hint = "the brace that closes a server block stands on a line of its own"
            raise error(self._tokens[0], "Unexpected '}' because no matching opening brace", hint=hint)
        return Directive(name, args, tuple(self._options(name)), name.text)

    def _check_word(self, name: lexer.Token) -> None:
        if name.text in self._words.served:
            return
        hint = suggest(name.text, [*self._words.served, *self._words.planned])
        if name.text in self._words.planned:
            hint = "it is a plugin of CoreDNS that fastdns does not have yet"
        elif name.text in self._words.removed:
            hint = f'CoreDNS removed this plugin; "{self._words.removed[name.text]}" took its place'
        raise error(name, f"Unknown directive '{name.text}'", hint=hint)

    def _arguments(self) -> tuple[lexer.Token, ...]:
        args: list[lexer.Token] = []
        while self._tokens:
            token = self._tokens[0]
            if token.starts_line or token.opens or token.closes:
                break
            args.append(self._expanded(self._next()))
        return tuple(args)

    def _options(self, plugin: lexer.Token) -> Iterator[Directive]:
        """Read the lines between braces, the opening one included. A block may open and close within one line."""
        opening = self._next()
        if opening.starts_line:
            hint = f"the brace that opens a block stands on the line of '{plugin.text}'"
            raise error(opening, "Unexpected token '{'", hint=hint)
        while self._tokens:
            token = self._tokens[0]
            if token.closes:
                self._close()
                return
            if token.text == "import" and not token.is_quoted:
                self._import()
            elif token.opens:
                raise error(token, "Unexpected token '{', expecting argument")
            else:
                yield self._option(plugin)
        hint = f"the block of '{plugin.text}' at line {plugin.line} is not closed"
        raise error(self._last, "Unexpected EOF", hint=hint)

    def _option(self, plugin: lexer.Token) -> Directive:
        name = self._expanded(self._next())
        args = self._arguments()
        nested = bool(self._tokens) and self._tokens[0].opens
        return Directive(name, args, tuple(self._options(plugin)) if nested else (), plugin.text)

    def _close(self) -> None:
        self._next()
        if self._tokens and not (self._tokens[0].starts_line or self._tokens[0].closes):
            token = self._tokens[0]
            raise error(token, f"Unexpected token '{token.text}'", hint="nothing may follow a closing brace")

    # Words.

    def _next(self) -> lexer.Token:
        self._last = self._tokens.popleft()
        return self._last

    def _upcoming(self) -> lexer.Token:
        return self._tokens[0] if self._tokens else self._last

    def _expanded(self, token: lexer.Token) -> lexer.Token:
        text = self._expand(token.text)
        return token if text == token.text else dataclasses.replace(token, text=text)

    def _expand(self, text: str) -> str:
        for pattern in _ENVIRONMENT:
            text = pattern.sub(lambda match: self._environment.get(match[1], ""), text)
        return text


def _snippet_name(keys: list[lexer.Token]) -> str | None:
    if len(keys) == 1 and keys[0].text.startswith("(") and keys[0].text.endswith(")"):
        return keys[0].text[1:-1]
    return None


def _split_keys(token: lexer.Token) -> list[lexer.Token]:
    """Split what commas or an environment variable's spaces hold together."""
    return [dataclasses.replace(token, text=text) for text in re.split(r"[,\s]+", token.text) if text]


def _syntax_error(token: lexer.Token, expected: str, hint: str = "") -> errors.ConfigError:
    return error(token, f"Unexpected token '{token.text}', expecting {expected}", hint=hint, kind="Syntax error")


def _wrong_count(token: lexer.Token) -> str:
    return f"Wrong argument count or unexpected line ending after '{token.text}'"


def _origin(token: lexer.Token) -> str:
    """Say where a word came from when it isn't the one that is written."""
    if not any(pattern.search(token.source) for pattern in _ENVIRONMENT):
        return ""
    return f"'{token.text}' stands for {token.source}" if token.text else f"{token.source} is empty or not set"
