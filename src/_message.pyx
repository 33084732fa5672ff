"""A reply of an upstream, read: its question compared, its records found and checked, whatever they are for."""

import os

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp

from fastdns._packet cimport (
    A, AAAA, DS, HEADER_SIZE, HINFO, HTTPS, IN, NAME_MAX, NAPTR, NSEC, OPT, OWNER_IS_QNAME, RRSIG, SVCB, TXT,
    expand_name, is_below, lower_name,
)
from fastdns._wire cimport Reader, read_octets, read_u16, read_u32, read_u8, reader_over

cdef enum:
    SIG = 24


# of names' hashes: nobody can aim at equal ones
cdef uint32_t _seed = <uint32_t>int.from_bytes(os.urandom(4), "little")


# --- names ------------------------------------------------------------------------------------------------------------


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
    name.hash = hash_octets(octets, length, _seed)
    return True


cdef uint16_t _lower_name_at(const Reading* reading, uint16_t pos, uint8_t* octets) noexcept nogil:
    """The canonical form of a name already checked."""
    cdef size_t after = 0
    cdef uint16_t length = expand_name(reading.wire, reading.size, pos, octets, &after)
    lower_name(octets, length)
    return length


cdef bint is_equal_name(const Reading* reading, const Name* one, const Name* other) noexcept nogil:
    """True if two names of one hash, which stand in different places, are the same."""
    cdef uint8_t octets[NAME_MAX]
    cdef uint8_t others[NAME_MAX]
    cdef uint16_t length = _lower_name_at(reading, one.at, octets)
    return length == _lower_name_at(reading, other.at, others) and memcmp(octets, others, length) == 0


cdef bint is_at_or_below(const Reading* reading, const Name* name, const Name* zone) noexcept nogil:
    cdef uint8_t octets[NAME_MAX]
    cdef uint8_t zones[NAME_MAX]
    cdef uint16_t length
    if name.at == zone.at:
        return True
    length = _lower_name_at(reading, name.at, octets)
    return is_below(octets, length, zones, _lower_name_at(reading, zone.at, zones))


# --- records ----------------------------------------------------------------------------------------------------------


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
    if find_layout(rtype, &layout):
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


cdef ReplyStatus read_records(Reading* reading, Reader* reader, const uint16_t* counts, bint truncated) noexcept nogil:
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


cdef bint read_question(Reading* reading, Reader* reader, const uint8_t* qname_key, uint16_t qname_len) noexcept nogil:
    """True if the reply's question is ours."""
    cdef size_t at
    cdef const uint8_t* qname = read_octets(reader, qname_len)
    if qname == NULL:
        return False
    for at in range(qname_len):
        if fold(qname[at]) != qname_key[at]:
            return False
    if read_u16(reader) != reading.qtype or read_u16(reader) != reading.qclass or reader.failed:
        return False
    reading.chain[0].at = HEADER_SIZE
    reading.chain[0].hash = hash_octets(qname_key, qname_len, _seed)
    reading.chain_len = 1
    return True
