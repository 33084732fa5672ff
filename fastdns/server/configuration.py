"""A Corefile on disk in, the configuration of every process out; and its description for people."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import sys
from collections.abc import Iterable, Iterator

from fastdns import errors
from fastdns.config import corefile, lexer, model, values, wording
from fastdns.plugins import order

logger = logging.getLogger(__name__)

DEFAULT_FILE = "Corefile"
DEFAULT_PORT = 53
STDIN = "stdin"

SCHEMES = ("dns",)
PLANNED_SCHEMES = ("tls", "https", "https3", "grpc", "quic")


def load(path: str = "", *, port: int = DEFAULT_PORT) -> model.Config:
    """Read the Corefile at `path`; keys without a port get `port`. Raises ConfigError, OSError for an unreadable file.

    "stdin" is the standard input. Without a path it is ./Corefile, which needn't be there.
    """
    file, text = _read(path)
    return parse(text, file=file, port=port)


def parse(text: str, *, file: str = DEFAULT_FILE, port: int = DEFAULT_PORT) -> model.Config:
    """Read the Corefile `text`; `file` is its name in errors and where relative imports begin.

    Without any server block one is served that tells everybody who they are (whoami), as CoreDNS does.
    """
    parsed = corefile.parse(text, file=file, words=order.WORDS)
    if not parsed.blocks:
        logger.warning("%s has no server block: every query is answered by whoami", file)
        default = corefile.parse(f".:{port} {{\nwhoami\nlog\n}}\n", file=file, words=order.WORDS)
        parsed = dataclasses.replace(parsed, blocks=default.blocks)
    keys = [_read_keys(raw, port) for raw in parsed.blocks]
    plugins = _read_plugins(parsed.blocks, keys)
    blocks = tuple(
        block
        for raw, its_keys, its_plugins in zip(parsed.blocks, keys, plugins, strict=True)
        for block in _server_blocks(raw, its_keys, its_plugins)
    )
    for raw in parsed.blocks:
        if raw.fault is not None:
            raise raw.fault
    _check_overlap(blocks)
    return model.Config(blocks, parsed.digest, parsed.files)


def describe(config: model.Config) -> str:
    """Say what `config` serves, for people: a line for each zone with its listeners, and its plugins below."""
    lines: list[str] = []
    for block in config.blocks:
        listeners = ", ".join(_describe_listener(listener) for listener in block.listeners)
        lines.append(f"{block.zone} on {listeners} ({block.file}:{block.line})")
        words = ", ".join(
            " ".join((type(plugin).__name__.lower(), *getattr(plugin, "zones", ()))) for plugin in block.plugins
        )
        lines.append(f"    {words or 'no plugins: every query is refused'}")
    return "\n".join(lines)


@dataclasses.dataclass(frozen=True, slots=True)
class _Key:
    """One zone of a block's keys, and the word that it comes from."""

    zone: str
    port: int
    token: lexer.Token


def _read(path: str) -> tuple[str, str]:
    """Give the name of the configuration in errors, and its text."""
    if path == STDIN:
        return "/dev/stdin", _stdin()
    if not path and not os.path.exists(DEFAULT_FILE):
        return DEFAULT_FILE, ""
    name = path or DEFAULT_FILE
    with open(name, encoding="utf-8", errors="replace", newline="") as file:
        return name, file.read()


@functools.cache
def _stdin() -> str:
    """Read the standard input, once: a reload finds the same text."""
    return sys.stdin.read()


def _read_keys(raw: corefile.RawBlock, port: int) -> tuple[_Key, ...]:
    return tuple(key for token in raw.keys for key in _read_key(token, port))


def _read_key(token: lexer.Token, default_port: int) -> Iterator[_Key]:
    """Read `[SCHEME://]ZONE[:PORT]`; a CIDR off a label boundary gives several zones."""
    scheme, separator, rest = token.text.partition("://")
    if separator and scheme not in SCHEMES:
        raise _scheme_error(token, scheme)
    try:
        zones, port = values.split_zone(rest if separator else token.text)
    except ValueError as error:
        raise wording.error(token, str(error)) from None
    if port is not None and not 0 <= port <= values.MAX_PORT:
        raise wording.error(token, f"address {port}: invalid port")
    for zone in zones:
        yield _Key(zone, default_port if port is None else port, token)


def _scheme_error(token: lexer.Token, scheme: str) -> errors.ConfigError:
    hint = wording.suggest(scheme, (*SCHEMES, *PLANNED_SCHEMES))
    if scheme in PLANNED_SCHEMES:
        hint = f"CoreDNS serves {scheme}://, fastdns does not yet"
    return wording.error(token, f"unsupported scheme '{scheme}://' in '{token.text}'", hint=hint)


def _read_plugins(
    blocks: Iterable[corefile.RawBlock], keys: Iterable[tuple[_Key, ...]]
) -> list[tuple[model.Plugin, ...]]:
    """Read the plugins of all blocks. Plugin by plugin, as CoreDNS does, so that the first error is the same one."""
    pairs = list(zip(blocks, keys, strict=True))
    plugins: list[tuple[model.Plugin, ...]] = [() for _ in pairs]
    for word in order.ORDER:
        for index, (raw, its_keys) in enumerate(pairs):
            directives = [directive for directive in raw.directives if directive.word == word]
            if directives:
                scope = corefile.Scope(tuple(key.zone for key in its_keys))
                plugins[index] += order.parse(word, directives, scope)
    return plugins


def _server_blocks(
    raw: corefile.RawBlock, keys: Iterable[_Key], plugins: tuple[model.Plugin, ...]
) -> Iterator[model.ServerBlock]:
    addresses = next((plugin.addresses for plugin in plugins if isinstance(plugin, model.Bind)), ("",))
    for key in keys:
        listeners = tuple(model.Listener(address, key.port) for address in addresses)
        yield model.ServerBlock(key.zone, listeners, plugins, key.token.file, key.token.line)


def _check_overlap(blocks: Iterable[model.ServerBlock]) -> None:
    """Raise ConfigError for a zone that is served twice on one address and port; no address stands for every one."""
    seen: dict[tuple[str, int], dict[str, model.ServerBlock]] = {}
    for block in blocks:
        for listener in block.listeners:
            others = seen.setdefault((block.zone, listener.port), {})
            what = _spell(block.zone, listener)
            if listener.address in others:
                other = others[listener.address]
                message = f"cannot serve {what} - it is already defined; first at {other.file}:{other.line}"
                raise errors.ConfigError(block.file, block.line, message)
            clash = _clash(listener.address, others)
            if clash is not None:
                other = others[clash]
                spelt = _spell(block.zone, dataclasses.replace(listener, address=clash))
                message = (
                    f"cannot serve {what} - zone overlap listener capacity with {spelt}; at {other.file}:{other.line}"
                )
                raise errors.ConfigError(block.file, block.line, message)
            others[listener.address] = block


def _clash(address: str, others: Iterable[str]) -> str | None:
    if not address:
        return next(iter(others), None)
    return "" if "" in others else None


def _spell(zone: str, listener: model.Listener) -> str:
    """Write a zone and where it is served as CoreDNS does: `dns://.:53 on 127.0.0.1`."""
    text = f"{listener.scheme}://{zone}:{listener.port}"
    return f"{text} on {listener.address}" if listener.address else text


def _describe_listener(listener: model.Listener) -> str:
    address = f"[{listener.address}]" if ":" in listener.address else listener.address
    return f"{listener.scheme}://{address}:{listener.port}"
