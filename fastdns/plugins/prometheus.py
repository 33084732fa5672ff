"""prometheus: the page of metrics, and the counting of queries in the server block that names it."""

from fastdns.config import corefile, model, values, wording
from fastdns.forward import certificates

OPTIONS = ("runtime_metrics", "tls")


def parse(directive: corefile.Directive, scope: corefile.Scope) -> model.Prometheus:
    """Read `prometheus [[HOST]:PORT] { runtime_metrics; tls FILE }`."""
    defaults = model.Prometheus()
    address, port = defaults.address, defaults.port
    if directive.args:
        address, port = values.host_and_port(directive, values.one_argument(directive))
    runtime_metrics = False
    lines = []
    for option in directive.block:
        if option.word not in OPTIONS:
            hint = wording.suggest(option.word, OPTIONS)
            raise option.error(f"unknown option: {option.word}", hint=hint)
        if option.word == "tls":
            lines.append(option)
            continue
        values.no_arguments(option)
        runtime_metrics = True
    if len(lines) > 1:
        raise lines[1].error("tls block already specified")
    return model.Prometheus(address, port, runtime_metrics, _tls(lines[0]) if lines else None)


def _tls(option: corefile.Directive) -> model.WebTls | None:
    """Read the file, and see that those which it names can be used."""
    from fastdns.config import webconfig  # here, since few need it and it brings a YAML parser

    path = values.one_argument(option)
    try:
        tls = webconfig.read(path.text)
        if tls is not None:
            certificates.check_files(certificate=tls.certificate, key=tls.key, ca=tls.client_ca)
    except webconfig.WebConfigError as error:
        raise option.error(f"Invalid TLS config: {path.text}: {error}", at=path) from error
    except OSError as error:
        cause = f"{error.filename}: {error.strerror}" if error.filename else f"{path.text}: {error}"
        raise option.error(f"Invalid TLS config: {cause}", at=path) from error
    return tls
