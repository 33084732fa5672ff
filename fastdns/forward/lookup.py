"""Upstreams that are given by name: looked up once, when the configuration is read."""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Sequence

from fastdns.dns import constants

TIMEOUT = 2.0


def addresses(host: str, resolvers: Sequence[tuple[str, int]]) -> tuple[str, ...]:
    """Give the IP addresses of `host`, asked of `resolvers` in turn, or of the machine's own resolver without any.

    Raises OSError when there are none or nobody answers.
    """
    if not resolvers:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
        return tuple(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
    failure: OSError | None = None
    for resolver in resolvers:
        try:
            answers = (*_ask(resolver, host, constants.Type.A), *_ask(resolver, host, constants.Type.AAAA))
        except OSError as error:
            failure = error
            continue
        if answers:
            return answers
    raise OSError(f'no addresses found for "{host}"' + (f": {failure}" if failure else ""))


def _ask(resolver: tuple[str, int], host: str, qtype: constants.Type) -> tuple[str, ...]:
    """Ask one server for one type. Raises OSError, a timeout included."""
    from fastdns.dns import messages  # here, since few configurations need it and it brings dnslib

    message_id = secrets.randbelow(0x10000)
    family = socket.AF_INET if ipaddress.ip_address(resolver[0]).version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        asking.settimeout(TIMEOUT)
        asking.connect(resolver)
        asking.send(messages.encode_query(host, qtype, message_id=message_id))
        return messages.read_addresses(asking.recv(0xFFFF), message_id=message_id)
