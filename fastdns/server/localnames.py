"""Names that the server itself holds, as deltas of name tables: records and hosts files in one table, whole domains in another.

As dnsmasq: what a table has not goes on to the next step; hosts files are read at the start and when a signal says so,
folders of them whenever a file in them changes. A line of a hosts file that makes no sense is left out.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

from fastdns.config import local
from fastdns.dns import constants, deltas, names, reverse

logger = logging.getLogger(__name__)

# Of fastdns/_names.pxd and fastdns/_rrset.pxd.
MISS_PASSES = 256
PTR_NXDOMAIN = 64
NAMELESS = 1024
SRV_GLUE = 1024
STAR_ENDINGS = 2048
AA, RA = 0x0400, 0x0080
ROOT = b"\0"
MAIL_PREFERENCE = b"\0\1"
STAR_LABEL = b"\1*"
LABEL_MAX = 63
NO_SOA_DATA = deltas.soa_data(b"", b"", refresh=0, retry=0, expire=0, minimum=0)
ADDRESS_TYPES = (constants.Type.A, constants.Type.AAAA)

Owner = bytes
"""A canonical name on the wire."""


@dataclasses.dataclass(slots=True)
class Held:
    """What one name holds: record data and TTLs by type. Not `is_known`: upstreams may still deny the name."""

    sets: dict[int, list[bytes]] = dataclasses.field(default_factory=dict)
    ttls: dict[int, int] = dataclasses.field(default_factory=dict)
    is_known: bool = False

    def add(self, rtype: int, data: bytes, ttl: int) -> None:
        self.sets.setdefault(rtype, []).append(data)
        self.ttls.setdefault(rtype, ttl)

    def encode(self) -> bytes:
        """Each record once."""
        flags = 0 if self.is_known else NAMELESS
        sets = {rtype: list(dict.fromkeys(found)) for rtype, found in self.sets.items()}
        return deltas.data(flags, *(encode_set(rtype, found, self.ttls[rtype]) for rtype, found in sets.items()))


def encode_set(rtype: int, found: list[bytes], ttl: int) -> bytes:
    if rtype in ADDRESS_TYPES:
        return deltas.record_set(rtype, deltas.FIXED, ttl, found)
    return deltas.record_set(rtype, deltas.WHOLE, ttl, [len(data).to_bytes(2, "big") + data for data in found])


def encode_zone(name: bytes, *, nxdomain: int = RA, flags: int = 0) -> bytes:
    flags |= deltas.NO_SOA | MISS_PASSES
    return deltas.zone(name, NO_SOA_DATA, flags=flags, positive=AA | RA, nodata=RA, nxdomain=nxdomain)


# --- names with records of their own ------------------------------------------------------------------------------------


class NamesSource:
    """One LocalNames plugin: what its table holds now."""

    def __init__(self, plugin: local.LocalNames) -> None:
        self._plugin = plugin
        self._served: dict[Owner, bytes] = {}
        self._stamps: dict[str, tuple[int, int]] = {}

    def start(self) -> Iterator[bytes]:
        """Deltas that fill an empty table."""
        yield encode_zone(ROOT, flags=deltas.ENT_NODATA | SRV_GLUE)
        yield from self.reload()
        yield deltas.synced(True)

    def reload(self) -> Iterator[bytes]:
        """Deltas for what has changed, in any file."""
        self._stamps = read_stamps(self._plugin.folders)
        held: dict[Owner, Held] = {}
        for record in self._plugin.records:
            if record.owner.startswith("*."):  # dnsmasq takes it, and answers nobody from it
                continue
            ttl = self._plugin.ttl if record.ttl is None else record.ttl
            add(held, record.owner, record.rtype, record.data, ttl, makes_known=record.makes_known)
        for host in self._plugin.hosts:
            self._add_host(held, host, host.names)
        for host in self._read_files():
            self._add_host(held, host, [full for name in host.names for full in self._expand(name)])
        wanted = {owner: one.encode() for owner, one in held.items()}
        yield from deltas.pack(self._operations(wanted))
        self._served = wanted

    def has_changed(self) -> bool:
        """True if a file of the watched folders is another than was read, or came, or went."""
        return bool(self._plugin.folders) and read_stamps(self._plugin.folders) != self._stamps

    def _operations(self, wanted: Mapping[Owner, bytes]) -> Iterator[bytes]:
        for owner in self._served.keys() - wanted.keys():
            yield deltas.remove(owner)
        for owner, data in wanted.items():
            if self._served.get(owner) != data:
                yield deltas.put(owner, data)

    def _read_files(self) -> Iterator[local.Host]:
        for path in (*list_files(self._plugin.files), *self._stamps):
            try:
                with open(path, encoding="utf-8", errors="surrogateescape") as file:
                    lines = file.read().splitlines()
            except OSError as error:
                logger.error("failed to load names from %s: %s", path, error.strerror)
                continue
            hosts = [host for host in map(read_line, lines) if host is not None]
            logger.info("read %s - %d names", path, sum(len(host.names) for host in hosts))
            yield from hosts

    def _add_host(self, held: dict[Owner, Held], host: local.Host, known: Sequence[str]) -> None:
        """A and AAAA of each name, PTR to the first, and MX if hosts have one."""
        ttl = self._plugin.ttl if host.ttl is None else host.ttl
        for name in known:
            one = held.setdefault(names.to_canonical_wire(name), Held())
            one.is_known = True
            if self._plugin.mail_target and constants.Type.MX not in one.sets:
                target = name if self._plugin.mail_target == local.ITSELF else self._plugin.mail_target
                one.add(constants.Type.MX, MAIL_PREFERENCE + names.to_wire(target), self._plugin.ttl)
        for text in host.addresses:
            address = ipaddress.ip_address(text)
            rtype = constants.Type.A if address.version == 4 else constants.Type.AAAA
            for name in known:
                add(held, name, rtype, address.packed, ttl)
            pointer = reverse.reverse_name(address)
            if constants.Type.PTR not in held.setdefault(names.to_canonical_wire(pointer), Held()).sets:
                add(held, pointer, constants.Type.PTR, names.to_wire(known[0]), ttl, makes_known=False)

    def _expand(self, name: str) -> list[str]:
        """With the suffix first, since addresses lead back to it."""
        if self._plugin.suffix and name.count(".") == 1:
            return [name + self._plugin.suffix, name]
        return [name]


def add(held: dict[Owner, Held], owner: str, rtype: int, data: bytes, ttl: int, *, makes_known: bool = True) -> None:
    one = held.setdefault(names.to_canonical_wire(owner), Held())
    one.add(rtype, data, ttl)
    one.is_known |= makes_known


def read_line(line: str) -> local.Host | None:
    """`ADDRESS NAME...`; None: it holds nothing."""
    fields = line.partition("#")[0].split()
    if len(fields) < 2:
        return None
    try:
        address = ipaddress.ip_address(fields[0].partition("%")[0])
    except ValueError:
        return None
    known = tuple(names.canonical(field) for field in fields[1:] if names.is_name(field) and not field.startswith("*"))
    return local.Host(known, (str(address),)) if known else None


def list_files(paths: Iterable[str]) -> list[str]:
    """The files; of a folder all that are in it, in the order of their names."""
    found: list[str] = []
    for path in paths:
        if os.path.isdir(path):
            found += [os.path.join(path, name) for name in sorted(os.listdir(path)) if is_wanted(name)]
        else:
            found.append(path)
    return found


def is_wanted(name: str) -> bool:
    """False for hidden files and those of editors."""
    return not name.startswith((".", "#")) and not name.endswith("~")


def read_stamps(folders: Iterable[str]) -> dict[str, tuple[int, int]]:
    """The files of folders, each with when it was changed and how long it is."""
    found: dict[str, tuple[int, int]] = {}
    for folder in folders:
        try:
            listed = sorted(os.listdir(folder))
        except OSError:
            continue
        for name in filter(is_wanted, listed):
            path = os.path.join(folder, name)
            try:
                status = os.stat(path)
            except OSError:
                continue
            found[path] = (status.st_mtime_ns, status.st_size)
    return found


# --- whole domains ----------------------------------------------------------------------------------------------------------


def domain_deltas(plugin: local.LocalDomains) -> Iterator[bytes]:
    """Deltas that fill an empty table: each domain, and `*` below it.

    A name between two domains of the table (`b.test` for `test` and `a.b.test`) would hide the upper one from what is below:
    so it holds the same.
    """
    yield encode_zone(ROOT, flags=STAR_ENDINGS)
    for zone in plugin.private_reverse:
        yield encode_zone(names.to_canonical_wire(zone), nxdomain=AA | RA)
    yield from deltas.pack(_domain_operations(plugin))
    yield deltas.synced(True)


def _domain_operations(plugin: local.LocalDomains) -> Iterator[bytes]:
    encoded = {names.to_canonical_wire(zone): deltas.data(PTR_NXDOMAIN) for zone in plugin.private_reverse}
    known = {names.to_canonical_wire(domain.name): domain for domain in plugin.domains}
    for owner, domain in known.items():
        encoded[owner] = encode_domain(domain, inherit_addresses(known, owner), plugin.ttl)
    filled = fill_between(encoded)
    below = {STAR_LABEL + owner: data for owner, data in filled.items() if not is_ending(owner)}
    for owner, data in {**below, **filled}.items():
        yield deltas.put(owner, data)


def fill_between(encoded: Mapping[Owner, bytes]) -> dict[Owner, bytes]:
    """Give every name between two of the domains what the one above it holds."""
    filled = dict(encoded)
    for owner in encoded:
        for name in parents(owner):
            above = next((one for one in domains_above(name) if one in encoded), None)
            if above is not None:
                filled.setdefault(name, encoded[above])
    return filled


def parents(owner: Owner) -> Iterator[Owner]:
    while owner != ROOT:
        owner = owner[owner[0] + 1 :]
        yield owner


def is_ending(owner: Owner) -> bool:
    """Tell whether a domain is `*END.REST`; `*.REST` is one too."""
    return owner[1:2] == b"*"


def domains_above(owner: Owner) -> Iterator[Owner]:
    """The domains that a name could be in, itself left out, the longest first."""
    below = owner
    for above in parents(owner):
        label = below[1 : below[0] + 1]
        endings = [label[at:] for at in range(len(label) + 1)]
        for ending in endings[2:] if is_ending(below) else endings:
            if len(ending) < LABEL_MAX:
                yield bytes([len(ending) + 1]) + b"*" + ending + above
        yield above
        below = above


def inherit_addresses(known: Mapping[Owner, local.Domain], owner: Owner) -> list[bytes]:
    """A domain's addresses; those of a family that it lacks are of the next domain above, as dnsmasq looks for each family."""
    packed = [ipaddress.ip_address(address).packed for address in known[owner].addresses]
    if known[owner].is_denied or known[owner].is_passed:
        return packed
    for above in domains_above(owner):
        domain = known.get(above)
        if domain is None:
            continue
        if domain.is_denied or domain.is_passed:
            break
        held = set(map(len, packed))
        found = (ipaddress.ip_address(address).packed for address in domain.addresses)
        packed += [address for address in found if len(address) not in held]
    return packed


def encode_domain(domain: local.Domain, addresses: list[bytes], ttl: int) -> bytes:
    if domain.is_denied:
        return deltas.data(deltas.ONLY_THESE)
    if domain.is_passed:
        return deltas.data(0)
    return deltas.data(0, *deltas.address_sets(addresses, ttl))
