"""health: a page that says that the process lives, and the time between a stop signal and the end of service."""

from fastdns.config import corefile, model, values

OPTIONS = ("lameduck",)


def parse(directive: corefile.Directive, scope: corefile.Scope) -> model.Health:
    """Read `health [[HOST]:PORT] { lameduck DURATION }`."""
    address, port = "", model.Health().port
    if directive.args:
        address, port = values.host_and_port(directive, values.one_argument(directive))
    lameduck = 0.0
    for option in directive.block:
        if option.word not in OPTIONS:
            raise values.unknown_property(option, OPTIONS)
        lameduck = _lameduck(option)
    return model.Health(address, port, lameduck)


def _lameduck(option: corefile.Directive) -> float:
    token = values.one_argument(option)
    try:
        return max(values.parse_duration(token.text), 0.0)
    except ValueError as error:
        message = f"unable to parse lameduck duration value: '{token.text}' : {error}"
        raise option.error(message, at=token, hint="write it as 5s") from None
