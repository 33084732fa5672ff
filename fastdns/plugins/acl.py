"""acl: who may ask for what; the others are refused, get nothing, or no answer at all."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from fastdns.config import corefile, filters, lexer, model, values, wording
from fastdns.dns import constants

ACTIONS = ("allow", "block", "filter", "drop")
SECTIONS = ("type", "net")


def parse(directive: corefile.Directive, scope: corefile.Scope) -> filters.Acl:
    """Read `acl [ZONES...] { allow|block|filter|drop [type TYPES...] [net NETWORKS...] }`."""
    zones = values.zones(directive, directive.args) or scope.zones
    return filters.Acl((filters.AclRule(zones, tuple(map(_policy, directive.block))),))


def merge(parts: Sequence[model.Plugin]) -> filters.Acl:
    """Put the rules of all lines into one plugin, in their order."""
    return filters.Acl(tuple(rule for part in parts if isinstance(part, filters.Acl) for rule in part.rules))


def _policy(option: corefile.Directive) -> filters.AclPolicy:
    action = option.word.lower()
    if action not in ACTIONS:
        message = f"unexpected token {values.quote(option.word)}; expect 'allow', 'block', 'filter' or 'drop'"
        raise option.error(message, hint=wording.suggest(action, ACTIONS))
    found: dict[str, list[lexer.Token]] = {}
    section: list[lexer.Token] | None = None
    for token in option.args:
        if token.text.lower() in SECTIONS:
            _check_filled(option, found, section)
            section = found.setdefault(token.text.lower(), [])
            section.append(token)
        elif section is None:
            raise option.error(f"unexpected token {values.quote(token.text)}; expect 'type | net'", at=token)
        else:
            section.append(token)
    _check_filled(option, found, section)
    types = [one for one in found.get("type", []) if one.text.lower() != "type"]
    networks = [one for one in found.get("net", []) if one.text.lower() != "net"]
    return filters.AclPolicy(action, _types(option, types), _networks(option, networks))


def _check_filled(
    option: corefile.Directive, found: dict[str, list[lexer.Token]], section: list[lexer.Token] | None
) -> None:
    if section is not None and section[-1].text.lower() in SECTIONS:
        name = next(name for name, tokens in found.items() if tokens is section)
        raise option.error(f"no token specified in {values.quote(name)} section", at=section[-1])


def _types(option: corefile.Directive, tokens: Sequence[lexer.Token]) -> tuple[int, ...]:
    if any(token.text == "*" for token in tokens):
        return ()
    for token in tokens:
        if token.text not in constants.Type.__members__:
            hint = wording.suggest(token.text, constants.Type.__members__)
            raise option.error(f"unexpected token {values.quote(token.text)}; expect legal QTYPE", at=token, hint=hint)
    return tuple(int(constants.Type[token.text]) for token in tokens)


def _networks(option: corefile.Directive, tokens: Sequence[lexer.Token]) -> tuple[str, ...]:
    """Networks in CIDR notation; an address alone is one of its own."""
    if any(token.text == "*" for token in tokens):
        return ()
    networks = []
    for token in tokens:
        try:
            networks.append(str(ipaddress.ip_network(token.text, strict=False)))
        except ValueError:
            length = "" if "/" in token.text else "/128" if ":" in token.text else "/32"
            message = f"illegal CIDR notation {values.quote(token.text + length)}"
            raise option.error(message, at=token) from None
    return tuple(networks)
