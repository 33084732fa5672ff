"""multisocket: how many sockets each address has; here each worker has one of its own, whatever the number."""

from fastdns.config import corefile, filters, values

MAX_SOCKETS = 1024


def parse(directive: corefile.Directive, scope: corefile.Scope) -> filters.Multisocket:
    """Read `multisocket [NUMBER]`."""
    values.no_block(directive)
    if not directive.args:
        return filters.Multisocket()
    token = values.one_argument(directive)
    if not values.is_integer(token.text):
        message = f"invalid num sockets: strconv.Atoi: parsing {values.quote(token.text)}: invalid syntax"
        raise directive.error(message, at=token)
    sockets = values.integer(directive, token)
    if sockets < 1:
        raise directive.error(f"num sockets can not be zero or negative: {sockets}", at=token)
    if sockets > MAX_SOCKETS:
        raise directive.error(f"num sockets exceeds maximum ({MAX_SOCKETS}): {sockets}", at=token)
    return filters.Multisocket(sockets)
