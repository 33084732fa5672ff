"""Rules for a reply that was read, before it is kept and given: addresses that empty it, deny it or change in it, flags, TTLs.

All of them look at the stored message (fastdns/_reply.pxd), whose records are whole, so that a walk over them is bounded by
its size. Names are stepped over, never read.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy

from fastdns._message cimport (
    HIDDEN_MAX, REPLY_EMPTY, REPLY_NODATA, REPLY_NXDOMAIN, REPLY_OTHER_ERROR, REPLY_SUCCESS, REPLY_UNRESOLVED, Reply,
)
from fastdns._packet cimport A, AAAA, AD, IN, NXDOMAIN, RCODE_MASK, SOA, skip_name
from fastdns._wire cimport (
    Reader, load_u32, read_octets, read_u16, read_u32, reader_over, store_u16, store_u32,
)

cdef enum:
    MINIMUM_SIZE = 4            # of a SOA's data, at its end
    COUNTS_AT = 6               # answer, authority and additional, in the header


cdef struct Field:              # one record of a stored message
    uint16_t rtype
    uint16_t rclass
    uint32_t ttl
    uint16_t size
    size_t data_at


cdef bint _next_record(Reader* reader, Field* field) noexcept nogil:
    """Step over a record; False: there is none any more."""
    if not skip_name(reader):
        return False
    field.rtype = read_u16(reader)
    field.rclass = read_u16(reader)
    field.ttl = read_u32(reader)
    field.size = read_u16(reader)
    field.data_at = reader.pos
    read_octets(reader, field.size)
    return not reader.failed


cdef const Network* _find_network(const Networks* networks, const uint8_t* address, uint8_t size) noexcept nogil:
    """The first network that an address is in; NULL: none."""
    cdef uint32_t index
    cdef const Network* network
    for index in range(networks.count):
        network = &networks.at[index]
        if network.size == size and memcmp(network.first, address, size) <= 0 and memcmp(address, network.last, size) <= 0:
            return network
    return NULL


cdef void _translate(const Network* alias, uint8_t* address) noexcept nogil:
    cdef int at
    for at in range(4):
        address[at] = (address[at] & ~alias.mask[at]) | (alias.address[at] & alias.mask[at])


cdef Verdict judge_reply(const ReplyRules* rules, bint is_exempt, uint8_t* stored, size_t records_at, Reply* reply,
                         const uint16_t* ttl_at) noexcept nogil:
    """Apply the rules to a stored message whose question ends at `records_at`. `is_exempt`: nothing is blocked."""
    cdef Reader reader = reader_over(stored, reply.size)
    cdef Field field
    cdef const Network* alias
    cdef Verdict verdict = VERDICT_KEEP
    cdef uint16_t left = reply.ancount
    cdef uint16_t at
    reply.flags = (reply.flags & ~<int>rules.clear_flags) | rules.set_flags
    if rules.max_ttl:
        for at in range(reply.ttl_count):
            if load_u32(stored + ttl_at[at]) > rules.max_ttl:
                store_u32(stored + ttl_at[at], rules.max_ttl)
        if reply.min_ttl > rules.max_ttl:
            reply.min_ttl = rules.max_ttl
    reader.pos = records_at
    while left and _next_record(&reader, &field):
        left -= 1
        if field.rclass != IN or field.size != (4 if field.rtype == A else 16) or field.rtype not in (A, AAAA):
            continue
        if _find_network(&rules.ignored, stored + field.data_at, <uint8_t>field.size) != NULL:
            return VERDICT_IGNORE
        if _find_network(&rules.bogus, stored + field.data_at, <uint8_t>field.size) != NULL:
            verdict = VERDICT_BOGUS
        elif not is_exempt and verdict == VERDICT_KEEP:
            if _find_network(&rules.blocked, stored + field.data_at, <uint8_t>field.size) != NULL:
                verdict = VERDICT_BLOCKED
        alias = _find_network(&rules.aliases, stored + field.data_at, <uint8_t>field.size)
        if alias != NULL:
            _translate(alias, stored + field.data_at)
    return verdict


cdef void empty_reply(uint8_t* stored, size_t records_at, Reply* reply, uint16_t rcode) noexcept nogil:
    """Make a reply one without records."""
    reply.rcode = rcode
    reply.flags = (reply.flags & ~<int>RCODE_MASK) | rcode
    reply.kind = REPLY_NXDOMAIN if rcode == NXDOMAIN else REPLY_OTHER_ERROR     # the latter is not kept
    reply.has_soa = rcode == NXDOMAIN                   # it holds as long as the records did
    reply.size = <uint16_t>records_at
    reply.ancount = reply.nscount = reply.arcount = reply.ttl_count = 0
    reply.run_at = reply.run_count = 0
    store_u16(stored + COUNTS_AT, 0)
    store_u16(stored + COUNTS_AT + 2, 0)
    store_u16(stored + COUNTS_AT + 4, 0)


cdef bint _read_lifetime(const uint8_t* stored, size_t records_at, Reply* reply, bint is_denial,
                         uint16_t* count, size_t* end) noexcept nogil:
    """How long the records that are kept hold: the least of their TTLs; of a SOA's also its minimum (RFC 2308 section 5)."""
    cdef Reader reader = reader_over(stored, reply.size)
    cdef Field field
    cdef uint32_t minimum
    cdef uint32_t left = <uint32_t>reply.ancount + (reply.nscount if is_denial else 0)
    count[0] = 0
    reader.pos = records_at
    while left and _next_record(&reader, &field):
        left -= 1
        if field.rtype == SOA and is_denial and field.size >= MINIMUM_SIZE:
            minimum = load_u32(stored + field.data_at + field.size - MINIMUM_SIZE)
            field.ttl = field.ttl if field.ttl < minimum else minimum
        if count[0] == 0 or field.ttl < reply.min_ttl:
            reply.min_ttl = field.ttl
        count[0] += 1
    end[0] = reader.pos
    return left == 0


cdef bint trim_reply(const uint8_t* stored, size_t records_at, Reply* reply, uint32_t negative_ttl) noexcept nogil:
    """Cut off what a cache of records does not keep; False: nothing of it is kept."""
    cdef bint is_denial = reply.kind != REPLY_SUCCESS
    cdef uint16_t count
    cdef size_t end = records_at
    if reply.truncated:
        return False
    if reply.kind == REPLY_OTHER_ERROR and reply.rcode == NXDOMAIN:
        reply.kind = REPLY_NXDOMAIN                     # behind a CNAME
    elif reply.kind == REPLY_EMPTY or reply.kind == REPLY_UNRESOLVED:
        reply.kind = REPLY_NODATA
    if reply.kind != REPLY_SUCCESS and reply.kind != REPLY_NODATA and reply.kind != REPLY_NXDOMAIN:
        return False
    if not _read_lifetime(stored, records_at, reply, is_denial, &count, &end):
        return False
    reply.flags &= ~<int>AD                             # what was validated is not known of records one by one
    if is_denial and not reply.has_soa:
        if reply.ancount == 0 and not reply.has_hidden:
            reply.min_ttl = negative_ttl
        elif negative_ttl and negative_ttl < reply.min_ttl:
            reply.min_ttl = negative_ttl
    reply.arcount = 0
    if not is_denial:
        reply.nscount = 0
    reply.ttl_count = count
    reply.size = <uint16_t>end
    return reply.min_ttl > 0 or not is_denial


# --- making them ------------------------------------------------------------------------------------------------------


cdef int _fill_networks(Networks* networks, described) except -1:
    cdef Network* network
    cdef uint32_t index
    networks.at = <Network*>calloc(<size_t>len(described) + 1, sizeof(Network))
    if networks.at == NULL:
        raise MemoryError
    for index, (first, last, *rest) in enumerate(described):
        if len(first) not in (4, 16) or len(last) != len(first) or any(len(part) != 4 for part in rest):
            raise ValueError("not the two ends of a network")
        network = &networks.at[index]
        network.size = <uint8_t>len(first)
        memcpy(network.first, <const uint8_t*>(<bytes>first), len(first))
        memcpy(network.last, <const uint8_t*>(<bytes>last), len(last))
        if rest:
            memcpy(network.address, <const uint8_t*>(<bytes>rest[0]), 4)
            memcpy(network.mask, <const uint8_t*>(<bytes>rest[1]), 4)
    networks.count = <uint32_t>len(described)
    return 0


cdef ReplyRules* make_rules(object described) except NULL:
    """The rules that a dict describes: clear_flags, set_flags, max_ttl, hidden, ignored, bogus, blocked, aliases.

    A network is (first, last) packed, an alias (first, last, address, mask). Raises ValueError.
    """
    cdef ReplyRules* rules = <ReplyRules*>calloc(1, sizeof(ReplyRules))
    if rules == NULL:
        raise MemoryError
    try:
        rules.clear_flags = described["clear_flags"]
        rules.set_flags = described["set_flags"]
        rules.max_ttl = described["max_ttl"]
        hidden = described["hidden"]
        if len(hidden) > HIDDEN_MAX:
            raise ValueError(f"more than {<int>HIDDEN_MAX} types to leave out")
        for rtype in hidden:
            rules.hidden.types[rules.hidden.count] = rtype
            rules.hidden.count += 1
        _fill_networks(&rules.ignored, described["ignored"])
        _fill_networks(&rules.bogus, described["bogus"])
        _fill_networks(&rules.blocked, described["blocked"])
        _fill_networks(&rules.aliases, described["aliases"])
    except BaseException:
        free_rules(rules)
        raise
    return rules


cdef void free_rules(ReplyRules* rules) noexcept nogil:
    if rules == NULL:
        return
    free(rules.ignored.at)
    free(rules.bogus.at)
    free(rules.blocked.at)
    free(rules.aliases.at)
    free(rules)
