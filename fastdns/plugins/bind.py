"""bind: the addresses on which a server block listens, or the interfaces that have them."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Mapping, Sequence

from fastdns.config import corefile, interfaces, lexer, model, values, wording

logger = logging.getLogger(__name__)

OPTIONS = ("except",)


def parse(directive: corefile.Directive, scope: corefile.Scope) -> model.Bind:
    """Read `bind ADDRESSES|INTERFACES... { except ADDRESSES|INTERFACES... }`."""
    if not directive.args:
        raise directive.error("at least one address or interface name is expected")
    machine = interfaces.addresses()
    excluded: tuple[str, ...] = ()
    for option in directive.block:
        if option.word not in OPTIONS:
            hint = wording.suggest(option.word, OPTIONS)
            raise option.error(f"invalid option {values.quote(option.word)}", hint=hint)
        if not option.args:
            raise option.error("at least one address or interface must be given to except subdirective")
        excluded = _resolve(option, option.args, machine)
    bound = _resolve(directive, directive.args, machine)
    return model.Bind(tuple(address for address in bound if address not in excluded))


def merge(binds: Sequence[model.Plugin]) -> model.Bind:
    """Put the addresses of several `bind` lines together."""
    addresses = tuple(address for bind in binds if isinstance(bind, model.Bind) for address in bind.addresses)
    if not addresses:
        logger.warning("plugin/bind: no address is left to listen on")
    return model.Bind(addresses)


def _resolve(
    directive: corefile.Directive, tokens: Sequence[lexer.Token], machine: Mapping[str, Sequence[str]]
) -> tuple[str, ...]:
    found: list[str] = []
    for token in tokens:
        if token.text in machine:
            found += machine[token.text]
        elif values.is_address(token.text):
            found.append(str(ipaddress.ip_address(token.text)))
        else:
            hint = wording.suggest(token.text, machine) or f"this machine has {', '.join(sorted(machine))}"
            message = f"not a valid IP address or interface name: {values.quote(token.text)}"
            raise directive.error(message, at=token, hint=hint)
    return tuple(found)
