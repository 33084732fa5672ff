"""whoami: answers with the address and the port of the one who asks."""

from fastdns.config import corefile, model, values


def parse(directive: corefile.Directive, scope: corefile.Scope) -> model.Whoami:
    """Read `whoami`."""
    values.no_arguments(directive)
    values.no_block(directive)
    return model.Whoami()
