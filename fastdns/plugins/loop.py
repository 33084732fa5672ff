"""loop: finds out at the start whether our own forwarding comes back to us, and stops the server when it does."""

from fastdns.config import corefile, model, values


def parse(directive: corefile.Directive, scope: corefile.Scope) -> model.Loop:
    """Read `loop`."""
    values.no_arguments(directive)
    values.no_block(directive)
    return model.Loop()
