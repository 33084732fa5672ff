"""A reply of an upstream, written anew: the records that are kept, names compressed, the offsets of TTLs listed."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

from fastdns._message cimport (
    ANSWER, POINTER_BITS, POINTER_MAX, RECORD_FIXED, REPLY_OK, REPLY_TOO_LARGE, Layout, Reading, Record, Reply,
    ReplyStatus, find_layout, fold, hash_octets, is_same_name,
)
from fastdns._packet cimport A, AAAA, HEADER_SIZE, NAME_MAX, NAPTR, OWNER_IS_QNAME, expand_name
from fastdns._wire cimport (
    Reader, Writer, load_u16, load_u32, patch_u16, read_octets, read_u8, reader_over, rewind_to, write_octets,
    write_u16, write_u32,
)

cdef enum:
    TTL_MAX = 0x7FFFFFFF        # RFC 2181 section 8, RFC 8767 section 4: capped, not taken as zero


cdef void start_stored(Writer* out, const uint8_t* qname_key, uint16_t qname_len, uint16_t qtype, uint16_t qclass,
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


# --- names ------------------------------------------------------------------------------------------------------------


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
            if reader.failed or fold(octet) != fold(name[0]):
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
        value = hash_octets(name + label_at[label], name[label_at[label]] + 1, value)
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


# --- records ----------------------------------------------------------------------------------------------------------


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
    elif not find_layout(record.rtype, &layout):
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
    elif previous != NULL and previous.rtype == record.rtype and is_same_name(reading, &previous.owner, &record.owner):
        if at == reply.run_at + reply.run_count * reply.run_stride:
            reply.run_count += 1


cdef ReplyStatus write_records(Writing* writing, const Reading* reading, uint16_t* ttl_at, size_t ttl_at_size,
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
        if record.owner.at == reading.question_at:
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
