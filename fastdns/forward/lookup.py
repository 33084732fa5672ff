"""Upstreams that are given by name are looked up once, when the configuration is read; TLS files are tried there, too."""

from __future__ import annotations

import socket
from collections.abc import Sequence


def addresses(host: str, resolvers: Sequence[str]) -> tuple[str, ...]:
    """Give the IP addresses of `host`. Raises OSError when there are none or nobody answers."""
    if resolvers:
        raise OSError("asking the servers of 'resolver' is not supported yet; name the upstream's address")
    found = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    return tuple(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def check_tls_files(certificate: str, key: str, ca: str) -> None:
    """Raise OSError when a file can't be read or holds no certificate or key. Empty names are passed over."""
    import ssl  # here, since few configurations need it and it costs every process memory

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if certificate:
        context.load_cert_chain(certificate, key)
    if ca:
        context.load_verify_locations(ca)
