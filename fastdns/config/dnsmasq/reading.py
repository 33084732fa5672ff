"""A command line and the files that it names in, (option, value, place) in the order of reading out."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterator, Sequence

from fastdns import errors
from fastdns.config.dnsmasq import options
from fastdns.config.dnsmasq.options import Option

DEFAULT_FILE = "/etc/dnsmasq.conf"
TRY_HELP = "try --help"
SERVER_WORDS = ("server", "rev-server")  # what a servers-file may hold
DEPTH_MAX = 20  # of files that name files
BAD_FILE = 3  # exit status: EC_FILE
ESCAPES = {"\\": "\\", "t": "\t", "n": "\n", "b": "\b", "r": "\r", "e": "\033"}


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where an option stands: a line of a file, or the command line (line 0)."""

    file: str = ""
    line: int = 0

    def error(self, message: str = "") -> errors.DnsmasqError:
        """The error that dnsmasq makes of `message`, or of an option that it says nothing more about."""
        if not self.file:
            return errors.DnsmasqError(f"bad command line options: {message or TRY_HELP}")
        where = f"at line {self.line} of {self.file}"
        return errors.DnsmasqError(f"{message or 'error'} {where}", file=self.file, line=self.line)


@dataclasses.dataclass(frozen=True, slots=True)
class Given:
    name: str
    value: str  # empty: none
    place: Place
    is_dynamic: bool = False  # from the servers-file


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """All that was given. `digest` is the SHA-512 of the arguments and of every octet of the `files`."""

    given: tuple[Given, ...]
    files: tuple[str, ...]
    digest: str

    def last(self, name: str) -> Given | None:
        return next((one for one in reversed(self.given) if one.name == name), None)

    def has(self, name: str) -> bool:
        return self.last(name) is not None

    def all(self, name: str) -> list[Given]:
        return [one for one in self.given if one.name == name]


def read(arguments: Sequence[str]) -> Reading:
    """Raises errors.DnsmasqError. Without --conf-file the default one is read if it is there."""
    return _Reader().read(arguments)


class _Reader:
    def __init__(self) -> None:
        self._files: list[str] = []
        self._digest = hashlib.sha512()
        self._fixed: set[str] = set()  # single options of the command line: a file doesn't change them

    def read(self, arguments: Sequence[str]) -> Reading:
        given = list(self._command_line(arguments))
        self._digest.update("\0".join(arguments).encode(errors="surrogateescape"))
        single = [one.name for one in given if options.SERVED[one.name].is_single]
        if len(single) != len(set(single)):
            raise Place().error("illegal repeated flag")
        self._fixed = set(single)
        if any(one.name in ("help", "version") for one in given):
            return self._finish(given)
        files = [one for one in given if one.name == "conf-file"]
        if files:
            for one in files:
                given += self._follow(one, depth=0)
        elif os.path.exists(DEFAULT_FILE):
            given += self._file(DEFAULT_FILE, depth=0)
        for one in [one for one in given if one.name == "conf-dir" and not one.place.file]:
            given += self._follow(one, depth=0)
        for one in [one for one in given if one.name == "servers-file"]:
            given += self._servers_file(one.value)
        return self._finish(given)

    def _finish(self, given: list[Given]) -> Reading:
        return Reading(tuple(given), tuple(dict.fromkeys(self._files)), self._digest.hexdigest())

    # --- the command line (getopt_long(3)) ------------------------------------------------------------------------------

    def _command_line(self, arguments: Sequence[str]) -> Iterator[Given]:
        rest = list(arguments)
        while rest:
            word = rest.pop(0)
            if word == "--":
                break
            if word.startswith("--"):
                yield self._long(word[2:], rest)
            elif word.startswith("-") and len(word) > 1:
                yield from self._letters(word[1:], rest)
            else:
                rest.insert(0, word)
                break
        if rest:
            raise errors.DnsmasqError("junk found in command line")

    def _long(self, word: str, rest: list[str]) -> Given:
        name, separator, value = word.partition("=")
        option = options.find(name, abbreviated=True)
        if option is None or (separator and not option.may_take_value):
            raise Place().error()
        if option.takes_value and not separator:
            if not rest:
                raise Place().error()
            value = rest.pop(0)
        return self._checked(option, value, Place())

    def _letters(self, letters: str, rest: list[str]) -> Iterator[Given]:
        while letters:
            option = options.LETTERS.get(letters[0])
            letters = letters[1:]
            if option is None:
                raise Place().error()
            if not option.may_take_value:
                yield self._checked(option, "", Place())
                continue
            if option.takes_value and not letters:
                if not rest:
                    raise Place().error()
                letters = rest.pop(0)
            yield self._checked(option, letters, Place())
            return

    def _checked(self, option: Option, value: str, place: Place) -> Given:
        """What was given, unless it is refused here."""
        if option.name in options.REFUSED:
            raise place.error(options.REFUSED[option.name][1])
        return Given(option.name, value, place)

    # --- files ----------------------------------------------------------------------------------------------------------

    def _follow(self, one: Given, *, depth: int) -> Iterator[Given]:
        """What stands in the file or the folder that an option names."""
        if one.name == "conf-file" and one.value:
            yield from self._file(one.value, depth=depth)
        elif one.name == "conf-dir" and one.value:
            for path in list_folder(one.value):
                yield from self._file(path, depth=depth)

    def _file(self, path: str, *, depth: int) -> Iterator[Given]:
        if depth > DEPTH_MAX:
            raise errors.DnsmasqError(f"files nested too deep in {path}")
        single: set[str] = set()
        for number, line in self._lines(path):
            one = self._line(line, Place(path, number))
            if one is None:
                continue
            if options.SERVED[one.name].is_single:
                if one.name in single:
                    raise one.place.error("illegal repeated keyword")
                single.add(one.name)
                if one.name in self._fixed:
                    continue
            yield one
            yield from self._follow(one, depth=depth + 1)

    def _servers_file(self, path: str) -> Iterator[Given]:
        """A file with servers only; one that isn't there has none."""
        if not os.path.exists(path):
            return
        for number, line in self._lines(path):
            one = self._line(line, Place(path, number))
            if one is None:
                continue
            if one.name not in SERVER_WORDS:
                raise one.place.error("bad option")
            yield dataclasses.replace(one, is_dynamic=True)

    def _lines(self, path: str) -> Iterator[tuple[int, str]]:
        """Numbered lines without comments, blank ones left out. `-` is the standard input. Raises DnsmasqError."""
        try:
            with open("/dev/stdin" if path == "-" else path, "rb") as file:
                octets = file.read()
        except OSError as error:
            raise errors.DnsmasqError(f"cannot read {path}: {error.strerror}", status=BAD_FILE) from None
        self._files.append(path)
        self._digest.update(octets)
        for number, line in enumerate(octets.decode(errors="surrogateescape").splitlines(), start=1):
            text = unquote(line, Place(path, number)).strip()
            if text:
                yield number, text

    def _line(self, line: str, place: Place) -> Given | None:
        name, separator, value = (part.strip() for part in line.partition("="))
        option = options.find(name)
        if option is None:
            raise place.error("bad option")
        if option.name in ("help", "version"):
            return None
        if separator and not option.may_take_value:
            raise place.error("extraneous parameter")
        if option.takes_value and not separator:
            raise place.error("missing parameter")
        return self._checked(option, value, place)


def unquote(line: str, place: Place) -> str:
    """Take comments, quotes and escapes out of a line. What quotes hide from us stays hidden: a comma becomes MARK_COMMA.

    As dnsmasq's read_file: a comment begins at the start of the line or behind a blank; `\\` and one of `\\tnbre"` is one
    character within quotes.
    """
    out: list[str] = []
    is_quoted = False
    position = 0
    while position < len(line):
        char = line[position]
        position += 1
        if char == '"':
            is_quoted = not is_quoted
        elif is_quoted:
            if char == "\\" and line[position : position + 1] in (*ESCAPES, '"'):
                char = ESCAPES.get(line[position], '"')
                position += 1
            out.append(HIDDEN.get(char, char))
        elif char == "#" and (not out or out[-1].isspace()):
            break
        else:
            out.append(char)
    if is_quoted:
        raise place.error('missing "')
    return "".join(out)


HIDDEN = {",": "\ue000", "#": "\ue001", ":": "\ue002", ".": "\ue003"}
"""What characters that mean something become within quotes, until their value is read (`reveal`)."""


def reveal(text: str) -> str:
    """Put the characters back that quotes had hidden."""
    for plain, hidden in HIDDEN.items():
        text = text.replace(hidden, plain)
    return text


def list_folder(value: str) -> list[str]:
    """The files of `--conf-dir=FOLDER[,SUFFIX...]` in the order of their names. Raises DnsmasqError.

    A suffix is left out, `*suffix` is wanted. Files of editors (`~` at the end, `#` at both ends) and hidden ones are none.
    """
    folder, *suffixes = value.split(",")
    try:
        found = sorted(os.listdir(folder))
    except OSError as error:
        text = f"cannot access directory {folder}: {error.strerror}"
        raise errors.DnsmasqError(text, status=BAD_FILE) from None
    wanted = tuple(suffix[1:] for suffix in suffixes if suffix.startswith("*") and suffix != "*")
    unwanted = tuple(suffix for suffix in suffixes if suffix and not suffix.startswith("*"))
    kept = (
        name
        for name in found
        if not name.startswith(".")
        and not name.endswith("~")
        and not (name.startswith("#") and name.endswith("#"))
        and not (unwanted and name.endswith(unwanted))
        and (not wanted or name.endswith(wanted))
    )
    paths = (os.path.join(folder, name) for name in kept)
    return [path for path in paths if os.path.isfile(path)]
