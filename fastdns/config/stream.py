"""The words of a Corefile one after the other, with what it imports in the place of `import`, and variables filled in."""

from __future__ import annotations

import dataclasses
import glob
import hashlib
import itertools
import logging
import os
import re
from collections import deque
from collections.abc import Iterator, Mapping

from fastdns import errors
from fastdns.config import lexer, wording

logger = logging.getLogger(__name__)

MAX_IMPORTS = 10_000
MAX_WORDS = 500_000  # that imports bring in all: snippets which import one another can mean more than any memory holds
MAX_OCTETS = 16 << 20  # of an imported file: there are some without an end

# {%NAME%} is replaced first, as CoreDNS does; a value is never looked at again, so that one can't refer to itself.
_VARIABLES = (re.compile(r"\{%(.+?)%\}"), re.compile(r"\{\$(.+?)\}"))
# CoreDNS refuses these, since they can take for ever.
_MANY_WILDCARDS = re.compile(r"\*.*\*|\?.*\?|\[.*\]|\].*\[", re.DOTALL)
_WILDCARD = re.compile(r"[*?\[\]]")


class Stream:
    """Words to be taken one by one. `last` is the one that was taken last; the end of the text has its place.

    `digest` and `files` tell what was read so far, the first file and all imports.
    """

    def __init__(self, text: str, *, file: str, environment: Mapping[str, str]) -> None:
        self.digest = hashlib.sha512()
        self.files: list[str] = []
        self.last = lexer.Token("", file, 1, starts_line=True)
        self._environment = environment
        self._snippets: dict[str, list[lexer.Token]] = {}
        self._snippet_imports = 0
        self._file_imports = 0
        self._imported_words = 0
        self._tokens = deque(self._read(text, file))

    def peek(self) -> lexer.Token | None:
        """Give the next word as it is written, and leave it there; None at the end."""
        return self._tokens[0] if self._tokens else None

    def take(self) -> lexer.Token:
        """Take the next word, its variables filled in. There must be one."""
        token = self._take()
        text = self._expand(token.text)
        return token if text == token.text else dataclasses.replace(token, text=text, source=token.text)

    def define_snippet(self, name: str) -> None:
        """Take a snippet's block, and keep it for imports."""
        place = self.peek() or self.last
        if name in self._snippets:
            raise wording.error(place, f"redeclaration of previously declared snippet {name}")
        if not place.opens:
            raise wording.syntax_error(place, "'{'")
        self._take()
        tokens = list(self._until_closed())
        for token, target in itertools.pairwise(tokens):
            if token.imports and token.starts_line and self._expand(target.text) == name:
                raise _snippet_limit(self.last, hint=f"snippet {name} imports itself")
        self._snippets[name] = tokens

    def follow_import(self) -> None:
        """Take `import NAME`, and put what it names in its place."""
        word = self._take()
        target = self.peek()
        if target is None or target.starts_line or target.opens:
            raise wording.error(word, wording.wrong_count(word))
        target = self.take()
        if not target.text:
            raise wording.error(target, "Import requires a non-empty filepath")
        extra = self.peek()
        if extra is not None and not (extra.starts_line or extra.closes):
            raise wording.error(extra, "Import takes only one argument (glob pattern or file)")
        tokens = self._imported(target)
        self._imported_words += len(tokens)
        if self._imported_words > MAX_WORDS:
            hint = "do snippets or files import one another?"
            raise wording.error(target, f"imports bring in more than {MAX_WORDS} words", hint=hint)
        if tokens:
            tokens = [dataclasses.replace(tokens[0], starts_line=True), *tokens[1:]]
        self._tokens.extendleft(reversed(tokens))

    def _take(self) -> lexer.Token:
        self.last = self._tokens.popleft()
        return self.last

    def _expand(self, text: str) -> str:
        for pattern in _VARIABLES:
            text = pattern.sub(lambda match: self._environment.get(match[1], ""), text)
        return text

    def _until_closed(self) -> Iterator[lexer.Token]:
        depth = 1
        while self._tokens:
            token = self._take()
            depth += token.opens - token.closes
            if not depth:
                return
            yield token
        raise wording.syntax_error(self.last, "'}'", hint="a snippet is not closed")

    def _imported(self, target: lexer.Token) -> list[lexer.Token]:
        if target.text in self._snippets:
            self._snippet_imports += 1
            if self._snippet_imports > MAX_IMPORTS:
                raise _snippet_limit(target, hint="do snippets import one another?")
            return self._snippets[target.text]
        self._file_imports += 1
        if self._file_imports > MAX_IMPORTS:
            message = f"maximum file import depth ({MAX_IMPORTS}) exceeded"
            raise wording.error(target, message, hint="does a file import itself?")
        return [token for path in self._matches(target) for token in self._read_file(path, target)]

    def _matches(self, target: lexer.Token) -> list[str]:
        """Give the files that an import names: sorted, beside the importing file when the name is relative."""
        pattern = os.path.join(os.path.dirname(os.path.abspath(target.file)), target.text)
        if _MANY_WILDCARDS.search(pattern):
            message = f"Glob pattern may only contain one wildcard (*), but has others: {pattern}"
            raise wording.error(target, message)
        if not _WILDCARD.search(pattern):
            if not os.path.exists(pattern):
                hint = wording.suggest(target.text, self._snippets) or "no snippet has this name either"
                raise wording.error(target, f"File to import not found: {target.text}", hint=hint)
            return [pattern]
        found = sorted(glob.glob(pattern))
        if not found:
            logger.warning("No files matching import glob pattern: %s", target.text)
        return found

    def _read_file(self, path: str, target: lexer.Token) -> list[lexer.Token]:
        try:
            with open(path, encoding="utf-8", errors="replace", newline="") as file:
                text = file.read(MAX_OCTETS + 1)
        except IsADirectoryError:
            raise wording.error(target, f"Could not import {path}: is a directory") from None
        except OSError as error:
            raise wording.error(target, f"Could not import {path}: {error.strerror}") from error
        if len(text) > MAX_OCTETS:
            raise wording.error(target, f"Could not import {path}: it has more than {MAX_OCTETS} octets")
        return self._read(text, path)

    def _read(self, text: str, file: str) -> list[lexer.Token]:
        self.digest.update(f"{file}\0{len(text)}\0{text}".encode(errors="replace"))
        if file not in self.files:
            self.files.append(file)
        return lexer.read_tokens(text, file)


def _snippet_limit(token: lexer.Token, *, hint: str) -> errors.ConfigError:
    return wording.error(token, f"maximum snippet import depth ({MAX_IMPORTS}) exceeded", hint=hint)
