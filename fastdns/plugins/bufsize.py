"""bufsize: limits the size of UDP answers, whatever size a client says it takes."""

from fastdns.config import corefile, model, values

MIN_SIZE = 512
MAX_SIZE = 4096


def parse(directive: corefile.Directive, scope: corefile.Scope) -> model.Bufsize:
    """Read `bufsize [SIZE]`."""
    values.no_block(directive)
    if not directive.args:
        return model.Bufsize()
    token = values.one_argument(directive)
    size = values.integer(directive, token) if values.is_integer(token.text) else 0
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise directive.argument_error(hint=f"the size is a number from {MIN_SIZE} to {MAX_SIZE}")
    return model.Bufsize(size)
