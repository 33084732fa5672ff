"""Answers from a name table: the outcome decided, its record sets collected, the message written.

The three steps are apart: find_answer looks names up and touches no message; write_finding alone knows sections,
compression and truncation. Neither allocates.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp, memcpy

from fastdns._packet cimport (
    AAAA,
    ANY,
    CNAME,
    EDE_NONE,
    EDE_NOT_READY,
    HEADER_SIZE,
    IN,
    KEY_ROOM,
    LABELS_MAX,
    MESSAGE_MAX,
    NAME_MAX,
    NS,
    OWNER_IS_QNAME,
    PTR,
    SOA,
    SRV,
    TC,
    TXT,
    A,
    Query,
    copy_key,
    is_below,
    write_header,
    write_opt,
    write_question,
)
from fastdns._packet cimport NXDOMAIN as RCODE_NXDOMAIN
from fastdns._packet cimport SERVFAIL as RCODE_SERVFAIL
from fastdns._service cimport (
    POD,
    Addresses,
    Zonal,
    count_addresses,
    find_entries,
    write_addresses,
    write_glue,
    write_pod,
    write_services,
)
from fastdns._rrset cimport (
    ANY_TYPE,
    CNAME_NXDOMAIN,
    FIXED,
    HIDDEN,
    IN_PYTHON,
    NAMELESS,
    ONLY_THESE,
    POD_ADDRESSES,
    PRIMARY_ZONED,
    PTR_NXDOMAIN,
    SERVICE,
    TXT_NXDOMAIN,
    WHOLE,
    ZONAL,
    NameData,
    RecordSet,
    is_whole_name,
    octets_of,
    sets_of,
)
from fastdns._trie cimport (
    ENT_NODATA,
    MISS_PASSES,
    MISS_SERVFAIL,
    NO_SOA,
    NS_APEX_ONLY,
    OWN_SPELLING,
    PARTIAL,
    SOA_APEX_ONLY,
    SRV_GLUE,
    STARS,
    STAR_ENDINGS,
    WILDCARD_ONE_LABEL,
    Match,
    Node,
    Table,
    Walk,
    end_walk,
    find_child,
    find_name,
)
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
    writer_over,
)

cdef enum:
    POINTER = 0xC000
    POINTER_MAX = 0x3FFF
    TTL_AT = 6              # of a record whose owner is a pointer
    LABEL_MAX = 63
    STAR_ROOM = 8           # a label is read in whole words
    MX = 15
    MX_TARGET_AT = 2        # in record data, RFC 1035 section 3.3.9
    SRV_TARGET_AT = 6       # in record data, RFC 2782
    TARGETS_MAX = 16        # whose addresses are told once, with MISS_PASSES
    OPT_SIZE = 11
    SOA_MINIMUM_AT = 12     # in soa_tail
    EDE_SIZE = 6
    SERVICE_LABELS_MAX = 2  # _port._proto
    POD_LABELS_MAX = 3      # a pod, and two labels that mean nothing
    RARE_POD_LABELS = 2     # kube-dns: a pod and its namespace, of which nothing is known


# --- decide ---------------------------------------------------------------------------------------------------------

cdef bint _take_pod(Finding* finding, const uint8_t* label, const uint8_t* zone) noexcept nogil:
    """Make the block of the pod that a label spells; `zone` is where the zone begins in the same name."""
    cdef Writer writer = writer_over(finding.pod, sizeof(finding.pod))
    cdef const uint8_t* below = label + label[0] + 1
    if not write_pod(&writer, label, below, <size_t>(zone - below)):
        return False
    finding.pod_len = <uint16_t>writer.pos
    return True


cdef const RecordSet* _set_of(const NameData* data, uint16_t rtype) noexcept nogil:
    cdef uint8_t index
    for index in range(data.set_count):
        if sets_of(data)[index].rtype == rtype:
            return &sets_of(data)[index]
    return NULL


cdef Outcome _denied(const Finding* finding) noexcept nogil:
    """What a name is that the table says isn't there."""
    if not finding.table.is_synced or finding.zone.flags & MISS_SERVFAIL:
        return FAILED
    return NXDOMAIN


cdef inline Outcome _miss(const Finding* finding) noexcept nogil:
    """What a name is that isn't there."""
    return PASS if finding.zone.flags & MISS_PASSES else _denied(finding)


cdef Outcome _decide_service(Finding* finding, const uint8_t* octets, size_t size, uint16_t qtype) noexcept nogil:
    """A name below a Service, or a pod's: counted, since nothing is kept ready for it."""
    cdef Addresses found
    cdef uint8_t family = 4 if qtype == A else (6 if qtype == AAAA else 0)
    find_entries(octets, size, &finding.asked, &finding.walk)
    count_addresses(&finding.walk, family, &found)
    finding.entries = found.entries
    if found.entries == 0:
        return NODATA if found.bare and qtype != TXT else _miss(finding)
    if qtype == A:
        return HIT if found.v4 else NODATA
    if qtype == AAAA:
        return HIT if found.v6 else NODATA
    return HIT if qtype == SRV else NODATA


cdef Outcome _decide_service_name(Finding* finding, const NameData* data, const RecordSet* service, const uint8_t* name,
                                  const uint8_t* label_at, uint8_t remaining, uint16_t qtype) noexcept nogil:
    """One or two labels below a Service: an endpoint, or a port and a protocol; before a pod's name they mean nothing.
    """
    cdef const uint8_t* octets = octets_of(data, service)
    cdef bint is_pod = service.size > <uint32_t>octets[0] + 1 and octets[octets[0] + 1] & POD
    finding.asked.labels = 0 if is_pod else remaining
    finding.asked.first = name
    finding.asked.second = name + label_at[1]
    finding.data = data
    finding.records = service
    return _decide_service(finding, octets, service.size, qtype)


cdef Outcome _decide_zonal(Finding* finding, const NameData* data, const RecordSet* service, const uint8_t* name,
                           const uint8_t* label_at, uint8_t remaining, uint16_t qtype) noexcept nogil:
    """`ZONE.pin` and `ZONE.prefer` below `_zone` and a headless Service, which then exist for any zone. A zone may have
    several labels.
    """
    cdef const uint8_t* directive = name + label_at[remaining - 1]
    cdef bint prefers = memcmp(directive, b"\6prefer", 7) == 0
    cdef Outcome outcome
    if remaining < 2 or not (prefers or memcmp(directive, b"\3pin", 4) == 0):
        return _miss(finding)
    finding.data = data
    finding.records = service
    finding.asked.labels = 0
    finding.asked.place = name
    finding.asked.place_len = label_at[remaining - 1]
    outcome = _decide_service(finding, octets_of(data, service), service.size, qtype)
    if finding.entries == 0 and prefers:
        finding.asked.place_len = 0
        outcome = _decide_service(finding, octets_of(data, service), service.size, qtype)
    return outcome if finding.entries else NODATA


cdef bint _is_nameless(const NameData* data, const RecordSet* records) noexcept nogil:
    """True for a SERVICE that only names below it lead to: those of zones, or of endpoints where it has no port."""
    return records.form >= SERVICE and records.count == 0 and data.flags & ONLY_THESE != 0


cdef Outcome _decide_data(Finding* finding, const NameData* data, uint16_t qtype) noexcept nogil:
    """A name that holds something."""
    if data.flags & HIDDEN or (qtype == CNAME and data.flags & CNAME_NXDOMAIN):
        return _miss(finding)
    finding.data = data
    finding.records = sets_of(data) if data.flags & ANY_TYPE else _set_of(data, qtype)
    if qtype == ANY and finding.zone.flags & MISS_PASSES and data.set_count and _set_of(data, CNAME) == NULL:
        finding.records = sets_of(data)
        finding.is_any = True
    if finding.records != NULL and not _is_nameless(data, finding.records):
        finding.entries = finding.records.count
        if finding.records.form >= SERVICE:
            find_entries(octets_of(data, finding.records), finding.records.size, &finding.asked, &finding.walk)
        return HIT
    if data.flags & IN_PYTHON and (qtype == A or qtype == AAAA or qtype == SRV):
        return RARE
    if (qtype == A or qtype == AAAA or finding.zone.flags & MISS_PASSES) and _set_of(data, CNAME) != NULL:
        return FOLLOW
    if (data.flags & ONLY_THESE or (qtype == TXT and data.flags & TXT_NXDOMAIN)
            or ((qtype == PTR or qtype == ANY) and data.flags & PTR_NXDOMAIN)):
        return _denied(finding)
    return PASS if finding.zone.flags & MISS_PASSES else NODATA


cdef const Node* _ending_of(const Table* table, const Node* above, const uint8_t* label) noexcept nogil:
    """The child `*END` with the longest END that a label ends in; `*` last, which stands for all."""
    cdef uint8_t star[LABEL_MAX + 1]
    cdef uint8_t skipped
    cdef const Node* found
    star[1] = 42
    for skipped in range(label[0] == LABEL_MAX, label[0] + 1):
        star[0] = label[0] - skipped + 1
        memcpy(&star[2], label + 1 + skipped, label[0] - skipped)
        found = find_child(table, above, star)
        if found != NULL:
            return found
    return NULL


cdef const Node* _wildcard_of(const Finding* finding, const Query* query, const Match* match) noexcept nogil:
    """The `*` that stands for the name, if there is one (RFC 4592; with WILDCARD_ONE_LABEL as CoreDNS's hosts)."""
    cdef uint8_t star[STAR_ROOM]
    if finding.zone.flags & STAR_ENDINGS and match.remaining:
        return _ending_of(finding.table, match.node, query.name_key + query.label_at[match.remaining - 1])
    star[0] = 1
    star[1] = 42
    if match.remaining == 1 or (match.remaining and not finding.zone.flags & WILDCARD_ONE_LABEL):
        return find_child(finding.table, match.node, star)
    if match.remaining == 0 and finding.zone.flags & WILDCARD_ONE_LABEL and match.above != NULL:
        return find_child(finding.table, match.above, star)
    return NULL


cdef Outcome _decide_below(Finding* finding, const Query* query, const Match* match) noexcept nogil:
    """A name with labels left of the deepest one that the table has."""
    cdef const NameData* data = match.node.data
    cdef const RecordSet* service
    cdef const uint8_t* label
    cdef const Node* star
    if data != NULL:
        service = _set_of(data, SRV)
        if service != NULL and service.form == SERVICE and match.remaining <= SERVICE_LABELS_MAX:
            return _decide_service_name(finding, data, service, &query.name_key[0], &query.label_at[0],
                                        match.remaining, query.qtype)
        if service != NULL and service.form == ZONAL:
            return _decide_zonal(finding, data, service, &query.name_key[0], &query.label_at[0], match.remaining,
                                 query.qtype)
        if data.flags & IN_PYTHON and data.flags & POD_ADDRESSES:
            return RARE if match.remaining == RARE_POD_LABELS else _miss(finding)
        if data.flags & POD_ADDRESSES and match.remaining <= POD_LABELS_MAX:
            label = query.name_key + query.label_at[match.remaining - 1]
            if _take_pod(finding, label, query.name_key + finding.zone_at):
                return _decide_service(finding, finding.pod, finding.pod_len, query.qtype)
    star = _wildcard_of(finding, query, match)
    if star != NULL and star.data != NULL:
        return _decide_data(finding, star.data, query.qtype)
    return _miss(finding)


cdef Outcome _decide_exact(Finding* finding, const Query* query, const Match* match) noexcept nogil:
    """A name that the table has a node for, if only on the way to others."""
    cdef const Node* star
    if match.node.data != NULL:
        return _decide_data(finding, match.node.data, query.qtype)
    star = _wildcard_of(finding, query, match)
    if star != NULL and star.data != NULL:
        return _decide_data(finding, star.data, query.qtype)
    if finding.zone.flags & ENT_NODATA and match.node.child_count and not finding.zone.flags & MISS_PASSES:
        return NODATA
    return _miss(finding)


cdef void _take_target(Finding* finding, const RecordSet* cname) noexcept nogil:
    """Make the CNAME's target (WHOLE form, one record) the name that is looked up next."""
    cdef Reader reader = reader_over(octets_of(finding.data, cname), cname.size)
    cdef uint16_t size = read_u16(&reader)
    cdef const uint8_t* name = read_octets(&reader, size)
    finding.target_len = 0
    if name == NULL or size > NAME_MAX or size == 0:
        return
    finding.target_len = size
    finding.target_label_count = copy_key(name, finding.target, finding.target_labels)


cdef bint _is_in_chain(const Finding* finding, const RecordSet* cname) noexcept nogil:
    cdef uint8_t index
    for index in range(finding.chain_len):
        if finding.chain[index] == cname:
            return True
    return False


cdef Outcome _decide_target(Finding* finding, uint16_t qtype) noexcept nogil:
    """Look the CNAME's target up. In the zone only what leads to an address counts, as CoreDNS."""
    cdef Match match
    cdef Outcome outcome
    if not is_below(finding.target, finding.target_len, finding.zone.name, finding.zone.name_len):
        return FOLLOW
    find_name(finding.table, finding.target, finding.target_labels, finding.target_label_count, &match)
    if match.zone == NULL or match.node.data == NULL:
        return NODATA
    if match.remaining:
        return _decide_target_below(finding, &match, qtype)
    outcome = _decide_data(finding, match.node.data, qtype)
    return outcome if outcome == HIT or outcome == FOLLOW else NODATA


cdef Outcome _decide_target_below(Finding* finding, const Match* match, uint16_t qtype) noexcept nogil:
    """A target that names an endpoint of a Service, a port of one, or a pod by its address."""
    cdef const NameData* data = match.node.data
    cdef const RecordSet* service = _set_of(data, SRV)
    cdef const uint8_t* label
    cdef Outcome outcome
    if data.flags & POD_ADDRESSES and match.remaining <= POD_LABELS_MAX:
        label = &finding.target[finding.target_labels[match.remaining - 1]]
        if not _take_pod(finding, label, &finding.target[finding.target_len - finding.zone.name_len]):
            return NODATA
        outcome = _decide_service(finding, finding.pod, finding.pod_len, qtype)
        return HIT if outcome == HIT else NODATA
    if service != NULL and service.form == ZONAL:
        outcome = _decide_zonal(finding, data, service, &finding.target[0], &finding.target_labels[0],
                                match.remaining, qtype)
        return HIT if outcome == HIT else NODATA
    if service == NULL or service.form != SERVICE or match.remaining > SERVICE_LABELS_MAX:
        return NODATA
    outcome = _decide_service_name(finding, data, service, &finding.target[0], &finding.target_labels[0],
                                   match.remaining, qtype)
    return HIT if outcome == HIT else NODATA


cdef Outcome _follow(Finding* finding, const Query* query) noexcept nogil:
    """Follow CNAMEs inside the table. FOLLOW is left if one leads out of the zone."""
    cdef const RecordSet* cname
    cdef Outcome outcome = FOLLOW
    while outcome == FOLLOW:
        cname = _set_of(finding.data, CNAME)
        if cname == NULL or finding.chain_len == CHAIN_MAX or _is_in_chain(finding, cname):
            return NODATA
        finding.chain[finding.chain_len] = cname
        finding.chain_data[finding.chain_len] = finding.data
        finding.chain_len += 1
        _take_target(finding, cname)
        if finding.target_len == 0 or is_below(finding.target, finding.target_len, query.name_key, query.qname_len):
            return NODATA                   # a loop: to itself, or to a name below it
        if not is_below(finding.target, finding.target_len, finding.zone.name, finding.zone.name_len):
            return FOLLOW
        outcome = _decide_target(finding, query.qtype)
    return outcome


cdef bint _has_star(const Finding* finding, const Query* query) noexcept nogil:
    """True if a label of the question below its zone is a `*`."""
    cdef uint8_t index
    for index in range(query.label_count):
        if query.label_at[index] >= finding.zone_at:
            return False
        if query.name_key[query.label_at[index]] == 1 and query.name_key[query.label_at[index] + 1] == 42:
            return True
    return False


cdef void find_answer(const Table* table, const Query* query, const Walk* begun, Finding* finding) noexcept nogil:
    """Decide how a question ends in this table. `begun`: a look-up of the name; NULL, or another table's: none is.
    """
    cdef Match match
    if begun != NULL and begun.table == table:
        end_walk(begun, query.name_key, query.label_at, query.label_count, &match)
    else:
        find_name(table, query.name_key, query.label_at, query.label_count, &match)
    finding.outcome = PASS
    if match.zone == NULL:
        return
    finding.table = table
    finding.zone = match.zone
    finding.zone_at = match.zone_at
    finding.chain_len = 0
    finding.pod_len = 0
    finding.records = NULL
    finding.data = NULL
    finding.asked.labels = finding.asked.place_len = 0
    finding.is_soa = False
    finding.is_any = False
    if query.qtype == SOA and match.zone.flags & NO_SOA == 0:
        if match.remaining == 0 and match.zone_at == 0:
            finding.is_soa = True
            finding.outcome = HIT
            return
        if match.zone.flags & SOA_APEX_ONLY:
            finding.outcome = NODATA
            return
    if query.qtype == NS and match.zone.flags & NS_APEX_ONLY and match.zone_at:
        finding.outcome = NODATA
        return
    if match.remaining:
        finding.outcome = _decide_below(finding, query, &match)
    else:
        finding.outcome = _decide_exact(finding, query, &match)
    if finding.outcome == NXDOMAIN and match.zone.flags & STARS and _has_star(finding, query):
        finding.outcome = RARE
        return
    if finding.outcome == FOLLOW:
        finding.outcome = _follow(finding, query)
        if finding.outcome != HIT and match.zone.flags & MISS_PASSES:
            finding.outcome = ALIAS
    if finding.outcome == NODATA:
        finding.chain_len = 0


cdef bint is_known(const Table* table, const uint8_t* name) noexcept nogil:
    """True if the table holds records for a canonical name, or with ENT_NODATA for names below it."""
    cdef uint8_t name_key[KEY_ROOM]
    cdef uint8_t labels[LABELS_MAX]
    cdef uint8_t label_count = copy_key(name, name_key, labels)
    cdef uint8_t star[STAR_ROOM]
    cdef Match match
    cdef const Node* node
    find_name(table, name_key, labels, label_count, &match)
    if match.zone == NULL:
        return False
    node = match.node
    if match.remaining and match.zone.flags & STAR_ENDINGS:
        node = _ending_of(table, match.node, name_key + labels[match.remaining - 1])
    elif match.remaining:
        star[0] = 1
        star[1] = 42
        node = find_child(table, match.node, star)
    elif match.zone.flags & ENT_NODATA and node.child_count and label_count:
        return True
    return node != NULL and node.data != NULL and node.data.set_count > 0 and not node.data.flags & NAMELESS


# --- encode ---------------------------------------------------------------------------------------------------------

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
