"""cancel: bounds the time that a query may take in the plugins after it."""

from fastdns.config import corefile, model, values


def parse(directive: corefile.Directive, scope: corefile.Scope) -> model.Cancel:
    """Read `cancel [TIMEOUT]`."""
    values.no_block(directive)
    if not directive.args:
        return model.Cancel()
    token = values.one_argument(directive)
    try:
        timeout = values.parse_duration(token.text)
    except ValueError as error:
        raise directive.error(f"invalid duration: {values.quote(token.text)}", at=token, hint=str(error)) from None
    if timeout <= 0:
        raise directive.error(f"invalid negative duration: {values.quote(token.text)}", at=token)
    return model.Cancel(timeout)
