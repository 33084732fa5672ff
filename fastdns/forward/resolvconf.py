"""The name servers of a resolv.conf file (resolv.conf(5))."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from fastdns import errors


def read_nameservers(path: str) -> tuple[str, ...]:
    """Give the addresses of the `nameserver` lines of `path`, each once, in the order of the file.

    An IPv6 zone (`fe80::1%eth0`) is kept, since a link-local address can't be reached without it. Raises OSError, and
    ConfigError with the file and line of an address that is none.
    """
    with open(path, encoding="utf-8", errors="replace") as file:
        return tuple(dict.fromkeys(_addresses(file.read(), path)))


def _addresses(text: str, path: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        try:
            yield str(ipaddress.ip_address(words[1]))
        except ValueError:
            raise errors.ConfigError(path, number, f"'{words[1]}' is not an IP address") from None
