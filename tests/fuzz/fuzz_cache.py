"""The cache under any order of stores, look-ups and time: what comes back was put, is not too old, and bounds hold.

Input: one octet of options, then operations of three octets: what to do, which name, how much.
"""

from fastdns import _message, _stored
from fastdns._cache import Cache, Lookup

SEEDS: list[bytes] = []  # all in corpus/cache
ADDRESS = b"\300\14\0\1\0\1"
KINDS = (0x8180, 0x8180, 0x8183, 0x8182, 0x8185, 0x8380)  # success, nodata, nxdomain, servfail, refused, truncated


def message(number: int, kind: int, ttl: int) -> _stored.StoredReply:
    name = b"\2" + b"%02x" % number + b"\7example\0"
    answers = (ttl % 7 + 1) if kind == 0 else 0
    wire = b"\0\0" + KINDS[kind].to_bytes(2) + b"\0\1" + answers.to_bytes(2) + (kind in (1, 2)).to_bytes(2) + b"\0\0"
    wire += name + b"\0\1\0\1" + (ADDRESS + ttl.to_bytes(4) + b"\0\4" + bytes((ttl, 2, 3, 4))) * answers
    if kind in (1, 2):
        wire += b"\300\14\0\6\0\1" + ttl.to_bytes(4) + b"\0\26" + bytes(22)
    read = _stored.normalise(wire, name, 1)
    assert read.status is _message.ReplyStatus.REPLY_OK, wire
    return read


def run(data: bytes) -> object:
    options = data[0] if data else 0
    capacity = 1 + (options >> 4)
    stale_for = 30 if options & 1 else 0
    cache = Cache(
        success=(capacity, 100, 5), denial=(capacity, 50, 5), max_octets=4096 if options & 2 else 1 << 20,
        stale_for=stale_for, prefetch=(2, 60, 50) if options & 4 else (0, 60, 10), keep_ttl=bool(options & 8),
    )  # fmt: skip
    seen: set[object] = set()
    put: dict[bytes, set[bytes]] = {}
    counts = cache.describe()
    now = 0
    for at in range(1, len(data) - 2, 3):
        what, number, amount = data[at : at + 3]
        name = b"\2" + b"%02x" % number + b"\7example\0"
        if what % 4 == 0:
            read = message(number, what // 4 % len(KINDS), amount)
            if cache.put(read, now=now):
                put.setdefault(name, set()).add(read.wire)
        elif what % 4 == 1:
            lookup, copy, ttl, age, _ = cache.get(name, 1, now=now)
            seen.add((lookup, copy and copy.kind))
            if lookup is not Lookup.CACHE_MISS:
                assert copy is not None and copy.wire in put[name]
                assert age < 100 + stale_for and ttl <= 100
        elif what % 4 == 2:
            now += amount
        else:
            cache.expire(now, amount)
        counts = cache.describe()
        assert counts["success"] <= capacity and counts["denial"] <= capacity
        assert counts["octets"] <= (4096 if options & 2 else 1 << 20)
    cache.forget_all()
    assert cache.describe()["octets"] == 0
    return frozenset(seen), tuple(counts.values())[:4]
