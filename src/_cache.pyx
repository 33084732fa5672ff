"""Answers of upstreams: a success and a denial side, bounded in entries and in octets, with TTL countdown, prefetch, stale.

One index holds both sides, since a look-up wants to see both: an entry stands in the bucket of its key's hash, and in the
ring of its side, which the clock hand of eviction goes round. The index and the rings are as large as the capacities ask
from the start; the kernel gives their pages when they are first used, so nothing is ever moved.
"""

import os

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset

cimport cython

from fastdns._message cimport (
    REPLY_DELEGATION,
    REPLY_NODATA,
    REPLY_NXDOMAIN,
    REPLY_OK,
    REPLY_OTHER_ERROR,
    REPLY_SERVER_ERROR,
    REPLY_SUCCESS,
    REPLY_UNRESOLVED,
    Reply,
)
from fastdns._packet cimport HEADER_SIZE, IN, NAME_MAX
from fastdns._prefetch cimport CACHE_LINE, fetch_ahead
from fastdns._rules cimport trim_reply
from fastdns._siphash cimport hash_key
from fastdns._stored cimport StoredReply
from fastdns._wire cimport load_u16, load_u32, store_u16, store_u32

cdef enum:
    DEFAULT_TTL = 5         # seconds: of what has no record to take it from, as CoreDNS's MinimalDefaultTTL
    REFRESH_PAUSE = 5       # seconds: an entry told to be asked again isn't told so again before, as a query lives that long
    HAND_STEPS = 256        # entries that one eviction looks at; then it takes what stands there
    CAPACITY_MAX = 1 << 26
    MALLOC_ROUND = 16       # what malloc adds and rounds to
    LARGEST_SHARE = 8       # one entry takes at most 1 / 8 of all octets
    LEAST_OCTETS = 1 << 18  # are held however short memory is, unless a cache was made for less
    ENTRY_LINES = 4         # lines of memory that an entry with a small reply takes

cdef struct Entry:
    Entry* next             # in its bucket
    uint64_t hash
    uint32_t stored_at      # seconds
    uint32_t ttl            # seconds, clamped, when stored
    uint32_t hits           # in a row, none further apart than prefetch_window
    uint32_t hit_at         # the last
    uint32_t told_at        # when it was last said to be due for another asking
    uint32_t rests_until    # seconds: asking again failed; 0: it did not
    uint32_t ring_at
    uint32_t octets
    uint64_t used           # by_record: Table.tick when it was last answered from, or stored
    uint8_t side
    uint8_t wants_dnssec
    uint8_t checking_disabled
    bint was_hit            # since the hand came by
    bint was_told           # told_at means something
    Reply reply
    # behind it: ttl_at (reply.ttl_count x uint16_t), stored (reply.size octets); that holds name, type and class

cdef struct Ring:
    Entry** entries         # owned, as are the entries
    uint32_t count
    uint32_t capacity
    uint32_t hand           # of eviction
    uint32_t sweep          # of expire_entries
    uint64_t octets

cdef struct Table:
    Entry** buckets         # owned
    uint64_t mask
    uint64_t seed[2]
    uint64_t tick           # by_record: grows with every use
    Ring rings[2]


# --- entries -------------------------------------------------------------------------------------------------------------------


cdef inline uint16_t* _ttl_at(Entry* entry) noexcept nogil:
    return <uint16_t*>(<uint8_t*>entry + sizeof(Entry))


cdef inline uint8_t* _stored(Entry* entry) noexcept nogil:
    return <uint8_t*>entry + sizeof(Entry) + entry.reply.ttl_count * sizeof(uint16_t)


cdef inline size_t _size_of(const Entry* entry) noexcept nogil:
    """Octets with what is behind it."""
    return sizeof(Entry) + entry.reply.ttl_count * sizeof(uint16_t) + entry.reply.size


cdef inline bint _is_for(Entry* entry, const Key* key) noexcept nogil:
    """True if the entry's key is `key`. The stored message begins with the question, whose length its size covers."""
    cdef const uint8_t* question = _stored(entry) + HEADER_SIZE
    if <size_t>HEADER_SIZE + key.name_len + 4 > entry.reply.size:
        return False
    if entry.wants_dnssec != (key.wants_dnssec != 0) or entry.checking_disabled != (key.checking_disabled != 0):
        return False
    if memcmp(question, key.name_key, key.name_len) != 0:
        return False
    return load_u16(question + key.name_len) == key.qtype and load_u16(question + key.name_len + 2) == key.qclass


cdef inline uint32_t _age_of(const Entry* entry, uint32_t now) noexcept nogil:
    return now - entry.stored_at if now > entry.stored_at else 0


cdef inline bint _is_failure(const Entry* entry) noexcept nogil:
    return entry.reply.kind == REPLY_SERVER_ERROR


cdef inline bint _is_usable(const Entry* entry, uint32_t age, uint32_t stale_for) noexcept nogil:
    """True if it can be answered from: fresh, or stale and no failure (RFC 8767 section 4)."""
    if age < entry.ttl:
        return True
    return age - entry.ttl < stale_for and not _is_failure(entry)


cdef void _unlink_entry(Table* table, Entry* entry) noexcept nogil:
    """Take an entry out of its bucket."""
    cdef Entry** link = &table.buckets[entry.hash & table.mask]
    while link[0] != entry:
        link = &link[0].next
    link[0] = entry.next


cdef void _drop_entry(Table* table, Entry* entry, CacheStats* stats) noexcept nogil:
    cdef Ring* ring = &table.rings[entry.side]
    _unlink_entry(table, entry)
    ring.count -= 1
    ring.entries[entry.ring_at] = ring.entries[ring.count]
    ring.entries[entry.ring_at].ring_at = entry.ring_at
    ring.octets -= entry.octets
    stats.octets -= entry.octets
    stats.entries[entry.side] = ring.count
    free(entry)


cdef Entry* _least_used(const Ring* ring) noexcept nogil:
    """The entry that was not used for longest, of up to HAND_STEPS from the hand on."""
    cdef Entry* least = NULL
    cdef Entry* entry
    cdef uint32_t at = ring.hand
    cdef uint32_t left = ring.count if ring.count < <uint32_t>HAND_STEPS else <uint32_t>HAND_STEPS
    while left:
        left -= 1
        if at >= ring.count:
            at = 0
        entry = ring.entries[at]
        at += 1
        if least == NULL or entry.used < least.used:
            least = entry
    return least


cdef void _evict_entry(Table* table, Ring* ring, uint32_t now, uint32_t stale_for, CacheStats* stats) noexcept nogil:
    """Drop one entry of a side: the first from the hand on that is of no use or was not hit since the hand last came by."""
    cdef Entry* entry = NULL
    cdef uint32_t _step
    if table.tick:
        stats.evictions[ring.entries[0].side] += 1
        entry = _least_used(ring)
        ring.hand += <uint32_t>HAND_STEPS if ring.count > <uint32_t>HAND_STEPS else 0
        _drop_entry(table, entry, stats)
        return
    for _step in range(<uint32_t>HAND_STEPS):
        if ring.hand >= ring.count:
            ring.hand = 0
        entry = ring.entries[ring.hand]
        if not entry.was_hit or not _is_usable(entry, _age_of(entry, now), stale_for):
            break
        entry.was_hit = False
        ring.hand = entry.ring_at + 1
    ring.hand = entry.ring_at
    stats.evictions[entry.side] += 1
    _drop_entry(table, entry, stats)
    ring.hand += 1                                      # over the newest entry, which has taken the place


cdef inline Ring* _larger_ring(Table* table) noexcept nogil:
    """The side that holds more octets."""
    return &table.rings[<int>SUCCESS if table.rings[<int>SUCCESS].octets >= table.rings[<int>DENIAL].octets else <int>DENIAL]


cdef bint _make_room(Table* table, const CacheOptions* options, uint8_t side, uint32_t octets, uint32_t now,
                     CacheStats* stats) noexcept nogil:
    """Evict until an entry of `octets` has room. False: it is too large to ever have some."""
    cdef Ring* ring = &table.rings[side]
    if ring.capacity == 0 or octets > options.max_octets / LARGEST_SHARE:
        return False
    if ring.count >= ring.capacity:
        _evict_entry(table, ring, now, options.stale_for, stats)
    while stats.octets + octets > options.max_octets:
        _evict_entry(table, _larger_ring(table), now, options.stale_for, stats)
    return True


cdef inline bint _answers_every_type(const Reply* reply) noexcept nogil:
    """True for a denial of the name itself, not of what it is an alias of."""
    return reply.kind == REPLY_NXDOMAIN and reply.ancount == 0


cdef void _find_entries(Table* table, const Key* key, uint64_t hash_value, Entry** sides) noexcept nogil:
    """The entries of a key: of the success side, of the denial side; NULL where there is none."""
    cdef Entry* entry = table.buckets[hash_value & table.mask]
    sides[<int>SUCCESS] = NULL
    sides[<int>DENIAL] = NULL
    while entry != NULL:
        if entry.hash == hash_value and _is_for(entry, key):
            sides[entry.side] = entry
        entry = entry.next


cdef inline bint _is_kept(const Entry* success, const CacheOptions* options, uint32_t now) noexcept nogil:
    """True for an answer that, with prefers_positive, nothing but another answer takes the place of."""
    return (options.prefers_positive and success != NULL and success.reply.kind == REPLY_SUCCESS
            and _is_usable(success, _age_of(success, now), options.stale_for))


cdef Entry* _choose_entry(Entry** sides, uint32_t now, const CacheOptions* options) noexcept nogil:
    """What to answer from, or NULL: a failure only where nothing better is known, as CoreDNS does."""
    cdef uint32_t stale_for = options.stale_for
    cdef Entry* success = sides[<int>SUCCESS]
    cdef Entry* denial = sides[<int>DENIAL]
    if success != NULL and not _is_usable(success, _age_of(success, now), stale_for):
        success = NULL
    if denial != NULL and not _is_usable(denial, _age_of(denial, now), stale_for):
        denial = NULL
    if _is_kept(success, options, now):
        return success
    if denial == NULL or (success != NULL and _is_failure(denial)):
        return success
    return denial


cdef bint _has_failed(const Entry* denial, uint32_t now) noexcept nogil:
    """True if asking again failed a moment ago (RFC 9520 section 3.2)."""
    return denial != NULL and _is_failure(denial) and _age_of(denial, now) < denial.ttl


cdef bint _is_told(Entry* entry, uint32_t now) noexcept nogil:
    """True if somebody has been told a moment ago to ask again; else the caller is, from now on."""
    if entry.was_told and now - entry.told_at < <uint32_t>REFRESH_PAUSE:
        return True
    entry.was_told = True
    entry.told_at = now
    return False


cdef bint _is_refresh_due(Entry* entry, const Entry* denial, const CacheOptions* options, uint32_t now) noexcept nogil:
    """True: the caller is the one who asks again."""
    if now < entry.rests_until or (options.recheck == 0 and _has_failed(denial, now)):
        return False
    return not _is_told(entry, now)


cdef bint _is_popular(Entry* entry, const CacheOptions* options, uint32_t left, uint32_t now) noexcept nogil:
    """Count a hit; True if the entry has become popular and its TTL is nearly over."""
    if entry.hits and now - entry.hit_at <= options.prefetch_window:
        entry.hits += 1
    else:
        entry.hits = 1
    entry.hit_at = now
    if entry.hits < options.prefetch_amount:
        return False
    return left <= (<uint64_t>entry.ttl * options.prefetch_percent + 99) / 100


cdef void _free_rings(Table* table) noexcept nogil:
    cdef Ring* ring
    cdef uint32_t at
    cdef int side
    for side in range(2):
        ring = &table.rings[side]
        for at in range(ring.count):
            free(ring.entries[at])
        ring.count = ring.hand = ring.sweep = 0
        ring.octets = 0


@cython.final
cdef class Cache:
    """One cache plugin's entries in one worker."""

    def __cinit__(self, *, success, denial, max_octets, servfail_ttl=5, stale_for=0, stale_ttl=0, recheck=0,
                  prefer_positive=False, prefetch=(0, 60, 10), keep_ttl=False, by_record=False, types=(),
                  negative_ttl=0):
        cdef uint64_t buckets = 64
        cdef uint64_t total
        cdef Ring* ring
        cdef int side
        cdef bytes seed = os.urandom(16)
        for side, limits in ((SUCCESS, success), (DENIAL, denial)):
            capacity, max_ttl, min_ttl = limits
            if not 0 <= capacity <= CAPACITY_MAX:
                raise ValueError(f"a cache holds up to {CAPACITY_MAX} entries a side, not {capacity}")
            self.options.sides[side].capacity = capacity
            self.options.sides[side].max_ttl = max_ttl
            self.options.sides[side].min_ttl = min_ttl
        self.options.max_octets = self.full_octets = max_octets
        self.options.servfail_ttl = servfail_ttl
        self.options.stale_for = stale_for
        self.options.stale_ttl = stale_ttl
        self.options.recheck = recheck
        self.options.prefers_positive = prefer_positive
        self.options.prefetch_amount, self.options.prefetch_window, self.options.prefetch_percent = prefetch
        self.options.keep_ttl = keep_ttl
        self.options.by_record = by_record
        self.options.negative_ttl = negative_ttl
        if len(types) > TYPES_MAX:
            raise ValueError(f"a cache keeps up to {<int>TYPES_MAX} types by their number, not {len(types)}")
        for rtype in types:
            self.options.types[self.options.type_count] = rtype
            self.options.type_count += 1
        self.table = <Table*>calloc(1, sizeof(Table))
        if self.table == NULL:
            raise MemoryError
        memcpy(self.table.seed, <const uint8_t*>seed, 16)
        total = <uint64_t>self.options.sides[<int>SUCCESS].capacity + self.options.sides[<int>DENIAL].capacity
        while buckets < total:
            buckets *= 2
        self.table.mask = buckets - 1
        self.table.buckets = <Entry**>calloc(buckets, sizeof(Entry*))
        if self.table.buckets == NULL:
            raise MemoryError
        for side in range(2):
            ring = &self.table.rings[side]
            ring.capacity = self.options.sides[side].capacity
            ring.entries = <Entry**>calloc(<size_t>ring.capacity + 1, sizeof(Entry*))
            if ring.entries == NULL:
                raise MemoryError

    def __dealloc__(self):
        cdef int side
        if self.table == NULL:
            return
        _free_rings(self.table)
        for side in range(2):
            free(self.table.rings[side].entries)
        free(self.table.buckets)
        free(self.table)

    cdef uint64_t begin_find(self, const Key* key) noexcept nogil:
        """The hash of a key; asks for its bucket."""
        cdef uint64_t hash_value = hash_key(self.table.seed, key)
        fetch_ahead(&self.table.buckets[hash_value & self.table.mask])
        return hash_value

    cdef void fetch_entry(self, uint64_t hash_value) noexcept nogil:
        """Ask for the entry that a look-up most likely ends at."""
        cdef const uint8_t* entry = <const uint8_t*>self.table.buckets[hash_value & self.table.mask]
        cdef size_t line
        if entry != NULL:
            for line in range(<size_t>ENTRY_LINES):
                fetch_ahead(entry + line * CACHE_LINE)

    cdef Lookup find_reply(self, const Key* key, uint64_t hash_value, uint32_t now, Found* found) noexcept nogil:
        """Find what to answer a query with; hash_value is begin_find's. Writes nothing but the entry's marks; allocates
        nothing."""
        cdef Entry* sides[2]
        cdef Entry* entry
        cdef uint32_t age
        cdef Key every
        if self.options.by_record:
            every = key[0]
            if every.checking_disabled:                 # nothing is validated here
                every.checking_disabled = False
                key = &every
                hash_value = hash_key(self.table.seed, key)
        _find_entries(self.table, key, hash_value, sides)
        entry = _choose_entry(sides, now, &self.options)
        if entry == NULL and self.options.by_record:
            every.qtype = EVERY_TYPE
            _find_entries(self.table, &every, hash_key(self.table.seed, &every), sides)
            entry = _choose_entry(sides, now, &self.options)
        if entry == NULL:
            return CACHE_MISS
        age = _age_of(entry, now)
        entry.was_hit = True
        if self.options.by_record:
            self.table.tick += 1
            entry.used = self.table.tick
        found.entry = entry
        found.stored = _stored(entry)
        found.reply = &entry.reply
        found.ttl_at = _ttl_at(entry)
        found.side = <Side>entry.side
        found.age = age
        found.ttl = entry.ttl - age if age < entry.ttl else self.options.stale_ttl
        found.refresh_due = False
        if self.options.keep_ttl and (age < entry.ttl or self.options.stale_ttl == 0):
            found.ttl = entry.ttl
        if age >= entry.ttl:
            found.refresh_due = _is_refresh_due(entry, sides[<int>DENIAL], &self.options, now)
            return CACHE_STALE
        if self.options.prefetch_amount and _is_popular(entry, &self.options, entry.ttl - age, now):
            if not _is_told(entry, now):
                return CACHE_PREFETCH
        return CACHE_FRESH

    cdef void note_failure(self, const Key* key, uint32_t now) noexcept nogil:
        """Asking again for a stale entry failed: leave it alone for `recheck` seconds (RFC 8767 section 5)."""
        cdef Entry* sides[2]
        cdef int side
        if self.options.recheck == 0:
            return
        _find_entries(self.table, key, hash_key(self.table.seed, key), sides)
        for side in range(2):
            if sides[side] != NULL:
                sides[side].rests_until = now + self.options.recheck
                sides[side].was_told = False

    cdef uint32_t clamp_ttl(self, const Reply* reply) noexcept nogil:
        """The TTL that every record of a reply gets, in the first answer too, as CoreDNS does; seconds."""
        cdef uint32_t ttl = reply.min_ttl
        cdef const Limits* limits = &self.options.sides[<int>SUCCESS]
        if reply.kind == REPLY_SERVER_ERROR:
            return self.options.servfail_ttl
        if reply.kind == REPLY_NXDOMAIN or reply.kind == REPLY_NODATA:
            limits = &self.options.sides[<int>DENIAL]
        if self.options.by_record:
            pass                                        # trim_reply has found it
        elif reply.ttl_count == 0 or reply.kind == REPLY_DELEGATION or reply.kind == REPLY_OTHER_ERROR:
            ttl = DEFAULT_TTL
        ttl = ttl if ttl > limits.min_ttl else limits.min_ttl
        return ttl if ttl < limits.max_ttl else limits.max_ttl

    cdef bint keeps_type(self, uint16_t qtype, uint16_t qclass) noexcept nogil:
        """by_record: True if records of a type are kept."""
        cdef uint8_t index
        if qclass != IN:
            return False
        for index in range(self.options.type_count):
            if self.options.types[index] == qtype:
                return True
        return self.options.type_count == 0

    cdef bint has_records(self, const Key* key, uint32_t now) noexcept nogil:
        """True if an answer with records is held that is still fresh."""
        cdef Entry* sides[2]
        cdef Entry* entry
        _find_entries(self.table, key, hash_key(self.table.seed, key), sides)
        entry = sides[<int>SUCCESS]
        return entry != NULL and entry.reply.ancount > 0 and _age_of(entry, now) < entry.ttl

    cdef void _bound_records(self, Entry* entry) noexcept nogil:
        """Hold the TTLs of an answer's records within the side's limits."""
        cdef const Limits* limits = &self.options.sides[<int>SUCCESS]
        cdef uint8_t* at
        cdef uint32_t ttl
        cdef uint16_t index
        for index in range(entry.reply.ttl_count):
            at = _stored(entry) + _ttl_at(entry)[index]
            ttl = load_u32(at)
            ttl = ttl if ttl > limits.min_ttl else limits.min_ttl
            store_u32(at, ttl if ttl < limits.max_ttl else limits.max_ttl)

    cdef bint store_reply(self, const Key* key, const uint8_t* stored, const Reply* reply, const uint16_t* ttl_at,
                          uint32_t now) noexcept nogil:
        """Keep a reply. False: it is not of a kind that is kept (CoreDNS's cache.key), or it has no room.

        A success drops the denial of its key, and a denial the success, so that neither outlives newer knowledge as stale;
        a failure leaves both (RFC 8767 section 5). Replies of the key that were found before are gone.
        """
        cdef Entry* sides[2]
        cdef Entry* entry
        cdef uint32_t ttl = self.clamp_ttl(reply)
        cdef uint8_t side = SUCCESS
        cdef uint64_t hash_value
        cdef size_t octets = sizeof(Entry) + reply.ttl_count * sizeof(uint16_t) + reply.size
        cdef uint32_t hits = 0
        cdef uint32_t hit_at = 0
        octets = (octets / MALLOC_ROUND + 2) * MALLOC_ROUND
        if reply.truncated or ttl == 0 or reply.kind == REPLY_OTHER_ERROR or reply.kind == REPLY_UNRESOLVED:
            return False
        if reply.kind == REPLY_NXDOMAIN and not reply.has_soa and not self.options.by_record:
            return False
        if <size_t>HEADER_SIZE + key.name_len + 4 > reply.size:
            return False
        if reply.kind == REPLY_NXDOMAIN or reply.kind == REPLY_NODATA or reply.kind == REPLY_SERVER_ERROR:
            side = DENIAL
        hash_value = hash_key(self.table.seed, key)
        _find_entries(self.table, key, hash_value, sides)
        entry = sides[side]
        if reply.kind != REPLY_SUCCESS and _is_kept(sides[<int>SUCCESS], &self.options, now):
            if side == SUCCESS:
                return False
            sides[<int>SUCCESS] = NULL                  # the denial stands beside it
        if entry != NULL:
            if _is_failure(entry) == (reply.kind == REPLY_SERVER_ERROR):
                hits = entry.hits
                hit_at = entry.hit_at
            elif reply.kind == REPLY_SERVER_ERROR and _is_usable(entry, _age_of(entry, now), self.options.stale_for):
                return False                            # a denial that still holds is worth more than a failure
            _drop_entry(self.table, entry, &self.stats)
        if sides[1 - side] != NULL and reply.kind != REPLY_SERVER_ERROR:
            _drop_entry(self.table, sides[1 - side], &self.stats)
        if octets > <size_t>0xFFFFFFFF or not _make_room(self.table, &self.options, side, <uint32_t>octets, now, &self.stats):
            return False
        entry = <Entry*>malloc(octets - MALLOC_ROUND)
        if entry == NULL:
            return False
        memset(entry, 0, sizeof(Entry))
        entry.reply = reply[0]
        entry.hash = hash_value
        entry.stored_at = now
        entry.ttl = ttl
        entry.hits = hits
        entry.hit_at = hit_at
        entry.octets = <uint32_t>octets
        entry.side = side
        entry.wants_dnssec = key.wants_dnssec != 0
        entry.checking_disabled = key.checking_disabled != 0
        memcpy(_ttl_at(entry), ttl_at, reply.ttl_count * sizeof(uint16_t))
        memcpy(_stored(entry), stored, reply.size)
        self.stats.insertions += reply.ancount if side == SUCCESS else <uint64_t>reply.ancount + 1 + reply.has_soa
        if self.options.by_record:
            self.table.tick += 1
            entry.used = self.table.tick
            store_u16(_stored(entry) + HEADER_SIZE + key.name_len, key.qtype)
            if side == SUCCESS:
                self._bound_records(entry)
        self._link_entry(entry)
        return True

    cdef bint keep_records(self, const Key* key, const uint8_t* stored, Reply* reply, const uint16_t* ttl_at,
                           Part part, uint32_t now) noexcept nogil:
        """by_record: keep of a reply what is records of the answer, or says that there are none. Changes `reply`.

        A part of it counts as no insertion: its records have been counted with the whole.
        """
        cdef uint64_t insertions = self.stats.insertions
        cdef bint is_kept
        cdef Key kept = key[0]
        kept.checking_disabled = False
        if not trim_reply(stored, <size_t>HEADER_SIZE + key.name_len + 4, reply, self.options.negative_ttl):
            return False
        if key.qclass == IN and _answers_every_type(reply):
            kept.qtype = EVERY_TYPE
        elif part != PART_ALIAS and not self.keeps_type(key.qtype, key.qclass):
            return False
        is_kept = self.store_reply(&kept, stored, reply, ttl_at, now)
        if part != PART_ALL:
            self.stats.insertions = insertions
        return is_kept

    cdef void _link_entry(self, Entry* entry) noexcept nogil:
        """Put a new entry into its bucket and its side's ring."""
        cdef Ring* ring = &self.table.rings[entry.side]
        cdef Entry** bucket = &self.table.buckets[entry.hash & self.table.mask]
        entry.next = bucket[0]
        bucket[0] = entry
        entry.ring_at = ring.count
        ring.entries[ring.count] = entry
        ring.count += 1
        ring.octets += entry.octets
        self.stats.octets += entry.octets
        self.stats.entries[entry.side] = ring.count

    cdef void expire_entries(self, uint32_t now, uint32_t budget) noexcept nogil:
        """Look at up to `budget` entries, of both sides, and free those that nothing can be answered from any more."""
        cdef Ring* ring
        cdef Entry* entry
        cdef int side
        cdef uint32_t left
        for side in range(2):
            ring = &self.table.rings[side]
            left = budget / 2 + 1
            while left and ring.count:
                left -= 1
                if ring.sweep >= ring.count:
                    ring.sweep = 0
                entry = ring.entries[ring.sweep]
                if _is_usable(entry, _age_of(entry, now), self.options.stale_for):
                    ring.sweep += 1
                else:
                    _drop_entry(self.table, entry, &self.stats)

    cdef void shrink_table(self, uint32_t now, uint32_t budget) noexcept nogil:
        """Evict up to `budget` entries; what is left is as much as the cache holds, until it may grow again."""
        cdef Ring* ring
        while budget and self.stats.octets:
            budget -= 1
            ring = _larger_ring(self.table)
            _evict_entry(self.table, ring, now, self.options.stale_for, &self.stats)
        self.options.max_octets = self.stats.octets

    cdef void forget_entries(self) noexcept nogil:
        """Drop everything."""
        _free_rings(self.table)
        memset(self.table.buckets, 0, (self.table.mask + 1) * sizeof(Entry*))
        self.stats.octets = 0
        self.stats.entries[<int>SUCCESS] = self.stats.entries[<int>DENIAL] = 0

    def get(self, bytes name not None, int qtype, int qclass=1, *, bint do=False, bint cd=False, uint32_t now):
        """(what was found, a copy of it, TTL to answer with, age, refresh is due) for a canonical name."""
        cdef Key key
        cdef Found found
        cdef StoredReply copy
        cdef Lookup lookup
        _fill_key(&key, name, qtype, qclass, do, cd)
        lookup = self.find_reply(&key, hash_key(self.table.seed, &key), now, &found)
        if lookup == CACHE_MISS:
            return Lookup(CACHE_MISS), None, 0, 0, False
        copy = StoredReply(found.reply.size, found.reply.ttl_count)
        copy.reply = found.reply[0]
        copy.status = REPLY_OK
        memcpy(copy.stored, found.stored, found.reply.size)
        memcpy(copy.ttl_at, found.ttl_at, found.reply.ttl_count * sizeof(uint16_t))
        return Lookup(lookup), copy, found.ttl, found.age, bool(found.refresh_due)

    def put(self, StoredReply reply not None, *, bint do=False, bint cd=False, uint32_t now):
        """Keep a reply that normalise() has read. False: it is not of a kind that is kept."""
        cdef Key key
        cdef Reply kept = reply.reply
        if reply.status != REPLY_OK:
            raise ValueError("nothing was read")
        _key_of(reply, &key)
        key.wants_dnssec = do
        key.checking_disabled = cd
        return bool(self.keep_records(&key, reply.stored, &kept, reply.ttl_at, PART_ALL, now) if self.options.by_record
                    else self.store_reply(&key, reply.stored, &kept, reply.ttl_at, now))

    def store_many(self, list replies not None, uint32_t count, *, uint32_t now, uint32_t seed):
        """Keep `count` replies, each one of `replies` in turn, under names made up by writing over its first label.

        For tests of the bounds and for bench/: a store from Python takes longer than the store.
        """
        cdef uint32_t number
        cdef uint32_t at
        cdef StoredReply reply
        cdef Key key
        for number in range(count):
            reply = replies[number % len(replies)]
            _key_of(reply, &key)
            key.wants_dnssec = key.checking_disabled = False
            seed = seed * 1664525 + 1013904223
            for at in range(reply.stored[<int>HEADER_SIZE]):
                reply.stored[<int>HEADER_SIZE + 1 + at] = <uint8_t>(97 + ((seed >> (4 * (at & 7))) & 15))
            self.store_reply(&key, reply.stored, &reply.reply, reply.ttl_at, now)

    def ttl_of(self, StoredReply reply not None):
        """The TTL that every record of the reply gets, whether it is kept or not."""
        return self.clamp_ttl(&reply.reply)

    def expire(self, uint32_t now, uint32_t budget=1024):
        """Look at up to `budget` entries and free those that nothing can be answered from any more."""
        self.expire_entries(now, budget)

    def shrink(self, uint32_t now, uint32_t budget):
        """Give memory back: evict up to `budget` entries, and hold no more octets than are left then, until grow()."""
        self.shrink_table(now, budget)

    def grow(self, size_t octets):
        """Let it hold so many octets more than now, up to what it was made with; at least LEAST_OCTETS in all."""
        self.options.max_octets = min(self.full_octets, max(<size_t>LEAST_OCTETS, self.stats.octets + octets))

    def forget_all(self):
        self.forget_entries()

    def dump(self):
        """All entries, as load() of a process of the same build takes them."""
        cdef Ring* ring
        cdef Entry* entry
        cdef uint32_t at
        cdef int side
        cdef list dumped = []
        for side in range(2):
            ring = &self.table.rings[side]
            for at in range(ring.count):
                entry = ring.entries[at]
                dumped.append((<const uint8_t*>entry)[:_size_of(entry)])
        return b"".join(dumped)

    def load(self, bytes octets not None, *, uint32_t now, forget=()):
        """Keep what dump() gave, where nothing newer is held and there is room; how many.

        Left out are names in the zones `forget` (canonical). Raises ValueError for octets that dump() didn't give.
        """
        cdef const uint8_t* start = octets
        cdef const uint8_t* at = start
        cdef size_t left = <size_t>len(octets)
        cdef Entry head
        cdef Key key
        cdef uint32_t loaded = 0
        while left:
            if not _read_entry(at, left, &head, &key):
                raise ValueError(f"no entry at octet {at - start}")
            if not _is_in_zones(&key, forget):
                loaded += self._take_entry(at, &head, &key, now)
            at += _size_of(&head)
            left -= _size_of(&head)
        return loaded

    cdef bint _take_entry(self, const uint8_t* octets, const Entry* head, const Key* key, uint32_t now) noexcept nogil:
        """Copy an entry that was read. False: it is of no use any more, its key is held, or there is no room."""
        cdef Ring* ring = &self.table.rings[head.side]
        cdef Entry* sides[2]
        cdef Entry* entry
        cdef uint64_t hash_value = hash_key(self.table.seed, key)
        _find_entries(self.table, key, hash_value, sides)
        if sides[0] != NULL or sides[1] != NULL or not _is_usable(head, _age_of(head, now), self.options.stale_for):
            return False
        if ring.count >= ring.capacity or self.stats.octets + head.octets > self.options.max_octets:
            return False
        entry = <Entry*>malloc(_size_of(head))
        if entry == NULL:
            return False
        memcpy(entry, octets, _size_of(head))
        entry.hash = hash_value
        self._link_entry(entry)
        return True

    def describe(self):
        """{success, denial} entries, {success,denial}_evictions, insertions (of records), octets."""
        return {
            "success": self.stats.entries[<int>SUCCESS],
            "denial": self.stats.entries[<int>DENIAL],
            "success_evictions": self.stats.evictions[<int>SUCCESS],
            "denial_evictions": self.stats.evictions[<int>DENIAL],
            "insertions": self.stats.insertions,
            "octets": self.stats.octets,
        }


cdef int _fill_key(Key* key, bytes name, int qtype, int qclass, bint do, bint cd) except -1:
    if not 0 < len(name) <= NAME_MAX:
        raise ValueError("not a name on the wire")
    key.name_key = <const uint8_t*>name
    key.name_len = <uint16_t>len(name)
    key.qtype = <uint16_t>qtype
    key.qclass = <uint16_t>qclass
    key.wants_dnssec = do
    key.checking_disabled = cd
    return 0


cdef bint _read_entry(const uint8_t* octets, size_t left, Entry* head, Key* key) noexcept:
    """Copy an entry's fixed part, and find its key. False: there is no whole entry with a whole question."""
    cdef const uint8_t* question
    cdef size_t room
    cdef size_t at = 0
    if left < sizeof(Entry):
        return False
    memcpy(head, octets, sizeof(Entry))
    if head.side > <uint8_t>DENIAL or _size_of(head) > left or head.octets < _size_of(head) or head.reply.size < HEADER_SIZE:
        return False
    question = octets + _size_of(head) - head.reply.size + <size_t>HEADER_SIZE
    room = <size_t>head.reply.size - <size_t>HEADER_SIZE
    while at < room and question[at]:
        at += <size_t>question[at] + 1
    if at + 5 > room or at >= NAME_MAX:
        return False
    key.name_key = question
    key.name_len = <uint16_t>(at + 1)
    key.qtype = load_u16(question + key.name_len)
    key.qclass = load_u16(question + key.name_len + 2)
    key.wants_dnssec = head.wants_dnssec
    key.checking_disabled = head.checking_disabled
    return True


cdef bint _is_in_zones(const Key* key, zones) except -1:
    """True if the name is one of the zones, or below it."""
    cdef bytes name = key.name_key[:key.name_len]
    cdef int at = 0
    while zones and at < key.name_len:
        if name[at:] in zones:
            return True
        at += key.name_key[at] + 1
    return False


cdef void _key_of(StoredReply reply, Key* key) noexcept:
    """The key of a reply read: its question, which is a whole name followed by type and class."""
    cdef const uint8_t* question = reply.stored + HEADER_SIZE
    cdef uint16_t at = 0
    while question[at]:
        at += question[at] + 1
    key.name_key = question
    key.name_len = at + 1
    key.qtype = load_u16(question + key.name_len)
    key.qclass = load_u16(question + key.name_len + 2)
