import pytest

from fastdns import _counters
from fastdns._counters import BlockSlot, CacheSlot, Counters, Dimension, GroupSlot, UpstreamSlot, WorkerSlot


def sizes_of(kind: type, end: str) -> list[tuple[int, int]]:
    """(offset, octets until the next) of each slot of a kind."""
    slots = sorted(int(slot) for slot in kind)
    return list(zip(slots, [*slots[1:], int(kind[end])], strict=True))


def test_slots_count_and_stay_apart() -> None:
    counters = Counters(bytearray(8 * 4))
    counters.add(1)
    counters.add(1, 5)
    counters.set(2, 2**64 - 1)
    assert [counters.get(slot) for slot in range(len(counters))] == [0, 6, 2**64 - 1, 0]


def test_two_views_of_one_memory_agree() -> None:
    memory = bytearray(16)
    Counters(memory).add(1, 7)
    assert Counters(memory).get(1) == 7


@pytest.mark.parametrize("slot", [4, 2**40])
def test_slot_outside_is_refused(slot: int) -> None:
    counters = Counters(bytearray(8 * 4 + 7))
    for step in (counters.get, counters.add, lambda at: counters.set(at, 1)):
        with pytest.raises(IndexError):
            step(slot)


def test_misaligned_memory_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        Counters(memoryview(bytearray(33))[1:])


def test_read_only_memory_is_refused() -> None:
    with pytest.raises(BufferError):
        Counters(bytes(8))


@pytest.mark.parametrize(
    ("octets", "bucket"),
    [(0, 0), (1, 1), (100, 1), (101, 2), (400, 4), (401, 5), (511, 5), (512, 6), (8291, 9), (64000, 13), (65535, 14)],
)
def test_size_bucket(octets: int, bucket: int) -> None:
    assert _counters.find_size_bucket(octets) == bucket


@pytest.mark.parametrize(
    ("nanoseconds", "bucket"), [(0, 0), (250_000, 0), (250_001, 1), (500_000, 1), (8_192_000_000, 15), (2**63, 16)]
)
def test_duration_bucket(nanoseconds: int, bucket: int) -> None:
    assert _counters.find_duration_bucket(nanoseconds) == bucket


def test_types_have_their_own_slot_and_others_share_one() -> None:
    known = [28, 1, 5, 48, 43, 15, 50, 47, 2, 12, 46, 6, 33, 16, 65, 64, 251, 252, 255]
    assert [_counters.find_type_slot(qtype) for qtype in known] == list(range(19))
    assert {_counters.find_type_slot(qtype) for qtype in (0, 3, 13, 257, 65535)} == {19}


def test_layout_has_no_overlap() -> None:
    block = dict(sizes_of(BlockSlot, "BLOCK_SLOTS"))
    pairs = Dimension.PROTOCOLS * Dimension.FAMILIES
    assert block[0] == pairs * Dimension.TYPES
    assert block[BlockSlot.BLOCK_REQUEST_SIZE] - BlockSlot.BLOCK_REQUEST_SIZE == 2 * Dimension.SIZE_BUCKETS
    assert block[BlockSlot.BLOCK_RESPONSE_SIZE] - BlockSlot.BLOCK_RESPONSE_SIZE == 2 * Dimension.SIZE_BUCKETS
    assert block[BlockSlot.BLOCK_DURATION] - BlockSlot.BLOCK_DURATION == Dimension.DURATION_BUCKETS
    assert block[BlockSlot.BLOCK_RESPONSES] - BlockSlot.BLOCK_RESPONSES == Dimension.RCODES
    assert UpstreamSlot.UPSTREAM_SLOTS == Dimension.RCODES * (Dimension.DURATION_BUCKETS + 1) + 5
    assert CacheSlot.CACHE_SLOTS == 13
    assert GroupSlot.GROUP_SLOTS == 4
    assert WorkerSlot.WORKER_SLOTS == WorkerSlot.WORKER_UNDECIDED + BlockSlot.BLOCK_SLOTS
