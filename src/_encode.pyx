"""The message that a decision about a name becomes: sections, compression, truncation.

It decides nothing, and allocates nothing.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp, memcpy

from fastdns._decide cimport ALIAS, FAILED, FOLLOW, HIT, NXDOMAIN, Finding
from fastdns._packet cimport (
    EDE_NONE,
    EDE_NOT_READY,
    HEADER_SIZE,
    IN,
    KEY_ROOM,
    LABELS_MAX,
    MESSAGE_MAX,
    NS,
    OWNER_IS_QNAME,
    SOA,
    SRV,
    TC,
    A,
    Query,
    copy_key,
    write_header,
    write_opt,
    write_question,
)
from fastdns._packet cimport NXDOMAIN as RCODE_NXDOMAIN
from fastdns._packet cimport SERVFAIL as RCODE_SERVFAIL
from fastdns._rrset cimport FIXED, PRIMARY_ZONED, SERVICE, WHOLE, NameData, RecordSet, is_whole_name, octets_of, sets_of
from fastdns._service cimport Zonal, write_addresses, write_glue, write_services
from fastdns._trie cimport MISS_PASSES, NO_SOA, OWN_SPELLING, PARTIAL, SRV_GLUE, Match, Node, find_name
from fastdns._wire cimport (
    Reader,
    Writer,
    load_u16,
    load_u32,
    patch_u16,
    read_octets,
    read_u16,
    reader_over,
    rewind_to,
    reserve_octets,
    store_u16,
    store_u32,
    write_octets,
    write_u8,
    write_u16,
    write_u32,
)

cdef enum:
    POINTER = 0xC000
    POINTER_MAX = 0x3FFF
    TTL_AT = 6              # of a record whose owner is a pointer
    MX = 15
    MX_TARGET_AT = 2        # in record data, RFC 1035 section 3.3.9
    SRV_TARGET_AT = 6       # in record data, RFC 2782
    TARGETS_MAX = 16        # whose addresses are told once, with MISS_PASSES
    OPT_SIZE = 11
    SOA_MINIMUM_AT = 12     # in soa_tail
    EDE_SIZE = 6


cdef struct Counts:
    uint16_t answer
    uint16_t authority
    uint16_t additional


cdef inline uint32_t _bounded(uint32_t ttl, const TtlBounds* bounds) noexcept nogil:
    if bounds.low > bounds.high:
        return ttl
    if ttl < bounds.low:
        return bounds.low
    return bounds.high if ttl > bounds.high else ttl


cdef void _write_zone_pointer(Writer* writer, const Query* query, const Finding* finding) noexcept nogil:
    """The zone's name as the question spells it, or as the table does."""
    if finding.zone.name_len == 1:
        write_u8(writer, 0)
    elif finding.zone.flags & OWN_SPELLING and memcmp(query.wire + HEADER_SIZE + finding.zone_at, finding.zone.name,
                                                      finding.zone.name_len) != 0:
        write_octets(writer, finding.zone.name, finding.zone.name_len)
    else:
        write_u16(writer, POINTER | (HEADER_SIZE + finding.zone_at))


cdef void _write_soa(Writer* writer, const Query* query, const Finding* finding, uint32_t ttl) noexcept nogil:
    """The zone's SOA record (RFC 1035 section 3.3.13), its serial the table's."""
    cdef size_t rdlen_at
    _write_zone_pointer(writer, query, finding)
    write_u16(writer, SOA)
    write_u16(writer, IN)
    write_u32(writer, ttl)
    rdlen_at = writer.pos
    write_u16(writer, 0)
    write_octets(writer, finding.zone.mname, finding.zone.mname_len)
    _write_zone_pointer(writer, query, finding)
    write_octets(writer, finding.zone.rname, finding.zone.rname_len)
    _write_zone_pointer(writer, query, finding)
    write_u32(writer, finding.table.serial)
    write_octets(writer, finding.zone.soa_tail, sizeof(finding.zone.soa_tail))
    patch_u16(writer, rdlen_at, <uint16_t>(writer.pos - rdlen_at - 2))


cdef uint16_t _write_fixed(Writer* writer, const NameData* data, const RecordSet* records, uint16_t owner, uint32_t ttl,
                           uint32_t rotation) noexcept nogil:
    """Copy whole records, turned by `rotation`, so that each address comes first as often as any other."""
    cdef const uint8_t* octets = octets_of(data, records)
    cdef size_t stride = records.size
    cdef size_t first = 0
    cdef uint8_t* at = reserve_octets(writer, records.size)
    cdef uint16_t _index
    if at == NULL:
        return 0
    if records.count > 1:
        stride //= records.count
        first = (rotation % records.count) * stride
    memcpy(at, octets + first, records.size - first)
    if first:
        memcpy(at + records.size - first, octets, first)
    if owner != OWNER_IS_QNAME or ttl != records.ttl:
        for _index in range(records.count):
            store_u16(at, owner)
            store_u32(at + TTL_AT, ttl)
            at += stride
    return records.count


cdef uint16_t _write_variable(Writer* writer, const NameData* data, const RecordSet* records, const uint8_t* suffix,
                              uint16_t suffix_len, uint16_t owner, uint32_t ttl) noexcept nogil:
    """Records of any size, each followed by `suffix`, the zone that its data end in."""
    cdef Reader reader = reader_over(octets_of(data, records), records.size)
    cdef uint16_t left = records.count
    cdef uint16_t size
    while left:
        left -= 1
        size = read_u16(&reader)
        write_u16(writer, owner)
        write_u16(writer, records.rtype)
        write_u16(writer, IN)
        write_u32(writer, ttl)
        write_u16(writer, size + suffix_len)
        write_octets(writer, read_octets(&reader, size), size)
        write_octets(writer, suffix, suffix_len)
    return records.count


cdef uint16_t _write_set(Writer* writer, const Query* query, const Finding* finding, const NameData* data,
                         const RecordSet* records, uint16_t owner, uint32_t ttl, uint32_t rotation) noexcept nogil:
    """One set that is not a SERVICE; how many records."""
    cdef const uint8_t* zone = query.wire + HEADER_SIZE + finding.zone_at
    if records.form == FIXED:
        return _write_fixed(writer, data, records, owner, ttl, rotation)
    if records.form == WHOLE:
        return _write_variable(writer, data, records, NULL, 0, owner, ttl)
    if records.form == PRIMARY_ZONED:
        return _write_variable(writer, data, records, finding.table.primary, finding.table.primary_len, owner, ttl)
    return _write_variable(writer, data, records, zone, query.qname_len - finding.zone_at, owner, ttl)


cdef bint _is_among(const Node* node, const Node** nodes, uint8_t count) noexcept nogil:
    cdef uint8_t index
    for index in range(count):
        if nodes[index] == node:
            return True
    return False


cdef uint16_t _write_target_glue(Writer* writer, const Finding* finding, uint32_t ttl, size_t answer_at,
                                 uint16_t target_at) noexcept nogil:
    """The addresses that the table has of the names in the set just written from `answer_at`.

    The names stand behind `target_at` octets of each record's data. With MISS_PASSES each is told of once, as dnsmasq does.
    """
    cdef const Node* told[TARGETS_MAX]
    cdef uint8_t told_count = 0
    cdef Reader reader = reader_over(writer.data, writer.pos)
    cdef uint8_t target[KEY_ROOM]
    cdef uint8_t labels[LABELS_MAX]
    cdef uint8_t label_count
    cdef uint16_t size, left
    cdef uint16_t count = 0
    cdef uint16_t name_at
    cdef const uint8_t* name
    cdef Match match
    cdef const RecordSet* records
    cdef uint8_t index
    reader.pos = answer_at
    left = finding.records.count
    while left:
        left -= 1
        read_octets(&reader, 10)
        size = read_u16(&reader) - target_at
        read_octets(&reader, target_at)
        name_at = <uint16_t>reader.pos
        name = read_octets(&reader, size)
        if name == NULL or not is_whole_name(name, size, True) or name_at > POINTER_MAX:
            return count
        label_count = copy_key(name, target, labels)
        find_name(finding.table, target, labels, label_count, &match)
        if match.zone == NULL or match.remaining or match.node.data == NULL:
            continue
        if finding.zone.flags & MISS_PASSES and told_count < TARGETS_MAX:
            if _is_among(match.node, told, told_count):
                continue
            told[told_count] = match.node
            told_count += 1
        for index in range(match.node.data.set_count):
            records = &sets_of(match.node.data)[index]
            if records.form == FIXED:
                count += _write_fixed(writer, match.node.data, records, POINTER | name_at, ttl, 0)
    return count


cdef void _own_addresses(Writer* writer, size_t start, uint16_t owner) noexcept nogil:
    """Give the address records written from `start` another owner."""
    cdef size_t at = start
    while not writer.failed and at + 12 <= writer.pos:
        store_u16(writer.data + at, owner)
        at += 12 + <size_t>load_u16(writer.data + at + 10)


cdef void _write_service(Writer* writer, const Query* query, const Finding* finding, const Limits* limits,
                         uint16_t owner, Counts* counts) noexcept nogil:
    """A, AAAA or SRV with its glue from a SERVICE block."""
    cdef uint32_t ttl = load_u32(&finding.zone.soa_tail[SOA_MINIMUM_AT]) if finding.pod_len else finding.records.ttl
    cdef Zonal zone
    cdef uint16_t service_at = 0
    cdef size_t start = writer.pos
    ttl = _bounded(ttl, &limits.success)
    if query.qtype != SRV:
        write_addresses(writer, &finding.walk, 4 if query.qtype == A else 6, ttl)
        if owner != OWNER_IS_QNAME:
            _own_addresses(writer, start, owner)
        counts.answer += <uint16_t>((writer.pos - start) // (16 if query.qtype == A else 28))
        return
    zone.name = query.wire + HEADER_SIZE + finding.zone_at
    zone.name_len = query.qname_len - finding.zone_at
    counts.answer = write_services(writer, &finding.walk, finding.entries, ttl, &zone, &service_at)
    if writer.failed or counts.answer == 0:
        return
    start = writer.pos
    counts.additional = write_glue(writer, &finding.walk, ttl, service_at)
    if writer.failed:
        rewind_to(writer, start)            # glue that does not fit is left out (RFC 2181 section 9)
        counts.additional = 0


cdef uint16_t _write_chain(Writer* writer, const Finding* finding, const Limits* limits) noexcept nogil:
    """The CNAMEs on the way, each owned by the one before; the owner of what follows them."""
    cdef uint16_t owner = OWNER_IS_QNAME
    cdef uint8_t index
    for index in range(finding.chain_len):
        _write_variable(writer, finding.chain_data[index], finding.chain[index], NULL, 0, owner,
                        _bounded(finding.chain[index].ttl, &limits.success))
        owner = <uint16_t>(POINTER | (writer.pos - finding.target_len if index + 1 == finding.chain_len
                                      else writer.pos - (finding.chain[index].size - 2)))
    return owner


cdef void _write_others(Writer* writer, const Query* query, const Finding* finding, const Limits* limits, uint16_t owner,
                        Counts* counts) noexcept nogil:
    """All sets of the name but the one that is written."""
    cdef const RecordSet* records
    cdef uint8_t index
    for index in range(finding.data.set_count):
        records = &sets_of(finding.data)[index]
        if records != finding.records and records.form != SERVICE:
            counts.answer += _write_set(writer, query, finding, finding.data, records, owner,
                                        _bounded(records.ttl, &limits.success), 0)


cdef void _write_positive(Writer* writer, const Query* query, const Finding* finding, const Limits* limits,
                          Counts* counts) noexcept nogil:
    cdef uint16_t owner
    cdef uint32_t ttl
    cdef size_t start, answer_end
    if finding.is_soa:
        _write_soa(writer, query, finding, _bounded(finding.zone.soa_ttl, &limits.success))
        counts.answer = 1
        return
    owner = _write_chain(writer, finding, limits)
    counts.answer = finding.chain_len
    if finding.outcome == FOLLOW or finding.outcome == ALIAS:
        return
    if finding.pod_len or finding.records.form >= SERVICE:
        _write_service(writer, query, finding, limits, owner, counts)
        return
    ttl = _bounded(finding.records.ttl, &limits.success)
    start = writer.pos
    counts.answer += _write_set(writer, query, finding, finding.data, finding.records, owner, ttl, limits.rotation)
    if finding.is_any:
        _write_others(writer, query, finding, limits, owner, counts)
    if writer.failed:
        return
    if finding.records.rtype == NS:
        counts.additional = _write_target_glue(writer, finding, ttl, start, 0)
    elif (finding.records.rtype == SRV or finding.records.rtype == MX) and finding.zone.flags & SRV_GLUE:
        answer_end = writer.pos
        counts.additional = _write_target_glue(writer, finding, ttl, start,
                                               SRV_TARGET_AT if finding.records.rtype == SRV else MX_TARGET_AT)
        if writer.failed:
            rewind_to(writer, answer_end)       # glue that does not fit is left out (RFC 2181 section 9)
            counts.additional = 0


cdef uint16_t _write_fitting(Writer* writer, const Query* query, const Finding* finding,
                             const Limits* limits) noexcept nogil:
    """As many records of the set that answers as fit; how many."""
    cdef RecordSet one
    cdef const uint8_t* octets
    cdef uint32_t at = 0
    cdef uint16_t index
    cdef size_t start
    if finding.is_soa or finding.records == NULL or finding.records.form >= SERVICE or finding.chain_len:
        return 0
    one = finding.records[0]
    one.count = 1
    octets = octets_of(finding.data, finding.records)
    for index in range(finding.records.count):
        if one.form == FIXED:
            one.size = finding.records.size // finding.records.count
        else:
            one.size = <uint32_t>load_u16(octets + at) + 2
        one.at = finding.records.at + at
        at += one.size
        start = writer.pos
        _write_set(writer, query, finding, finding.data, &one, OWNER_IS_QNAME,
                   _bounded(finding.records.ttl, &limits.success), 0)
        if writer.failed:
            rewind_to(writer, start)
            return index
    return finding.records.count


cdef uint16_t _flags_of(const Finding* finding, bint has_answer) noexcept nogil:
    if finding.outcome == NXDOMAIN:
        return finding.zone.nxdomain | RCODE_NXDOMAIN
    if finding.outcome == FAILED:
        return finding.zone.nxdomain | RCODE_SERVFAIL
    return finding.zone.positive if has_answer else finding.zone.nodata


cdef void write_finding(Writer* writer, const Query* query, const Finding* finding,
                        const Limits* limits) noexcept nogil:
    """Write the whole answer. A record set that does not fit is left out whole, with TC (RFC 2181 section 9)."""
    cdef Counts counts
    cdef uint16_t ede = EDE_NONE
    cdef uint16_t truncated = 0
    cdef uint32_t soa_ttl
    cdef size_t opt_size = 0
    cdef size_t body_at
    cdef bint has_opt = query.has_edns and not limits.without_opt
    cdef bint is_overflow = False       # more than a stream takes: kube-dns has no answer then
    counts.answer = counts.authority = counts.additional = 0
    if finding.outcome == FAILED and not finding.table.is_synced:
        ede = EDE_NOT_READY
    if has_opt:
        opt_size = OPT_SIZE + (EDE_SIZE if ede != EDE_NONE else 0)
    writer.size = limits.size - opt_size - (finding.zone.flags & PARTIAL != 0)
    write_header(writer, query, 0, 0, 0, 0)
    write_question(writer, query)
    body_at = writer.pos
    if finding.outcome == HIT or finding.outcome == FOLLOW or finding.outcome == ALIAS:
        _write_positive(writer, query, finding, limits, &counts)
        if writer.failed:
            rewind_to(writer, body_at)
            counts.answer = counts.additional = 0
            truncated = TC
            if finding.zone.flags & PARTIAL:
                is_overflow = limits.size == MESSAGE_MAX
                counts.answer = 0 if is_overflow else _write_fitting(writer, query, finding, limits)
    if counts.answer == 0 and not truncated and not finding.zone.flags & NO_SOA:
        # RFC 2308 section 3: the TTL is the smaller one of the SOA's own and its minimum.
        soa_ttl = load_u32(&finding.zone.soa_tail[SOA_MINIMUM_AT])
        soa_ttl = soa_ttl if soa_ttl < finding.zone.soa_ttl else finding.zone.soa_ttl
        _write_soa(writer, query, finding, _bounded(soa_ttl, &limits.denial))
        counts.authority = 1
    writer.size = limits.size
    if has_opt:
        write_opt(writer, query, limits.udp_max, 0, ede)
    if writer.failed:
        return
    if is_overflow:
        store_u16(writer.data + 2, load_u16(writer.data + 2) | finding.zone.nxdomain | <uint16_t>RCODE_SERVFAIL)
    else:
        store_u16(writer.data + 2, load_u16(writer.data + 2) | truncated
                  | _flags_of(finding, counts.answer > 0 or truncated > 0))
    store_u16(writer.data + 6, counts.answer)
    store_u16(writer.data + 8, counts.authority)
    store_u16(writer.data + 10, counts.additional + has_opt)
