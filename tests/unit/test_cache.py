import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastdns import _message
from fastdns._cache import Cache, Lookup
from fastdns._message import StoredReply

RCODES = {"NOERROR": 0, "FORMERR": 1, "SERVFAIL": 2, "NXDOMAIN": 3, "NOTIMP": 4, "REFUSED": 5}
SOA_RDATA = b"\0\0" + bytes(20)
NAME = b"\3www\7example\3org\0"


def record(ttl: int, rdtype: int = 1, rdata: bytes = b"\300\0\2\1") -> bytes:
    return b"\300\14" + rdtype.to_bytes(2) + b"\0\1" + ttl.to_bytes(4) + len(rdata).to_bytes(2) + rdata


def reply(
    *,
    name: bytes = NAME,
    answer: tuple[int, ...] = (),
    soa: int | None = None,
    rcode: str = "NOERROR",
    flags: int = 0,
    rdtype: int = 1,
) -> StoredReply:
    """A reply with an address per TTL of `answer`, and an SOA of the TTL `soa`."""
    wire = b"\0\0" + (0x8180 | flags | RCODES[rcode]).to_bytes(2) + b"\0\1" + len(answer).to_bytes(2)
    wire += (soa is not None).to_bytes(2) + b"\0\0" + name + rdtype.to_bytes(2) + b"\0\1"
    wire += b"".join(record(ttl, rdtype) for ttl in answer)
    if soa is not None:
        wire += record(soa, 6, SOA_RDATA)
    return _message.normalise(wire, name, rdtype)


def cache_of(**options: object) -> Cache:
    given = {"success": (1024, 3600, 5), "denial": (1024, 1800, 5), "max_octets": 1 << 24}
    return Cache(**given | options)  # type: ignore[arg-type]


def found(cache: Cache, now: int, name: bytes = NAME, rdtype: int = 1, **flags: bool) -> tuple[Lookup, int]:
    lookup, _, ttl, _, _ = cache.get(name, rdtype, now=now, **flags)
    return lookup, ttl


def test_ttl_counts_down() -> None:
    cache = cache_of()
    assert cache.put(reply(answer=(300, 60)), now=100)
    assert found(cache, 100) == (Lookup.CACHE_FRESH, 60)
    assert found(cache, 159) == (Lookup.CACHE_FRESH, 1)
    assert found(cache, 160) == (Lookup.CACHE_MISS, 0)
