"""Metric slots in memory shared between processes: unsigned 64 bit, one writer each, read by the supervisor.

Offsets within one kind of block; fastdns/_counters.pxd says what each holds.
"""

import enum
from typing import final

from typing_extensions import Buffer

class Dimension(enum.IntEnum):
    PROTOCOLS = 2
    FAMILIES = 2
    TYPES = 20
    SIZE_BUCKETS = 15
    DURATION_BUCKETS = 17
    RCODES = 24

class BlockSlot(enum.IntEnum):
    BLOCK_REQUESTS = 0
    BLOCK_DO_REQUESTS = 80
    BLOCK_REQUEST_SIZE = 81
    BLOCK_REQUEST_SIZE_SUM = 111
    BLOCK_RESPONSE_SIZE = 113
    BLOCK_RESPONSE_SIZE_SUM = 143
    BLOCK_DURATION = 145
    BLOCK_DURATION_SUM = 162
    BLOCK_RESPONSES = 163
    BLOCK_SLOTS = 187

class CacheSlot(enum.IntEnum):
    CACHE_HITS = 0
    CACHE_MISSES = 2
    CACHE_REQUESTS = 3
    CACHE_PREFETCHES = 4
    CACHE_SERVED_STALE = 5
    CACHE_ENTRIES = 6
    CACHE_EVICTIONS = 8
    CACHE_DROPS = 10
    CACHE_OCTETS = 11
    CACHE_INSERTIONS = 12
    CACHE_SLOTS = 13

class GroupSlot(enum.IntEnum):
    GROUP_MAX_CONCURRENT_REJECTS = 0
    GROUP_HEALTHCHECK_BROKEN = 1
    GROUP_MISMATCHED_REPLIES = 2
    GROUP_COALESCED = 3
    GROUP_SLOTS = 4

class UpstreamSlot(enum.IntEnum):
    UPSTREAM_DURATION = 0
    UPSTREAM_DURATION_SUM = 408
    UPSTREAM_HEALTHCHECK_FAILURES = 432
    UPSTREAM_CONN_CACHE_HITS = 433
    UPSTREAM_CONN_CACHE_MISSES = 435
    UPSTREAM_SLOTS = 437

class SystemSlot(enum.IntEnum):
    SYSTEM_REQUESTS = 0
    SYSTEM_DURATION = 1
    SYSTEM_DURATION_SUM = 15
    SYSTEM_SIZE = 16
    SYSTEM_SIZE_SUM = 38
    SYSTEM_ERRORS = 39
    SYSTEM_MISSES = 44
    SYSTEM_SLOTS = 45

class SystemDimension(enum.IntEnum):
    SYSTEMS = 3
    SYSTEM_DURATION_BUCKETS = 14
    SYSTEM_SIZE_BUCKETS = 22
    SYSTEM_CAUSES = 5

class System(enum.IntEnum):
    SYSTEM_AUTH = 0
    SYSTEM_REVERSE = 1
    SYSTEM_RECURSIVE = 2

class SystemCause(enum.IntEnum):
    CAUSE_NXDOMAIN = 0
    CAUSE_SERVFAIL = 1
    CAUSE_REFUSED = 2
    CAUSE_TRUNCATED = 3
    CAUSE_OVERFLOW = 4

class WorkerSlot(enum.IntEnum):
    WORKER_HEARTBEAT = 0
    WORKER_STATE = 1
    WORKER_PANICS = 2
    WORKER_SLOW_QUERIES = 3
    WORKER_LOG_DROPPED = 4
    WORKER_TCP_CONNECTIONS = 5
    WORKER_TCP_ACCEPTED = 6
    WORKER_TCP_EVICTED = 7
    WORKER_TCP_TIMEOUTS = 8
    WORKER_ACCEPT_FAILURES = 9
    WORKER_UDP_FAILURES = 10
    WORKER_TABLES_SYNCED = 13
    WORKER_DELTAS = 14
    WORKER_FORWARDED = 15
    WORKER_UPSTREAM_ANSWERS = 16
    WORKER_UNDECIDED = 32
    WORKER_SLOTS = 219

class WorkerState(enum.IntEnum):
    WORKER_STARTING = 0
    WORKER_SERVING = 1
    WORKER_DRAINING = 2
    WORKER_DONE = 3

@final
class Counters:
    """The slots of one worker over a writable shared buffer (8 octets a slot)."""

    def __init__(self, memory: Buffer) -> None: ...
    def __len__(self) -> int: ...
    def add(self, slot: int, amount: int = 1) -> None:
        """Add `amount` to a slot, modulo 2 to the power of 64. Raises IndexError outside of the buffer."""
    def set(self, slot: int, value: int) -> None: ...
    def get(self, slot: int) -> int: ...

def find_type_slot(qtype: int) -> int:
    """The place of a type in BLOCK_REQUESTS's [type]."""

def find_size_bucket(octets: int) -> int:
    """The place of a size in BLOCK_REQUEST_SIZE's [bucket]."""

def find_duration_bucket(nanoseconds: int) -> int:
    """The place of a duration in BLOCK_DURATION's [bucket]."""
