"""A reply of an upstream: checked against its question, stripped of what was not asked, written anew; and given to clients."""

import os

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset

cimport cython

from fastdns._packet cimport (
    A, AA, AAAA, AD, AFSDB, ANY, AXFR, CD, CLASS_ANY, CNAME, DNAME, DS, EDE_NONE, HEADER_SIZE, HINFO, HTTPS, IN, IXFR,
    KX, MB, MD, MESSAGE_MAX, MF, MG, MINFO, MR, MX, NAME_MAX, NAPTR, NOERROR, NOTIMP, NS, NSEC, NSEC3, NXDOMAIN,
    OPCODE_MASK, OPT, OWNER_IS_QNAME, PTR, PX, QR, QUERY_OK, Query, RA, RCODE_MASK, RD, RP, RRSIG, RT, SERVFAIL, SOA,
    SRV, SVCB, TC, TXT, UDP_OURS, expand_name, is_below, lower_name, read_query, skip_name, write_opt,
)
from fastdns._wire cimport (
    Reader, Writer, load_u16, load_u32, patch_u16, read_octets, read_u8, read_u16, read_u32, reader_over, reserve_octets,
    rewind_to, store_u16, store_u32, write_octets, write_u16, write_u32, writer_over,
)

cdef enum:
    RECORDS_MAX = 4096          # of one reply; a message of 65,535 octets has room for 4,094 address records
    CHAIN_MAX = 16              # names from the question on, one CNAME apart
    SUFFIXES_MAX = 192          # names that later ones can be compressed against
    SLOTS = 512                 # of their hash table; a power of two
    POINTER_MAX = 0x4000        # RFC 1035 section 4.1.4: 14 bits
    POINTER_BITS = 0xC000
    TTL_MAX = 0x7FFFFFFF        # RFC 2181 section 8, RFC 8767 section 4: capped, not taken as zero
    RECORD_FIXED = 10           # type, class, TTL, rdlen
    OPT_SIZE = 11               # without options
    EDE_SIZE = 6
    HASH_FACTOR = 0x01000193
    NSEC3PARAM = 51
    SIG = 24
    META_FIRST = 128            # types that are no data (RFC 6895 section 3.1): 128 to 255, and OPT

cdef enum Section:
    ANSWER = 0
    AUTHORITY = 1
    ADDITIONAL = 2

cdef struct Name:               # in the reply, checked
    uint32_t hash               # of its lower-cased octets
    uint16_t at                 # where its first label stands (pointers at its start followed)

cdef struct Record:
    Name owner
    Name target                 # the last name in the data; at = 0 without one
    uint16_t rtype
    uint16_t rclass
    uint16_t rdata_at
    uint16_t rdlen
    uint8_t section
    bint kept

cdef struct Layout:             # where names stand in a type's data
    uint8_t before              # octets before the first
    uint8_t names
    uint8_t behind              # octets behind the last
    bint compressible           # when sent (RFC 3597 section 4)

cdef struct Reading:
    const uint8_t* wire
    size_t size
    uint32_t glue_at            # the record that the last glue belonged to: the next often belongs to the one behind it
    uint16_t qtype
    uint16_t qclass
    uint32_t count              # of records
    uint32_t chain_len
    bint chain_is_clear         # False: an owner has two CNAMEs
    bint has_opt
    uint16_t rcode
    Name chain[CHAIN_MAX]
    Record records[RECORDS_MAX]

cdef struct Writing:
    Writer out
    uint16_t qname_len
    bint has_question           # its suffixes are known; most replies hold no other name
    uint32_t suffix_count
    uint32_t suffix_hash[SUFFIXES_MAX]
    uint16_t suffix_at[SUFFIXES_MAX]
    uint8_t slots[SLOTS]        # suffix + 1


cdef uint32_t _seed = <uint32_t>int.from_bytes(os.urandom(4), "little")     # of names' hashes: nobody can aim at equal ones


# --- names ---------------------------------------------------------------------------------------------------------------


cdef inline uint8_t _fold(uint8_t octet) noexcept nogil:
    return octet + 32 if <uint8_t>(octet - 65) < 26 else octet


cdef uint32_t _hash_octets(const uint8_t* octets, size_t count, uint32_t seed) noexcept nogil:
    cdef size_t at
    cdef uint32_t value = seed
    for at in range(count):
        value = (value ^ _fold(octets[at])) * <uint32_t>HASH_FACTOR
    return value


cdef bint _read_name(const Reading* reading, size_t pos, Name* name, size_t* after) noexcept nogil:
    """Check and hash the name at `pos`; False: it is broken."""
    cdef uint8_t octets[NAME_MAX]
    cdef Reader reader = reader_over(reading.wire, reading.size)
    cdef uint16_t length
    cdef uint16_t lead
    if pos > reading.size:
        return False
    reader.pos = pos
    if read_u16(&reader) == OWNER_IS_QNAME and not reader.failed:   # nearly every owner
        name[0] = reading.chain[0]
        after[0] = reader.pos
        return True
    length = expand_name(reading.wire, reading.size, pos, octets, after)
    if length == 0:
        return False
    while True:                                         # bounded: expand_name saw that pointers lead backwards
        reader.failed = False
        reader.pos = pos
        lead = read_u16(&reader)
        if reader.failed or lead < POINTER_BITS:
            break
        pos = lead & (POINTER_MAX - 1)
    name.at = <uint16_t>pos
    name.hash = _hash_octets(octets, length, _seed)
    return True


cdef uint16_t _lower_name_at(const Reading* reading, uint16_t pos, uint8_t* octets) noexcept nogil:
    """The canonical form of a name already checked."""
    cdef size_t after = 0
    cdef uint16_t length = expand_name(reading.wire, reading.size, pos, octets, &after)
    lower_name(octets, length)
    return length


cdef bint _is_same(const Reading* reading, const Name* one, const Name* other) noexcept nogil:
    cdef uint8_t octets[NAME_MAX]
    cdef uint8_t others[NAME_MAX]
    cdef uint16_t length
    if one.hash != other.hash:
        return False
    if one.at == other.at:
        return True
    length = _lower_name_at(reading, one.at, octets)
    return length == _lower_name_at(reading, other.at, others) and memcmp(octets, others, length) == 0


cdef bint _is_at_or_below(const Reading* reading, const Name* name, const Name* zone) noexcept nogil:
    cdef uint8_t octets[NAME_MAX]
    cdef uint8_t zones[NAME_MAX]
    cdef uint16_t length
    if name.at == zone.at:
        return True
    length = _lower_name_at(reading, name.at, octets)
    return is_below(octets, length, zones, _lower_name_at(reading, zone.at, zones))


# --- reading -------------------------------------------------------------------------------------------------------------


cdef inline bint _find_layout(uint16_t rtype, Layout* layout) noexcept nogil:
    """True if the type's data holds names that may come compressed (RFC 1035 section 3.3, RFC 3597 section 4)."""
    layout.before = 0
    layout.names = 1
    layout.behind = 0
    layout.compressible = True
    if rtype in (NS, CNAME, PTR, MB, MD, MF, MG, MR):
        return True
    if rtype == SOA:
        layout.names = 2
        layout.behind = 20
        return True
    if rtype == MX:
        layout.before = 2
        return True
    if rtype == MINFO:
        layout.names = 2
        return True
    layout.compressible = False
    if rtype == SRV:
        layout.before = 6
        return True
    if rtype == DNAME:
        return True
    if rtype in (AFSDB, RT, KX):
        layout.before = 2
        return True
    if rtype == RP:
        layout.names = 2
        return True
    if rtype == PX:
        layout.before = 2
        layout.names = 2
        return True
    return False


cdef bint _strings_fill(Reader* reader, size_t end) noexcept nogil:
    """True if character strings fill the data up to `end` exactly, and there is at least one."""
    if reader.pos >= end:
        return False
    while not reader.failed and reader.pos < end:
        read_octets(reader, read_u8(reader))
    return reader.pos == end and not reader.failed


cdef bint _check_target(Reading* reading, Record* record, size_t before) noexcept nogil:
    """True if an uncompressed name stands `before` octets into the data, and ends within it."""
    cdef size_t after = 0
    cdef size_t pos = record.rdata_at + before
    if not _read_name(reading, pos, &record.target, &after):
        return False
    return record.target.at == pos and after <= <size_t>record.rdata_at + record.rdlen


cdef bint _check_rdata(Reading* reading, Record* record) noexcept nogil:
    """True if the data has the shape of its type, as far as anybody could trip over it (RFC 9267 section 4)."""
    cdef Layout layout
    cdef Reader reader
    cdef size_t pos = record.rdata_at
    cdef size_t end = pos + record.rdlen
    cdef uint16_t rtype = record.rtype
    cdef uint8_t _name
    record.target.at = 0
    if rtype == A and record.rclass == IN:
        return record.rdlen == 4
    if rtype == AAAA:
        return record.rdlen == 16
    if _find_layout(rtype, &layout):
        pos += layout.before
        for _name in range(layout.names):
            if pos >= end or not _read_name(reading, pos, &record.target, &pos):
                return False
        return pos + layout.behind == end
    reader = reader_over(reading.wire, end)
    reader.pos = pos
    if rtype == TXT or rtype == HINFO:
        return _strings_fill(&reader, end)
    if rtype == NAPTR:
        read_octets(&reader, 4)
        read_octets(&reader, read_u8(&reader))
        read_octets(&reader, read_u8(&reader))
        read_octets(&reader, read_u8(&reader))
        if reader.failed or reader.pos >= end:
            return False
        return _read_name(reading, reader.pos, &record.target, &pos) and pos == end
    if rtype == SVCB or rtype == HTTPS:
        return _check_target(reading, record, 2)
    if rtype == RRSIG or rtype == SIG:
        return _check_target(reading, record, 18)
    if rtype == NSEC:
        return _check_target(reading, record, 0)
    if rtype == DS:
        return record.rdlen >= 4
    return True


cdef bint _read_opt(Reading* reading, const Record* record, uint32_t extended) noexcept nogil:
    """Take OPT's upper bits of the rcode; False: it is out of place, doubled or broken (RFC 6891 section 6.1)."""
    cdef Reader reader = reader_over(reading.wire, <size_t>record.rdata_at + record.rdlen)
    if reading.has_opt or record.section != ADDITIONAL or reading.wire[record.owner.at] != 0:
        return False
    reading.has_opt = True
    reading.rcode |= <uint16_t>((extended >> 24) << 4)
    reader.pos = record.rdata_at
    while not reader.failed and reader.pos < reader.size:
        read_u16(&reader)
        read_octets(&reader, read_u16(&reader))
    return not reader.failed


cdef bint _read_record(Reading* reading, Reader* reader, uint8_t section, Record* record) noexcept nogil:
    """Read one record and check it. False: it is broken."""
    cdef size_t after = 0
    cdef uint32_t ttl
    if not _read_name(reading, reader.pos, &record.owner, &after):
        return False
    reader.pos = after
    record.section = section
    record.kept = False
    record.rtype = read_u16(reader)
    record.rclass = read_u16(reader)
    ttl = read_u32(reader)
    record.rdlen = read_u16(reader)
    record.rdata_at = <uint16_t>reader.pos
    if read_octets(reader, record.rdlen) == NULL and record.rdlen:
        return False
    if reader.failed:
        return False
    if record.rtype == OPT:
        return _read_opt(reading, record, ttl)
    return _check_rdata(reading, record)


cdef ReplyStatus _read_records(Reading* reading, Reader* reader, const uint16_t* counts, bint truncated) noexcept nogil:
    """Read the three sections. A cut message that says so (TC) may end anywhere: what is whole of it counts."""
    cdef uint8_t section
    cdef uint16_t left
    for section in range(3):
        left = counts[section]
        while left:
            left -= 1
            if reading.count == RECORDS_MAX:
                return REPLY_TOO_LARGE
            if not _read_record(reading, reader, section, &reading.records[reading.count]):
                return REPLY_OK if truncated else REPLY_MALFORMED
            reading.count += 1
    return REPLY_OK


cdef bint _is_question(Reading* reading, Reader* reader, const uint8_t* qname_key, uint16_t qname_len) noexcept nogil:
    """True if the reply's question is ours."""
    cdef size_t at
    cdef const uint8_t* qname = read_octets(reader, qname_len)
    if qname == NULL:
        return False
    for at in range(qname_len):
        if _fold(qname[at]) != qname_key[at]:
            return False
    if read_u16(reader) != reading.qtype or read_u16(reader) != reading.qclass or reader.failed:
        return False
    reading.chain[0].at = HEADER_SIZE
    reading.chain[0].hash = _hash_octets(qname_key, qname_len, _seed)
    reading.chain_len = 1
    return True


# --- choosing what is kept ------------------------------------------------------------------------------------------------


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
        if record.rtype != CNAME or not _has_class(reading, record) or not _is_same(reading, &record.owner, owner):
            continue
        if found == NULL:
            found = record
        elif not _is_same(reading, &found.target, &record.target):
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
            if _is_same(reading, &reading.chain[at], &alias.target):
                return False
        if reading.chain_len == CHAIN_MAX:
            return False
        reading.chain[reading.chain_len] = alias.target
        reading.chain_len += 1


cdef bint _is_on_chain(const Reading* reading, const Name* name) noexcept nogil:
    cdef uint32_t at
    for at in range(reading.chain_len):
        if _is_same(reading, &reading.chain[at], name):
            return True
    return False


cdef bint _is_above_chain(const Reading* reading, const Name* name) noexcept nogil:
    """True if the name is at or above one of the chain."""
    cdef uint32_t at
    for at in range(reading.chain_len):
        if _is_at_or_below(reading, &reading.chain[at], name):
            return True
    return False


cdef bint _is_below_chain(const Reading* reading, const Name* name) noexcept nogil:
    cdef uint32_t at
    for at in range(reading.chain_len):
        if _is_at_or_below(reading, name, &reading.chain[at]):
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
    if record.rtype in (SOA, NS, DS):
        return _is_above_chain(reading, &record.owner)
    if record.rtype in (NSEC, NSEC3, RRSIG):
        return (zone.at and _is_at_or_below(reading, &record.owner, zone)) or _is_above_chain(reading, &record.owner)
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
        elif record.rtype == RRSIG and _is_at_or_below(reading, &record.owner, &record.target):
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
                if _is_same(reading, &other.target, &record.owner):
                    reading.glue_at = <uint32_t>(other - reading.records)
                    return True
    return _is_below_chain(reading, &record.owner)


cdef void _choose_records(Reading* reading) noexcept nogil:
    cdef Name zone
    cdef Record* record
    cdef uint32_t at
    zone.at = 0
    for at in range(reading.count):
        record = &reading.records[at]
        if record.section == AUTHORITY and (at == 0 or reading.records[at - 1].section != AUTHORITY):
            _find_zone(reading, &zone)
        if not _is_data(record.rtype) or not _has_class(reading, record):
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
            if _is_same(reading, &record.owner, &reading.chain[reading.chain_len - 1]):
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


# --- writing it anew -------------------------------------------------------------------------------------------------------


cdef bint _is_suffix_at(const Writing* writing, size_t at, const uint8_t* name) noexcept nogil:
    """True if the name written at `at` equals the uncompressed `name`."""
    cdef Reader reader = reader_over(writing.out.data, writing.out.pos)
    cdef uint8_t size
    cdef uint8_t octet
    reader.pos = at
    while True:
        size = read_u8(&reader)
        if size >= POINTER_BITS >> 8:
            at = ((<size_t>size & 0x3F) << 8) | read_u8(&reader)
            if reader.failed or at >= reader.pos:
                return False
            reader.pos = at
            continue
        if reader.failed or size != name[0]:
            return False
        name += 1
        if size == 0:
            return True
        while size:
            octet = read_u8(&reader)
            if reader.failed or _fold(octet) != _fold(name[0]):
                return False
            name += 1
            size -= 1


cdef uint16_t _find_suffix(const Writing* writing, uint32_t value, const uint8_t* name) noexcept nogil:
    """Where `name` has been written before; 0: nowhere."""
    cdef uint32_t slot = value & (SLOTS - 1)
    cdef uint32_t suffix
    while writing.slots[slot]:                          # ends: there are more slots than suffixes
        suffix = writing.slots[slot] - 1
        if writing.suffix_hash[suffix] == value and _is_suffix_at(writing, writing.suffix_at[suffix], name):
            return writing.suffix_at[suffix]
        slot = (slot + 1) & (SLOTS - 1)
    return 0


cdef void _add_suffix(Writing* writing, uint32_t value, size_t at) noexcept nogil:
    cdef uint32_t slot = value & (SLOTS - 1)
    if writing.suffix_count == SUFFIXES_MAX or at >= POINTER_MAX:
        return
    while writing.slots[slot]:
        slot = (slot + 1) & (SLOTS - 1)
    writing.suffix_hash[writing.suffix_count] = value
    writing.suffix_at[writing.suffix_count] = <uint16_t>at
    writing.suffix_count += 1
    writing.slots[slot] = <uint8_t>writing.suffix_count


cdef void _write_name(Writing* writing, const uint8_t* name, uint16_t length, bint compressible) noexcept nogil:
    """Write a name, its longest known suffix as a pointer if it may be one, and remember what is new of it."""
    cdef uint8_t label_at[128]
    cdef uint32_t value_at[128]
    cdef uint32_t value = 0
    cdef int count = 0
    cdef int label
    cdef int known = 0
    cdef uint16_t pointer = 0
    cdef size_t start = writing.out.pos
    cdef size_t at = 0
    while at + 1 < length and count < 127:
        label_at[count] = <uint8_t>at
        at += name[at] + 1
        count += 1
    for label in range(count - 1, -1, -1):
        value = _hash_octets(name + label_at[label], name[label_at[label]] + 1, value)
        value_at[label] = value
    known = count
    for label in range(count):
        pointer = _find_suffix(writing, value_at[label], name + label_at[label])
        if pointer:
            known = label
            break
    if pointer and compressible:
        write_octets(&writing.out, name, label_at[known])
        write_u16(&writing.out, <uint16_t>(POINTER_BITS | pointer))
    else:
        write_octets(&writing.out, name, length)
    for label in range(known):
        _add_suffix(writing, value_at[label], start + label_at[label])


cdef void _add_question(Writing* writing) noexcept nogil:
    """Remember the suffixes of the question: its name is written over itself."""
    cdef uint8_t qname[NAME_MAX]
    cdef size_t end = writing.out.pos
    memcpy(qname, writing.out.data + HEADER_SIZE, writing.qname_len)
    memset(writing.slots, 0, sizeof(writing.slots))
    writing.suffix_count = 0
    writing.has_question = True
    rewind_to(&writing.out, HEADER_SIZE)
    _write_name(writing, qname, writing.qname_len, False)
    writing.out.pos = end


cdef void _copy_name(Writing* writing, const Reading* reading, size_t* pos, bint compressible) noexcept nogil:
    """Write the name that stands at `pos` of the reply, and step over it."""
    cdef uint8_t name[NAME_MAX]
    cdef uint16_t length = expand_name(reading.wire, reading.size, pos[0], name, pos)
    if length == 0 or writing.out.failed:
        writing.out.failed = True
        return
    if not writing.has_question:
        _add_question(writing)
    _write_name(writing, name, length, compressible)


cdef void _copy_rdata(Writing* writing, const Reading* reading, const Record* record) noexcept nogil:
    cdef Layout layout
    cdef size_t pos = record.rdata_at
    cdef size_t start = writing.out.pos
    cdef uint8_t _name
    if record.rtype == NAPTR:
        layout.before = <uint8_t>0
        layout.names = 1
        layout.behind = 0
        layout.compressible = False
    elif not _find_layout(record.rtype, &layout):
        write_u16(&writing.out, record.rdlen)
        write_octets(&writing.out, reading.wire + pos, record.rdlen)
        return
    write_u16(&writing.out, 0)
    if record.rtype == NAPTR:
        _copy_naptr_head(writing, reading, &pos)
    else:
        write_octets(&writing.out, reading.wire + pos, layout.before)
        pos += layout.before
    for _name in range(layout.names):
        _copy_name(writing, reading, &pos, layout.compressible)
    write_octets(&writing.out, reading.wire + pos, layout.behind)
    patch_u16(&writing.out, start, <uint16_t>(writing.out.pos - start - 2))


cdef void _copy_naptr_head(Writing* writing, const Reading* reading, size_t* pos) noexcept nogil:
    """Order, preference and three strings (RFC 3403 section 4.1), whose sizes have been checked."""
    cdef Reader reader = reader_over(reading.wire, reading.size)
    reader.pos = pos[0] + 4
    read_octets(&reader, read_u8(&reader))
    read_octets(&reader, read_u8(&reader))
    read_octets(&reader, read_u8(&reader))
    write_octets(&writing.out, reading.wire + pos[0], reader.pos - pos[0])
    pos[0] = reader.pos


cdef void _note_address(const Reading* reading, const Record* record, const Record* previous, size_t rdata_at,
                        Reply* reply) noexcept nogil:
    """Count an address record of the answer into the run that can be rotated: neighbours of one owner and type."""
    cdef uint16_t at = <uint16_t>rdata_at
    if record.rtype != A and record.rtype != AAAA:
        return
    if reply.run_count == 0:
        reply.run_at = at
        reply.run_rdlen = record.rdlen
        reply.run_stride = record.rdlen + RECORD_FIXED + 2
        reply.run_count = 1
    elif previous != NULL and previous.rtype == record.rtype and _is_same(reading, &previous.owner, &record.owner):
        if at == reply.run_at + reply.run_count * reply.run_stride:
            reply.run_count += 1


cdef ReplyStatus _write_records(Writing* writing, const Reading* reading, uint16_t* ttl_at, size_t ttl_at_size,
                                Reply* reply) noexcept nogil:
    cdef const Record* record
    cdef const Record* previous = NULL
    cdef uint16_t pointer = 0           # to the owner of `previous`
    cdef size_t pos
    cdef uint32_t ttl
    cdef uint32_t at
    for at in range(reading.count):
        record = &reading.records[at]
        if not record.kept:
            continue
        if reply.ttl_count == ttl_at_size:
            return REPLY_TOO_LARGE
        if record.owner.at == HEADER_SIZE:
            write_u16(&writing.out, OWNER_IS_QNAME)
            pointer = OWNER_IS_QNAME
        elif previous != NULL and pointer and record.owner.at == previous.owner.at:
            write_u16(&writing.out, pointer)
        else:
            pos = record.owner.at
            pointer = <uint16_t>(POINTER_BITS | writing.out.pos) if writing.out.pos < POINTER_MAX else 0
            _copy_name(writing, reading, &pos, True)
            if not writing.out.failed and pointer:
                pos = pointer & (POINTER_MAX - 1)
                if writing.out.data[pos] >= POINTER_BITS >> 8:      # written as a pointer itself: say the same again
                    pointer = load_u16(writing.out.data + pos)
        write_u16(&writing.out, record.rtype)
        write_u16(&writing.out, record.rclass)
        ttl = load_u32(reading.wire + record.rdata_at - 6)
        ttl = TTL_MAX if ttl > <uint32_t>TTL_MAX else ttl
        ttl_at[reply.ttl_count] = <uint16_t>writing.out.pos
        write_u32(&writing.out, ttl)
        if ttl < reply.min_ttl or reply.ttl_count == 0:
            reply.min_ttl = ttl
        reply.ttl_count += 1
        if record.section == ANSWER:
            _note_address(reading, record, previous, writing.out.pos + 2, reply)
        _copy_rdata(writing, reading, record)
        if writing.out.failed:
            return REPLY_TOO_LARGE
        previous = record
    return REPLY_OK


cdef void _start_stored(Writer* out, const uint8_t* qname_key, uint16_t qname_len, uint16_t qtype, uint16_t qclass,
                        const Reply* reply) noexcept nogil:
    """The stored message's header and question."""
    write_u16(out, 0)
    write_u16(out, reply.flags)
    write_u16(out, 1)
    write_u16(out, reply.ancount)
    write_u16(out, reply.nscount)
    write_u16(out, reply.arcount)
    write_octets(out, qname_key, qname_len)
    write_u16(out, qtype)
    write_u16(out, qclass)


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


cdef ReplyStatus read_reply(const uint8_t* wire, size_t wire_len, const uint8_t* qname_key, uint16_t qname_len,
                            uint16_t qtype, uint16_t qclass, uint8_t* stored, size_t stored_size, uint16_t* ttl_at,
                            size_t ttl_at_size, Reply* reply) noexcept nogil:
    """Check a reply against its question and write what is kept of it to `stored`, its TTLs' offsets to `ttl_at`.

    `wire` is one message without a length before it, at most MESSAGE_MAX octets. RFC 5452 section 9.1: what doesn't match
    is not ours; RFC 9267: what matches and is broken is told apart. Its id and its sender are the caller's to check.
    """
    cdef Reading reading
    cdef Writing writing
    cdef Reader reader = reader_over(wire, wire_len)
    cdef uint16_t counts[3]
    cdef uint16_t qdcount
    cdef ReplyStatus status
    memset(reply, 0, sizeof(Reply))
    if wire_len > MESSAGE_MAX or qname_len > NAME_MAX:
        return REPLY_MISMATCH
    reading.wire = wire
    reading.size = wire_len
    reading.qtype = qtype
    reading.qclass = qclass
    reading.count = 0
    reading.glue_at = 0
    reading.has_opt = False
    read_u16(&reader)
    reply.flags = read_u16(&reader)
    qdcount = read_u16(&reader)
    counts[0] = read_u16(&reader)
    counts[1] = read_u16(&reader)
    counts[2] = read_u16(&reader)
    if reader.failed or not reply.flags & QR or reply.flags & OPCODE_MASK or qdcount != 1:
        return REPLY_MISMATCH
    if not _is_question(&reading, &reader, qname_key, qname_len):
        return REPLY_MISMATCH
    reading.rcode = reply.flags & RCODE_MASK
    reply.truncated = reply.flags & TC != 0
    status = _read_records(&reading, &reader, counts, reply.truncated)
    if status != REPLY_OK:
        return status
    if not _follow_aliases(&reading):
        return REPLY_MALFORMED
    _choose_records(&reading)
    _count_records(&reading, reply)
    if counts[0] and not reply.ancount and reading.rcode == NOERROR and not reply.truncated:
        return REPLY_MALFORMED                          # an answer, and all of it to something else
    reply.rcode = reading.rcode
    reply.kind = _find_kind(&reading, reply)
    writing.out = writer_over(stored, stored_size if stored_size < MESSAGE_MAX else MESSAGE_MAX)
    writing.has_question = False
    writing.qname_len = qname_len
    _start_stored(&writing.out, qname_key, qname_len, qtype, qclass, reply)
    if writing.out.failed:
        return REPLY_TOO_LARGE
    status = _write_records(&writing, &reading, ttl_at, ttl_at_size, reply)
    if reply.run_count < 2:
        reply.run_at = reply.run_count = 0
    reply.size = <uint16_t>writing.out.pos
    return status


cdef bint make_failure(const uint8_t* qname_key, uint16_t qname_len, uint16_t qtype, uint16_t qclass, uint16_t rcode,
                       uint8_t* stored, size_t stored_size, Reply* reply) noexcept nogil:
    """A stored message without records for a question that no upstream answered (RFC 9520). False: no room."""
    cdef Writer out = writer_over(stored, stored_size)
    memset(reply, 0, sizeof(Reply))
    reply.flags = QR | RD | RA | (rcode & RCODE_MASK)
    reply.rcode = rcode
    reply.kind = REPLY_SERVER_ERROR if rcode == SERVFAIL or rcode == NOTIMP else REPLY_OTHER_ERROR
    _start_stored(&out, qname_key, qname_len, qtype, qclass, reply)
    reply.size = <uint16_t>out.pos
    return not out.failed


# --- giving it to a client --------------------------------------------------------------------------------------------------


cdef void _rotate_run(uint8_t* message, const uint8_t* stored, const Reply* reply, size_t end, uint32_t rotation) noexcept nogil:
    """Copy the address run's data again, `rotation` places on."""
    cdef uint32_t count = reply.run_count
    cdef size_t stride = reply.run_stride
    cdef size_t size = reply.run_rdlen
    cdef uint8_t* to = message + reply.run_at
    cdef const uint8_t* first = stored + reply.run_at
    cdef const uint8_t* source
    cdef uint32_t place
    if reply.run_at + (count - 1) * stride + size > end:        # cut off with its set
        return
    place = rotation % count
    if place == 0:
        return
    source = first + place * stride
    for place in range(place, place + count):
        memcpy(to, source, size)
        to += stride
        source += stride
        if place + 1 == count:
            source = first


cdef size_t _cut_section(Reader* reader, uint16_t* count, size_t room) noexcept nogil:
    """Step over the whole record sets of a section that end within `room`; `count` becomes that of their records.

    A set is neighbours of one owner and type; signatures that follow a set are sets of their own.
    """
    cdef uint16_t left = count[0]
    cdef uint16_t rtype
    cdef uint16_t previous_type = 0
    cdef uint32_t owner
    cdef uint32_t previous_owner = 0
    cdef uint16_t whole = 0
    cdef uint16_t seen = 0
    cdef size_t end = reader.pos
    cdef size_t start
    while left:
        left -= 1
        start = reader.pos
        if not skip_name(reader):
            break
        owner = _hash_octets(reader.data + start, reader.pos - start, 1)
        rtype = read_u16(reader)
        if seen and (rtype != previous_type or owner != previous_owner):
            whole = seen
            end = start
        previous_type = rtype
        previous_owner = owner
        read_octets(reader, 6)
        read_octets(reader, read_u16(reader))
        if reader.failed or reader.pos > room:
            count[0] = whole
            return end
        seen += 1
    count[0] = seen
    return reader.pos


cdef size_t _cut_message(const uint8_t* stored, const Reply* reply, size_t question_end, size_t room,
                         uint16_t* counts) noexcept nogil:
    """What of the stored message fits: whole sections from the front, whole record sets of the answer that doesn't fit.

    Returns where it ends; `counts` become those of what is left.
    """
    cdef Reader reader = reader_over(stored, reply.size)
    cdef size_t end
    cdef uint16_t asked
    cdef int section
    reader.pos = question_end
    for section in range(3):
        asked = counts[section]
        end = reader.pos
        end = _cut_section(&reader, &counts[section], room)
        if counts[section] == asked:
            continue
        if section == ANSWER:
            counts[1] = 0
        if section != ADDITIONAL:
            counts[2] = 0
        return end
    return reader.pos


cdef void write_stored(Writer* writer, const uint8_t* stored, const Reply* reply, const uint16_t* ttl_at,
                       const Query* query, uint32_t age, uint32_t fixed_ttl, bint ttl_is_fixed, bint clear_aa,
                       uint32_t rotation, size_t limit, uint16_t udp_max, uint16_t ede) noexcept nogil:
    """Write the answer to a client's query, whose name, type and class must be the stored ones.

    `fixed_ttl` is written into every record if `ttl_is_fixed`, else `age` seconds are taken off. `limit` is the largest
    message the client takes, in octets: over it, whole record sets are left out from the end, with TC set unless only
    additional ones were (RFC 2181 section 9). The writer fails if it lacks room, or if the stored message is not to this
    question.
    """
    cdef size_t question_end = <size_t>HEADER_SIZE + query.qname_len + 4
    cdef size_t opt_size = 0
    cdef size_t end = reply.size
    cdef uint16_t counts[3]
    cdef uint16_t flags = QR | (reply.flags & (AA | TC | RA | AD | RCODE_MASK)) | (query.flags & (RD | CD))
    cdef uint8_t* message
    cdef uint32_t ttl
    cdef uint16_t at
    if query.has_edns:
        opt_size = OPT_SIZE + (EDE_SIZE if ede != EDE_NONE else 0)
    elif reply.rcode > RCODE_MASK:                      # can't be said without OPT
        flags = (flags & ~<int>RCODE_MASK) | SERVFAIL
    if clear_aa:
        flags &= ~<int>AA
    if not query.wants_dnssec and not query.flags & AD:     # RFC 6840 section 5.8
        flags &= ~<int>AD
    if query.qname_len == 0 or question_end > query.wire_len or question_end > reply.size:
        writer.failed = True
        return
    counts[0] = reply.ancount
    counts[1] = reply.nscount
    counts[2] = reply.arcount
    if end + opt_size > limit:
        end = _cut_message(stored, reply, question_end, limit - opt_size if limit > opt_size else 0, counts)
        if counts[0] != reply.ancount or counts[1] != reply.nscount:
            flags |= TC
    message = reserve_octets(writer, end)
    if message == NULL:
        return
    memcpy(message + question_end, stored + question_end, end - question_end)
    store_u16(message, query.id)
    store_u16(message + 2, flags)
    store_u16(message + 4, 1)
    store_u16(message + 6, counts[0])
    store_u16(message + 8, counts[1])
    store_u16(message + 10, <uint16_t>(counts[2] + (1 if query.has_edns else 0)))
    memcpy(message + HEADER_SIZE, query.wire + HEADER_SIZE, <size_t>query.qname_len + 4)
    for at in range(reply.ttl_count):
        if <size_t>ttl_at[at] + 4 > end:
            break
        ttl = fixed_ttl
        if not ttl_is_fixed:
            ttl = load_u32(stored + ttl_at[at])
            ttl = ttl - age if ttl > age else 0
        store_u32(message + ttl_at[at], ttl)
    if reply.run_count:
        _rotate_run(message, stored, reply, end, rotation)
    write_opt(writer, query, udp_max, reply.rcode, ede)


# --- for Python ---------------------------------------------------------------------------------------------------------------


@cython.final
cdef class StoredReply:
    """A reply that was read: what Reply says, and the stored message."""

    def __cinit__(self, size_t stored_size, size_t ttl_at_size):
        self.stored = <uint8_t*>malloc(stored_size if stored_size else 1)
        self.ttl_at = <uint16_t*>malloc((ttl_at_size if ttl_at_size else 1) * sizeof(uint16_t))
        if self.stored == NULL or self.ttl_at == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.stored)
        free(self.ttl_at)

    @property
    def kind(self):
        return ReplyKind(self.reply.kind)

    @property
    def flags(self):
        return self.reply.flags

    @property
    def rcode(self):
        return self.reply.rcode

    @property
    def has_soa(self):
        return bool(self.reply.has_soa)

    @property
    def min_ttl(self):
        return self.reply.min_ttl

    @property
    def counts(self):
        """Records of answer, authority and additional section."""
        return self.reply.ancount, self.reply.nscount, self.reply.arcount

    @property
    def run(self):
        """(offset, stride, count, octets of one) of the addresses that can be rotated; zeros without any."""
        return self.reply.run_at, self.reply.run_stride, self.reply.run_count, self.reply.run_rdlen

    @property
    def wire(self):
        """The stored message."""
        return self.stored[:self.reply.size]

    @property
    def ttl_offsets(self):
        return [self.ttl_at[at] for at in range(self.reply.ttl_count)]

    def render(self, bytes query not None, *, int age=0, object ttl=None, bint clear_aa=False, int rotation=0,
               int limit=MESSAGE_MAX, int udp_max=UDP_OURS, int ede=EDE_NONE):
        """The answer to `query`; `ttl`: written into each record. Raises ValueError: it asks something else."""
        cdef Query asked
        cdef uint8_t* room
        cdef Writer writer
        cdef bint ttl_is_fixed = ttl is not None
        cdef uint32_t fixed_ttl = ttl if ttl_is_fixed else 0
        if self.status != REPLY_OK or read_query(<const uint8_t*>query, <size_t>len(query), &asked) != QUERY_OK:
            raise ValueError("no query, or nothing stored")
        if not _is_to(self.stored, &self.reply, &asked):
            raise ValueError("the query asks something else")
        room = <uint8_t*>malloc(MESSAGE_MAX)
        if room == NULL:
            raise MemoryError
        try:
            writer = writer_over(room, MESSAGE_MAX)
            write_stored(&writer, self.stored, &self.reply, self.ttl_at, &asked, <uint32_t>age, fixed_ttl, ttl_is_fixed,
                         clear_aa, <uint32_t>rotation, <size_t>limit, <uint16_t>udp_max, <uint16_t>ede)
            if writer.failed:
                raise ValueError("the answer has no room")
            return room[:writer.pos]
        finally:
            free(room)


cdef bint _is_to(const uint8_t* stored, const Reply* reply, const Query* query) noexcept nogil:
    """True if the stored message's question is the query's."""
    cdef size_t end = <size_t>HEADER_SIZE + query.qname_len
    if end + 4 > reply.size or memcmp(stored + HEADER_SIZE, query.name_key, query.qname_len) != 0:
        return False
    return load_u16(stored + end) == query.qtype and load_u16(stored + end + 2) == query.qclass


def normalise(bytes wire not None, bytes name not None, int qtype, int qclass=IN, *, size_t stored_size=MESSAGE_MAX,
              size_t ttl_at_size=RECORDS_MAX):
    """Read an upstream's reply to the question of the canonical `name`; its `status` says what came of it.

    The message is copied to a block of exactly its size first, so that a sanitizer sees an octet too far.
    """
    cdef size_t size = len(wire)
    cdef StoredReply read = StoredReply(stored_size, ttl_at_size)
    cdef uint8_t* copy
    if not 0 < len(name) <= NAME_MAX:
        raise ValueError("not a name on the wire")
    copy = <uint8_t*>malloc(size if size else 1)
    if copy == NULL:
        raise MemoryError
    try:
        if size:
            memcpy(copy, <const uint8_t*>wire, size)
        read.status = ReplyStatus(read_reply(
            copy, size, <const uint8_t*>name, <uint16_t>len(name), <uint16_t>qtype, <uint16_t>qclass, read.stored,
            stored_size, read.ttl_at, ttl_at_size, &read.reply))
    finally:
        free(copy)
    return read
