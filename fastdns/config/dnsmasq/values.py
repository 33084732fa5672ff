"""One value of one option of dnsmasq in, what it means out. Every mistake is a DnsmasqError in dnsmasq's words."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import re
import socket

from fastdns.config import local, model
from fastdns.config.dnsmasq import private
from fastdns.config.dnsmasq.reading import Given, reveal
from fastdns.dns import constants, names, reverse

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

PORT = 53
INT_MAX = 2**31 - 1
PORT_MAX = 65535
UNKNOWN_HOST = "Name or service not known"
PORT_DIGITS_MAX = 5
NULL_ADDRESSES = ("0.0.0.0", "::")
_OLD_ADDRESS = re.compile(r"[0-9.]+")  # inet_aton(3): 127.1, 010.0.0.1
_HOST_NAME = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")


# --- numbers and names -----------------------------------------------------------------------------------------------


def number(given: Given, *, low: int = 0, high: int = INT_MAX) -> int:
    """The digits of a value, at most INT_MAX (larger ones are taken as it); no digits are 0, as atoi(3) says."""
    found = read_digits(given.value)
    if found is None or not low <= found <= high:
        raise given.place.error()
    return found


def field_number(given: Given, text: str, message: str, *, high: int = 0xFFFF) -> int:
    """A number among other fields; what is wrong with it is told by `message`."""
    found = read_digits(text)
    if found is None or found > high:
        raise given.place.error(message)
    return found


def read_digits(text: str) -> int | None:
    if not text:
        return 0
    return min(int(text), INT_MAX) if text.isascii() and text.isdigit() else None


def name(given: Given, text: str, message: str = "") -> str:
    """A domain name in canonical text."""
    if not names.is_name(reveal(text)):
        raise given.place.error(message)
    return names.canonical(reveal(text))


def fields(given: Given) -> list[str]:
    return [reveal(field).strip() for field in given.value.split(",")]


def rtype(given: Given, text: str, message: str = "bad RR type") -> int:
    """A record type by its name or number."""
    if text.isascii() and text.isdigit() and int(text) <= 0xFFFF:
        return int(text)
    known = constants.Type.__members__.get(text.upper())
    if known is None:
        raise given.place.error(message)
    return int(known)


# --- addresses --------------------------------------------------------------------------------------------------------


def rtypes(given: Given) -> list[int]:
    """The types of `TYPE[,TYPE...]`; nothing between two commas is none."""
    return [rtype(given, text) for text in fields(given) if text]


def address(text: str, *, may_have_scope: bool = False) -> Address | None:
    """An address; one of a link (`fe80::1%eth0`) only where it can mean something (RFC 4007 section 11)."""
    try:
        return ipaddress.ip_address(text) if may_have_scope or "%" not in text else None
    except ValueError:
        return None


def network(given: Given, text: str) -> local.Network:
    """`ADDRESS[/PREFIX]`."""
    base, separator, prefix = text.partition("/")
    found = address(base)
    if found is None or (separator and (not prefix.isdigit() or int(prefix) > found.max_prefixlen)):
        raise given.place.error()
    return private.spread(ipaddress.ip_network(f"{found}/{prefix or found.max_prefixlen}", strict=False))


def alias(given: Given) -> local.Alias:
    """`OLD|FIRST-LAST,NEW[,MASK]`."""
    old, *rest = fields(given)
    first, is_range, last = old.partition("-")
    found = [address(text) for text in (first, *([last] if is_range else []), *rest[:2])]
    if is_range and rest and found[0] is not None and not isinstance(found[1], ipaddress.IPv4Address):
        raise given.place.error("invalid alias range")
    if not rest or not all(isinstance(one, ipaddress.IPv4Address) for one in found):
        raise given.place.error("missing address in alias")
    packed = [one.packed for one in found if one is not None]
    mask = packed[-1] if len(rest) > 1 else b"\xff\xff\xff\xff"
    if is_range:
        if packed[0] > packed[1] or any(
            one & bit != other & bit for one, other, bit in zip(*packed[:2], mask, strict=True)
        ):
            raise given.place.error("invalid alias range")
        if len(rest) == 1:
            raise given.place.error("invalid alias range")
        return local.Alias(local.Network(packed[0], packed[1]), packed[2], mask)
    low = bytes(octet & bit for octet, bit in zip(packed[0], mask, strict=True))
    high = bytes(octet | ~bit & 0xFF for octet, bit in zip(low, mask, strict=True))
    return local.Alias(local.Network(low, high), packed[1], mask)


# --- servers ----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Server:
    """One server for `domain`; None: for names without a dot. Neither `upstream` nor `is_default`: the domain is local."""

    domain: str | None
    upstream: model.Upstream | None = None
    source: str = ""
    is_default: bool = False  # `#`: what names outside of every domain go to


def servers(given: Given) -> list[Server]:
    """Read `[/DOMAIN[/DOMAIN...]/][ADDRESS[#PORT][@SOURCE[#PORT]]]`."""
    if not given.value and given.name == "local":
        raise given.place.error()
    domains, target = split_domains(given)
    if not target:
        return [Server(domain) for domain in domains]
    if target == "#":
        return [Server(domain, is_default=True) for domain in domains]
    upstream, source = read_server(given, target)
    return [Server(domain, upstream, source) for domain in domains]


def split_domains(given: Given) -> tuple[list[str | None], str]:
    """Cut `/d1/d2/rest`; without slashes it is the root. `#` and `*` are the root too, an empty one None: names without a dot."""
    if not given.value.startswith("/"):
        return ["."], given.value
    *found, rest = given.value[1:].split("/")
    if not found:
        return ["."], given.value
    return [read_domain(given, text) for text in found], rest


def read_domain(given: Given, text: str) -> str | None:
    if not text:
        return None
    if text == "#":
        return "."
    if text == "*":
        return "."
    return name(given, text if text.startswith("*") else text.lstrip("."))


def read_server(given: Given, text: str) -> tuple[model.Upstream, str]:
    """Read `ADDRESS[#PORT][@SOURCE[#PORT]]`; a host name is looked up. The upstream, and the address to ask it from."""
    place, _, source = text.partition("@")
    host, has_port, port = place.partition("#")
    source, has_source_port, source_port = source.partition("#")
    for present, written in ((has_port, port), (has_source_port, source_port)):
        if present:
            field_number(given, written, "bad port", high=PORT_MAX)
    found = address(host, may_have_scope=True)
    if found is None:
        found = look_up(given, host)
    if source and address(source) is None:
        source = find_interface(given, source)
    elif source and ipaddress.ip_address(source).version != found.version:
        other = 10 - found.version
        raise given.place.error(f"cannot use IPv{found.version} server address with IPv{other} source address")
    return model.Upstream(str(found), int(port) if port else PORT), source


def look_up(given: Given, host: str) -> Address:
    """The first address of a host. What is no host's name needs no look-up to be unknown, or is an old form of an address."""
    if _OLD_ADDRESS.fullmatch(host):
        with contextlib.suppress(OSError):
            return ipaddress.ip_address(socket.inet_aton(host))
    if not _HOST_NAME.fullmatch(host):
        raise given.place.error(UNKNOWN_HOST)
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise given.place.error(error.strerror or UNKNOWN_HOST) from None
    return ipaddress.ip_address(str(found[0][4][0]))


def find_interface(given: Given, text: str) -> str:
    """An interface as a source: its first IPv4 address."""
    from fastdns.config import interfaces

    for held in interfaces.addresses().get(text, ()):
        if ":" not in held:
            return held
    raise given.place.error("interface binding not supported")


def reverse_servers(given: Given) -> list[Server]:
    """Read `NETWORK[/PREFIX][,SERVER]`: the servers of the network's reverse names."""
    where, separator, target = given.value.partition(",")
    base, has_prefix, prefix = where.partition("/")
    found = address(base)
    if found is None or (prefix and not prefix.isdigit()):
        raise given.place.error()
    length = int(prefix or 0) if has_prefix else found.max_prefixlen
    if not (0 if found.version == 6 else 1) <= length <= found.max_prefixlen:
        raise given.place.error(f"bad IPv{found.version} prefix length")
    if separator and not target:
        raise given.place.error(UNKNOWN_HOST)
    is_default = target == "#"
    upstream, source = read_server(given, target) if target and not is_default else (None, "")
    zones = reverse.reverse_zones(ipaddress.ip_network(f"{found}/{length}", strict=False))
    return [Server(zone, upstream, source, is_default=is_default) for zone in zones]


# --- domains with an answer ------------------------------------------------------------------------------------------


def domains(given: Given) -> list[local.Domain]:
    """Read `[/DOMAIN[/DOMAIN...]/][ADDRESS]` of --address; without a domain it is for every name."""
    found, target = split_domains(given)
    if target == "#":
        addresses: tuple[str, ...] = NULL_ADDRESSES
    elif not target:
        addresses = ()
    else:
        one = address(target)
        if one is None:
            raise given.place.error("Bad address in --address")
        addresses = (str(one),)
    return [local.Domain(domain, addresses, is_denied=not addresses) for domain in found if domain is not None]
