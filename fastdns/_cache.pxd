"""Answers of upstreams: a success and a denial side, bounded in entries and in octets, with TTL countdown, prefetch, stale."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastdns._key cimport Key
from fastdns._message cimport Reply

cpdef enum Lookup:
    CACHE_MISS = 0
    CACHE_FRESH = 1
    CACHE_PREFETCH = 2      # fresh, and due to be asked again in the background (the entry is marked, so told once)
    CACHE_STALE = 3         # past its TTL, inside serve_stale

cpdef enum Side:
    SUCCESS = 0
    DENIAL = 1

cdef struct Limits:         # of one side
    uint32_t capacity       # entries
    uint32_t max_ttl        # seconds
    uint32_t min_ttl

cdef enum:
    TYPES_MAX = 32
    EVERY_TYPE = 0          # the type in the key of a name that does not exist

cdef enum Part:             # by_record: what of a reply is kept
    PART_ALL = 0
    PART_TAIL = 1           # what one of its aliases leads to
    PART_ALIAS = 2          # one of its aliases alone: kept whatever types are

cdef struct CacheOptions:
    Limits sides[2]
    size_t max_octets       # both sides together; less while memory is short
    uint32_t servfail_ttl   # seconds; 0: failures are not kept
    uint32_t stale_for      # seconds after the TTL; 0: nothing stale is kept
    uint32_t stale_ttl      # seconds, of a stale answer
    uint32_t recheck        # seconds in which a refresh that failed is not tried again; 0: as long as failures are kept
    bint prefers_positive   # a stale answer goes before a fresh denial
    uint32_t prefetch_amount    # hits within prefetch_window that make a name popular; 0: no prefetch
    uint32_t prefetch_window    # seconds
    uint32_t prefetch_percent   # of the TTL left
    bint keep_ttl           # answer with the TTL as it was stored, not counted down
    bint by_record          # records keep their own TTLs, bounded; that a name does not exist answers every type
    uint16_t types[TYPES_MAX]   # by_record: those that are kept
    uint8_t type_count      # 0: every type
    uint32_t negative_ttl   # by_record: seconds, of a denial without SOA

cdef struct Entry           # layout is _cache's own

cdef struct Table

cdef struct Found:
    Entry* entry            # good until the next store_reply, expire_entries or forget_all
    const uint8_t* stored
    const Reply* reply
    const uint16_t* ttl_at
    Side side
    uint32_t ttl            # seconds, to be written into every record: what is left, stale_ttl; all of it with keep_ttl
    uint32_t age            # seconds since it was stored
    bint refresh_due        # with CACHE_STALE: ask again; no other was told so for a while, and no failure is remembered

cdef struct CacheStats:
    uint64_t entries[2]
    uint64_t evictions[2]
    uint64_t octets
    uint64_t insertions     # records; a denial is one, and its SOA another

cdef class Cache:
    cdef Table* table       # owned; freed in __dealloc__
    cdef CacheOptions options
    cdef CacheStats stats
    cdef size_t full_octets  # max_octets as it was made

    cdef uint64_t begin_find(self, const Key* key) noexcept nogil
    cdef void fetch_entry(self, uint64_t hash_value) noexcept nogil
    cdef Lookup find_reply(self, const Key* key, uint64_t hash_value, uint32_t now, Found* found) noexcept nogil
    cdef bint store_reply(self, const Key* key, const uint8_t* stored, const Reply* reply, const uint16_t* ttl_at,
                          uint32_t now) noexcept nogil
    cdef void note_failure(self, const Key* key, uint32_t now) noexcept nogil
    cdef uint32_t clamp_ttl(self, const Reply* reply) noexcept nogil
    cdef void expire_entries(self, uint32_t now, uint32_t budget) noexcept nogil
    cdef void shrink_table(self, uint32_t now, uint32_t budget) noexcept nogil
    cdef void forget_entries(self) noexcept nogil
    cdef bint keep_records(self, const Key* key, const uint8_t* stored, Reply* reply, const uint16_t* ttl_at,
                           Part part, uint32_t now) noexcept nogil
    cdef bint keeps_type(self, uint16_t qtype, uint16_t qclass) noexcept nogil
    cdef bint has_records(self, const Key* key, uint32_t now) noexcept nogil
    cdef void _bound_records(self, Entry* entry) noexcept nogil
    cdef void _link_entry(self, Entry* entry) noexcept nogil
    cdef bint _take_entry(self, const uint8_t* octets, const Entry* head, const Key* key, uint32_t now) noexcept nogil
