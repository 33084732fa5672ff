"""The values that words have: numbers, durations, zones, addresses. Readers take the Directive for their errors.

An error is worded as by CoreDNS, which for numbers and durations is as Go's library does; a hint in words follows it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from fastdns import errors
from fastdns.config import corefile, lexer, wording
from fastdns.dns import names, reverse

MAX_PORT = 65535

# What CoreDNS serves; where only a zone is wanted it passes over the scheme.
SCHEMES = ("dns", "tls", "https", "https3", "grpc", "quic", "unix")

_NETWORK = re.compile(r"[0-9A-Fa-f.:]+/[0-9]+")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_PORT = re.compile(r"[0-9]{1,5}")
_MANY_DIGITS = 100  # Python refuses to read thousands; so many are out of every range, too
_FLOAT = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_DURATION_PART = re.compile(r"([0-9]*)(\.[0-9]*)?([^0-9.]*)")
_UNITS = {"ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_SECOND = 10**9


def one_argument(option: corefile.Directive) -> lexer.Token:
    """Give the only argument of `option`. Raises ConfigError when there is none, or more."""
    if len(option.args) != 1:
        raise option.argument_error()
    return option.args[0]


def no_arguments(option: corefile.Directive) -> None:
    """Raise ConfigError when `option` has an argument."""
    if option.args:
        raise option.argument_error()


def no_block(directive: corefile.Directive) -> None:
    """Raise ConfigError when `directive` has lines in braces."""
    if directive.block:
        raise directive.error("Unexpected token '{', expecting argument", hint=f"'{directive.word}' takes no block")


def unknown_property(option: corefile.Directive, known: Sequence[str], *, hint: str = "") -> errors.ConfigError:
    """Make the error for a word that a plugin doesn't know; CoreDNS's words for most of its plugins."""
    return option.error(f"unknown property '{option.word}'", hint=hint or wording.suggest(option.word, known))


def planned_option(option: corefile.Directive) -> errors.ConfigError:
    """Make the error for an option of CoreDNS that is not served yet."""
    hint = f"CoreDNS has this option of '{option.plugin}', fastdns does not have it yet"
    return option.error(f"unknown property '{option.word}'", hint=hint)


def integer(option: corefile.Directive, token: lexer.Token, *, function: str = "strconv.Atoi") -> int:
    """Read a whole number; `function` is the name that CoreDNS's error begins with."""
    signed = function == "strconv.Atoi"
    lowest, highest = (-(2**63), 2**63 - 1) if signed else (0, 2**32 - 1)
    if not is_integer(token.text) or (not signed and token.text[0] in "+-"):
        message = f"{function}: parsing {quote(token.text)}: invalid syntax"
        raise option.error(message, at=token, hint="a whole number is expected")
    number = int(token.text[:_MANY_DIGITS])
    if not lowest <= number <= highest:
        raise option.error(f"{function}: parsing {quote(token.text)}: value out of range", at=token)
    return number


def is_integer(text: str) -> bool:
    """Tell whether `text` is a whole number, with or without a sign."""
    return _INTEGER.fullmatch(text) is not None


def port_number(text: str) -> int | None:
    """Read a port, 0 included; None when `text` is none."""
    number = int(text) if _PORT.fullmatch(text) else MAX_PORT + 1
    return number if number <= MAX_PORT else None


def decimal(text: str) -> float | None:
    """Read a number with or without a fraction; None when `text` is no number."""
    return float(text) if _FLOAT.fullmatch(text) else None


def duration(option: corefile.Directive, token: lexer.Token) -> float:
    """Read a duration as Go writes them (`30s`, `1m30s`, `1.5h`), in seconds. Raises ConfigError with Go's words."""
    try:
        return parse_duration(token.text)
    except ValueError as error:
        raise option.error(str(error), at=token, hint="write it as 500ms, 5s or 1m30s") from None


def parse_duration(text: str) -> float:
    """Read a duration in seconds. Raises ValueError with the words of Go's time.ParseDuration."""
    body = text[1:] if text[:1] in ("-", "+") else text
    if body == "0":
        return 0.0
    if not body:
        raise ValueError(f"time: invalid duration {quote(text)}")
    total = 0.0
    position = 0
    while position < len(body):
        match = _DURATION_PART.match(body, position)
        assert match is not None  # every part of the pattern may be empty
        total += _duration_part(match, text)
        position = match.end()
    if total > 2**63 - 1:
        raise ValueError(f"time: invalid duration {quote(text)}")
    return (-total if text[0] == "-" else total) / _SECOND


def format_duration(seconds: float) -> str:
    """Write a duration as Go does: `1m0s`, `1.5s`, `500ms`."""
    nanoseconds = round(abs(seconds) * _SECOND)
    sign = "-" if seconds < 0 else ""
    if nanoseconds == 0:
        return "0s"
    if nanoseconds < _SECOND:
        name = next(name for name in ("ms", "µs", "ns") if nanoseconds >= _UNITS[name])
        return f"{sign}{_trim(nanoseconds / _UNITS[name])}{name}"
    minutes, rest = divmod(nanoseconds, 60 * _SECOND)
    hours, minutes = divmod(minutes, 60)
    prefix = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{sign}{prefix}{_trim(rest / _SECOND)}s"


def zones(option: corefile.Directive, tokens: Sequence[lexer.Token]) -> tuple[str, ...]:
    """Read names and CIDRs as zones, canonical; a CIDR off a label boundary gives several.

    CoreDNS passes over a word that is no name; here it is a ConfigError, since what it meant to say would be lost.
    """
    return tuple(zone for token in tokens for zone in _zones(option, token))


def split_zone(text: str) -> tuple[tuple[str, ...], int | None]:
    """Read `ZONE[:PORT]`: the zones, canonical, and the port if any. Raises ValueError with CoreDNS's words."""
    if is_address(text) and ":" in text:
        raise ValueError(f"zone is not a valid domain name: {text}; a network is written with its length, as fd00::/64")
    zone, colon, last = text.rpartition(":")
    if colon and not last:
        raise ValueError(f"expecting data after last colon: {quote(text)}")
    port = int(last[:_MANY_DIGITS]) if colon and is_integer(last) else None
    if port is None:
        zone = text
    if len(zone) > names.MAX_NAME:
        raise ValueError(f"specified zone is too long: {len(zone)} > {names.MAX_NAME}")
    if not names.is_name(zone):
        raise ValueError(f"zone is not a valid domain name: {zone}")
    return _reverse_zones(zone) or (names.canonical(zone),), port


def host_and_port(option: corefile.Directive, token: lexer.Token) -> tuple[str, int]:
    """Read `[HOST]:PORT`, the address of a page. Raises ConfigError with the words of Go's net.SplitHostPort."""
    try:
        host, port = split_host_port(token.text)
    except ValueError as error:
        raise option.error(str(error), at=token, hint="write it as :8080 or 127.0.0.1:8080") from None
    number = port_number(port)
    if number is None:
        raise option.error(f"address {port}: invalid port", at=token)
    return host, number


def split_host_port(text: str) -> tuple[str, str]:
    """Split `HOST:PORT` or `[HOST]:PORT`. Raises ValueError with the words of Go's net.SplitHostPort."""
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError(f"address {text}: missing port in address")
    if text.startswith("["):
        end = text.find("]")
        if end < 0:
            raise ValueError(f"address {text}: missing ']' in address")
        if end + 1 == len(text):
            raise ValueError(f"address {text}: missing port in address")
        if end != len(host) - 1:
            raise ValueError(f"address {text}: too many colons in address")
        return host[1:-1], port
    if ":" in host:
        raise ValueError(f"address {text}: too many colons in address")
    for bracket in "[]":
        if bracket in text:
            raise ValueError(f"address {text}: unexpected '{bracket}' in address")
    return host, port


def is_address(text: str) -> bool:
    """Tell whether `text` is an IP address, without a zone."""
    if "%" in text:
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def quote(text: str) -> str:
    """Write `text` in double quotes, as Go's %q does for what Corefiles hold."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def _zones(option: corefile.Directive, token: lexer.Token) -> tuple[str, ...]:
    scheme, separator, rest = token.text.partition("://")
    try:
        return split_zone(rest if separator and scheme in SCHEMES else token.text)[0]
    except ValueError as error:
        raise option.error(str(error), at=token) from None


def _duration_part(match: re.Match[str], text: str) -> float:
    whole, fraction, unit = match[1], match[2] or "", match[3]
    if not whole and fraction in ("", "."):
        raise ValueError(f"time: invalid duration {quote(text)}")
    if not unit:
        raise ValueError(f"time: missing unit in duration {quote(text)}")
    if unit not in _UNITS:
        raise ValueError(f"time: unknown unit {quote(unit)} in duration {quote(text)}")
    return float(f"{whole or 0}{fraction}") * _UNITS[unit]


def _trim(number: float) -> str:
    return f"{number:.9f}".rstrip("0").rstrip(".")


def _reverse_zones(text: str) -> tuple[str, ...]:
    """Give the reverse zones of a CIDR, nothing for another name. Raises ValueError for what only looks like a CIDR."""
    if not _NETWORK.fullmatch(text):
        return ()
    # CoreDNS refuses the first two, for which Go's and its own idea of the network differ.
    if text.startswith(":") or (text.startswith("0") and ":" in text):
        raise ValueError(f"invalid CIDR {text}")
    try:
        return reverse.reverse_zones(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise ValueError(f"invalid CIDR {text}") from None
