"""The weight file of plugin loadbalance: names, and under each the addresses that are to come first more often.

# comment
www.example.com
192.0.2.1 3
192.0.2.2 1
"""

from __future__ import annotations

import ipaddress

from fastdns import errors
from fastdns.dns import names

WEIGHT_MAX = 255

Weights = tuple[tuple[bytes, str, int], ...]


def parse(text: str, path: str) -> Weights:
    """Read (canonical wire name, address, weight) of each line. Raises ConfigError: a line makes no sense."""
    found: list[tuple[bytes, str, int]] = []
    name = b""
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        if len(fields) == 1:
            name = _read_name(fields[0], path, number)
        elif len(fields) == 2:
            if not name:
                raise errors.ConfigError(path, number, "missing domain name", kind="Error in weight file")
            found.append((name, *_read_weight(fields[0], fields[1], path, number)))
        else:
            raise errors.ConfigError(
                path, number, f'could not parse weight line:"{line.strip()}"', kind="Error in weight file"
            )
    return tuple(found)


def _read_name(text: str, path: str, number: int) -> bytes:
    if _is_address(text):
        message = f'wrong domain name:"{text}". (Maybe a missing weight value?)'
        raise errors.ConfigError(path, number, message, kind="Error in weight file")
    try:
        return names.to_canonical_wire(names.canonical(text))
    except ValueError as error:
        message = f'wrong domain name:"{text}": {error}'
        raise errors.ConfigError(path, number, message, kind="Error in weight file") from None


def _read_weight(address: str, weight: str, path: str, number: int) -> tuple[str, int]:
    if not _is_address(address):
        raise errors.ConfigError(path, number, f'wrong IP address:"{address}"', kind="Error in weight file")
    if not (weight.isascii() and weight.isdigit()) or not 1 <= int(weight) <= WEIGHT_MAX:
        message = f'wrong weight value:"{weight}"; it is from 1 to {WEIGHT_MAX}'
        raise errors.ConfigError(path, number, message, kind="Error in weight file")
    return address, int(weight)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
