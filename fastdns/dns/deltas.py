"""Operations of a name table's delta, as octets: what a name holds from now on, zones, serials.

The format is drawn in fastdns/_names.pxd. Wire names and packed addresses come in, whoever made them (objects of a cluster, a
hosts file, dnsmasq's options); nothing here remembers anything.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence

from fastdns.dns import constants

AUTHORITATIVE = 0x0400
"""The header flag AA, for the outcomes of a zone."""

ENT_NODATA, SOA_APEX_ONLY, NO_SOA, MISS_SERVFAIL, WILDCARD_ONE_LABEL = 1, 2, 4, 8, 16
"""Flags of a zone."""
TXT_NXDOMAIN, ONLY_THESE, POD_ADDRESSES = 1, 2, 4
"""Flags of what a name holds."""

FRAME_MAX = 65536
"""Octets of operations that `pack` puts together, so that applying a run of them takes little time."""
RECORDS_MAX = 0xFFFF
"""Records of one set. What is beyond is left out: a message takes 4,095 at most, and a count has 16 bits."""

_PUT, _REMOVE, _ZONE, _SERIAL, _SYNCED, _PRIMARY = (bytes([operation]) for operation in range(1, 7))
FIXED, WHOLE, ZONED, PRIMARY_ZONED, SERVICE = range(5)
"""Forms of a record set."""
_PTR_HEAD = struct.Struct(">HBHBIHI")

RecordSet = bytes
"""One set of the delta format."""


# --- operations ------------------------------------------------------------------------------------------------------


def put(name: bytes, data: bytes) -> bytes:
    return _PUT + name + len(data).to_bytes(4, "big") + data


def remove(name: bytes) -> bytes:
    return _REMOVE + name


def zone(
    name: bytes,
    soa: bytes,
    *,
    flags: int,
    soa_ttl: int = 0,
    positive: int = AUTHORITATIVE,
    nodata: int = AUTHORITATIVE,
    nxdomain: int = AUTHORITATIVE,
) -> bytes:
    """A zone; `soa` is as `soa_data` makes it, the last three are header flags of each outcome."""
    head = struct.pack(">HHHHIH", flags, positive, nodata, nxdomain, soa_ttl, len(soa))
    return _ZONE + name + head + soa


def soa_data(mname: bytes, rname: bytes, *, refresh: int, retry: int, expire: int, minimum: int) -> bytes:
    """A SOA without its serial; both names are labels before the zone's."""
    names = bytes([len(mname)]) + mname + bytes([len(rname)]) + rname
    return names + struct.pack(">IIII", refresh, retry, expire, minimum)


def serial(unix_time: int) -> bytes:
    return _SERIAL + (unix_time & 0xFFFFFFFF).to_bytes(4, "big")


def synced(is_synced: bool) -> bytes:
    return _SYNCED + bytes([is_synced])


def primary(name: bytes) -> bytes:
    return _PRIMARY + name


def data(flags: int, *sets: RecordSet) -> bytes:
    """What one name holds."""
    return struct.pack(">HB", flags, len(sets)) + b"".join(sets)


def pack(operations: Iterable[bytes]) -> Iterator[bytes]:
    """Whole operations put together up to FRAME_MAX octets; a larger one goes alone."""
    run: list[bytes] = []
    size = 0
    for operation in operations:
        if run and size + len(operation) > FRAME_MAX:
            yield b"".join(run)
            run, size = [], 0
        run.append(operation)
        size += len(operation)
    if run:
        yield b"".join(run)


# --- record sets -----------------------------------------------------------------------------------------------------


def address_sets(addresses: Iterable[bytes], ttl: int) -> tuple[RecordSet, ...]:
    """A and AAAA of packed addresses, each once."""
    unique = list(dict.fromkeys(addresses))
    four = [address for address in unique if len(address) == 4]
    sixteen = [address for address in unique if len(address) == 16]
    sets = ((constants.Type.A, four), (constants.Type.AAAA, sixteen))
    return tuple(record_set(rtype, FIXED, ttl, records) for rtype, records in sets if records)


def text_set(text: bytes, ttl: int) -> RecordSet:
    """TXT of one string, at most 255 octets."""
    return record_set(constants.Type.TXT, WHOLE, ttl, [_sized(bytes([len(text)]) + text)])


def cname_set(target: bytes, ttl: int) -> RecordSet:
    """CNAME to a whole wire name."""
    return record_set(constants.Type.CNAME, WHOLE, ttl, [_sized(target)])


def ptr_set(targets: Sequence[bytes], ttl: int) -> RecordSet:
    """PTR to whole wire names."""
    return record_set(constants.Type.PTR, WHOLE, ttl, [_sized(target) for target in targets])


def ptr_data(targets: Sequence[bytes], ttl: int) -> bytes:
    """What a reverse name holds: PTR to names given by their labels below the primary zone, and nothing else."""
    targets = targets[:RECORDS_MAX]
    octets = b"".join([len(target).to_bytes(2, "big") + target for target in targets])
    head = _PTR_HEAD.pack(ONLY_THESE, 1, constants.Type.PTR, PRIMARY_ZONED, ttl, len(targets), len(octets))
    return head + octets


def ns_set(targets: Sequence[bytes], ttl: int) -> RecordSet:
    """NS to names given by their labels below the zone."""
    return record_set(constants.Type.NS, ZONED, ttl, [_sized(target) for target in targets])


def block_set(block: bytes, ttl: int) -> RecordSet:
    """A, AAAA and SRV made from a SERVICE block."""
    return struct.pack(">HBIHI", constants.Type.SRV, SERVICE, ttl, 0, len(block)) + block


def record_set(rtype: int, form: int, ttl: int, records: Sequence[bytes]) -> RecordSet:
    """Records of one form: all of a size, or with their lengths before them."""
    records = records[:RECORDS_MAX]
    octets = b"".join(records)
    return struct.pack(">HBIHI", rtype, form, ttl, len(records), len(octets)) + octets


def _sized(record: bytes) -> bytes:
    return len(record).to_bytes(2, "big") + record
