"""The keys of kube-dns's ConfigMap, wherever they are kept: federations, stubDomains and upstreamNameservers.

kube-dns, dnsmasq-nanny and node-cache read them, from a folder (config/folder.py) or from the API server. What is wrong
with one key makes the whole update void: the settings in use stay. Wording as kube-dns's own where it has one.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import NoReturn

from fastdns import errors
from fastdns.config import values

UPSTREAMS_MAX = 3
LABEL_MAX, NAME_MAX = 63, 253  # octets; RFC 1123 names as text
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_PORT = re.compile(r"[0-9]{1,10}")


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What the keys say. Servers are as written: an address, one with its port, or (in stub domains) a name.

    `federations` is from name to domain, `stub_domains` from domain to servers; a domain may have none.
    """

    federations: Mapping[str, str] = dataclasses.field(default_factory=dict)
    stub_domains: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    upstreams: tuple[str, ...] = ()


DEFAULTS = Settings()


class Follower:
    """Tells what changes: one version after the other, each with what the keys hold.

    A version that is void is remembered too, so that going back to the text before it is a change.
    """

    def __init__(self) -> None:
        self._version: str | None = None

    def take(self, version: str, data: Mapping[str, str]) -> Settings | None:
        """Give the settings of a new version, None for the one that was taken last. Raises SettingError."""
        if version == self._version:
            return None
        self._version = version
        return parse(data)


def parse(data: Mapping[str, str]) -> Settings:
    """Read the keys; others are passed over. Raises SettingError, whose `key` is the one that is wrong."""
    return Settings(
        federations=parse_federations(data.get("federations", "")),
        stub_domains=parse_stub_domains(data["stubDomains"]) if "stubDomains" in data else {},
        upstreams=parse_upstreams(data["upstreamNameservers"]) if "upstreamNameservers" in data else (),
    )


def parse_federations(text: str) -> dict[str, str]:
    """Read `NAME=DOMAIN,...`, also the flag of kube-dns; of two with one name the later counts. Raises SettingError."""
    fail = _failure("federations")
    found = {}
    for part in text.split(",") if text.strip() else ():
        name, equals, domain = (piece.strip() for piece in part.strip().partition("="))
        if not equals:
            fail(f"invalid format, must be key=value: {values.quote(part)}")
        if not is_label(name):
            fail(f"{values.quote(name)} not a valid federation name: a lower-case RFC 1123 label is expected")
        if not is_subdomain(domain):
            fail(f"{values.quote(domain)} not a valid domain name: a lower-case RFC 1123 subdomain is expected")
        found[name] = domain
    return found


def parse_stub_domains(text: str) -> dict[str, tuple[str, ...]]:
    """Read a JSON object from domain to servers. Raises SettingError."""
    fail = _failure("stubDomains")
    found = _read_json(text, fail)
    if found is None:  # as Go reads null
        return {}
    if not isinstance(found, dict):
        fail(f"an object from domain to servers is expected, not {_name_kind(found)}")
    stub_domains = {}
    for domain, servers in found.items():
        if not is_subdomain(domain):
            fail(f"invalid domain name: {values.quote(domain)}")
        stub_domains[domain] = _read_texts(servers, fail, where=f"the servers of {values.quote(domain)}")
        for server in stub_domains[domain]:
            if not is_stub_server(server):
                fail(f"invalid nameserver: {values.quote(server)}")
    return stub_domains


def parse_upstreams(text: str) -> tuple[str, ...]:
    """Read a JSON list of at most UPSTREAMS_MAX addresses, each with or without a port. Raises SettingError."""
    fail = _failure("upstreamNameservers")
    found = _read_texts(_read_json(text, fail), fail, where="the value")
    if len(found) > UPSTREAMS_MAX:
        fail(f"upstreamNameserver cannot have more than three entries, {len(found)} found")
    for server in found:
        try:
            split_address(server)
        except ValueError as error:
            fail(str(error))
    return found


def split_address(text: str) -> tuple[str, int]:
    """Split `IP`, `IP:PORT` or `[IP]:PORT`; 53 without a port. Raises ValueError with kube-dns's words."""
    if values.is_address(text):
        return text, 53
    host, port = values.split_host_port(text)
    if not values.is_address(host):
        raise ValueError(f"bad IP address: {values.quote(host)}")
    number = _read_port(port)
    if not number:
        raise ValueError(f"bad port number: {values.quote(port)}")
    return host, number


def is_stub_server(text: str) -> bool:
    """Tell whether a stub domain may have `text` as its server: an address, one with a port, a name without.

    An empty port passes, as does 0.
    """
    if values.is_address(text):
        return True
    try:
        host, port = values.split_host_port(text)
    except ValueError:
        return is_subdomain(text)
    return values.is_address(host) and (not port or _read_port(port) is not None)


def is_label(text: str) -> bool:
    """Tell whether `text` is a lower-case label of RFC 1123."""
    return len(text) <= LABEL_MAX and _LABEL.fullmatch(text) is not None


def is_subdomain(text: str) -> bool:
    """Tell whether `text` is one or more such labels, without a final dot."""
    return len(text) <= NAME_MAX and all(map(is_label, text.split(".")))


def _failure(key: str) -> Callable[[str], NoReturn]:
    def fail(reason: str) -> NoReturn:
        raise errors.SettingError(key, reason)

    return fail


def _read_json(text: str, fail: Callable[[str], NoReturn]) -> object:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        fail(f"invalid JSON {values.quote(text[:200])}: {error}")


def _refuse_constant(name: str) -> NoReturn:
    """NaN and Infinity are JSON to Python alone."""
    raise ValueError(f"{name} is no JSON")


def _read_texts(found: object, fail: Callable[[str], NoReturn], *, where: str) -> tuple[str, ...]:
    if found is None:
        return ()
    if not isinstance(found, list):
        fail(f"{where}: a list of texts is expected, not {_name_kind(found)}")
    for one in found:
        if not isinstance(one, str):
            fail(f"{where}: a text is expected, not {_name_kind(one)}")
    return tuple(found)


def _name_kind(found: object) -> str:
    names: Iterable[tuple[type, str]] = (
        (bool, "a truth value"),
        (str, "a text"),
        (list, "a list"),
        (dict, "an object"),
    )
    return next((name for kind, name in names if isinstance(found, kind)), "null" if found is None else "a number")


def _read_port(text: str) -> int | None:
    number = int(text) if _PORT.fullmatch(text) else values.MAX_PORT + 1
    return number if number <= values.MAX_PORT else None
