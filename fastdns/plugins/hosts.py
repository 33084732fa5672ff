"""hosts: names and addresses from a file like /etc/hosts, and from lines in the Corefile itself."""

from __future__ import annotations

import logging
import os

from fastdns.config import corefile, model, values, wording

logger = logging.getLogger(__name__)

DEFAULT_PATH = "/etc/hosts"
OPTIONS = ("fallthrough", "fallthrough_unsupported", "no_reverse", "ttl", "reload")
MAX_TTL = 65535


def parse(directive: corefile.Directive, scope: corefile.Scope) -> model.Hosts:
    """Read `hosts [FILE [ZONES...]] { [ADDRESS NAMES...]... OPTIONS }`."""
    path = directive.args[0].text if directive.args else DEFAULT_PATH
    if directive.args:
        _check_file(directive, path)
    zones = values.zones(directive, directive.args[1:]) or scope.zones
    ttl, reload = model.Hosts(path, zones).ttl, model.Hosts(path, zones).reload
    fallthrough: tuple[str, ...] = ()
    inline: list[str] = []
    for option in directive.block:
        match option.word:
            case "fallthrough":
                fallthrough = values.zones(option, option.args) or (".",)
            case "ttl":
                ttl = _ttl(option)
            case "reload":
                reload = _reload(option)
            case "fallthrough_unsupported":
                values.no_arguments(option)
            case "no_reverse":
                pass
            case _:
                inline.append(_inline(option, after_fallthrough=bool(fallthrough)))
    words = {option.word for option in directive.block}
    if "fallthrough_unsupported" in words and not fallthrough:
        raise directive.error("fallthrough_unsupported requires fallthrough")
    return model.Hosts(
        path=path,
        zones=zones,
        inline=tuple(inline),
        ttl=ttl,
        reverse="no_reverse" not in words,
        reload=reload,
        fallthrough=model.Fallthrough(fallthrough),
        fallthrough_unsupported="fallthrough_unsupported" in words,
    )


def _check_file(directive: corefile.Directive, path: str) -> None:
    """Say what is odd about the file. It may come later, so that its absence is no error."""
    try:
        os.stat(path)
    except FileNotFoundError:
        logger.warning("plugin/hosts: File does not exist: %s", path)
    except OSError as error:
        message = f"unable to access hosts file '{path}': {error.strerror}"
        raise directive.error(message, at=directive.args[0]) from error
    if os.path.isdir(path):
        logger.warning('plugin/hosts: Hosts file "%s" is a directory', path)


def _ttl(option: corefile.Directive) -> int:
    if not option.args:
        raise option.error("ttl needs a time in second")
    token = option.args[0]
    if not values.is_integer(token.text):
        raise option.error("ttl needs a number of second", at=token)
    ttl = values.integer(option, token)
    if not 0 < ttl <= MAX_TTL:
        raise option.error("ttl provided is invalid", at=token, hint=f"it is a number from 1 to {MAX_TTL}")
    return ttl


def _reload(option: corefile.Directive) -> float:
    if len(option.args) != 1:
        raise option.error("reload needs a duration (zero seconds to disable)")
    token = option.args[0]
    try:
        reload = values.parse_duration(token.text)
    except ValueError as error:
        raise option.error(f"invalid duration for reload '{token.text}'", at=token, hint=str(error)) from None
    if reload < 0:
        raise option.error(f"invalid negative duration for reload '{token.text}'", at=token)
    return reload


def _inline(option: corefile.Directive, *, after_fallthrough: bool) -> str:
    """Take a line as one of a hosts file. As in CoreDNS none may stand after `fallthrough`."""
    if after_fallthrough:
        is_entry = values.is_address(option.word.partition("%")[0])
        hint = "write the lines of addresses before fallthrough" if is_entry else wording.suggest(option.word, OPTIONS)
        raise option.error(f"unknown property '{option.word}'", hint=hint)
    if not values.is_address(option.word.partition("%")[0]):
        hint = wording.suggest(option.word, OPTIONS) or "a line begins with an IP address or an option"
        raise option.error(f"unknown property '{option.word}'", hint=hint)
    return " ".join((option.word, *option.words))
