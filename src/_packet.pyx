"""A query read into a plain struct, and the pieces that every answer is written from (RFC 1035 section 4, RFC 6891)."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy

from fastdns._wire cimport (
    Reader,
    Writer,
    can_read,
    load_u16,
    read_octets,
    read_u8,
    read_u16,
    read_u32,
    reader_over,
    reserve_octets,
    store_u16,
    write_octets,
    write_u8,
    write_u16,
    writer_over,
)

cdef extern from * nogil:
    """
    typedef uint8_t fastdns_sixteen __attribute__((vector_size(16)));

    static inline void fastdns_lower_sixteen(uint8_t* octets) {
        fastdns_sixteen all;
        memcpy(&all, octets, 16);
        all += (fastdns_sixteen)(all - 'A' < 26) & ('a' - 'A');
        memcpy(octets, &all, 16);
    }
    """
    void _lower_sixteen "fastdns_lower_sixteen" (uint8_t* octets)

cdef enum:
    LABEL_MAX = 63
    POINTER_BITS = 0xC0
    OPT_DO = 0x8000         # in the lower half of OPT's TTL field (RFC 6891 section 6.1.4)
    EDE_OPTION = 15         # RFC 8914 section 2
    OTHERS_MAX = 2          # additional records that are not OPT which we read over


cdef bint _read_qname(Reader* reader, Query* query) noexcept nogil:
    """Read the question's name: no pointer, since nothing stands before it that it could point to."""
    cdef const uint8_t* name = reader.data + reader.pos
    cdef size_t left = reader.size - reader.pos
    cdef size_t length = 0
    cdef size_t count = 0
    if left > <size_t>NAME_MAX:
        left = NAME_MAX
    while length < left and name[length]:
        if name[length] > LABEL_MAX or count == <size_t>LABELS_MAX:
            return False
        query.label_at[count] = <uint8_t>length
        count += 1
        length += <size_t>name[length] + 1
    if length >= left:                                  # its root label isn't here, or is one octet too far
        return False
    read_octets(reader, length + 1)
    memcpy(query.name_key, name, length + 1)
    lower_name(query.name_key, <uint16_t>(length + 1))
    query.label_count = <uint8_t>count
    query.qname_len = <uint16_t>(length + 1)
    return True


cdef bint _options_fit(Reader* reader, uint16_t size) noexcept nogil:
    """True if the OPT record's options fill its data exactly (RFC 6891 section 6.1.2)."""
    cdef size_t end
    if not can_read(reader, size):
        return False
    end = reader.pos + size
    while reader.pos < end:
        if end - reader.pos < 4:
            return False
        read_u16(reader)
        size = read_u16(reader)
        if end - reader.pos < size:
            return False
        read_octets(reader, size)
    return not reader.failed


cdef bint _skip_record(Reader* reader) noexcept nogil:
    """Step over one record of any type."""
    if not skip_name(reader):
        return False
    read_octets(reader, 8)
    read_octets(reader, read_u16(reader))
    return not reader.failed


cdef QueryStatus _read_additional(Reader* reader, uint16_t count, Query* query) noexcept nogil:
    """Read OPT, step over the rest; TSIG can't be checked here (RFC 8945 section 5.2: NOTAUTH)."""
    cdef uint16_t others = 0
    cdef uint16_t rtype, size
    cdef uint32_t extended
    cdef uint8_t version = 0
    cdef bint has_opt = False
    cdef size_t start
    while count:
        count -= 1
        start = reader.pos
        if not skip_name(reader):
            return QUERY_FORMERR
        rtype = read_u16(reader)
        if rtype == TSIG:
            reader.pos = start
            return QUERY_NOTAUTH if count == 0 and _skip_record(reader) else QUERY_FORMERR
        if rtype != OPT:
            others += 1
            reader.pos = start
            if others > OTHERS_MAX or not _skip_record(reader):
                return QUERY_FORMERR
            continue
        if has_opt or reader.pos != start + 3:          # a second OPT, or its owner is not the root
            return QUERY_FORMERR
        has_opt = True
        size = read_u16(reader)
        query.udp_size = size if size > UDP_MIN else UDP_MIN
        extended = read_u32(reader)
        version = <uint8_t>((extended >> 16) & 0xFF)
        query.wants_dnssec = (extended & OPT_DO) != 0
        if not _options_fit(reader, read_u16(reader)):
            return QUERY_FORMERR
    query.has_edns = has_opt
    return QUERY_BADVERS if version else QUERY_OK


cdef QueryStatus _check_type(uint16_t qtype) noexcept nogil:
    """Types that nobody can ask for (RFC 6895 section 3.1)."""
    if qtype == 0 or qtype == OPT:
        return QUERY_FORMERR
    if qtype == TSIG or qtype == TKEY or qtype == MAILA or qtype == MAILB:
        return QUERY_NOTIMP
    return QUERY_OK


cdef QueryStatus read_query(const uint8_t* wire, size_t wire_len, Query* query) noexcept nogil:
    """Read one message as a query; what could be read stands in `query` whatever the status."""
    return _read_message(wire, wire_len, 0, query)


cdef QueryStatus read_notify(const uint8_t* wire, size_t wire_len, Query* query) noexcept nogil:
    """As read_query, of a NOTIFY that is to be answered as a query, as kube-dns does; RD means nothing in it."""
    cdef QueryStatus status = _read_message(wire, wire_len, NOTIFY, query)
    if status == QUERY_OK:
        query.flags &= <uint16_t>~(RD | CD)
    return status


cdef QueryStatus _read_message(const uint8_t* wire, size_t wire_len, uint16_t opcode, Query* query) noexcept nogil:
    cdef Reader reader = reader_over(wire, wire_len)
    cdef const uint8_t* header = read_octets(&reader, HEADER_SIZE)
    cdef const uint8_t* kind
    cdef uint16_t ancount, nscount, arcount
    cdef QueryStatus status
    query.wire = wire
    query.wire_len = wire_len
    query.qname_len = 0
    query.label_count = 0
    query.udp_size = UDP_MIN
    query.has_edns = False
    query.wants_dnssec = False
    if header == NULL:
        return QUERY_DROP
    query.id = load_u16(header)
    query.flags = load_u16(header + 2)
    ancount = load_u16(header + 6)
    nscount = load_u16(header + 8)
    arcount = load_u16(header + 10)
    if query.flags & QR:
        return QUERY_DROP
    if query.flags & OPCODE_MASK != opcode:
        return QUERY_NOTIMP
    if load_u16(header + 4) != 1:                       # RFC 9619
        return QUERY_FORMERR
    if not _read_qname(&reader, query):
        query.qname_len = 0
        return QUERY_FORMERR
    kind = read_octets(&reader, 4)
    if kind == NULL:
        query.qname_len = 0
        return QUERY_FORMERR
    query.qtype = load_u16(kind)
    query.qclass = load_u16(kind + 2)
    if ancount or nscount > (query.qtype == IXFR):      # IXFR alone carries an SOA (RFC 1995 section 3)
        return QUERY_FORMERR
    if nscount and not _skip_record(&reader):
        return QUERY_FORMERR
    status = _read_additional(&reader, arcount, query) if arcount else QUERY_OK
    return status if status != QUERY_OK else _check_type(query.qtype)


cdef void write_header(Writer* writer, const Query* query, uint16_t flags, uint16_t ancount, uint16_t nscount,
                       uint16_t arcount) noexcept nogil:
    """The header of an answer: QR, and opcode, RD and CD as asked, are added to `flags`; OPT must be counted in arcount.
    """
    cdef uint8_t* at = reserve_octets(writer, HEADER_SIZE)
    if at == NULL:
        return
    store_u16(at, query.id)
    store_u16(at + 2, <uint16_t>(QR | flags | (query.flags & (OPCODE_MASK | RD | CD))))
    store_u16(at + 4, query.qname_len > 0)
    store_u16(at + 6, ancount)
    store_u16(at + 8, nscount)
    store_u16(at + 10, arcount)


cdef void write_question(Writer* writer, const Query* query) noexcept nogil:
    """The question, as the client spelt it; nothing if none was read."""
    if query.qname_len and <size_t>HEADER_SIZE + query.qname_len + 4 <= query.wire_len:
        write_octets(writer, query.wire + HEADER_SIZE, query.qname_len + 4)


cdef void write_opt(Writer* writer, const Query* query, uint16_t udp_max, uint16_t rcode, uint16_t ede) noexcept nogil:
    """OPT, if the query had one (RFC 6891 section 7): our UDP size up to the client's, DO as asked, no option echoed.

    `rcode` gives its upper 8 of 12 bits; `ede` is an info-code of RFC 8914, EDE_NONE for none.
    """
    if not query.has_edns:
        return
    write_u8(writer, 0)
    write_u16(writer, OPT)
    write_u16(writer, query.udp_size if query.udp_size < udp_max else udp_max)
    write_u16(writer, <uint16_t>((rcode >> 4) << 8))
    write_u16(writer, OPT_DO if query.wants_dnssec else 0)
    if ede == EDE_NONE:
        write_u16(writer, 0)
        return
    write_u16(writer, 6)
    write_u16(writer, EDE_OPTION)
    write_u16(writer, 2)
    write_u16(writer, ede)


cdef void write_error(Writer* writer, const Query* query, uint16_t rcode, uint16_t udp_max,
                      uint16_t ede) noexcept nogil:
    """A whole answer without records: header, question as far as it was read, OPT."""
    write_header(writer, query, rcode & RCODE_MASK, 0, 0, query.has_edns)
    write_question(writer, query)
    write_opt(writer, query, udp_max, rcode, ede)


cdef bint skip_name(Reader* reader) noexcept nogil:
    """Step over a name, which may end in a pointer; where that points is not looked at."""
    cdef uint8_t size
    cdef size_t length = 0
    while True:
        size = read_u8(reader)
        if reader.failed:
            return False
        if size == 0:
            return True
        if (size & POINTER_BITS) == POINTER_BITS:
            read_u8(reader)
            return not reader.failed
        length += size + 1
        if size > LABEL_MAX or length >= NAME_MAX or read_octets(reader, size) == NULL:
            return False


cdef uint16_t expand_name(const uint8_t* wire, size_t wire_len, size_t pos, uint8_t* name,
                          size_t* after) noexcept nogil:
    """Write the name at `pos` to `name` (NAME_MAX octets of room) uncompressed, as spelt; its length, 0 if it is
    broken.

    `after` becomes the position behind the name. Pointers only lead backwards, before the labels they end (RFC 1035
    section 4.1.4: "a prior occurance"), and behind the header, so that the work is bounded by NAME_MAX.
    """
    cdef Reader reader = reader_over(wire, wire_len)
    cdef size_t length = 0
    cdef size_t limit = pos             # a pointer must lead before this
    cdef size_t target
    cdef bint jumped = False
    cdef uint8_t size
    cdef const uint8_t* label
    if pos > wire_len:
        return 0
    reader.pos = pos
    while True:
        size = read_u8(&reader)
        if reader.failed:
            return 0
        if (size & POINTER_BITS) == POINTER_BITS:
            target = ((<size_t>size & 0x3F) << 8) | read_u8(&reader)
            if reader.failed or target >= limit or target < HEADER_SIZE:
                return 0
            if not jumped:
                after[0] = reader.pos
            jumped = True
            limit = target
            reader.pos = target
            continue
        if size > LABEL_MAX or length + size + 1 > NAME_MAX:
            return 0
        name[length] = size
        length += 1
        if size == 0:
            if not jumped:
                after[0] = reader.pos
            return <uint16_t>length
        label = read_octets(&reader, size)
        if label == NULL:
            return 0
        memcpy(name + length, label, size)
        length += size


cdef void lower_name(uint8_t* name, uint16_t name_len) noexcept nogil:
    """Lower-case a name on the wire in place; length octets are below 64 and so stay (RFC 4343)."""
    cdef uint16_t at = 0
    while at + 16 <= name_len:
        _lower_sixteen(name + at)
        at += 16
    if at < name_len and name_len >= 16:
        _lower_sixteen(name + name_len - 16)        # the last sixteen: some of them again
        return
    while at < name_len:
        if <uint8_t>(name[at] - 65) < 26:
            name[at] += 32
        at += 1


cdef uint8_t copy_key(const uint8_t* name, uint8_t* name_key, uint8_t* label_at) noexcept nogil:
    """Copy a whole, uncompressed name to `name_key` (KEY_ROOM) in canonical form; the offset of each label (LABELS_MAX) to
    `label_at`. How many labels there are, the root not counted.
    """
    cdef uint8_t count = 0
    cdef uint16_t at = 0
    while name[at]:
        label_at[count] = <uint8_t>at
        count += 1
        at += name[at] + 1
    memcpy(name_key, name, at + 1)
    lower_name(name_key, at + 1)
    return count


cdef bint is_below(const uint8_t* name_key, uint16_t name_len, const uint8_t* zone_key,
                   uint16_t zone_len) noexcept nogil:
    """True if the canonical name is the zone or below it, on a label boundary."""
    cdef uint16_t skip
    cdef uint16_t at = 0
    if zone_len > name_len:
        return False
    skip = name_len - zone_len
    while at < skip:
        at += name_key[at] + 1
    return at == skip and memcmp(name_key + skip, zone_key, zone_len) == 0


def inspect_query(bytes wire not None):
    """Read a message as a query; for tests and diagnosis.

    Returns (status, id, flags, canonical name, qtype, qclass, UDP size, has EDNS, wants DNSSEC). The message is
    copied to a block of exactly its size first, so that a sanitizer sees an octet too far.
    """
    cdef Query query
    cdef QueryStatus status
    cdef size_t size = len(wire)
    cdef uint8_t* copy = <uint8_t*>malloc(size if size else 1)
    if copy == NULL:
        raise MemoryError
    try:
        if size:
            memcpy(copy, <const uint8_t*>wire, size)
        query.id = query.flags = query.qtype = query.qclass = 0
        status = read_query(copy, size, &query)
        return (
            status, query.id, query.flags, query.name_key[:query.qname_len], query.qtype, query.qclass,
            query.udp_size, bool(query.has_edns), bool(query.wants_dnssec),
        )
    finally:
        free(copy)


def refusal(bytes wire not None, int rcode, int ede=EDE_NONE):
    """The answer without records that a message is owed: its rcode, question and OPT; empty if it is owed none."""
    cdef Query query
    cdef uint8_t answer[UDP_MIN]
    cdef Writer writer = writer_over(answer, sizeof(answer))
    if read_query(<const uint8_t*>wire, <size_t>len(wire), &query) == QUERY_DROP:
        return b""
    write_error(&writer, &query, <uint16_t>rcode, UDP_OURS, <uint16_t>ede)
    return answer[:writer.pos]


def expanded_name(bytes wire not None, size_t pos):
    """The name at `pos` uncompressed, and the position behind it. Raises ValueError: the name is broken."""
    cdef uint8_t name[NAME_MAX]
    cdef size_t after = 0
    cdef uint16_t length = expand_name(<const uint8_t*>wire, <size_t>len(wire), pos, name, &after)
    if length == 0:
        raise ValueError(f"no name at octet {pos}")
    return name[:length], after
