"""All that was given in, the configuration out: one server block for the root, its plugins in the order of dnsmasq's look-ups."""

from __future__ import annotations

import dataclasses
import fnmatch
import hashlib
import logging
import os
import socket
from collections.abc import Iterable, Iterator

from fastdns import errors
from fastdns.config import interfaces, local, model
from fastdns.config.dnsmasq import private, records, values
from fastdns.config.dnsmasq.reading import BAD_FILE, Reading
from fastdns.config.dnsmasq.values import Server
from fastdns.dns import constants, names

logger = logging.getLogger(__name__)

PORT = 53
CACHE_SIZE = 150
CACHE_SIZE_MAX = 10000
FORWARD_MAX = 1000  # dnsmasq: 150, which a busy node's pods reach
UDP_MAX = 1232
UDP_MIN = 512
MIN_CACHE_TTL_MAX = 3600
STALE_MAX = 86400
TTL_MAX = 2**31 - 1
DEADLINE = 10.0  # seconds: dnsmasq's TIMEOUT
READ_TIMEOUT = 4.0  # seconds until the next server is asked; dnsmasq waits for the client to ask again
FAST_RETRY_MIN = 50  # milliseconds
SERVERS_MAX = 32  # of one domain
Group = tuple[float, tuple[model.Upstream, ...], str]
"""Servers that are asked together: how long their domains are, who they are, the address to ask them from."""

RESOLV_LOOK = 1.0  # seconds between looks at resolv.conf
PID_FILE = "/run/dnsmasq.pid"
HOSTS = "/etc/hosts"
LOOPBACK = "lo"
RESOLV_CONF = "/etc/resolv.conf"
SERVFAIL, REFUSED = 2, 5
MISC = 5  # exit status: EC_MISC
CACHED_TYPES = (constants.Type.A, constants.Type.AAAA, constants.Type.PTR, constants.Type.SRV)
FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"),
    *(f"local{number}" for number in range(8)),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What the arguments say: `config` to the server, the rest to the process."""

    config: model.Config
    shows: str = ""  # "help", "version" or "test": nothing is served
    stays_in_foreground: bool = False
    pid_file: str = PID_FILE  # empty: none
    user: str = ""
    group: str = ""
    log_facility: str = ""  # "-": stderr; with a slash: a file; else a facility of syslog
    upstream_files: tuple[str, ...] = ()  # read again when they change, or on SIGHUP


def assemble(reading: Reading) -> Settings:
    """Raises errors.DnsmasqError."""
    for word in ("help", "version"):
        if reading.has(word):
            return Settings(model.Config((), reading.digest, reading.files), shows=word)
    debug = reading.has("no-daemon")
    resolv_files = list_resolv_files(reading)
    followed = [*([] if reading.has("no-poll") else resolv_files), *(one.value for one in reading.all("servers-file"))]
    return Settings(
        config=make_config(reading, resolv_files),
        shows="test" if reading.has("test") else "",
        stays_in_foreground=debug or reading.has("keep-in-foreground"),
        pid_file="" if debug else text_of(reading, "pid-file", PID_FILE),
        user=text_of(reading, "user", ""),
        group=text_of(reading, "group", ""),
        log_facility=read_facility(reading, "-" if debug else ""),
        upstream_files=tuple(followed),
    )


def make_config(reading: Reading, resolv_files: list[str]) -> model.Config:
    domain = read_domain(reading)
    check_ignored(reading)
    block = model.ServerBlock(
        zone=".",
        listeners=tuple(list_listeners(reading)),
        plugins=tuple(list_plugins(reading, domain, resolv_files)),
        file="dnsmasq",
        line=0,
    )
    servers = repr(read_resolv_files(resolv_files))
    digest = hashlib.sha512(f"{reading.digest} {servers}".encode()).hexdigest()
    return model.Config((block,), digest, reading.files)


def list_plugins(reading: Reading, domain: str, resolv_files: list[str]) -> Iterator[model.Plugin]:
    """The order is that of answering, which compile.py keeps."""
    given = read_servers(reading)
    defaults = [*(one for one in given if one.domain == "." and one.upstream), *read_resolv_files(resolv_files)]
    size = number_of(reading, "cache-size", CACHE_SIZE, high=TTL_MAX)
    yield model.Manner(errors_carry_ra=True, fails_silently=True, finds_known=True, deadline=DEADLINE)
    udp_max = number_of(reading, "edns-packet-max", UDP_MAX, high=TTL_MAX)
    yield model.Bufsize(min(max(udp_max, UDP_MIN), 4096))
    if not reading.has("no-round-robin"):
        yield model.Loadbalance()
    if reading.has("log-queries"):
        yield local.QueryLog(with_serial=any(one.value == "extra" for one in reading.all("log-queries")))
    yield local.Statistics(min(size, CACHE_SIZE_MAX), is_told=not reading.has("no-ident"))
    if resolv_files and not reading.has("no-poll"):
        yield model.Reload(interval=RESOLV_LOOK, jitter=0.0)
    if reading.has("dns-loop-detect"):
        yield local.LoopDetect()
    yield read_names(reading, domain)
    if reading.has("filterwin2k"):
        yield local.NoWindows()
    yield read_domains(reading, given)
    if reading.has("domain-needed"):
        yield local.Undotted()
    yield read_cache(reading, min(size, CACHE_SIZE_MAX))
    yield read_rules(reading)
    yield from list_forwards(reading, given, defaults)


# --- single values ----------------------------------------------------------------------------------------------------


def number_of(reading: Reading, name: str, default: int, *, low: int = 0, high: int = TTL_MAX) -> int:
    given = reading.last(name)
    return default if given is None else values.number(given, low=low, high=high)


def text_of(reading: Reading, name: str, default: str) -> str:
    given = reading.last(name)
    return default if given is None else given.value


def read_facility(reading: Reading, default: str) -> str:
    given = reading.last("log-facility")
    if given is None:
        return default
    if given.value != "-" and "/" not in given.value and given.value.lower() not in FACILITIES:
        raise given.place.error("bad log facility")
    return given.value


def read_domain(reading: Reading) -> str:
    """The suffix of names without a dot: the first --domain that is for all addresses."""
    for given in reading.all("domain"):
        text = given.value.partition(",")[0]
        if text == "#":
            return read_search(reading)
        if "," not in given.value and text:
            return values.name(given, text)
    return ""


def read_search(reading: Reading) -> str:
    """The first domain of resolv.conf's `search`."""
    paths = list_resolv_files(reading)
    if len(paths) != 1:
        raise errors.DnsmasqError("must have exactly one resolv.conf to read domain from.")
    try:
        with open(paths[0], encoding="utf-8", errors="replace") as file:
            lines = [line.split() for line in file]
    except OSError as error:
        text = f"failed to read {paths[0]}: {error.strerror}"
        raise errors.DnsmasqError(text, status=BAD_FILE) from None
    for words in lines:
        if len(words) > 1 and words[0] == "search" and names.is_name(words[1]):
            return names.canonical(words[1])
    raise errors.DnsmasqError(f"no search directive found in {paths[0]}", status=MISC)


def check_ignored(reading: Reading) -> None:
    """Values of options that change nothing here are still checked as dnsmasq does."""
    for name, low, high in (
        ("max-port", 0, values.PORT_MAX),
        ("min-port", 0, values.PORT_MAX),
        ("query-port", 0, values.PORT_MAX),
        ("port-limit", 1, TTL_MAX),
        ("max-tcp-connections", 1, TTL_MAX),
        ("log-async", 0, TTL_MAX),
    ):
        number_of(reading, name, 0, low=low, high=high)
    given = reading.last("fast-dns-retry")
    if given is not None and given.value:
        first, _, timeout = given.value.partition(",")
        values.number(dataclasses.replace(given, value=first), low=FAST_RETRY_MIN)
        values.number(dataclasses.replace(given, value=timeout))


# --- where it listens -------------------------------------------------------------------------------------------------


def list_listeners(reading: Reading) -> list[model.Listener]:
    """Port 0 is no listener. Names of interfaces become their addresses; --interface takes the loopback one with it."""
    port = number_of(reading, "port", PORT, high=values.PORT_MAX)
    wanted = [given.value for given in reading.all("interface") if given.value]
    unwanted = [given.value for given in reading.all("except-interface") if given.value]
    given_addresses = list(list_addresses(reading))
    if not port:
        return []
    if is_for_this_host(reading):
        return [model.Listener(address, port) for address in interfaces.addresses().get(LOOPBACK, ())]
    if not wanted and not given_addresses and not unwanted:
        return [model.Listener("", port)]
    patterns = [*wanted, *([LOOPBACK] if wanted else [])] or ([] if given_addresses else ["*"])
    held = interfaces.addresses()
    for name in wanted:
        if "*" not in name and name not in held and not reading.has("test"):
            raise errors.DnsmasqError(f"unknown interface {name}", status=2)
    found = [
        address
        for name, addresses in held.items()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
        and not any(fnmatch.fnmatchcase(name, pattern) for pattern in unwanted)
        for address in addresses
    ]
    return [model.Listener(address, port) for address in dict.fromkeys([*given_addresses, *found])]


def is_for_this_host(reading: Reading) -> bool:
    """Tell whether --local-service=host decides, which it does where no option says where to listen.

    Raises DnsmasqError for --local-service=net, that would have to: who asks is not looked at.
    """
    decides = not any(reading.has(name) for name in ("interface", "except-interface", "listen-address"))
    given = reading.all("local-service")
    for one in given:
        if one.value not in ("", "net", "host"):
            raise one.place.error()
        if decides and one.value != "host":
            raise one.place.error("fastdns does not have local-service=net: say where to listen, or local-service=host")
    return decides and bool(given)


def list_addresses(reading: Reading) -> Iterator[str]:
    for given in reading.all("listen-address"):
        for text in given.value.split(","):
            found = values.address(text.strip())
            if found is None:
                raise given.place.error()
            if found.version == 6 and not socket.has_ipv6:
                continue
            yield "" if found.is_unspecified else str(found)


# --- names of our own ---------------------------------------------------------------------------------------------------


def read_names(reading: Reading, domain: str) -> local.LocalNames:
    found = list(list_records(reading, domain))
    loop = records.check_loops(found)
    if loop:
        raise errors.DnsmasqError(f"CNAME loop involving {loop.rstrip('.')}")
    own_hosts = [] if reading.has("no-hosts") else [HOSTS]
    return local.LocalNames(
        records=tuple(found),
        hosts=tuple(list_hosts(reading)),
        files=(*own_hosts, *(given.value for given in reading.all("addn-hosts"))),
        folders=tuple(given.value for given in reading.all("hostsdir")),
        suffix=domain if reading.has("expand-hosts") else "",
        ttl=number_of(reading, "local-ttl", 0),
        mail_target=read_mail_target(reading),
    )


def list_hosts(reading: Reading) -> Iterator[local.Host]:
    yield from (records.host(given) for given in reading.all("host-record"))
    of_interfaces = reading.all("interface-name")
    held = interfaces.addresses() if of_interfaces else {}
    yield from (records.interface(given, held) for given in of_interfaces)


def read_mail_target(reading: Reading) -> str:
    """What MX of hosts without one of their own leads to: with --selfmx they themselves."""
    if reading.has("selfmx"):
        return local.ITSELF
    return find_mail_target(reading) if reading.has("localmx") else ""


def find_mail_target(reading: Reading) -> str:
    given = reading.last("mx-target")
    return (
        values.name(given, given.value) if given is not None and given.value else names.canonical(socket.gethostname())
    )


def list_records(reading: Reading, domain: str) -> Iterator[local.Record]:
    default_target = find_mail_target(reading)
    for given in reading.given:
        match given.name:
            case "cname":
                yield from records.aliases(given)
            case "txt-record":
                yield records.text(given)
            case "ptr-record":
                yield records.pointer(given)
            case "mx-host":
                yield records.mail(given, default_target)
            case "srv-host":
                yield records.service(given, domain)
            case "naptr-record":
                yield records.naptr(given)
            case "caa-record":
                yield records.authority(given)
            case "dns-rr":
                yield records.generic(given)


def read_domains(reading: Reading, given: Iterable[Server]) -> local.LocalDomains:
    """--address and servers in one list: the longest decides, and where both name one domain, the address first."""
    found: dict[str, local.Domain] = {}
    for server in given:
        if server.domain in (None, "."):
            continue
        is_local = server.upstream is None and not server.is_default
        held = found.get(server.domain or "")
        if held is None or held.is_denied:
            found[server.domain or ""] = local.Domain(server.domain or "", is_denied=is_local, is_passed=not is_local)
    for option in reading.all("address"):
        for domain in values.domains(option):
            held = found.get(domain.name)
            if held is not None and held.addresses:
                domain = dataclasses.replace(domain, addresses=(*held.addresses, *domain.addresses), is_denied=False)
            found[domain.name] = domain
    return local.LocalDomains(
        domains=tuple(found.values()),
        private_reverse=private.reverse_zones() if reading.has("bogus-priv") else (),
        ttl=number_of(reading, "local-ttl", 0),
    )


# --- the cache, and what comes into it -----------------------------------------------------------------------------------


def read_cache(reading: Reading, size: int) -> model.Cache:
    stale = reading.last("use-stale-cache")
    seconds = values.number(stale) if stale is not None and stale.value else STALE_MAX
    low = min(number_of(reading, "min-cache-ttl", 0), MIN_CACHE_TTL_MAX)
    high = max(low, number_of(reading, "max-cache-ttl", 0) or TTL_MAX)
    denied = 0 if reading.has("no-negcache") else size
    types = [rtype for one in reading.all("cache-rr") for rtype in values.rtypes(one)]
    return model.Cache(
        zones=(".",),
        success=model.CacheSide(capacity=size, max_ttl=high, min_ttl=low),
        denial=model.CacheSide(capacity=denied, max_ttl=high, min_ttl=low),
        servfail=0.0,
        serve_stale=None if stale is None else model.ServeStale(duration=seconds or TTL_MAX),
        records=model.RecordCache(
            types=() if constants.Type.ANY in types else tuple(dict.fromkeys([*CACHED_TYPES, *types])),
            negative_ttl=number_of(reading, "neg-ttl", 0),
        ),
    )


def read_rules(reading: Reading) -> local.ReplyRules:
    hidden = [rtype for one in reading.all("filter-rr") for rtype in values.rtypes(one)]
    hidden += [constants.Type.A] * reading.has("filter-A") + [constants.Type.AAAA] * reading.has("filter-AAAA")
    is_protected = reading.has("stop-dns-rebind")
    zones = [
        domain
        for one in reading.all("rebind-domain-ok")
        for domain in values.split_domains(dataclasses.replace(one, value=f"/{one.value.strip('/')}/"))[0]
    ]
    return local.ReplyRules(
        max_ttl=number_of(reading, "max-ttl", 0),
        hidden_types=tuple(dict.fromkeys(hidden)),
        private=private.networks(with_loopback=not reading.has("rebind-localhost-ok")) if is_protected else (),
        private_zones=tuple(domain for domain in zones if domain is not None),
        bogus=tuple(values.network(one, one.value) for one in reading.all("bogus-nxdomain")),
        ignored=tuple(values.network(one, one.value) for one in reading.all("ignore-address")),
        aliases=tuple(values.alias(one) for one in reading.all("alias")),
        keeps_ad=reading.has("proxy-dnssec"),
    )


# --- servers --------------------------------------------------------------------------------------------------------------


def read_servers(reading: Reading) -> list[Server]:
    found: list[Server] = []
    for given in reading.given:
        if given.name in ("server", "local"):
            found += values.servers(given)
        elif given.name == "rev-server":
            found += values.reverse_servers(given)
    return found


def list_resolv_files(reading: Reading) -> list[str]:
    if reading.has("no-resolv"):
        return []
    return [given.value for given in reading.all("resolv-file") if given.value] or [RESOLV_CONF]


def read_resolv_files(paths: list[str]) -> list[Server]:
    """The servers of the file that was changed last, as dnsmasq chooses."""
    best: tuple[float, list[Server]] = (-1.0, [])
    for path in paths:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                modified = os.fstat(file.fileno()).st_mtime
                lines = file.read().splitlines()
        except OSError as error:
            logger.warning("failed to access %s: %s", path, error.strerror)
            continue
        if modified > best[0]:
            best = (modified, [server for line in lines for server in read_resolv_line(line)])
    return best[1]


def read_resolv_line(line: str) -> Iterator[Server]:
    word, _, rest = line.strip().partition(" ")
    found = values.address(rest.split()[0].partition("%")[0]) if word == "nameserver" and rest.split() else None
    if found is not None:
        yield Server(".", model.Upstream(str(found), values.PORT))


def list_forwards(reading: Reading, given: list[Server], defaults: list[Server]) -> Iterator[model.Forward]:
    """One forward for each set of servers and number of labels, the longest domains first."""
    by_domain: dict[str | None, list[Server]] = {}
    for server in given:
        if server.domain != "." and (server.upstream is not None or server.is_default):
            by_domain.setdefault(server.domain, []).extend(defaults if server.is_default else [server])
    groups: dict[Group, list[str]] = {}
    for domain, servers in by_domain.items():
        upstreams = tuple(dict.fromkeys(one.upstream for one in servers if one.upstream))
        source = next((one.source for one in servers if one.source), "")
        depth = -1 if domain is None else measure_domain(domain)
        groups.setdefault((depth, upstreams, source), []).append(domain or ".")
    upstreams = tuple(dict.fromkeys(one.upstream for one in defaults if one.upstream))
    groups[0, upstreams, next((one.source for one in defaults if one.source), "")] = ["."]
    for (depth, upstreams, source), zones in sorted(groups.items(), key=rank_group):
        yield make_forward(reading, upstreams, zones=zones, source=source, is_undotted=depth < 0)


def measure_domain(domain: str) -> float:
    """How long a domain is, in labels; `*END.REST` is between REST and any `LABEL.REST`."""
    labels = domain.count(".")
    return labels - 1 + len(domain) / 1000 if domain.startswith("*") else labels


def rank_group(group: tuple[Group, list[str]]) -> tuple[bool, float]:
    """Names without a dot last but for the ordinary servers: a domain of theirs is longer."""
    depth = group[0][0]
    return depth == 0, -depth


def make_forward(
    reading: Reading, upstreams: tuple[model.Upstream, ...], *, zones: list[str], source: str, is_undotted: bool
) -> model.Forward:
    upstreams = upstreams[:SERVERS_MAX]
    policy = "fastest"
    if reading.has("strict-order"):
        policy = "sequential"
    if reading.has("all-servers"):
        policy = "all"
    return model.Forward(
        zone=zones[0],
        more_zones=tuple(zones[1:]),
        is_undotted=is_undotted,
        upstreams=upstreams * 2
        if len(upstreams) == 1 and zones == ["."]
        else upstreams,  # asked once more if it refuses
        policy=policy if len(upstreams) != 1 else "sequential",
        failover=(SERVFAIL, REFUSED),
        max_connect_attempts=max(3, len(upstreams)),
        failfast_all_unhealthy_upstreams=True,  # one is down only for a loop
        max_fails=0,
        read_timeout=READ_TIMEOUT,
        max_concurrent=number_of(reading, "dns-forward-max", FORWARD_MAX),
        source_address=source,
    )
