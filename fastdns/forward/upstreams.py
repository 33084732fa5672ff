"""The words that name upstreams: addresses, files with `nameserver` lines, names that are looked up."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence

from fastdns.config import model, values
from fastdns.dns import names
from fastdns.forward import lookup, resolvconf

PORTS = {"dns": 53, "tls": 853, "https": 443}
PLANNED_SCHEMES = ("quic",)


class TargetError(ValueError):
    """A word that names no upstream; `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def read(text: str, *, resolvers: Sequence[tuple[str, int]] = ()) -> tuple[model.Upstream, ...]:
    """Read `[dns://|tls://|https://]ADDRESS[%NAME][:PORT]`, a file or a host name, about which `resolvers` are asked.

    After an address of tls:// or https://, `%NAME` is the server's name in its certificate, else the zone of an IPv6 address. A
    file without name servers gives nothing. Raises TargetError with CoreDNS's words, and ConfigError with the line of
    the file that is wrong.
    """
    scheme, rest = _split_scheme(text)
    host, port = split_port(rest, PORTS[scheme])
    server_name = ""
    if scheme != "dns":
        host, _, server_name = host.partition("%")
    if _is_address(host):
        addresses: Sequence[str] = (str(ipaddress.ip_address(host)),)
    elif os.path.exists(rest):
        return _read_file(rest)
    else:
        addresses = _look_up(text, host, resolvers)
    number = read_port(port)
    return tuple(model.Upstream(address, number, model.Protocol(scheme), server_name) for address in addresses)


def split_port(text: str, default: int) -> tuple[str, str]:
    """Cut the port off `text`; the port is not checked."""
    try:
        return values.split_host_port(text)
    except ValueError:
        return text.strip("[]"), str(default)


def read_port(text: str) -> int:
    """Read the port of an upstream. Raises TargetError."""
    port = values.port_number(text)
    if not port:
        raise TargetError(f"address {text}: invalid port")
    return port


def _split_scheme(text: str) -> tuple[str, str]:
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "dns", text
    if scheme not in PORTS:
        planned = f"CoreDNS has {scheme}:// upstreams, fastdns does not have them yet"
        hint = planned if scheme in PLANNED_SCHEMES else "an upstream is asked by dns://, tls:// or https://"
        raise TargetError(f"'{scheme}' is not supported as a destination protocol in forward: {text}", hint)
    if scheme == "https" and "/" in rest:
        message = "paths are not allowed in HTTPS upstream addresses (the /dns-query path is used by default)"
        raise TargetError(f"{message}: {text}")
    if not rest:
        raise TargetError(f"invalid address: {values.quote(text)}")
    return scheme, rest


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _read_file(path: str) -> tuple[model.Upstream, ...]:
    """Read a resolv.conf file. It is asked over plain DNS whatever the scheme before its name, as in CoreDNS."""
    try:
        addresses = resolvconf.read_nameservers(path)
    except OSError as error:
        raise TargetError(f"not an IP address or file {values.quote(path)}: {error.strerror}") from error
    return tuple(model.Upstream(address, PORTS["dns"]) for address in addresses)


def _look_up(text: str, host: str, resolvers: Sequence[tuple[str, int]]) -> tuple[str, ...]:
    is_path = "/" in host or host.startswith(".")
    if is_path or not names.is_name(host):
        hint = "there is no such file" if is_path else ""
        raise TargetError(f"not an IP address, file, or valid domain: {values.quote(text)}", hint)
    try:
        return lookup.addresses(host, resolvers)
    except OSError as error:
        hint = "it is neither an IP address nor a file, and was looked up as a name"
        raise TargetError(f"failed to resolve {values.quote(host)}: {error}", hint) from error
