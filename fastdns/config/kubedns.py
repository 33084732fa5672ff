"""kube-dns's command line and ConfigMap in, the configuration model out.

What kube-dns is told stands in its flags (`Flags`), and in the keys of its ConfigMap (config/configmap.py), which may
change while it runs.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import urllib.parse
from collections.abc import Mapping

from fastdns import errors
from fastdns.config import configmap, model, values

TIMEOUT = 2.0  # seconds that SkyDNS waits for an upstream
LABELS_MIN = 2  # SkyDNS's ndots: names of fewer labels are not forwarded
UDP_MAX = 4096
SERVFAIL = 2
DNS_PORT = 53
REVERSE = ("in-addr.arpa.", "ip6.arpa.")
CONFIG_NAMESPACE = "kube-system"
_VARIABLE = re.compile(r"\$(?:\{(\w*)\}|(\w+))")


class FlagError(ValueError):
    """A flag's value that kube-dns refuses."""


@dataclasses.dataclass(frozen=True, slots=True)
class Flags:
    """What the command line says, checked."""

    domain: str = "cluster.local."
    address: str = ""  # empty for every address
    port: int = DNS_PORT
    nameservers: tuple[model.Upstream, ...] = ()
    federations: tuple[tuple[str, str], ...] = ()
    master_url: str = ""
    kubeconfig: str = ""
    healthz_port: int = 8081
    config_dir: str = ""
    config_period: float = 10.0
    config_map: str = ""
    config_map_namespace: str = CONFIG_NAMESPACE
    initial_sync_timeout: float = 60.0
    metrics_port: int = 0
    metrics_path: str = "/metrics"
    metrics_prefix: str = "skydns_skydns_"

    @property
    def follows_settings(self) -> bool:
        """Whether there is a ConfigMap or a folder: then the flags of the same name mean nothing."""
        return bool(self.config_dir or self.config_map)


# --- values of flags -------------------------------------------------------------------------------------------------


def read_domain(text: str) -> str:
    """Read --domain: labels as RFC 1123 has them, a final dot or none. Raises FlagError."""
    name = text.removesuffix(".")
    if not configmap.is_subdomain(name):
        raise FlagError(f"invalid domain {values.quote(text)}: lower-case RFC 1123 labels are expected")
    return f"{name}."


def read_master_url(text: str) -> str:
    """Read --kube-master-url: variables of the environment count. Raises FlagError."""
    url = expand_variables(text, os.environ)
    parts = urllib.parse.urlsplit(url)
    if text and (not parts.scheme or not parts.netloc):
        raise FlagError(f"invalid --kube-master-url specified: {values.quote(url)}: scheme and host are expected")
    return url


def expand_variables(text: str, environment: Mapping[str, str]) -> str:
    """Put the values of `$NAME` and `${NAME}` in; one that isn't set is empty."""
    return _VARIABLE.sub(lambda match: environment.get(match[1] or match[2] or "", ""), text)


def read_nameservers(text: str) -> tuple[model.Upstream, ...]:
    """Read `IP[:PORT],...`. Raises FlagError: one of them is none, and so all are void."""
    found = []
    for part in text.split(",") if text else ():
        try:
            found.append(model.Upstream(*configmap.split_address(part)))
        except ValueError as error:
            raise FlagError(f"invalid nameserver {values.quote(part)}: {error}") from None
    return tuple(found)


def read_federations(text: str) -> tuple[tuple[str, str], ...]:
    """Read `NAME=DOMAIN,...`. Raises FlagError."""
    try:
        return tuple(configmap.parse_federations(text).items())
    except errors.SettingError as error:
        raise FlagError(error.reason) from None


# --- the model -------------------------------------------------------------------------------------------------------


def make_config(
    flags: Flags, settings: configmap.Settings | None, *, resolvers: tuple[model.Upstream, ...]
) -> model.Config:
    """Make the configuration. `settings` are the ConfigMap's, None without one; `resolvers` those of resolv.conf."""
    if settings is None:
        federations, upstreams = flags.federations, flags.nameservers
    else:
        federations = tuple(settings.federations.items())
        upstreams = tuple(model.Upstream(*configmap.split_address(text)) for text in settings.upstreams)
    plugins = _make_plugins(flags, federations, upstreams or resolvers)
    listener = model.Listener(flags.address, flags.port)
    blocks = tuple(
        model.ServerBlock(zone, (listener,), plugins, "kube-dns", 0) for zone in (".", flags.domain, *REVERSE)
    )
    digest = hashlib.sha512(repr(blocks).encode()).hexdigest()
    return model.Config(blocks, digest)


def _make_plugins(
    flags: Flags, federations: tuple[tuple[str, str], ...], upstreams: tuple[model.Upstream, ...]
) -> tuple[model.Plugin, ...]:
    plugins: list[model.Plugin] = [
        model.SkyDns(flags.domain, federations),
        model.Bufsize(UDP_MAX),
        model.Loadbalance(),
        model.Kubernetes(
            zones=(flags.domain,),
            endpoint=flags.master_url,
            kubeconfig=flags.kubeconfig,
            fallthrough=model.Fallthrough(REVERSE),
            startup_timeout=flags.initial_sync_timeout,
            dialect=model.Dialect.KUBEDNS,
        ),
        model.KubeDnsPages(
            port=flags.healthz_port,
            metrics_port=flags.metrics_port,
            metrics_path=flags.metrics_path,
            metrics_prefix=flags.metrics_prefix,
        ),
    ]
    if upstreams:
        plugins.append(
            model.Forward(
                zone=".",
                upstreams=upstreams,
                read_timeout=TIMEOUT,
                max_fails=0,
                max_connect_attempts=len(upstreams) + 1,
                policy="sequential",
                again=(SERVFAIL,),
                labels_min=LABELS_MIN,
            )
        )
    if flags.config_dir:
        plugins.append(model.Reload(interval=flags.config_period, jitter=0.0))
    return tuple(plugins)
