"""chaos: who this server is, in class CHAOS."""

from fastdns.config import corefile, filters, values

MAX_TEXT = 255


def parse(directive: corefile.Directive, scope: corefile.Scope) -> filters.Chaos:
    """Read `chaos [VERSION] [AUTHORS...]`."""
    for option in directive.block:
        raise values.unknown_property(option, ())
    words = [word.encode()[:MAX_TEXT].decode(errors="ignore") for word in directive.words]
    return filters.Chaos(words[0] if words else "", tuple(sorted(set(words[1:]))))
