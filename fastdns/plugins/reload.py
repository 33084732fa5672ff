"""reload: looks at the Corefile from time to time and serves what it says by then."""

from fastdns.config import corefile, model, values

MIN_INTERVAL = 2.0
MIN_JITTER = 1.0


def parse(directive: corefile.Directive, scope: corefile.Scope) -> model.Reload:
    """Read `reload [INTERVAL] [JITTER]`; a jitter over half of the interval is cut to that."""
    values.no_block(directive)
    if len(directive.args) > 2:
        raise directive.argument_error()
    given = [values.duration(directive, token) for token in directive.args]
    defaults = model.Reload()
    interval = given[0] if given else defaults.interval
    jitter = given[1] if len(given) > 1 else defaults.jitter
    if interval < MIN_INTERVAL:
        raise directive.error("interval value must be greater or equal to 2s", at=directive.args[0])
    if jitter != 0 and jitter < MIN_JITTER:
        raise directive.error("jitter value must be 0 or greater or equal to 1s", at=directive.args[1])
    return model.Reload(interval, min(jitter, interval / 2))
