"""A name table in plain Python, read from deltas as _names.pxd draws them: what these tests look at.

It is written from the format alone, so that it is a second reading of it; and it answers a question the slow way.
"""

from __future__ import annotations

import dataclasses
import socket
import struct
from collections.abc import Iterator

A, NS, CNAME, SOA, PTR, TXT, AAAA, SRV = 1, 2, 5, 6, 12, 16, 28, 33
TYPES = {"A": A, "NS": NS, "CNAME": CNAME, "SOA": SOA, "PTR": PTR, "TXT": TXT, "AAAA": AAAA, "SRV": SRV}
NXDOMAIN = "NXDOMAIN"
NODATA = "NODATA"


class Reader:
    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.at = 0

    def take(self, size: int) -> bytes:
        assert self.at + size <= len(self.octets), "read past the end"
        self.at += size
        return self.octets[self.at - size : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def sized(self) -> bytes:
        return self.take(self.number(1))

    def name(self) -> bytes:
        start = self.at
        while size := self.number(1):
            assert size < 64
            self.take(size)
        assert self.at - start <= 255
        return self.octets[start : self.at]

    @property
    def is_at_end(self) -> bool:
        return self.at == len(self.octets)


@dataclasses.dataclass
class RecordSet:
    form: int
    ttl: int
    count: int
    octets: bytes

    def records(self) -> list[bytes]:
        if self.form == 0:
            size = len(self.octets) // self.count
            assert size * self.count == len(self.octets)
            return [self.octets[at : at + size] for at in range(0, len(self.octets), size)]
        reader = Reader(self.octets)
        found = [reader.take(reader.number(2)) for _ in range(self.count)]
        assert reader.is_at_end
        return found


@dataclasses.dataclass
class Data:
    flags: int
    sets: dict[int, RecordSet]


@dataclasses.dataclass
class Group:
    ports: list[tuple[int, str, str]]
    addresses: list[tuple[str, str]]
    place: bytes


@dataclasses.dataclass
class Service:
    name: bytes
    flags: int
    own: list[Group]
    endpoints: list[Group]


@dataclasses.dataclass
class Zone:
    flags: int
    outcomes: tuple[int, int, int]
    soa_ttl: int
    soa: bytes


class Table:
    """What a worker would hold after some deltas."""

    def __init__(self, *deltas: bytes) -> None:
        self.names: dict[bytes, Data] = {}
        self.zones: dict[bytes, Zone] = {}
        self.serial: int | None = None
        self.synced: int | None = None
        self.primary = b"\0"
        for one in deltas:
            self.apply(one)

    def apply(self, octets: bytes) -> list[str]:
        """Apply a delta; the operations in words, for tests of what went out."""
        reader = Reader(octets)
        said = []
        while not reader.is_at_end:
            said.append(self._apply_one(reader))
        return said

    def _apply_one(self, reader: Reader) -> str:
        operation = reader.number(1)
        if operation == 4:
            self.serial = reader.number(4)
            return "SERIAL"
        if operation == 5:
            self.synced = reader.number(1)
            return f"SYNCED {self.synced}"
        name = reader.name()
        assert name == name.lower()
        if operation == 1:
            self.names[name] = read_data(reader.take(reader.number(4)))
            return f"PUT {text_of(name)}"
        if operation == 2:
            self.names.pop(name, None)
            return f"REMOVE {text_of(name)}"
        if operation == 3:
            flags, positive, nodata, nxdomain, ttl = struct.unpack(">HHHHI", reader.take(12))
            self.zones[name] = Zone(flags, (positive, nodata, nxdomain), ttl, reader.take(reader.number(2)))
            return f"ZONE {text_of(name)}"
        assert operation == 6, operation
        self.primary = name
        return f"PRIMARY {text_of(name)}"

    # --- asking ------------------------------------------------------------------------------------------------------

    def ask(self, name: str, rtype: str) -> str | set[str]:
        """NXDOMAIN, NODATA, or the values of the records."""
        labels = name.lower().removesuffix(".").split(".")
        for below in range(len(labels) + 1):
            data = self.names.get(wire_of(labels[below:]))
            if data is not None:
                return self._answer(data, labels[:below], labels, TYPES[rtype])
        return NXDOMAIN

    def _answer(self, data: Data, below: list[str], labels: list[str], rtype: int) -> str | set[str]:
        service = data.sets.get(SRV)
        if service is not None and service.form == 4:
            return self._of_service(read_service(service.octets), below, labels, rtype)
        if below:
            spelled = below[-1]
            if not data.flags & 4 or len(below) > 3 or address_of(spelled) is None:
                return NXDOMAIN
            return _of_address(address_of(spelled) or "", rtype, ".".join(labels[len(below) - 1 :]))
        found = data.sets.get(rtype) or (data.sets.get(CNAME) if rtype in (A, AAAA) else None)
        if found is not None:
            return {self._text(found, record, rtype, labels) for record in found.records()}
        return NXDOMAIN if data.flags & 2 or (rtype == TXT and data.flags & 1) else NODATA

    def _text(self, found: RecordSet, record: bytes, rtype: int, labels: list[str]) -> str:
        if rtype in (A, AAAA) and found.form == 0:
            return socket.inet_ntop(socket.AF_INET if rtype == A else socket.AF_INET6, record)
        if rtype == TXT:
            return record[1:].decode()
        if found.form == 2:
            return text_of(record + wire_of(self._zone_of(labels)))
        return text_of(record + self.primary) if found.form == 3 else text_of(record)

    def _zone_of(self, labels: list[str]) -> list[str]:
        return next(labels[at:] for at in range(len(labels) + 1) if wire_of(labels[at:]) in self.zones)

    def _of_service(self, service: Service, below: list[str], labels: list[str], rtype: int) -> str | set[str]:
        base = text_of(service.name + wire_of(self._zone_of(labels)))
        if service.flags & 2:
            return _of_address(service.own[0].addresses[0][0], rtype, base[:-1]) if len(below) < 3 else NXDOMAIN
        if len(below) > 2:
            return NXDOMAIN
        own = not service.flags & 1 and len(below) != 1
        entries = list(_entries(service.own if own else service.endpoints, below))
        if not entries:
            return NXDOMAIN
        if rtype in (A, AAAA):
            found = {address for address, _, _ in entries if (":" in address) == (rtype == AAAA)}
        elif rtype == SRV:
            weight = max(100 // len(entries), 1)
            found = {
                f"0 {weight} {port} {base if own else label + '.' + base}"
                for _, port, label in entries
                if port is not None
            }
        else:
            found = set()
        return found or NODATA


def _of_address(address: str, rtype: int, name: str) -> str | set[str]:
    if rtype == SRV:
        return {f"0 100 0 {name}."}
    return {address} if rtype == (AAAA if ":" in address else A) else NODATA


def _entries(groups: list[Group], below: list[str]) -> Iterator[tuple[str, int | None, str]]:
    port, protocol = (label.removeprefix("_") for label in below) if len(below) == 2 else ("", "")
    for group in groups:
        for address, label in group.addresses:
            if len(below) == 1 and label.lower() != below[0]:
                continue
            for number, name, its_protocol in group.ports:
                if port in ("", name) and protocol in ("", its_protocol):
                    yield address, None if (number, name, its_protocol) == (65535, "", "") else number, label


def read_data(octets: bytes) -> Data:
    reader = Reader(octets)
    data = Data(reader.number(2), {})
    for _ in range(reader.number(1)):
        rtype, form, ttl, count, size = struct.unpack(">HBIHI", reader.take(13))
        assert rtype not in data.sets
        data.sets[rtype] = RecordSet(form, ttl, count, reader.take(size))
        if form == 4:
            read_service(data.sets[rtype].octets)
        else:
            assert data.sets[rtype].records()
    assert reader.is_at_end
    return data


def read_service(octets: bytes) -> Service:
    reader = Reader(octets)
    name, flags = reader.sized(), reader.number(1)
    own = [_read_group(reader) for _ in range(reader.number(2))]
    endpoints = [_read_group(reader, is_placed=bool(flags & 12)) for _ in range(reader.number(2))]
    assert reader.is_at_end
    assert all(not label for group in own for _, label in group.addresses)
    assert all(group.addresses for group in endpoints)
    for group in endpoints:
        group.addresses = [(address, label or address.replace(".", "-")) for address, label in group.addresses]
    return Service(name, flags, own, endpoints)


def _read_group(reader: Reader, *, is_placed: bool = False) -> Group:
    place = reader.sized() if is_placed else b""
    ports = [(reader.number(2), reader.sized().decode(), reader.sized().decode()) for _ in range(reader.number(1))]
    addresses = []
    for _ in range(reader.number(4)):
        family = reader.number(1)
        assert family in (4, 6)
        address = reader.take(4 if family == 4 else 16)
        label = reader.sized().decode()
        addresses.append((socket.inet_ntop(socket.AF_INET if family == 4 else socket.AF_INET6, address), label))
    assert ports
    return Group(ports, addresses, place)


def wire_of(labels: list[str]) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in labels if label) + b"\0"


def text_of(name: bytes) -> str:
    reader, found = Reader(name), ""
    while label := reader.sized():
        found += label.decode() + "."
    assert reader.is_at_end
    return found or "."


def address_of(label: str) -> str | None:
    """The address that a pod's label spells."""
    family, text = socket.AF_INET6, label.replace("-", ":")
    if label.count("-") == 3 and "--" not in label:
        family, text = socket.AF_INET, label.replace("-", ".")
    try:
        return socket.inet_ntop(family, socket.inet_pton(family, text))
    except OSError:
        return None
