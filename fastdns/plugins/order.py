"""Which words a server block may have, what reads each, and the one order in which plugins see a query.

The order is that of CoreDNS's plugin.cfg, whatever the order in the Corefile.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from fastdns.config import corefile, model
from fastdns.plugins import (
    acl,
    bind,
    bufsize,
    cache,
    cancel,
    chaos,
    debug,
    dns64,
    errors,
    forward,
    header,
    health,
    hosts,
    kubernetes,
    loadbalance,
    local,
    log,
    loop,
    minimal,
    multisocket,
    prometheus,
    ready,
    reload,
    rewrite,
    template,
    whoami,
)
from fastdns.plugins import any as any_plugin

# PARSERS has the words that are served.
ORDER = tuple(
    """
    root metadata geoip cancel proxyproto quic grpc_server https https3 timeouts multisocket reload nsid bufsize bind
    debug trace ready health pprof shed prometheus errors log dnstap local dns64 siit any chaos loadbalance tsig rewrite
    autopath acl cache header dnssec tls minimal template transfer dynupdate hosts route53 azure clouddns k8s_external
    kubernetes file auto secondary etcd loop forward grpc erratic whoami on sign view nomad
    """.split()  # noqa: SIM905 - it reads as plugin.cfg does
)


class Repeat(enum.Enum):
    """What it means that a server block names a plugin several times: what CoreDNS makes of it, plugin by plugin."""

    ERROR = enum.auto()
    FIRST = enum.auto()
    LAST = enum.auto()
    EACH = enum.auto()
    MERGE = enum.auto()


class Parser(NamedTuple):
    """What reads a plugin's line. `merge` makes one plugin of several when `repeat` is MERGE."""

    parse: Callable[[corefile.Directive, corefile.Scope], model.Plugin]
    repeat: Repeat = Repeat.ERROR
    merge: Callable[[Sequence[model.Plugin]], model.Plugin] | None = None


PARSERS: Mapping[str, Parser] = {
    "acl": Parser(acl.parse, Repeat.MERGE, acl.merge),
    "any": Parser(any_plugin.parse, Repeat.FIRST),
    "bind": Parser(bind.parse, Repeat.MERGE, bind.merge),
    "bufsize": Parser(bufsize.parse, Repeat.FIRST),
    "cache": Parser(cache.parse),
    "cancel": Parser(cancel.parse, Repeat.LAST),
    "chaos": Parser(chaos.parse, Repeat.FIRST),
    "debug": Parser(debug.parse, Repeat.LAST),
    "dns64": Parser(dns64.parse, Repeat.LAST),
    "errors": Parser(errors.parse),
    "forward": Parser(forward.parse, Repeat.EACH),
    "header": Parser(header.parse, Repeat.FIRST),
    "health": Parser(health.parse, Repeat.LAST),
    "hosts": Parser(hosts.parse),
    "kubernetes": Parser(kubernetes.parse),
    "loadbalance": Parser(loadbalance.parse, Repeat.LAST),
    "local": Parser(local.parse, Repeat.LAST),
    "log": Parser(log.parse, Repeat.MERGE, log.merge),
    "loop": Parser(loop.parse),
    "minimal": Parser(minimal.parse, Repeat.FIRST),
    "multisocket": Parser(multisocket.parse),
    "prometheus": Parser(prometheus.parse),
    "ready": Parser(ready.parse),
    "reload": Parser(reload.parse, Repeat.FIRST),
    "rewrite": Parser(rewrite.parse, Repeat.MERGE, rewrite.merge),
    "template": Parser(template.parse, Repeat.MERGE, template.merge),
    "whoami": Parser(whoami.parse, Repeat.FIRST),
}
WORDS = corefile.Words(
    served=tuple(PARSERS), planned=tuple(word for word in ORDER if word not in PARSERS), removed={"proxy": "forward"}
)


def parse(word: str, directives: Sequence[corefile.Directive], scope: corefile.Scope) -> tuple[model.Plugin, ...]:
    """Read all lines of a server block that begin with `word`. Raises ConfigError for the first that is wrong."""
    parser = PARSERS[word]
    if parser.repeat is Repeat.ERROR and len(directives) > 1:
        raise directives[1].error("this plugin can only be used once per Server Block")
    plugins = tuple(parser.parse(directive, scope) for directive in directives)
    if parser.merge is not None:
        return (parser.merge(plugins),)
    if parser.repeat is Repeat.EACH:
        return plugins
    return plugins[:1] if parser.repeat is Repeat.FIRST else plugins[-1:]
