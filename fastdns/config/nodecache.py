"""node-cache's settings, and the Corefile that it makes of its template and of the keys of kube-dns's ConfigMap."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Mapping, Sequence

from fastdns import errors
from fastdns.config import configmap, values

RESOLV_CONF = "/etc/resolv.conf"
UNKNOWN_ADDRESS = "<nil>"  # what node-cache writes for a service that it doesn't know; no Corefile with it is served
CLUSTER_DNS = "__PILLAR__CLUSTER__DNS__"
LOCAL_DNS = "__PILLAR__LOCAL__DNS__"
DNS_SERVER = "__PILLAR__DNS__SERVER__"  # put in for the kubelet's sake elsewhere; nothing here
UPSTREAMS = "__PILLAR__UPSTREAM__SERVERS__"
TCP_BLOCK = f"\n    forward . {UPSTREAMS} {{\n            force_tcp\n    }}\n"
UDP_BLOCK = f"\n    forward . {UPSTREAMS}\n"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What node-cache's command line says. `configmap` may be empty: then there are no keys."""

    local_ips: tuple[Address, ...]
    corefile: str
    base_corefile: str = "/etc/coredns/Corefile.base"
    configmap: str = ""
    upstream_service: str = "kube-dns"
    port: int = 53
    health_port: int = 8080
    metrics_host: str = "0.0.0.0"
    metrics_port: int = 9353
    interface: str = "nodelocaldns"
    sets_up_interface: bool = True
    sets_up_rules: bool = True
    skips_teardown: bool = False
    sync_interval: float = 60.0
    reloads_by_signal: bool = False


def read_local_ips(text: str) -> tuple[Address, ...]:
    """Read addresses with commas between, all of one family. Raises ValueError with node-cache's words."""
    found: list[Address] = []
    for part in text.split(","):
        if not values.is_address(part):
            raise ValueError(f"invalid localip specified - {values.quote(part)}")
        found.append(ipaddress.ip_address(part))
    wants_ipv6 = found[0].version == 6
    for address in found:
        if (address.version == 6) != wants_ipv6:
            wanted = str(wants_ipv6).lower()
            raise ValueError(f"unexpected IP Family for localIP - {values.quote(str(address))}, want IPv6={wanted}")
    return tuple(found)


def read_port(text: str, what: str = "") -> int:
    """Raises ValueError with node-cache's words; a port that no socket can have is refused too."""
    number = values.port_number(text)
    if not number:
        raise ValueError(f"invalid {what}port specified - {values.quote(text)}")
    return number


def read_interval(seconds: float) -> float:
    """Read -syncinterval: node-cache takes a duration's nanoseconds for seconds, so that 60 of them are a minute.

    With it a duration of a second or more would last for decades: such a one is what it says. Raises ValueError.
    """
    interval = seconds if seconds >= 1 else round(seconds * 1e9)
    if interval <= 0:
        raise ValueError("non-positive syncinterval")
    return float(interval)


def find_service(name: str, environment: Mapping[str, str]) -> str:
    """The ClusterIP of a Service, from the variables that Kubernetes gives to every container; UNKNOWN_ADDRESS without."""
    text = environment.get(service_variable(name), "")
    return str(ipaddress.ip_address(text)) if values.is_address(text) else UNKNOWN_ADDRESS


def service_variable(name: str) -> str:
    return name.replace("-", "_").upper() + "_SERVICE_HOST"


def check_keys(keys: configmap.Settings) -> None:
    """Raise SettingError for what only kube-dns takes: the forward plugin's servers are addresses, with a port or without."""
    for domain, servers in keys.stub_domains.items():
        for server in servers:
            try:
                configmap.split_address(server)
            except ValueError as error:
                message = f"{values.quote(domain)}: invalid nameserver {values.quote(server)}: {error}"
                raise errors.SettingError("stubDomains", message) from None


def render(template: str, settings: Settings, *, keys: configmap.Settings, cluster_dns: str) -> str:
    """Put the values into the template, and a server block for each stub domain behind it.

    Upstreams of the ConfigMap are asked over UDP, resolv.conf's as the template says. A stub domain without servers has
    no block: `forward` takes no empty list.
    """
    local_ips = " ".join(map(str, settings.local_ips))
    text = template.replace(TCP_BLOCK, UDP_BLOCK) if keys.upstreams else template
    for pillar, value in (
        (UPSTREAMS, " ".join(keys.upstreams) or RESOLV_CONF),
        (CLUSTER_DNS, cluster_dns),
        (LOCAL_DNS, local_ips),
        (DNS_SERVER, ""),
    ):
        text = text.replace(pillar, value)
    return text + "".join(
        render_stub_domain(f"{domain}:{settings.port}", servers, local_ips)
        for domain, servers in keys.stub_domains.items()
        if servers
    )


def render_stub_domain(key: str, servers: Sequence[str], local_ips: str) -> str:
    lines = ("errors", "cache 30", f"bind {local_ips}", f"forward . {' '.join(servers)}")
    return f"\n{key} {{\n" + "".join(f"    {line}\n" for line in lines) + "}\n"
