"""A hosts file and the lines of the Corefile in, deltas of a name table out; read again when the file changes.

As CoreDNS's plugin hosts: names outside of the plugin's zones are left out, `*.x` stands for one label, a name that
isn't there is SERVFAIL (there is no SOA to say NXDOMAIN with), other types of a name that is are NODATA. A reverse name
that isn't there goes to the next plugin, whatever `fallthrough` says.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import logging
import os
from collections.abc import Iterable, Iterator

from fastdns.config import model
from fastdns.dns import deltas, names

logger = logging.getLogger(__name__)

REVERSE = ("in-addr.arpa.", "ip6.arpa.")
FIELD_MAX = 1024  # octets; a longer one is no name and no address
NO_SOA_DATA = deltas.soa_data(b"", b"", refresh=0, retry=0, expire=0, minimum=0)
"""A SOA that is never given."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclasses.dataclass(slots=True)
class Entries:
    """Names in canonical wire form."""

    forward: dict[bytes, list[Address]] = dataclasses.field(default_factory=dict)
    reverse: dict[bytes, list[bytes]] = dataclasses.field(default_factory=dict)

    @property
    def count(self) -> int:
        return sum(map(len, self.forward.values())) + sum(map(len, self.reverse.values()))

    def leave_out_repetitions(self) -> None:
        """Done once for all lines: a list of names to block has one address for hundreds of thousands of them."""
        self.forward = {name: list(dict.fromkeys(found)) for name, found in self.forward.items()}
        self.reverse = {name: list(dict.fromkeys(found)) for name, found in self.reverse.items()}


class HostsSource:
    """One hosts plugin: what it serves now."""

    def __init__(self, plugin: model.Hosts) -> None:
        self.plugin = plugin
        self.entries = 0
        self.modified_ns = 0
        self._stamp: tuple[int, int] | None = None
        self._served: dict[bytes, bytes] = {}
        self._zones = [names.to_canonical_wire(zone) for zone in plugin.zones]

    def start(self) -> Iterator[bytes]:
        """Deltas that fill an empty table."""
        yield b"".join(encode_zone(zone) for zone in dict.fromkeys((*self.plugin.zones, *REVERSE)))
        if not os.path.exists(self.plugin.path):
            logger.warning("plugin/hosts: File does not exist: %s", self.plugin.path)
        self._stamp = None
        yield from self._replace(self._load() or [])
        yield deltas.synced(True)

    def is_changed(self) -> bool:
        """True if the file is another than the one that is served; one that can't be read is none."""
        try:
            status = os.stat(self.plugin.path)
        except OSError:
            return False
        return (status.st_mtime_ns, status.st_size) != self._stamp

    def refresh(self) -> Iterator[bytes]:
        """Deltas for what has changed in the file, if it has."""
        lines = self._load()
        if lines is not None:
            yield from self._replace(lines)

    def _load(self) -> list[str] | None:
        """The file's lines if it is another than before. A file that can't be read changes nothing."""
        try:
            with open(self.plugin.path, encoding="utf-8", errors="surrogateescape") as file:
                status = os.fstat(file.fileno())
                stamp = (status.st_mtime_ns, status.st_size)
                if stamp == self._stamp:
                    return None
                lines = file.read().splitlines()
        except OSError:
            return None
        self._stamp, self.modified_ns = stamp, status.st_mtime_ns
        return lines

    def _replace(self, lines: Iterable[str]) -> Iterator[bytes]:
        entries = Entries()
        for line in (*lines, *self.plugin.inline):
            self._add_line(entries, line)
        entries.leave_out_repetitions()
        self.entries = entries.count
        wanted = {name: encode_addresses(found, self.plugin.ttl) for name, found in entries.forward.items()}
        wanted |= {name: encode_targets(found, self.plugin.ttl) for name, found in entries.reverse.items()}
        yield from deltas.pack(self._operations(wanted))
        self._served = wanted

    def _operations(self, wanted: dict[bytes, bytes]) -> Iterator[bytes]:
        for name in self._served.keys() - wanted.keys():
            yield deltas.remove(name)
        for name, data in wanted.items():
            if self._served.get(name) != data:
                yield deltas.put(name, data)

    def _add_line(self, entries: Entries, line: str) -> None:
        fields = line.partition("#")[0].split()
        address = parse_address(fields[0]) if fields else None
        if address is None:
            return
        pointer = names.to_canonical_wire(address.reverse_pointer) if self.plugin.reverse else b""
        for field in fields[1:]:
            name = encode_name(field)
            if name is None or not self._is_served(name):
                continue
            entries.forward.setdefault(name, []).append(address)
            if pointer and not name.startswith(b"\1*"):
                entries.reverse.setdefault(pointer, []).append(name)

    def _is_served(self, name: bytes) -> bool:
        return any(is_below(name, zone) for zone in self._zones)


def parse_address(text: str) -> Address | None:
    """An IPv6 zone (`%eth0`) is left out; an IPv4 address in IPv6 form is one of IPv4."""
    try:
        address = ipaddress.ip_address(text[:FIELD_MAX].partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def encode_name(text: str) -> bytes | None:
    try:
        return names.to_canonical_wire(text)
    except ValueError:
        return None


def is_below(name: bytes, zone: bytes) -> bool:
    """True if `zone` is the end of `name` at a label."""
    at = 0
    while at < len(name):
        if name[at:] == zone:
            return True
        at += name[at] + 1
    return False


def encode_zone(zone: str) -> bytes:
    """A zone without a SOA: what isn't there is SERVFAIL."""
    flags = deltas.NO_SOA | deltas.MISS_SERVFAIL | deltas.WILDCARD_ONE_LABEL
    return deltas.zone(names.to_canonical_wire(zone), NO_SOA_DATA, flags=flags, nxdomain=0)


def encode_addresses(addresses: list[Address], ttl: int) -> bytes:
    return deltas.data(0, *deltas.address_sets((address.packed for address in addresses), ttl))


def encode_targets(targets: list[bytes], ttl: int) -> bytes:
    return deltas.data(deltas.ONLY_THESE, deltas.ptr_set(targets, ttl))
