"""prometheus: the page of metrics, and the counting of queries in the server block that names it."""

from fastdns.config import corefile, model, values, wording

OPTIONS = ("runtime_metrics",)
PLANNED = ("tls",)


def parse(directive: corefile.Directive, scope: corefile.Scope) -> model.Prometheus:
    """Read `prometheus [[HOST]:PORT] { runtime_metrics }`."""
    defaults = model.Prometheus()
    address, port = defaults.address, defaults.port
    if directive.args:
        address, port = values.host_and_port(directive, values.one_argument(directive))
    runtime_metrics = False
    for option in directive.block:
        if option.word in PLANNED:
            raise values.planned_option(option)
        if option.word not in OPTIONS:
            hint = wording.suggest(option.word, OPTIONS)
            raise option.error(f"unknown option: {option.word}", hint=hint)
        values.no_arguments(option)
        runtime_metrics = True
    return model.Prometheus(address, port, runtime_metrics)
