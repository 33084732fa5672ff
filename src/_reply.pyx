"""A reply of an upstream: compared with its question, stripped of what was not asked, and written anew for keeping."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memset

from fastdns._message cimport (
    ANSWER, AUTHORITY, CHAIN_MAX, META_FIRST, REPLY_DELEGATION, REPLY_EMPTY, REPLY_MALFORMED, REPLY_MISMATCH,
    REPLY_NODATA, REPLY_NXDOMAIN, REPLY_OK, REPLY_OTHER_ERROR, REPLY_SERVER_ERROR, REPLY_SUCCESS, REPLY_TOO_LARGE,
    REPLY_UNRESOLVED, Hidden, Name, Reading, Record, Reply, ReplyKind, ReplyStatus, is_at_or_below, is_same_name,
    read_question, read_records,
)
from fastdns._packet cimport (
    A, AAAA, ANY, AXFR, CLASS_ANY, CNAME, DNAME, DS, EDE_NONE, HEADER_SIZE, HTTPS, IXFR, MESSAGE_MAX, NAME_MAX,
    NOERROR, NOTIMP, NS, NSEC, NSEC3, NXDOMAIN, OPCODE_MASK, OPT, QR, RA, RCODE_MASK, RD, RRSIG, SERVFAIL, SOA, SVCB, TC,
    expand_name, lower_name,
)
from fastdns._rewrite cimport Writing, start_stored, write_records
from fastdns._wire cimport Reader, Writer, load_u16, load_u32, read_u16, reader_over, writer_over


# --- choosing what is kept --------------------------------------------------------------------------------------------


cdef inline bint _has_class(const Reading* reading, const Record* record) noexcept nogil:
    return record.rclass == reading.qclass or reading.qclass == CLASS_ANY


cdef inline bint _is_data(uint16_t rtype) noexcept nogil:
    return rtype != 0 and rtype != OPT and not META_FIRST <= rtype <= ANY


cdef const Record* _find_alias(Reading* reading, const Name* owner) noexcept nogil:
    """The CNAME of `owner` in the answer section, or NULL; two that differ are noted (RFC 2181 section 10.1)."""
    cdef const Record* found = NULL
    cdef const Record* record
    cdef uint32_t at
    for at in range(reading.count):
        record = &reading.records[at]
        if record.section != ANSWER:
            break
        if record.rtype != CNAME or not _has_class(reading, record) or not is_same_name(reading, &record.owner, owner):
            continue
        if found == NULL:
            found = record
        elif not is_same_name(reading, &found.target, &record.target):
            reading.chain_is_clear = False
    return found


cdef bint _follow_aliases(Reading* reading) noexcept nogil:
    """List the names from the question along its CNAMEs. False: they form a loop, or are too many."""
    cdef const Record* alias
    cdef uint32_t at
    reading.chain_is_clear = True
    if reading.qtype == CNAME or reading.qtype == ANY:
        return True
    while True:
        alias = _find_alias(reading, &reading.chain[reading.chain_len - 1])
        if alias == NULL:
            return True
        for at in range(reading.chain_len):
            if is_same_name(reading, &reading.chain[at], &alias.target):
                return False
        if reading.chain_len == CHAIN_MAX:
            return False
        reading.chain[reading.chain_len] = alias.target
        reading.chain_len += 1


cdef bint _is_on_chain(const Reading* reading, const Name* name) noexcept nogil:
    cdef uint32_t at
    for at in range(reading.chain_len):
        if is_same_name(reading, &reading.chain[at], name):
            return True
    return False


cdef bint _is_above_chain(const Reading* reading, const Name* name) noexcept nogil:
    """True if the name is at or above one of the chain."""
    cdef uint32_t at
    for at in range(reading.chain_len):
        if is_at_or_below(reading, &reading.chain[at], name):
            return True
    return False


cdef bint _is_below_chain(const Reading* reading, const Name* name) noexcept nogil:
    cdef uint32_t at
    for at in range(reading.chain_len):
        if is_at_or_below(reading, name, &reading.chain[at]):
            return True
    return False


cdef bint _is_wanted_answer(const Reading* reading, const Record* record) noexcept nogil:
    """True for records of the question's name, of those along its CNAMEs, and for a DNAME above them (RFC 6672)."""
    cdef const uint8_t* covered = reading.wire + record.rdata_at
    if _is_on_chain(reading, &record.owner):
        return True
    if record.rtype == DNAME or (record.rtype == RRSIG and load_u16(covered) == DNAME):
        return _is_above_chain(reading, &record.owner)
    return False


cdef bint _is_wanted_authority(const Reading* reading, const Record* record, const Name* zone) noexcept nogil:
    """True for what a denial, a referral or their proofs are made of.

    NSEC and NSEC3 stand at other names of the zone, hence below `zone`, the SOA's, NS's or signer's name (at = 0: none).
    """
    if reading.keeps_foreign or (record.rtype == SOA and reading.hidden != NULL):
        return True
    if record.rtype in (SOA, NS, DS):
        return _is_above_chain(reading, &record.owner)
    if record.rtype in (NSEC, NSEC3, RRSIG):
        return (zone.at and is_at_or_below(reading, &record.owner, zone)) or _is_above_chain(reading, &record.owner)
    return False


cdef bint _find_zone(const Reading* reading, Name* zone) noexcept nogil:
    """The zone that the authority section speaks for: at or above a name of the chain."""
    cdef const Record* record
    cdef uint32_t at
    zone.at = 0
    for at in range(reading.count):
        record = &reading.records[at]
        if record.section != AUTHORITY or not _has_class(reading, record):
            continue
        if record.rtype == SOA or record.rtype == NS:
            zone[0] = record.owner
        elif record.rtype == RRSIG and is_at_or_below(reading, &record.owner, &record.target):
            zone[0] = record.target
        else:
            continue
        if _is_above_chain(reading, zone):
            return True
        zone.at = 0
    return False


cdef bint _is_wanted_additional(Reading* reading, const Record* record) noexcept nogil:
    """True for records at or below the chain's names, and for addresses of names that kept records lead to."""
    cdef const Record* other
    cdef uint32_t at = reading.glue_at
    cdef uint32_t _step
    if record.rtype in (A, AAAA, CNAME, SVCB, HTTPS, RRSIG):
        for _step in range(reading.count):
            other = &reading.records[at]
            at = at + 1 if at + 1 < reading.count else 0
            if other.kept and other.target.at and other.rtype != RRSIG and other.rtype != NSEC:
                if is_same_name(reading, &other.target, &record.owner):
                    reading.glue_at = <uint32_t>(other - reading.records)
                    return True
    return _is_below_chain(reading, &record.owner)


cdef bint _is_hidden(const Reading* reading, uint16_t rtype) noexcept nogil:
    cdef uint8_t index
    if reading.hidden == NULL:
        return False
    for index in range(reading.hidden.count):
        if reading.hidden.types[index] == rtype:
            return True
    return False


cdef void _choose_records(Reading* reading) noexcept nogil:
    cdef Name zone
    cdef Record* record
    cdef uint32_t at
    cdef uint32_t ttl
    zone.at = 0
    for at in range(reading.count):
        record = &reading.records[at]
        if record.section == AUTHORITY and (at == 0 or reading.records[at - 1].section != AUTHORITY):
            _find_zone(reading, &zone)
        if not _is_data(record.rtype) or not _has_class(reading, record):
            continue
        if record.section != AUTHORITY and _is_hidden(reading, record.rtype):
            ttl = load_u32(reading.wire + record.rdata_at - 6)
            if not reading.has_hidden or ttl < reading.hidden_ttl:
                reading.hidden_ttl = ttl
            reading.has_hidden = True
            continue
        if record.section == ANSWER:
            record.kept = _is_wanted_answer(reading, record)
        elif record.section == AUTHORITY:
            record.kept = _is_wanted_authority(reading, record, &zone)
        else:
            record.kept = _is_wanted_additional(reading, record)


cdef bint _answers_question(const Reading* reading) noexcept nogil:
    """True if the last name of the chain has a record of the type asked."""
    cdef const Record* record
    cdef uint32_t at
    if not reading.chain_is_clear:
        return False
    for at in range(reading.count):
        record = &reading.records[at]
        if record.section != ANSWER:
            break
        if record.kept and (record.rtype == reading.qtype or reading.qtype == ANY):
            if is_same_name(reading, &record.owner, &reading.chain[reading.chain_len - 1]):
                return True
    return False


cdef ReplyKind _find_kind(const Reading* reading, const Reply* reply) noexcept nogil:
    """Sort a reply as CoreDNS does (its response.Typify, then cacheResponseType of its cache)."""
    cdef uint32_t at
    if reading.qtype == AXFR or reading.qtype == IXFR:
        return REPLY_OTHER_ERROR
    if reply.ancount and reading.rcode == NOERROR:
        if _answers_question(reading):
            return REPLY_SUCCESS
        return REPLY_NODATA if reply.has_soa else REPLY_UNRESOLVED
    if reply.ancount and reading.rcode == NXDOMAIN:
        return REPLY_OTHER_ERROR
    if reading.rcode == NXDOMAIN:
        return REPLY_NXDOMAIN
    if reading.rcode == SERVFAIL or reading.rcode == NOTIMP:
        return REPLY_SERVER_ERROR
    if reading.rcode != NOERROR:
        return REPLY_OTHER_ERROR
    if reply.has_soa:
        return REPLY_NODATA
    for at in range(reading.count):
        if reading.records[at].kept and reading.records[at].section == AUTHORITY and reading.records[at].rtype == NS:
            return REPLY_DELEGATION
    return REPLY_EMPTY


# --- all of it --------------------------------------------------------------------------------------------------------


cdef void _count_records(const Reading* reading, Reply* reply) noexcept nogil:
    cdef const Record* record
    cdef uint32_t at
    for at in range(reading.count):
        record = &reading.records[at]
        if not record.kept:
            continue
        if record.section == ANSWER:
            reply.ancount += 1
        elif record.section == AUTHORITY:
            reply.nscount += 1
            reply.has_soa |= record.rtype == SOA
        else:
            reply.arcount += 1


cdef ReplyStatus _read_message(Reading* reading, const uint8_t* wire, size_t wire_len, const uint8_t* qname_key,
                               uint16_t qname_len, uint16_t qtype, uint16_t qclass, uint16_t* counts, Reply* reply) noexcept nogil:
    """Read all of a reply, and follow its aliases from the question on."""
    cdef Reader reader = reader_over(wire, wire_len)
    cdef uint16_t qdcount
    cdef ReplyStatus status
    memset(reply, 0, sizeof(Reply))
    reply.ede = EDE_NONE
    if wire_len > MESSAGE_MAX or qname_len > NAME_MAX:
        return REPLY_MISMATCH
    reading.wire = wire
    reading.size = wire_len
    reading.qtype = qtype
    reading.qclass = qclass
    reading.count = 0
    reading.glue_at = 0
    reading.has_opt = False
    reading.has_hidden = False
    reading.question_at = HEADER_SIZE
    read_u16(&reader)
    reply.flags = read_u16(&reader)
    qdcount = read_u16(&reader)
    counts[0] = read_u16(&reader)
    counts[1] = read_u16(&reader)
    counts[2] = read_u16(&reader)
    if reader.failed or not reply.flags & QR or reply.flags & OPCODE_MASK or qdcount != 1:
        return REPLY_MISMATCH
    if not read_question(reading, &reader, qname_key, qname_len):
        return REPLY_MISMATCH
    reading.rcode = reply.flags & RCODE_MASK
    reply.truncated = reply.flags & TC != 0
    status = read_records(reading, &reader, counts, reply.truncated)
    if status != REPLY_OK:
        return status
    if not _follow_aliases(reading):
        return REPLY_MALFORMED
    reply.rcode = reading.rcode
    reply.has_alias = reading.chain_len > 1
    return REPLY_OK


cdef ReplyStatus _keep_message(Reading* reading, const uint8_t* name, uint16_t name_len, bint has_answer, uint8_t* stored,
                               size_t stored_size, uint16_t* ttl_at, size_t ttl_at_size, Reply* reply) noexcept nogil:
    """Choose what is kept, and write it as the answer to a question for `name`. `has_answer`: it must not be empty."""
    cdef Writing writing
    cdef ReplyStatus status
    _choose_records(reading)
    _count_records(reading, reply)
    reply.has_hidden = reading.has_hidden
    if has_answer and not reply.ancount and not reading.has_hidden:
        return REPLY_MALFORMED                          # an answer, and all of it to something else
    reply.kind = _find_kind(reading, reply)
    writing.out = writer_over(stored, stored_size if stored_size < MESSAGE_MAX else MESSAGE_MAX)
    writing.has_question = False
    writing.qname_len = name_len
    start_stored(&writing.out, name, name_len, reading.qtype, reading.qclass, reply)
    if writing.out.failed:
        return REPLY_TOO_LARGE
    status = write_records(&writing, reading, ttl_at, ttl_at_size, reply)
    if reply.run_count < 2:
        reply.run_at = reply.run_count = 0
    if reply.has_hidden and reply.ttl_count == 0:
        reply.min_ttl = reading.hidden_ttl
    reply.size = <uint16_t>writing.out.pos
    return status


cdef ReplyStatus read_reply(const uint8_t* wire, size_t wire_len, const uint8_t* qname_key, uint16_t qname_len,
                            uint16_t qtype, uint16_t qclass, uint8_t* stored, size_t stored_size, uint16_t* ttl_at,
                            size_t ttl_at_size, bint keeps_foreign, const Hidden* hidden, Reply* reply) noexcept nogil:
    """Check a reply against its question and write what is kept of it to `stored`, its TTLs' offsets to `ttl_at`.

    `wire` is one message without a length before it, at most MESSAGE_MAX octets. RFC 5452 section 9.1: what doesn't match
    is not ours; RFC 9267: what matches and is broken is told apart. Its id and its sender are the caller's to check.
    `keeps_foreign` is for a reply that is only passed on, as kube-dns does it: an SOA or NS of any zone is kept. `hidden` are
    types that are left out; NULL: none.
    """
    cdef Reading reading
    cdef uint16_t counts[3]
    cdef ReplyStatus status
    reading.hidden = hidden
    reading.keeps_foreign = keeps_foreign
    status = _read_message(&reading, wire, wire_len, qname_key, qname_len, qtype, qclass, counts, reply)
    if status != REPLY_OK:
        return status
    return _keep_message(&reading, qname_key, qname_len, counts[0] and reading.rcode == NOERROR and not reply.truncated,
                         stored, stored_size, ttl_at, ttl_at_size, reply)


cdef ReplyStatus read_tail(const uint8_t* wire, size_t wire_len, const uint8_t* qname_key, uint16_t qname_len,
                           uint16_t qtype, uint16_t qclass, uint32_t hops, uint8_t* name, uint16_t* name_len,
                           uint8_t* stored, size_t stored_size, uint16_t* ttl_at, size_t ttl_at_size,
                           const Hidden* hidden, bint alias_only, Reply* reply) noexcept nogil:
    """As read_reply, of the name that `hops` aliases of the question lead to, which is written to `name`."""
    cdef Reading reading
    cdef uint16_t counts[3]
    cdef uint32_t at
    cdef size_t behind = 0
    cdef ReplyStatus status
    reading.hidden = hidden
    reading.keeps_foreign = False
    status = _read_message(&reading, wire, wire_len, qname_key, qname_len, qtype, qclass, counts, reply)
    if status != REPLY_OK:
        return status
    if hops + alias_only >= reading.chain_len:
        return REPLY_MISMATCH
    reading.chain_len -= hops
    if alias_only:
        reading.chain_len = 1
        reading.qtype = CNAME
    reading.question_at = 0
    for at in range(reading.chain_len):
        reading.chain[at] = reading.chain[at + hops]
    reply.has_alias = reading.chain_len > 1
    name_len[0] = expand_name(wire, wire_len, reading.chain[0].at, name, &behind)
    if name_len[0] == 0:
        return REPLY_MALFORMED
    lower_name(name, name_len[0])
    return _keep_message(&reading, name, name_len[0], False, stored, stored_size, ttl_at, ttl_at_size, reply)


cdef bint make_failure(const uint8_t* qname_key, uint16_t qname_len, uint16_t qtype, uint16_t qclass, uint16_t rcode,
                       uint8_t* stored, size_t stored_size, Reply* reply) noexcept nogil:
    """A stored message without records for a question that no upstream answered (RFC 9520). False: no room."""
    cdef Writer out = writer_over(stored, stored_size)
    memset(reply, 0, sizeof(Reply))
    reply.ede = EDE_NONE
    reply.flags = QR | RD | RA | (rcode & RCODE_MASK)
    reply.rcode = rcode
    reply.kind = REPLY_SERVER_ERROR if rcode == SERVFAIL or rcode == NOTIMP else REPLY_OTHER_ERROR
    start_stored(&out, qname_key, qname_len, qtype, qclass, reply)
    reply.size = <uint16_t>out.pos
    return not out.failed
