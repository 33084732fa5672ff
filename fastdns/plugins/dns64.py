"""dns64: IPv6 addresses made of IPv4 ones, for names that have no others (RFC 6147)."""

from __future__ import annotations

import ipaddress
import logging

from fastdns.config import corefile, filters, lexer, values

logger = logging.getLogger(__name__)

OPTIONS = ("prefix", "translate_all", "allow_ipv4")
LENGTHS = (32, 40, 48, 56, 64, 96)  # RFC 6052 section 2.2


def parse(directive: corefile.Directive, scope: corefile.Scope) -> filters.Dns64:
    """Read `dns64 [PREFIX]` or `dns64 { prefix PREFIX; translate_all; allow_ipv4 }`."""
    if directive.args:
        if directive.block:
            logger.warning(
                "plugin/dns64: the options in braces are left out, as in CoreDNS, since there is a prefix before them"
            )
        return filters.Dns64(_prefix(directive, values.one_argument(directive)))
    prefix = filters.Dns64().prefix
    for option in directive.block:
        if option.word not in OPTIONS:
            raise values.unknown_property(option, OPTIONS)
        if option.word == "prefix":
            prefix = _prefix(option, values.one_argument(option))
    words = {option.word for option in directive.block}
    return filters.Dns64(prefix, translate_all="translate_all" in words, allow_ipv4="allow_ipv4" in words)


def _prefix(option: corefile.Directive, token: lexer.Token) -> str:
    try:
        network = ipaddress.ip_network(token.text, strict=False) if "/" in token.text else None
    except ValueError:
        network = None
    if network is None:
        raise option.error(f"invalid CIDR address: {token.text}", at=token)
    if network.version != 6:
        raise option.error(f"invalid netmask 32 IPv6 address: {values.quote(str(network))}", at=token)
    if network.prefixlen not in LENGTHS:
        hint = f"it is one of {', '.join(map(str, LENGTHS))}"
        raise option.error(f"invalid prefix length {values.quote(str(network))}", at=token, hint=hint)
    return str(network)
