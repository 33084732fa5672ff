"""The configuration as every process sees it: immutable, checked, with every default filled in.

Front ends make it (corefile, and the command lines of the programs that fastdns replaces); the server reads it.
Durations are seconds, sizes octets, names canonical text: lower case, with the final dot. An option's name is the
Corefile's word.
"""

from __future__ import annotations

import dataclasses
import enum

from fastdns.config import filters, local, rewriting, templates


@dataclasses.dataclass(frozen=True, slots=True)
class Errors:
    """plugin errors: what failed, in the log."""

    stacktrace: bool = False
    consolidate: tuple[Consolidate, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Consolidate:
    """Messages that match `pattern` (a regular expression) become one line per `period`."""

    period: float
    pattern: str
    level: str = "error"
    show_first: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class LogRule:
    """plugin log: queries below `name` are logged in `format` when their answer's class is in `classes`."""

    name: str = "."
    format: str = "{common}"
    classes: frozenset[str] = frozenset({"all"})


@dataclasses.dataclass(frozen=True, slots=True)
class Log:
    rules: tuple[LogRule, ...] = (LogRule(),)


@dataclasses.dataclass(frozen=True, slots=True)
class Health:
    address: str = ""
    port: int = 8080
    lameduck: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Ready:
    address: str = ""
    port: int = 8181
    monitor: str = "until-ready"


@dataclasses.dataclass(frozen=True, slots=True)
class WebTls:
    """TLS of a page: names of files, and whether clients need a certificate of `client_ca`'s."""

    certificate: str
    key: str
    client_ca: str = ""
    is_client_required: bool = False
    min_version: str = "TLS12"
    max_version: str = "TLS13"


@dataclasses.dataclass(frozen=True, slots=True)
class Prometheus:
    address: str = "localhost"
    port: int = 9153
    runtime_metrics: bool = False
    tls: WebTls | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Reload:
    interval: float = 30.0
    jitter: float = 15.0


@dataclasses.dataclass(frozen=True, slots=True)
class Loop:
    pass


@dataclasses.dataclass(frozen=True, slots=True)
class Whoami:
    pass


@dataclasses.dataclass(frozen=True, slots=True)
class Debug:
    pass


@dataclasses.dataclass(frozen=True, slots=True)
class Cancel:
    timeout: float = 5.001


@dataclasses.dataclass(frozen=True, slots=True)
class Bufsize:
    size: int = 1232


@dataclasses.dataclass(frozen=True, slots=True)
class Bind:
    """Addresses that the block's listeners use, interfaces already resolved, `except` already taken out."""

    addresses: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Loadbalance:
    policy: str = "round_robin"
    prefer: tuple[str, ...] = ()
    weight_file: str = ""
    reload: float = 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class Fallthrough:
    """Where a plugin hands a name that it doesn't have to the next one. No zones: nowhere; `.`: everywhere."""

    zones: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class CacheSide:
    """One side of the cache: `capacity` entries, TTLs held between `min_ttl` and `max_ttl`."""

    capacity: int
    max_ttl: int
    min_ttl: int = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Prefetch:
    amount: int
    duration: float = 60.0
    percentage: int = 10


@dataclasses.dataclass(frozen=True, slots=True)
class ServeStale:
    """How long after its end an answer may still be given. `ttl` is what such an answer carries.

    `refresh` is "immediate" (answer first, then ask) or "verify" (ask first, for `verify_timeout`; 0 is without end).
    `recheck` is the time after a failed refresh in which none is tried. With `prefer_positive` a stale answer goes
    before a fresh denial.
    """

    duration: float = 3600.0
    refresh: str = "immediate"
    verify_timeout: float = 0.0
    ttl: int = 0
    recheck: float = 0.0
    prefer_positive: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class RecordCache:
    """A cache of records rather than of messages, as dnsmasq's: each record counts down its own TTL from what came.

    Nothing of the authority and additional sections is kept; the end of a chain of aliases is kept as its own; that a name
    does not exist answers every type. `types` are those that are kept (none: all). A denial without SOA is kept for
    `negative_ttl` seconds.
    """

    types: tuple[int, ...] = ()
    negative_ttl: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Cache:
    zones: tuple[str, ...]
    success: CacheSide = CacheSide(capacity=9984, max_ttl=3600)
    denial: CacheSide = CacheSide(capacity=9984, max_ttl=1800)
    prefetch: Prefetch | None = None
    serve_stale: ServeStale | None = None
    servfail: float = 5.0
    disable_success: tuple[str, ...] = ()
    disable_denial: tuple[str, ...] = ()
    keepttl: bool = False
    records: RecordCache | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Hosts:
    """plugin hosts: `inline` are the lines written in the block, as they stand."""

    path: str
    zones: tuple[str, ...]
    inline: tuple[str, ...] = ()
    ttl: int = 3600
    reverse: bool = True
    reload: float = 5.0
    fallthrough: Fallthrough = Fallthrough()
    fallthrough_unsupported: bool = False


class Dialect(enum.StrEnum):
    """Whose names a cluster's objects get."""

    COREDNS = "coredns"
    KUBEDNS = "kube-dns"


@dataclasses.dataclass(frozen=True, slots=True)
class Kubernetes:
    """plugin kubernetes: where the cluster is, what of it is served, and how."""

    zones: tuple[str, ...]
    endpoint: str = ""
    tls: tuple[str, ...] = ()
    kubeconfig: str = ""
    context: str = ""
    manifests: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    namespace_labels: str = ""
    labels: str = ""
    pods: str = "disabled"
    endpoint_pod_names: bool = False
    ttl: int = 5
    noendpoints: bool = False
    multicluster: tuple[str, ...] = ()
    zonal: bool = False
    fallthrough: Fallthrough = Fallthrough()
    ignore_empty_service: bool = False
    startup_timeout: float = 5.0
    apiserver_qps: float = 0.0
    apiserver_burst: int = 0
    apiserver_max_inflight: int = 0
    dialect: Dialect = Dialect.COREDNS


class Protocol(enum.StrEnum):
    """How an upstream is asked."""

    DNS = "dns"
    TLS = "tls"
    HTTPS = "https"


@dataclasses.dataclass(frozen=True, slots=True)
class Upstream:
    """`address` is an IP address; `server_name` is NAME of `tls://IP%NAME` or `https://IP%NAME`, empty for the block's."""

    address: str
    port: int
    protocol: Protocol = Protocol.DNS
    server_name: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Tls:
    certificate: str = ""
    key: str = ""
    ca: str = ""
    server_name: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class HealthCheck:
    interval: float = 0.5
    recursion_desired: bool = True
    domain: str = "."


@dataclasses.dataclass(frozen=True, slots=True)
class Forward:
    """plugin forward: where names of `zone` and `more_zones` are asked; with `is_undotted` only those of one label.

    No words of a Corefile: `again` are rcodes for which the same upstream is asked once more; names of fewer than `labels_min`
    labels are SERVFAIL; policy "all" asks all at once, "fastest" the one that was last the first to answer, and all now and then.
    """

    zone: str
    upstreams: tuple[Upstream, ...]
    excluded: tuple[str, ...] = ()
    force_tcp: bool = False
    prefer_udp: bool = False
    expire: float = 10.0
    max_idle_conns: int = 0
    read_timeout: float = 2.0
    max_age: float = 0.0
    max_fails: int = 2
    max_connect_attempts: int = 0
    doh_method: str = "POST"
    tls: Tls | None = None
    policy: str = "random"
    health_check: HealthCheck = HealthCheck()
    max_concurrent: int = 0
    next: tuple[int, ...] = ()
    next_on_nodata: bool = False
    failover: tuple[int, ...] = ()
    failfast_all_unhealthy_upstreams: bool = False
    source_address: str = ""
    again: tuple[int, ...] = ()
    labels_min: int = 0
    more_zones: tuple[str, ...] = ()
    is_undotted: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Manner:
    """How a block differs from CoreDNS where no plugin is at work.

    `errors_carry_ra`: answers without records say RA too. `fails_silently`: when upstreams don't answer, we don't either.
    `finds_known`: a name that a plugin before holds something for is never denied. `deadline` is for upstreams, in seconds.
    """

    errors_carry_ra: bool = False
    fails_silently: bool = False
    finds_known: bool = False
    deadline: float = 4.0


@dataclasses.dataclass(frozen=True, slots=True)
class SkyDns:
    """How kube-dns answers where a Corefile's server doesn't: no word of a Corefile.

    `federations` are names and their domains.
    """

    domain: str
    federations: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class KubeDnsPages:
    """kube-dns's /readiness and /cache, and its metrics: on both ports, if there is a `metrics_port`.

    After a signal to end it answers on for `lameduck` seconds, as kube-dns, which hears none, does until it is killed.
    """

    port: int = 8081
    metrics_port: int = 0
    metrics_path: str = "/metrics"
    metrics_prefix: str = "skydns_skydns_"
    lameduck: float = 5.0


Plugin = (
    Errors
    | Log
    | Health
    | Ready
    | Prometheus
    | Reload
    | Loop
    | Whoami
    | Debug
    | Cancel
    | Bufsize
    | Bind
    | Loadbalance
    | Cache
    | Hosts
    | Kubernetes
    | Forward
    | rewriting.Rewrite
    | templates.Template
    | filters.Filter
    | SkyDns
    | KubeDnsPages
    | Manner
    | local.LocalPlugin
)


@dataclasses.dataclass(frozen=True, slots=True)
class Listener:
    """Where queries come in; `address` is an IP address, empty for every address of the machine."""

    address: str
    port: int
    scheme: str = "dns"


@dataclasses.dataclass(frozen=True, slots=True)
class ServerBlock:
    """One zone on its listeners, and what answers for it, in the fixed order of plugins.

    A Corefile block with several keys becomes one of these for each key. `plugins` holds one entry for each time that a
    plugin that may stand more than once (forward) is named.
    """

    zone: str
    listeners: tuple[Listener, ...]
    plugins: tuple[Plugin, ...]
    file: str
    line: int


@dataclasses.dataclass(frozen=True, slots=True)
class Config:
    """All that is served. `digest` is the SHA-512 of the text it came from, imports included."""

    blocks: tuple[ServerBlock, ...]
    digest: str
    files: tuple[str, ...] = ()
