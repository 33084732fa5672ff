"""any: type ANY is answered with one HINFO record (RFC 8482 section 4.2)."""

from fastdns.config import corefile, filters, values


def parse(directive: corefile.Directive, scope: corefile.Scope) -> filters.Any:
    """Read `any`."""
    values.no_arguments(directive)
    for option in directive.block:
        raise values.unknown_property(option, ())
    return filters.Any()
