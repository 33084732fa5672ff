"""ready: a page that says whether every plugin of the server can do its work."""

from fastdns.config import corefile, model, values, wording

OPTIONS = ("monitor",)
MONITORS = ("until-ready", "continuously")


def parse(directive: corefile.Directive, scope: corefile.Scope) -> model.Ready:
    """Read `ready [[HOST]:PORT] { monitor until-ready|continuously }`."""
    address, port = "", model.Ready().port
    if directive.args:
        address, port = values.host_and_port(directive, values.one_argument(directive))
    monitor = MONITORS[0]
    for option in directive.block:
        if option.word not in OPTIONS:
            raise values.unknown_property(option, OPTIONS)
        token = values.one_argument(option)
        if token.text not in MONITORS:
            hint = wording.suggest(token.text, MONITORS) or "it is until-ready or continuously"
            raise option.error(f"monitor type '{token.text}' not supported", at=token, hint=hint)
        monitor = token.text
    return model.Ready(address, port, monitor)
