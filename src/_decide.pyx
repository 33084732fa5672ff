"""Which answer a name table owes to a question: the outcome, and the record sets that say so.

It looks names up, touches no message, and allocates nothing; what it finds is _encode's to write.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp, memcpy

from fastdns._packet cimport (
    AAAA,
    ANY,
    CNAME,
    KEY_ROOM,
    LABELS_MAX,
    NAME_MAX,
    NS,
    PTR,
    SOA,
    SRV,
    TXT,
    A,
    Query,
    copy_key,
    is_below,
)
from fastdns._rrset cimport (
    ANY_TYPE,
    CNAME_NXDOMAIN,
    HIDDEN,
    IN_PYTHON,
    NAMELESS,
    ONLY_THESE,
    POD_ADDRESSES,
    PTR_NXDOMAIN,
    SERVICE,
    TXT_NXDOMAIN,
    ZONAL,
    NameData,
    RecordSet,
    octets_of,
    sets_of,
)
from fastdns._service cimport POD, Addresses, count_addresses, find_entries, write_pod
from fastdns._trie cimport (
    ENT_NODATA,
    MISS_PASSES,
    MISS_SERVFAIL,
    NO_SOA,
    NS_APEX_ONLY,
    SOA_APEX_ONLY,
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
from fastdns._wire cimport Reader, Writer, read_octets, read_u16, reader_over, writer_over

cdef enum:
    LABEL_MAX = 63
    STAR_ROOM = 8           # a label is read in whole words
    SERVICE_LABELS_MAX = 2  # _port._proto
    POD_LABELS_MAX = 3      # a pod, and two labels that mean nothing
    RARE_POD_LABELS = 2     # kube-dns: a pod and its namespace, of which nothing is known


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
