"""local: localhost, 127.0.0.0/8 and what else of this machine nobody needs to be asked for (RFC 6761 section 6.3)."""

from __future__ import annotations

from fastdns.config import corefile, filters, values

OPTIONS = ("localhost_prefix",)


def parse(directive: corefile.Directive, scope: corefile.Scope) -> filters.Local:
    """Read `local { localhost_prefix on|off }`."""
    values.no_arguments(directive)
    prefix = True
    for option in directive.block:
        if option.word not in OPTIONS:
            raise values.unknown_property(option, OPTIONS)
        token = values.one_argument(option)
        if token.text not in ("on", "off"):
            raise option.error(f"localhost_prefix expects 'on' or 'off', got {values.quote(token.text)}", at=token)
        prefix = token.text == "on"
    return filters.Local(prefix)
