import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fastdns import _stored
from fastdns._cache import Cache, Lookup
from fastdns._stored import StoredReply

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
    return _stored.normalise(wire, name, rdtype)


def cache_of(**options: object) -> Cache:
    defaults = {"success": (1024, 3600, 5), "denial": (1024, 1800, 5), "max_octets": 1 << 24}
    return Cache(**defaults | options)  # type: ignore[arg-type]


def found(cache: Cache, now: int, name: bytes = NAME, rdtype: int = 1, **flags: bool) -> tuple[Lookup, int]:
    lookup, _, ttl, _, _ = cache.get(name, rdtype, now=now, **flags)
    return lookup, ttl


def test_ttl_counts_down() -> None:
    cache = cache_of()
    assert cache.put(reply(answer=(300, 60)), now=100)
    assert found(cache, 100) == (Lookup.CACHE_FRESH, 60)
    assert found(cache, 159) == (Lookup.CACHE_FRESH, 1)
    assert found(cache, 160) == (Lookup.CACHE_MISS, 0)


@pytest.mark.parametrize(
    ("options", "of", "ttl", "kept"),
    [
        ({}, {"answer": (300, 60)}, 60, True),
        ({}, {"answer": (0,)}, 5, True),
        ({}, {"answer": (1,)}, 5, True),
        ({}, {"answer": (86400,)}, 3600, True),
        ({"success": (9, 30, 5)}, {"answer": (300,)}, 30, True),
        ({"success": (9, 30, 0)}, {"answer": (0,)}, 0, False),
        ({}, {"answer": (300,), "soa": 10}, 10, True),
        ({}, {"soa": 60}, 60, True),
        ({}, {"soa": 86400}, 1800, True),
        ({}, {"soa": 0}, 5, True),
        ({"denial": (9, 20, 5)}, {"soa": 900}, 20, True),
        ({}, {"soa": 60, "rcode": "NXDOMAIN"}, 60, True),
        ({}, {"rcode": "NXDOMAIN"}, 5, False),
        ({}, {}, 5, True),
        ({"success": (9, 3600, 7)}, {}, 7, True),
        ({}, {"rcode": "SERVFAIL"}, 5, True),
        ({}, {"rcode": "NOTIMP"}, 5, True),
        ({"servfail_ttl": 300}, {"rcode": "SERVFAIL"}, 300, True),
        ({"servfail_ttl": 0}, {"rcode": "SERVFAIL"}, 0, False),
        ({}, {"rcode": "REFUSED"}, 5, False),
        ({}, {"rcode": "FORMERR"}, 5, False),
        ({}, {"answer": (300,), "flags": 0x0200}, 300, False),
        ({}, {"answer": (300,), "rcode": "NXDOMAIN"}, 5, False),
    ],
)
def test_ttl_and_keeping_are_coredns_s(options: dict[str, object], of: dict[str, object], ttl: int, kept: bool) -> None:
    cache = cache_of(**options)
    message = reply(**of)  # type: ignore[arg-type]
    assert cache.ttl_of(message) == ttl
    assert cache.put(message, now=0) is kept
    assert found(cache, 0) == ((Lookup.CACHE_FRESH, ttl) if kept else (Lookup.CACHE_MISS, 0))
    assert found(cache, ttl)[0] is Lookup.CACHE_MISS


def test_every_part_of_the_key_tells_apart() -> None:
    cache = cache_of()
    cache.put(reply(answer=(60,)), do=True, now=0)
    assert found(cache, 0, do=True)[0] is Lookup.CACHE_FRESH
    assert found(cache, 0)[0] is Lookup.CACHE_MISS
    assert found(cache, 0, do=True, cd=True)[0] is Lookup.CACHE_MISS
    assert found(cache, 0, rdtype=28, do=True)[0] is Lookup.CACHE_MISS
    assert found(cache, 0, NAME[4:], do=True)[0] is Lookup.CACHE_MISS
    assert cache.get(NAME, 1, 3, do=True, now=0)[0] is Lookup.CACHE_MISS


def test_stored_reply_comes_back_whole() -> None:
    cache = cache_of()
    message = reply(answer=(60, 70), soa=80)
    cache.put(message, now=0)
    copy = cache.get(NAME, 1, now=0)[1]
    assert copy is not None
    assert (copy.wire, copy.ttl_offsets, copy.kind, copy.run) == (
        message.wire,
        message.ttl_offsets,
        message.kind,
        message.run,
    )


def test_keep_ttl_does_not_count_down() -> None:
    cache = cache_of(keep_ttl=True)
    cache.put(reply(answer=(60,)), now=0)
    assert found(cache, 59) == (Lookup.CACHE_FRESH, 60)
    assert found(cache, 60)[0] is Lookup.CACHE_MISS


def test_stale_is_kept_for_a_while_and_due_once() -> None:
    cache = cache_of(stale_for=100)
    cache.put(reply(answer=(60,)), now=0)
    assert cache.get(NAME, 1, now=60)[::2] == (Lookup.CACHE_STALE, 0, True)
    assert cache.get(NAME, 1, now=61)[::2] == (Lookup.CACHE_STALE, 0, False)
    assert cache.get(NAME, 1, now=65)[::2] == (Lookup.CACHE_STALE, 0, True)
    assert found(cache, 159)[0] is Lookup.CACHE_STALE
    assert found(cache, 160)[0] is Lookup.CACHE_MISS


def test_failure_leaves_the_stale_answer_and_holds_off_another_asking() -> None:
    cache = cache_of(stale_for=100)
    cache.put(reply(answer=(60,)), now=0)
    assert cache.put(reply(rcode="SERVFAIL"), now=70)
    lookup, copy, _, _, due = cache.get(NAME, 1, now=71)
    assert (lookup, copy and copy.rcode, due) == (Lookup.CACHE_STALE, 0, False)
    assert cache.get(NAME, 1, now=75)[4]


def test_failure_is_never_served_stale() -> None:
    cache = cache_of(stale_for=100)
    cache.put(reply(rcode="SERVFAIL"), now=0)
    assert found(cache, 4)[0] is Lookup.CACHE_FRESH
    assert found(cache, 5)[0] is Lookup.CACHE_MISS


def test_failure_does_not_replace_a_denial_that_holds() -> None:
    cache = cache_of(stale_for=100)
    cache.put(reply(soa=60, rcode="NXDOMAIN"), now=0)
    assert not cache.put(reply(rcode="SERVFAIL"), now=70)
    assert found(cache, 71)[0] is Lookup.CACHE_STALE


@pytest.mark.parametrize("first", ["success", "denial"])
def test_newer_knowledge_replaces_the_other_side(first: str) -> None:
    cache = cache_of(stale_for=1000)
    messages = [reply(answer=(60,)), reply(soa=60, rcode="NXDOMAIN")]
    for message in messages if first == "success" else reversed(messages):
        cache.put(message, now=0)
    counts = cache.describe()
    assert (counts["success"], counts["denial"]) == ((0, 1) if first == "success" else (1, 0))


def test_popular_name_is_prefetched_once() -> None:
    cache = cache_of(prefetch=(3, 60, 10))
    cache.put(reply(answer=(100,)), now=0)
    assert [found(cache, now)[0] for now in (85, 86, 89)] == [Lookup.CACHE_FRESH] * 3
    assert found(cache, 90)[0] is Lookup.CACHE_PREFETCH
    assert found(cache, 91)[0] is Lookup.CACHE_FRESH
    assert found(cache, 95)[0] is Lookup.CACHE_PREFETCH
    cache.put(reply(answer=(100,)), now=96)
    assert found(cache, 97)[0] is Lookup.CACHE_FRESH


def test_name_asked_seldom_is_not_prefetched() -> None:
    cache = cache_of(prefetch=(2, 10, 50))
    cache.put(reply(answer=(100,)), now=0)
    assert [found(cache, now)[0] for now in (60, 71, 82)] == [Lookup.CACHE_FRESH] * 3
    assert found(cache, 90)[0] is Lookup.CACHE_PREFETCH


def named(number: int) -> bytes:
    return b"\5" + b"%05x" % (number % 0x100000) + b"\7example\3org\0"


def test_capacity_and_octets_hold_under_a_million_stores() -> None:
    cache = cache_of(success=(5000, 3600, 5), denial=(3000, 1800, 5), max_octets=1 << 21)
    rng = random.Random(1)
    kinds = [{"answer": (60,) * 3}, {"soa": 60}, {"answer": (60,) * 30}, {"rcode": "SERVFAIL"}]
    templates = [reply(name=named(0), **kind) for kind in kinds]  # type: ignore[arg-type]
    cache.store_many(templates, 1_000_000, now=0, seed=rng.randrange(2**32))
    counts = cache.describe()
    assert 0 < counts["success"] <= 5000 and 0 < counts["denial"] <= 3000
    assert (1 << 20) < counts["octets"] <= 1 << 21
    assert counts["success_evictions"] + counts["denial_evictions"] > 900_000


def test_what_is_asked_survives_a_flood() -> None:
    cache = cache_of(success=(1000, 3600, 5))
    for number in range(100):
        cache.put(reply(name=named(number), answer=(3600,)), now=0)
    for number in range(1000, 9000):
        cache.put(reply(name=named(number), answer=(3600,)), now=0)
        found(cache, 0, named(number % 100))
    assert all(found(cache, 0, named(number))[0] is Lookup.CACHE_FRESH for number in range(100))


def test_what_nobody_asks_leaves_first() -> None:
    cache = cache_of(success=(100, 3600, 5))
    for number in range(250):
        cache.put(reply(name=named(number), answer=(3600,)), now=0)
    kept = [number for number in range(250) if found(cache, 0, named(number))[0] is Lookup.CACHE_FRESH]
    assert len(kept) == 100 and len([number for number in kept if number >= 150]) >= 98


def test_shrunk_cache_holds_no_more_until_it_may_grow() -> None:
    cache = cache_of(success=(9000, 3600, 5), denial=(9000, 1800, 5), max_octets=1 << 20)
    templates = [reply(name=named(0), answer=(60,)), reply(name=named(0), soa=60)]
    cache.store_many(templates, 9000, now=0, seed=1)
    full = cache.describe()
    cache.shrink(0, 200)
    less = cache.describe()
    assert less["success"] + less["denial"] == full["success"] + full["denial"] - 200
    cache.store_many(templates, 9000, now=0, seed=2)
    assert cache.describe()["octets"] <= less["octets"]
    cache.grow(4096)
    cache.store_many(templates, 9000, now=0, seed=3)
    assert less["octets"] + 2048 < cache.describe()["octets"] <= less["octets"] + 4096
    cache.grow(1 << 30)
    cache.store_many(templates, 9000, now=0, seed=4)
    assert (1 << 20) - 1024 < cache.describe()["octets"] <= 1 << 20
    cache.shrink(0, 1 << 30)
    assert cache.describe()["octets"] == 0
    assert not cache.put(reply(answer=(60,)), now=0)
    cache.grow(0)
    assert cache.put(reply(answer=(60,)), now=0)


def test_no_room_at_all() -> None:
    assert not cache_of(success=(0, 3600, 5)).put(reply(answer=(60,)), now=0)
    assert not cache_of(max_octets=1000).put(reply(answer=(60,)), now=0)


def test_dead_entries_are_freed() -> None:
    cache = cache_of(stale_for=10)
    for number in range(100):
        cache.put(reply(name=named(number), answer=(60 if number < 50 else 600,)), now=0)
    for _ in range(3):
        cache.expire(70, 100)
    assert cache.describe()["success"] == 50
    cache.forget_all()
    described = cache.describe()
    assert described.pop("insertions") == 100
    assert set(described.values()) == {0}
    assert found(cache, 0, named(1))[0] is Lookup.CACHE_MISS


class AgainstADict(RuleBasedStateMachine):
    """The cache, with room for everything, says what a dict with CoreDNS's rules says."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = cache_of(stale_for=20)
        self.kept: dict[tuple[int, bool], tuple[int, int]] = {}
        self.now = 0

    @rule(number=st.integers(0, 3), do=st.booleans(), ttl=st.integers(5, 50), denied=st.booleans())
    def put(self, number: int, do: bool, ttl: int, denied: bool) -> None:
        message = reply(name=named(number), **{"soa": ttl} if denied else {"answer": (ttl,)})
        assert self.cache.put(message, do=do, now=self.now)
        self.kept[number, do] = (self.now, ttl)

    @rule(seconds=st.integers(0, 30))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def expire(self) -> None:
        self.cache.expire(self.now, 100)

    @rule(number=st.integers(0, 3), do=st.booleans())
    def get(self, number: int, do: bool) -> None:
        stored_at, ttl = self.kept.get((number, do), (self.now - 1000, 0))
        left = stored_at + ttl - self.now
        expected = (
            (Lookup.CACHE_FRESH, left) if left > 0 else (Lookup.CACHE_STALE if left > -20 else Lookup.CACHE_MISS, 0)
        )
        assert found(self.cache, self.now, named(number), do=do) == expected

    @invariant()
    def counts(self) -> None:
        counts = self.cache.describe()
        assert counts["success"] + counts["denial"] <= len(self.kept)


TestAgainstADict = AgainstADict.TestCase
TestAgainstADict.settings = settings(deadline=None, max_examples=100)


def below(label: str) -> bytes:
    return bytes([len(label)]) + label.encode() + NAME


def test_a_dump_is_loaded_with_ttls_that_go_on() -> None:
    old, new = cache_of(), cache_of()
    old.put(reply(answer=(300,)), now=100)
    old.put(reply(name=below("nx"), soa=50, rcode="NXDOMAIN"), now=120)
    old.put(reply(answer=(300,)), now=100, do=True)
    assert new.load(old.dump(), now=130) == 3
    assert found(new, 130) == (Lookup.CACHE_FRESH, 270)
    assert found(new, 130, do=True) == (Lookup.CACHE_FRESH, 270)
    assert found(new, 130, below("nx")) == (Lookup.CACHE_FRESH, 40)
    for figure in ("success", "denial", "octets"):
        assert new.describe()[figure] == old.describe()[figure]


def test_what_is_over_is_not_loaded() -> None:
    old, new = cache_of(), cache_of()
    old.put(reply(answer=(60,)), now=100)
    assert new.load(old.dump(), now=160) == 0


def test_what_is_held_is_newer_than_a_dump() -> None:
    old, new = cache_of(), cache_of()
    old.put(reply(answer=(300,)), now=100)
    new.put(reply(soa=60, rcode="NXDOMAIN"), now=110)
    assert new.load(old.dump(), now=110) == 0
    assert new.get(NAME, 1, now=110)[2] == 60


def test_names_in_forgotten_zones_are_left_out() -> None:
    old, new = cache_of(), cache_of()
    for name in (NAME, below("a"), b"\7example\3org\0", b"\3org\0"):
        old.put(reply(name=name, answer=(300,)), now=100)
    assert new.load(old.dump(), now=100, forget={b"\7example\3org\0"}) == 1
    assert found(new, 100, b"\3org\0")[0] is Lookup.CACHE_FRESH


def test_a_dump_evicts_nothing() -> None:
    old, new = cache_of(), cache_of(success=(2, 3600, 5))
    old.store_many([reply(name=below("xxxxxxxx"), answer=(300,))], 10, now=100, seed=1)
    new.put(reply(answer=(300,)), now=100)
    assert new.load(old.dump(), now=100) == 1
    assert found(new, 100)[0] is Lookup.CACHE_FRESH
    assert new.describe()["success_evictions"] == 0
    assert cache_of(max_octets=1 << 10).load(old.dump(), now=100) < 10


def test_octets_that_are_no_dump_are_refused() -> None:
    old = cache_of()
    for label in ("a", "b"):
        old.put(reply(name=below(label), answer=(300, 300)), now=100)
    dumped = old.dump()
    assert cache_of().load(b"", now=100) == 0
    for size in range(1, len(dumped)):
        if size != len(dumped) // 2:
            with pytest.raises(ValueError, match="no entry at octet"):
                cache_of().load(dumped[:size], now=100)
    chance = random.Random(1)
    for _ in range(2000):
        broken = bytearray(dumped)
        for _ in range(chance.randrange(1, 8)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        cache = cache_of()
        try:
            cache.load(bytes(broken), now=100)
        except ValueError:
            continue
        assert cache.describe()["octets"] <= 1 << 24
