"""Command lines as Go programs take them: those of package `flag` (GO) and those of pflag (PFLAG).

    flags = goflags.Flags("sidecar", style=goflags.PFLAG)
    flags.add("prometheus-port", goflags.INT, 10054, "port of the metrics page")
    flags.add_version("Kube-DNS")
    flags.add_klog()
    options = flags.parse(arguments)      # options.prometheus_port, options.v, options.rest

What a flag gave is an attribute with its name, `-` and `.` written as `_`; `rest` holds what is no flag. A mistake is
told with the words of the Go package, beside the usage on stderr, and ends the program with SystemExit(2); help and
version end it with SystemExit(0). argparse converts and keeps the values; how words are cut is Go's alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import enum
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

import fastdns
from fastdns.config import values

USAGE_ERROR = 2
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")
_INTEGER = re.compile(r"[+-]?(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)")
_QUOTED = re.compile(r"`([^`]*)`")


class Malformed(ValueError):
    """What Go's strconv and time say of a text; package `flag` shows the short words, pflag the long ones."""

    def __init__(self, words: str, *, short: str = "parse error") -> None:
        super().__init__(words)
        self.short = short


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value: `read` raises ValueError with what is wrong, `show` writes a value as Go does.

    `word` stands behind the flag in the usage; `given` is the value of a flag without one ("" if it needs one).
    """

    word: str
    read: Callable[[str], object]
    show: Callable[[object], str] = str
    given: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Flag:
    name: str
    kind: Kind
    default: object
    help: str
    is_repeated: bool


class Style(enum.Enum):
    """The Go package whose rules hold: `-x`, `--x` and no flag behind other words, or `--x`, `-v2` and flags anywhere."""

    GO = "flag"
    PFLAG = "pflag"


GO, PFLAG = Style.GO, Style.PFLAG


class Flags:
    """The flags of one program."""

    def __init__(self, program: str, *, style: Style, about: str = "") -> None:
        """`about` stands in the usage before the flags."""
        self.program = program
        self._about = f"\n{about}\n\n" if about else ""
        self._is_pflag = style is PFLAG
        self._flags: dict[str, Flag] = {}
        self._parser = argparse.ArgumentParser(prog=program, add_help=False, allow_abbrev=False, exit_on_error=False)
        self._version = ""

    def add(self, name: str, kind: Kind, default: object, help: str, *, is_repeated: bool = False) -> None:
        """Add a flag; one that `is_repeated` gives a list. A word of `help` in back quotes stands for its value.

        A `default` that is a text is read as one that was given.
        """
        name = self._normalize(name)
        flag = Flag(name, kind, default, help, is_repeated)
        self._flags[name] = flag
        self._parser.add_argument(
            f"--{name}",
            dest=attribute(name),
            action="append" if is_repeated else "store",
            type=self._converter(flag),
            default=default,
        )

    def add_version(self, program: str) -> None:
        """Add `--version[=true|raw]`, which prints `program VERSION`, or the version alone in quotes, and ends."""
        self._version = program
        self.add("version", VERSION, "false", "Print version information and quit")

    def add_klog(self) -> None:
        """Add the flags of klog. `v` is used (klog.start); the others are taken, since what is logged goes to stderr."""
        for name, kind, default, help in _KLOG:
            self.add(name, kind, default, help)

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Read a command line without the program's name; the first mistake ends the program."""
        rest: list[str] = []
        options = self._parser.parse_args([])
        for name, text in self._cut(list(arguments), rest):
            try:
                self._parser.parse_args([f"--{name}={text}"], options)
            except argparse.ArgumentError as error:
                self.fail(error.message)
        options.rest = rest
        if self._version and options.version != "false":
            is_raw = options.version == "raw"
            print(values.quote(fastdns.__version__) if is_raw else f"{self._version} {fastdns.__version__}")
            sys.exit(0)
        return options

    def show(self, options: argparse.Namespace) -> Iterator[tuple[str, str]]:
        """Give each flag's name and its value as Go writes it, by name: for logging them at start."""
        for name, flag in sorted(self._flags.items()):
            value = getattr(options, attribute(name))
            many = value if isinstance(value, list) else [value]
            yield name, ",".join(flag.kind.show(one) for one in many)

    def fail(self, message: str) -> NoReturn:
        """Say what is wrong with the command line, and the usage, and end the program with USAGE_ERROR."""
        print(f"{message}\n{self.usage()}", file=sys.stderr, end="")
        sys.exit(USAGE_ERROR)

    def usage(self) -> str:
        """Write the usage as the Go package does."""
        flags = [flag for _name, flag in sorted(self._flags.items())]
        write = _write_pflag_usage if self._is_pflag else _write_go_usage
        return f"Usage of {self.program}:\n{self._about}{write(flags)}"

    def _normalize(self, name: str) -> str:
        return name.replace("_", "-") if self._is_pflag else name

    def _cut(self, words: list[str], rest: list[str]) -> Iterator[tuple[str, str]]:
        """Cut `words` into names and values; what is no flag goes to `rest`."""
        while words:
            word = words.pop(0)
            if word == "--" or len(word) < 2 or word[0] != "-":
                if word != "--":
                    rest.append(word)
                if word == "--" or not self._is_pflag:  # pflag takes flags behind other words
                    break
            elif self._is_pflag and word[1] != "-":
                yield from self._cut_shorthands(word, words)
            else:
                yield self._cut_flag(word, words)
        rest += words

    def _cut_flag(self, word: str, words: list[str]) -> tuple[str, str]:
        body = word[2:] if word.startswith("--") else word[1:]
        if body[:1] in ("", "-", "="):
            self.fail(f"bad flag syntax: {word}")
        given, equals, text = body.partition("=")
        name = self._normalize(given)
        flag = self._flags.get(name)
        if flag is None:
            self._help_or_fail(given)
        if equals:
            return name, text
        if flag.kind.given:
            return name, flag.kind.given
        if not words:
            self.fail(f"flag needs an argument: {'--' if self._is_pflag else '-'}{given}")
        return name, words.pop(0)

    def _cut_shorthands(self, word: str, words: list[str]) -> Iterator[tuple[str, str]]:
        letters = word[1:]
        while letters:
            letter, rest = letters[0], letters[1:]
            flag = self._flags.get(letter)
            if flag is None:
                if letter == "h":
                    self._help()
                self.fail(f"unknown shorthand flag: '{letter}' in -{letters}")
            if len(rest) > 1 and rest[0] == "=":
                text, rest = rest[1:], ""
            elif flag.kind.given:
                text = flag.kind.given
            elif rest:
                text, rest = rest, ""
            elif words:
                text = words.pop(0)
            else:
                self.fail(f"flag needs an argument: '{letter}' in -{letters}")
            yield letter, text
            letters = rest

    def _help_or_fail(self, name: str) -> NoReturn:
        if name == "help" or (name == "h" and not self._is_pflag):
            self._help()
        wrong = "unknown flag: --" if self._is_pflag else "flag provided but not defined: -"
        self.fail(wrong + name)

    def _help(self) -> NoReturn:
        print(self.usage(), file=sys.stderr, end="")
        sys.exit(0)

    def _converter(self, flag: Flag) -> Callable[[str], object]:
        """Make the function that argparse calls: its mistakes are told in the style's words."""

        def convert(text: str) -> object:
            try:
                return flag.kind.read(text)
            except ValueError as error:
                raise argparse.ArgumentTypeError(self._describe(flag, text, error)) from None

        return convert

    def _describe(self, flag: Flag, text: str, error: ValueError) -> str:
        quoted = values.quote(text)
        if self._is_pflag:
            shown = f"-{flag.name}, --{flag.name}" if len(flag.name) == 1 else f"--{flag.name}"
            return f'invalid argument {quoted} for "{shown}" flag: {error}'
        words = error.short if isinstance(error, Malformed) else str(error)
        if flag.kind.given:
            return f"invalid boolean value {quoted} for -{flag.name}: {words}"
        return f"invalid value {quoted} for flag -{flag.name}: {words}"


def attribute(name: str) -> str:
    """Give the name of the attribute that holds a flag's value."""
    return name.replace("-", "_").replace(".", "_")


def read_bool(text: str) -> bool:
    if text not in _TRUE and text not in _FALSE:
        raise Malformed(f"strconv.ParseBool: parsing {values.quote(text)}: invalid syntax")
    return text in _TRUE


def integer_reader(function: str, lowest: int, highest: int) -> Callable[[str], int]:
    """Make the reader of whole numbers that Go's strconv.`function` is, `0x` and `0o` included."""

    def read(text: str) -> int:
        plain = text.replace("_", "") if text[:1] == "0" or text[1:2] == "0" else text
        if not _INTEGER.fullmatch(plain) or (lowest == 0 and text[0] in "+-"):
            raise Malformed(f"strconv.{function}: parsing {values.quote(text)}: invalid syntax")
        number = int(re.sub(r"^([+-]?)0(?=[0-7])", r"\g<1>0o", plain), 0)
        if not lowest <= number <= highest:
            words = "value out of range"
            raise Malformed(f"strconv.{function}: parsing {values.quote(text)}: {words}", short=words)
        return number

    return read


def read_level(text: str) -> int:
    """Read klog's verbosity, for which package `flag` has the long words too."""
    try:
        return integer_reader("ParseInt", -(2**31), 2**31 - 1)(text)
    except Malformed as error:
        raise ValueError(str(error)) from None


def read_duration(text: str) -> float:
    try:
        return values.parse_duration(text)
    except ValueError as error:
        raise Malformed(str(error)) from None


def read_version(text: str) -> str:
    return text if text == "raw" else str(read_bool(text)).lower()


def show_bool(value: object) -> str:
    return "true" if value else "false"


def show_duration(value: object) -> str:
    assert isinstance(value, int | float)
    return values.format_duration(value)


TEXT = Kind("string", str)
BOOL = Kind("", read_bool, show_bool, given="true")
INT = Kind("int", integer_reader("ParseInt", -(2**63), 2**63 - 1))
UINT = Kind("uint", integer_reader("ParseUint", 0, 2**64 - 1))
DURATION = Kind("duration", read_duration, show_duration)  # seconds
LEVEL = Kind("Level", read_level)
VERSION = Kind("version", read_version, given="true")

_KLOG: tuple[tuple[str, Kind, object, str], ...] = (
    ("v", LEVEL, 0, "number for the log level verbosity"),
    ("logtostderr", BOOL, True, "log to standard error (always so)"),
    ("alsologtostderr", BOOL, False, "no effect: everything goes to standard error"),
    ("stderrthreshold", TEXT, "INFO", "no effect: everything goes to standard error"),
    ("log_dir", TEXT, "", "no effect: no log files are written"),
    ("log_file", TEXT, "", "no effect: no log files are written"),
    ("log_file_max_size", UINT, 1800, "no effect: no log files are written"),
    ("log_backtrace_at", TEXT, "", "no effect: no stack traces are logged"),
    ("log_flush_frequency", DURATION, 5.0, "no effect: every line is written at once"),
    ("vmodule", TEXT, "", "no effect: -v holds for all files"),
    ("add_dir_header", BOOL, False, "no effect: the header has the file's name alone"),
    ("skip_headers", BOOL, False, "no effect: lines have their header"),
    ("skip_log_headers", BOOL, False, "no effect: no log files are written"),
    ("one_output", BOOL, False, "no effect: no log files are written"),
)


def _unquote(flag: Flag) -> tuple[str, str]:
    """Give the word for a flag's value and its help: the part in back quotes, if any, is the word."""
    quoted = _QUOTED.search(flag.help)
    word = quoted[1] if quoted else flag.kind.word
    return word, _QUOTED.sub(r"\1", flag.help, count=1)


def _write_default(flag: Flag) -> str:
    if flag.default in ("", 0, False, None, []) or flag.kind is VERSION:
        return ""
    shown = flag.kind.show(flag.default)
    return f" (default {values.quote(shown) if flag.kind is TEXT else shown})"


def _write_go_usage(flags: Sequence[Flag]) -> str:
    lines = []
    for flag in flags:
        word, help = _unquote(flag)
        head = f"  -{flag.name} {word}".rstrip()
        gap = "\t" if len(head) <= 4 else "\n    \t"
        lines.append(f"{head}{gap}{help}{_write_default(flag)}\n")
    return "".join(lines)


def _write_pflag_usage(flags: Sequence[Flag]) -> str:
    rows = []
    for flag in flags:
        word, help = _unquote(flag)
        head = f"  -{flag.name}, --{flag.name}" if len(flag.name) == 1 else f"      --{flag.name}"
        rest = f"[={flag.kind.given}]" if flag.kind is VERSION else ""
        rows.append((f"{head} {word}".rstrip() + rest, help + _write_default(flag)))
    width = max(len(head) for head, _help in rows)
    return "".join(f"{head:<{width}}   {help}\n" for head, help in rows)
