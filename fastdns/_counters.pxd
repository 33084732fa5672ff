"""Metric slots in memory shared between processes: unsigned 64 bit, one writer each, read by the supervisor without a lock.

One worker's slots are a WORKER block, then one BLOCK for each server block, one CACHE for each cache, one GROUP for each
forward plugin with one UPSTREAM for each of its upstreams; fastdns/server/metrics.py says which starts where. Offsets
below are relative to the start of their own kind. Buckets of histograms are not cumulative here; the last is +Inf.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cpdef enum Dimension:
    PROTOCOLS = 2               # udp, tcp
    FAMILIES = 2                # IPv4, IPv6
    TYPES = 20                  # the 19 that CoreDNS names, then `other`
    SIZE_BUCKETS = 15           # of octets
    DURATION_BUCKETS = 17       # of time
    RCODES = 24                 # 0..22; 23 and above in the last

cpdef enum BlockSlot:           # coredns_dns_*
    BLOCK_REQUESTS = 0          # [protocol][family][type]
    BLOCK_DO_REQUESTS = 80
    BLOCK_REQUEST_SIZE = 81     # [protocol][bucket]
    BLOCK_REQUEST_SIZE_SUM = 111    # [protocol], octets
    BLOCK_RESPONSE_SIZE = 113   # [protocol][bucket]
    BLOCK_RESPONSE_SIZE_SUM = 143   # [protocol], octets
    BLOCK_DURATION = 145        # [bucket]
    BLOCK_DURATION_SUM = 162    # nanoseconds
    BLOCK_RESPONSES = 163       # [rcode]
    BLOCK_SLOTS = 187

cpdef enum CacheSlot:           # coredns_cache_*
    CACHE_HITS = 0              # [success, denial]
    CACHE_MISSES = 2
    CACHE_REQUESTS = 3
    CACHE_PREFETCHES = 4
    CACHE_SERVED_STALE = 5
    CACHE_ENTRIES = 6           # [success, denial], a gauge
    CACHE_EVICTIONS = 8         # [success, denial]
    CACHE_DROPS = 10
    CACHE_OCTETS = 11           # a gauge
    CACHE_INSERTIONS = 12       # records
    CACHE_SLOTS = 13

cpdef enum GroupSlot:           # coredns_forward_*
    GROUP_MAX_CONCURRENT_REJECTS = 0
    GROUP_HEALTHCHECK_BROKEN = 1
    GROUP_MISMATCHED_REPLIES = 2
    GROUP_COALESCED = 3
    GROUP_SLOTS = 4

cpdef enum UpstreamSlot:        # coredns_proxy_*, whose histogram has the label rcode
    UPSTREAM_DURATION = 0       # [rcode][bucket]
    UPSTREAM_DURATION_SUM = 408     # [rcode], nanoseconds
    UPSTREAM_HEALTHCHECK_FAILURES = 432
    UPSTREAM_CONN_CACHE_HITS = 433  # [udp, tcp]
    UPSTREAM_CONN_CACHE_MISSES = 435    # [udp, tcp]
    UPSTREAM_SLOTS = 437

cpdef enum SystemSlot:          # skydns_*, for each of kube-dns's systems
    SYSTEM_REQUESTS = 0
    SYSTEM_DURATION = 1         # [bucket]
    SYSTEM_DURATION_SUM = 15    # nanoseconds
    SYSTEM_SIZE = 16            # [bucket]
    SYSTEM_SIZE_SUM = 38        # octets
    SYSTEM_ERRORS = 39          # [SystemCause]
    SYSTEM_MISSES = 44          # of a cache that kube-dns doesn't have
    SYSTEM_SLOTS = 45

cpdef enum SystemDimension:
    SYSTEMS = 3
    SYSTEM_DURATION_BUCKETS = 14
    SYSTEM_SIZE_BUCKETS = 22
    SYSTEM_CAUSES = 5

cpdef enum System:              # what kube-dns sorts queries into
    SYSTEM_AUTH = 0
    SYSTEM_REVERSE = 1
    SYSTEM_RECURSIVE = 2

cpdef enum SystemCause:
    CAUSE_NXDOMAIN = 0
    CAUSE_SERVFAIL = 1
    CAUSE_REFUSED = 2
    CAUSE_TRUNCATED = 3
    CAUSE_OVERFLOW = 4

cpdef enum WorkerSlot:          # of the worker as a whole
    WORKER_HEARTBEAT = 0        # goes up while the worker's event loop turns
    WORKER_STATE = 1            # see WorkerState
    WORKER_PANICS = 2           # queries that died of a bug of ours
    WORKER_SLOW_QUERIES = 3     # queries that took a step in Python
    WORKER_LOG_DROPPED = 4      # log lines that nobody could take
    WORKER_TCP_CONNECTIONS = 5  # a gauge
    WORKER_TCP_ACCEPTED = 6
    WORKER_TCP_EVICTED = 7      # closed to make room for another
    WORKER_TCP_TIMEOUTS = 8     # closed since idle, or half a message came and no more
    WORKER_ACCEPT_FAILURES = 9  # EMFILE and its like
    WORKER_UDP_FAILURES = 10    # reading a UDP socket failed
    WORKER_TABLES_SYNCED = 13   # a gauge: tables of clusters that hold a whole list
    WORKER_DELTAS = 14          # frames of records applied
    WORKER_FORWARDED = 15       # queries that went upstream
    WORKER_UPSTREAM_ANSWERS = 16    # answers that came from there
    WORKER_UNDECIDED = 32       # a BLOCK for queries outside of any server block (zone `dropped`)
    WORKER_SLOTS = 219

cpdef enum WorkerState:
    WORKER_STARTING = 0
    WORKER_SERVING = 1          # its sockets are read
    WORKER_DRAINING = 2         # its sockets are not read any more
    WORKER_DONE = 3


cdef class Counters:
    cdef uint64_t* slots        # borrowed from `memory`, good while this object lives
    cdef size_t count
    cdef object memory          # a memoryview that keeps the buffer alive


cdef inline size_t type_slot(uint16_t qtype) noexcept nogil:
    """The place of a type in [type]: CoreDNS's plugin/metrics/vars/monitor.go names 19 types, the rest is `other`."""
    if qtype == 28:
        return 0
    if qtype == 1:
        return 1
    if qtype == 5:
        return 2
    if qtype == 48:             # DNSKEY
        return 3
    if qtype == 43:             # DS
        return 4
    if qtype == 15:
        return 5
    if qtype == 50:             # NSEC3
        return 6
    if qtype == 47:             # NSEC
        return 7
    if qtype == 2:
        return 8
    if qtype == 12:
        return 9
    if qtype == 46:             # RRSIG
        return 10
    if qtype == 6:
        return 11
    if qtype == 33:
        return 12
    if qtype == 16:
        return 13
    if qtype == 65:             # HTTPS
        return 14
    if qtype == 64:             # SVCB
        return 15
    if qtype == 251:            # IXFR
        return 16
    if qtype == 252:            # AXFR
        return 17
    if qtype == 255:            # ANY
        return 18
    return 19


cdef inline size_t size_bucket(size_t octets) noexcept nogil:
    """The bucket of a size: upper bounds 0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16e3, 32e3, 48e3, 64e3."""
    if octets <= 400:
        return (octets + 99) // 100
    if octets <= 511:
        return 5
    if octets <= 1023:
        return 6
    if octets <= 2047:
        return 7
    if octets <= 4095:
        return 8
    if octets <= 8291:
        return 9
    if octets <= 16000:
        return 10
    if octets <= 32000:
        return 11
    if octets <= 48000:
        return 12
    if octets <= 64000:
        return 13
    return 14


cdef inline size_t duration_bucket(uint64_t nanoseconds) noexcept nogil:
    """The bucket of a duration: upper bounds 0.00025 s times 2 to the power of 0..15."""
    cdef uint64_t bound = 250000
    cdef size_t bucket = 0
    while bucket < <size_t>DURATION_BUCKETS - 1 and nanoseconds > bound:
        bound += bound
        bucket += 1
    return bucket


cdef inline size_t rcode_slot(uint16_t rcode) noexcept nogil:
    return rcode if rcode < <uint16_t>RCODES else <size_t>RCODES - 1


cdef inline void observe_query(uint64_t* block, bint is_tcp, bint is_ipv6, uint8_t type_place, bint wants_dnssec,
                               size_t query_size, uint16_t rcode, size_t answer_size) noexcept nogil:
    """Count one answered query in the BLOCK that starts at `block`; how long it took is observe_durations'. `type_place` is
    its type_slot.
    """
    cdef size_t protocol = 1 if is_tcp else 0
    cdef size_t family = 1 if is_ipv6 else 0
    block[BLOCK_REQUESTS + (protocol * FAMILIES + family) * TYPES + type_place] += 1
    block[<size_t>BLOCK_DO_REQUESTS] += 1 if wants_dnssec else 0
    block[BLOCK_REQUEST_SIZE + protocol * SIZE_BUCKETS + size_bucket(query_size)] += 1
    block[BLOCK_REQUEST_SIZE_SUM + protocol] += query_size
    block[BLOCK_RESPONSE_SIZE + protocol * SIZE_BUCKETS + size_bucket(answer_size)] += 1
    block[BLOCK_RESPONSE_SIZE_SUM + protocol] += answer_size
    block[BLOCK_RESPONSES + rcode_slot(rcode)] += 1


cdef inline void observe_durations(uint64_t* block, uint64_t nanoseconds, uint32_t times) noexcept nogil:
    """Count how long `times` answers took, each `nanoseconds`."""
    block[BLOCK_DURATION + duration_bucket(nanoseconds)] += times
    block[<size_t>BLOCK_DURATION_SUM] += nanoseconds * times


cdef inline void observe_exchange(uint64_t* upstream, uint16_t rcode, uint64_t nanoseconds) noexcept nogil:
    """Count one reply in the UPSTREAM that starts at `upstream`."""
    cdef size_t place = rcode_slot(rcode)
    upstream[UPSTREAM_DURATION + place * DURATION_BUCKETS + duration_bucket(nanoseconds)] += 1
    upstream[UPSTREAM_DURATION_SUM + place] += nanoseconds


cdef inline size_t system_size_bucket(size_t octets) noexcept nogil:
    """The bucket of a size: upper bounds 0, 512, 1024, 1500, 2048, then 4096 times 1..16."""
    if octets == 0:
        return 0
    if octets <= 512:
        return 1
    if octets <= 1024:
        return 2
    if octets <= 1500:
        return 3
    return 4 if octets <= 2048 else 5 + (octets - 1) // 4096


cdef inline size_t system_duration_bucket(uint64_t nanoseconds) noexcept nogil:
    """The bucket of a duration: upper bounds .001, .003, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10 seconds."""
    cdef uint64_t microseconds = (nanoseconds + 999) // 1000
    cdef size_t bucket = 3
    cdef uint64_t decade = 10000
    if microseconds <= 5000:
        return 0 if microseconds <= 1000 else 1 if microseconds <= 3000 else 2
    while microseconds > decade and bucket < 12:
        if microseconds <= decade * 5 // 2:
            return bucket + 1
        if microseconds <= decade * 5:
            return bucket + 2
        bucket += 3
        decade *= 10
    return bucket if microseconds <= decade else <size_t>SYSTEM_DURATION_BUCKETS - 1


cdef inline void observe_system(uint64_t* system, bint is_doubled, uint16_t rcode, bint is_truncated,
                                size_t answer_size) noexcept nogil:
    """Count one answer in the SYSTEM that starts at `system`; is_doubled: denials are counted twice."""
    system[<size_t>SYSTEM_REQUESTS] += 1
    system[SYSTEM_SIZE + system_size_bucket(answer_size)] += 1
    system[<size_t>SYSTEM_SIZE_SUM] += answer_size
    if rcode == 3:
        system[SYSTEM_ERRORS + CAUSE_NXDOMAIN] += 2 if is_doubled else 1
    elif rcode == 2:
        system[SYSTEM_ERRORS + CAUSE_SERVFAIL] += 1
    elif rcode == 5:
        system[SYSTEM_ERRORS + CAUSE_REFUSED] += 1
    if is_truncated:
        system[SYSTEM_ERRORS + CAUSE_TRUNCATED] += 1


cdef inline void observe_system_durations(uint64_t* system, uint64_t nanoseconds, uint32_t times) noexcept nogil:
    system[SYSTEM_DURATION + system_duration_bucket(nanoseconds)] += times
    system[<size_t>SYSTEM_DURATION_SUM] += nanoseconds * times
