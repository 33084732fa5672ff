"""minimal: answers with records have neither authority nor additional sections."""

from fastdns.config import corefile, filters, values


def parse(directive: corefile.Directive, scope: corefile.Scope) -> filters.Minimal:
    """Read `minimal`."""
    values.no_arguments(directive)
    values.no_block(directive)
    return filters.Minimal()
