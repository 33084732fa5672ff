"""debug: lets an internal failure end the process instead of becoming a SERVFAIL, and logs at the debug level."""

from fastdns.config import corefile, model, values


def parse(directive: corefile.Directive, scope: corefile.Scope) -> model.Debug:
    """Read `debug`."""
    values.no_arguments(directive)
    values.no_block(directive)
    return model.Debug()
