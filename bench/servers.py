"""How each server is set up to answer for the same world: command line and configuration files.

A server gets one worker: it may use one core. All of them keep their defaults where these don't change what is
measured; logs are off, sockets as large as they make them themselves. CoreDNS and fastdns get the same Corefile.
"""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
import sys
from collections.abc import Callable

from bench.process import Command
from bench.world import OUTSIDE, PORTS, ZONE, World

ROOT = pathlib.Path(__file__).resolve().parent.parent
MISS_ZONE = "miss.example"  # the upstream has every name below it
HELD_ZONE = f"held.{MISS_ZONE}"  # bench's own upstream keeps questions below it for a while
NOWHERE_ZONE = "nowhere.example"  # it has no name at all below this one
REVERSE_ZONES = ("10.in-addr.arpa",)


@dataclasses.dataclass(frozen=True, slots=True)
class Scene:
    """Where a server is to run and what it has around it."""

    folder: pathlib.Path
    world: World
    port: int
    metrics: int  # port of the metrics page
    api: int = 0  # port of the Kubernetes API
    upstream: int = 0  # port of the upstream
    extra: int = 16  # octets that the echo adds


Maker = Callable[[Scene], Command]


def write(scene: Scene, name: str, text: str) -> str:
    path = scene.folder / name
    path.write_text(text)
    return str(path)


def python(*arguments: str) -> Command:
    return Command((sys.executable, *arguments), {"PYTHONPATH": str(ROOT)})


# --- the floor ---
def echo(scene: Scene) -> Command:
    return python("-m", "bench.floor", "echo", "--port", str(scene.port), "--extra", str(scene.extra))


def forwarder(scene: Scene) -> Command:
    return python("-m", "bench.floor", "forward", "--port", str(scene.port), "--upstream", str(scene.upstream))


# --- fastdns and CoreDNS ---
def fastdns(corefile: Callable[[Scene], str], *, workers: int = 1) -> Maker:
    def make(scene: Scene) -> Command:
        path = write(scene, f"Corefile.fastdns-{scene.port}", corefile(scene))
        return python("-m", "fastdns.cli.fastdns", "-conf", path, "--workers", str(workers))

    return make


def coredns(binary: str, corefile: Callable[[Scene], str]) -> Maker:
    def make(scene: Scene) -> Command:
        return Command((binary, "-conf", write(scene, f"Corefile.coredns-{scene.port}", corefile(scene))))

    return make


def cluster_corefile(scene: Scene) -> str:
    """kubeadm's default, less what needs fixed ports or the world outside (health, ready, loop)."""
    forward = f"forward . 127.0.0.1:{scene.upstream}" if scene.upstream else ""
    return f""".:{scene.port} {{
    bind 127.0.0.1
    errors
    kubernetes {ZONE} in-addr.arpa ip6.arpa {{
        endpoint http://127.0.0.1:{scene.api}
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }}
    prometheus 127.0.0.1:{scene.metrics}
    {forward}
    cache 30 {{
        disable success {ZONE}
        disable denial {ZONE}
    }}
    reload
    loadbalance
}}
"""


def hosts_corefile(scene: Scene) -> str:
    return f""".:{scene.port} {{
    bind 127.0.0.1
    errors
    hosts {write(scene, "hosts", hosts_file(scene.world))} {{
        ttl 30
        reload 0
    }}
    prometheus 127.0.0.1:{scene.metrics}
}}
"""


def forward_corefile(scene: Scene) -> str:
    """A cache before one upstream. The cache holds what is asked here; its default (9,984) wouldn't."""
    return f""".:{scene.port} {{
    bind 127.0.0.1
    errors
    prometheus 127.0.0.1:{scene.metrics}
    forward . 127.0.0.1:{scene.upstream} {{
        max_concurrent 20000
    }}
    cache 300 {{
        success 262144
        denial 262144
    }}
}}
"""


# --- peers ---
def knot(scene: Scene, workers: int = 1) -> Command:
    """The cluster's names as zones, and so many UDP workers."""
    files = {ZONE: cluster_zone(scene.world), REVERSE_ZONES[0]: reverse_zone(scene.world), MISS_ZONE: miss_zone()}
    files[NOWHERE_ZONE] = zone_head(NOWHERE_ZONE)
    own = scene.folder / f"knot-{scene.port}"
    own.mkdir()
    zones = "".join(
        f"  - domain: {zone}\n    file: {write(scene, f'{zone}.zone', text)}\n" for zone, text in files.items()
    )
    text = f"""server:
    listen: 127.0.0.1@{scene.port}
    rundir: {own}
    udp-workers: {workers}
    tcp-workers: 1
    background-workers: 1
database:
    storage: {own}
template:
  - id: default
    storage: {scene.folder}
    zonefile-sync: -1
    zonefile-load: whole
    journal-content: none
    semantic-checks: off
zone:
{zones}"""
    return Command((executable("knotd"), "-c", write(scene, f"knot-{scene.port}.conf", text)))


def dnsmasq_hosts(scene: Scene) -> Command:
    """The cluster's addresses as a hosts file (it searches SRV and PTR from end to end: not asked)."""
    hosts = write(scene, "hosts", hosts_file(scene.world))
    options = [f"--addn-hosts={hosts}", f"--local=/{ZONE}/", "--no-resolv"]
    return Command((executable("dnsmasq"), *dnsmasq_base(scene), *options))


def dnsmasq_both(scene: Scene) -> Command:
    """As dnsmasq_hosts, and everything else forwarded."""
    hosts = write(scene, "hosts", hosts_file(scene.world))
    options = [f"--addn-hosts={hosts}", f"--local=/{ZONE}/", "--no-resolv", "--cache-size=10000"]
    return Command((executable("dnsmasq"), *dnsmasq_base(scene), *options, f"--server=127.0.0.1#{scene.upstream}"))


def dnsmasq_forward(scene: Scene) -> Command:
    options = ["--no-resolv", f"--server=127.0.0.1#{scene.upstream}", "--cache-size=200000", "--dns-forward-max=10000"]
    return Command((executable("dnsmasq"), *dnsmasq_base(scene), *options))


def dnsmasq_base(scene: Scene) -> list[str]:
    own = ["--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--no-hosts", "--user=root", "--group=root"]
    return [*own, f"--port={scene.port}", "--listen-address=127.0.0.1", "--bind-interfaces"]


def unbound_hosts(scene: Scene) -> Command:
    """The cluster's names as local data."""
    return unbound(scene, local_data(scene.world))


def unbound_both(scene: Scene) -> Command:
    """As unbound_hosts, and everything else forwarded."""
    forward = f'forward-zone:\n    name: "."\n    forward-addr: 127.0.0.1@{scene.upstream}\n'
    return unbound(scene, local_data(scene.world), forward)


def unbound_forward(scene: Scene) -> Command:
    forward = f'forward-zone:\n    name: "."\n    forward-addr: 127.0.0.1@{scene.upstream}\n'
    return unbound(scene, "", forward)


def unbound(scene: Scene, server: str, rest: str = "") -> Command:
    text = f"""server:
    interface: 127.0.0.1@{scene.port}
    num-threads: 1
    outgoing-range: 8192
    num-queries-per-thread: 4096
    do-daemonize: no
    do-not-query-localhost: no
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    logfile: ""
    module-config: "iterator"
    msg-cache-size: 256m
    rrset-cache-size: 256m
    access-control: 127.0.0.0/8 allow
{server}remote-control:
    control-enable: no
{rest}"""
    return Command((executable("unbound"), "-d", "-c", write(scene, f"unbound-{scene.port}.conf", text)))


def find_executable(name: str) -> str:
    """Its path, sbin included; empty: it isn't installed."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin") or ""


def executable(name: str) -> str:
    """Its path. Raises FileNotFoundError with what to do."""
    if found := find_executable(name):
        return found
    raise FileNotFoundError(f"{name} isn't installed: apt-get install knot unbound dnsmasq-base dnsperf")


# --- the world as other servers want it ---
def zone_head(zone: str) -> str:
    soa = "@ SOA ns.dns hostmaster 1 7200 1800 86400 30"
    return f"$ORIGIN {zone}.\n$TTL 30\n{soa}\n@ NS ns.dns\nns.dns A 10.96.0.10\n"


def cluster_zone(world: World) -> str:
    """The records that the kubernetes plugin would answer with, of services with a cluster IP."""
    lines = [zone_head(ZONE)]
    for i in world.with_cluster_ip():
        name = world.fqdn(i)
        lines.extend(f"{name} {address_type(ip)} {ip}\n" for ip in world.cluster_ips(i))
        lines.extend(f"_{port}._tcp.{name} SRV 0 50 {number} {name}\n" for port, number in PORTS)
    return "".join(lines)


def reverse_zone(world: World) -> str:
    lines = [zone_head(REVERSE_ZONES[0])]
    lines.extend(f"{world.ipv4(i).reverse_pointer}. PTR {world.fqdn(i)}\n" for i in world.with_cluster_ip())
    return "".join(lines)


def miss_zone() -> str:
    return f"{zone_head(MISS_ZONE).replace('$TTL 30', '$TTL 3600')}* A {OUTSIDE}\n"


def address_type(ip: str) -> str:
    return "AAAA" if ":" in ip else "A"


def hosts_file(world: World) -> str:
    lines: list[str] = []
    for i in world.with_cluster_ip():
        name = world.fqdn(i).rstrip(".")
        lines.extend(f"{ip} {name}\n" for ip in world.cluster_ips(i))
    return "".join(lines)


def local_data(world: World) -> str:
    lines = [f'    local-zone: "{zone}." static\n' for zone in (ZONE, *REVERSE_ZONES)]
    for i in world.with_cluster_ip():
        name = world.fqdn(i)
        records = [f"{name} 30 {address_type(ip)} {ip}" for ip in world.cluster_ips(i)]
        records.append(f"{world.ipv4(i).reverse_pointer}. 30 PTR {name}")
        records.extend(f"_{port}._tcp.{name} 30 SRV 0 50 {number} {name}" for port, number in PORTS)
        lines.extend(f'    local-data: "{record}"\n' for record in records)
    return "".join(lines)
