"""What a name holds: its record sets, checked once and made ready to answer with, in one block of memory.

The octets of a delta come in (their format is drawn in fastdns/_names.pxd). Equal-sized record data become whole records, and
a Service's addresses too, so that an answer is a copy; the rest is kept as it stands.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdlib cimport free, malloc

from fastdns._packet cimport AAAA, CNAME, IN, MESSAGE_MAX, NAME_MAX, NS, OWNER_IS_QNAME, SRV, A
from fastdns._service cimport (
    ZONES,
    Addresses,
    Asked,
    ServiceWalk,
    check_service,
    count_addresses,
    find_entries,
    write_addresses,
)
from fastdns._wire cimport (
    Reader,
    Writer,
    read_octets,
    read_u8,
    read_u16,
    read_u32,
    reader_over,
    write_octets,
    write_u16,
    write_u32,
    writer_over,
)

cdef enum:
    LABEL_MAX = 63
    SETS_MAX = 16
    RECORD_HEAD = 12        # owner pointer, type, class, TTL, data length


cdef size_t data_size(const NameData* data) noexcept nogil:
    return sizeof(NameData) + data.set_count * sizeof(RecordSet) + data.size


cdef struct RawSet:
    uint16_t rtype
    uint16_t count
    uint32_t ttl
    uint32_t size
    uint8_t form
    const uint8_t* octets
    Addresses derived       # of a SERVICE: the A and AAAA records that are made from it


cdef bint is_whole_name(const uint8_t* name, size_t size, bint has_root) noexcept nogil:
    """True if the octets are one name, labels only."""
    cdef size_t at = 0
    if size > NAME_MAX:
        return False
    while at < size:
        if name[at] == 0:
            return has_root and at + 1 == size
        if name[at] > LABEL_MAX:
            return False
        at += <size_t>name[at] + 1
    return not has_root and at == size


cdef bint _check_variable(const RawSet* raw) noexcept nogil:
    """True if the set is `count` times a size and that many octets; names that answers follow must be names."""
    cdef Reader reader = reader_over(raw.octets, raw.size)
    cdef bint is_name = raw.rtype == CNAME or raw.rtype == NS
    cdef uint16_t left = raw.count
    cdef uint16_t size
    cdef const uint8_t* octets
    if raw.rtype == CNAME and (raw.form != WHOLE or raw.count != 1):
        return False
    while left:
        left -= 1
        size = read_u16(&reader)
        octets = read_octets(&reader, size)
        if octets == NULL or (is_name and not is_whole_name(octets, size, raw.form == WHOLE)):
            return False
        if raw.form != WHOLE and size > MESSAGE_MAX - NAME_MAX:     # the zone follows
            return False
    return reader.pos == raw.size


cdef Status _read_set(Reader* reader, RawSet* raw) noexcept nogil:
    cdef Asked nothing
    cdef ServiceWalk walk
    raw.rtype = read_u16(reader)
    raw.form = read_u8(reader)
    raw.ttl = read_u32(reader)
    raw.count = read_u16(reader)
    raw.size = read_u32(reader)
    raw.octets = read_octets(reader, raw.size)
    if reader.failed or raw.form > SERVICE:
        return BROKEN
    if raw.form == FIXED:
        if raw.count == 0 or raw.size % raw.count or raw.size // raw.count > 0xFFFF:
            return BROKEN
        return BROKEN if raw.rtype == CNAME or raw.rtype == NS else OK
    if raw.form != SERVICE:
        return OK if _check_variable(raw) else BROKEN
    if raw.rtype != SRV or raw.count:
        return BROKEN
    # The delta's own octets get the bits of repetition: they are the caller's private copy.
    if not check_service(<uint8_t*>raw.octets, raw.size):
        return BROKEN
    if raw.octets[raw.octets[0] + 1] & ZONES:
        raw.form = ZONAL
        raw.derived.v4 = raw.derived.v6 = raw.derived.entries = 0
        return OK
    nothing.labels = nothing.place_len = 0
    find_entries(raw.octets, raw.size, &nothing, &walk)
    count_addresses(&walk, 0, &raw.derived)
    return OK if raw.derived.v4 <= 0xFFFF and raw.derived.v6 <= 0xFFFF else BROKEN


cdef size_t _kept_size(const RawSet* raw, uint8_t* sets) noexcept nogil:
    """Octets that a set takes once kept; adds to `sets` how many sets it becomes."""
    sets[0] += 1
    if raw.form == FIXED:
        return raw.size + <size_t>raw.count * RECORD_HEAD
    if raw.form < SERVICE:
        return raw.size
    sets[0] += (raw.derived.v4 > 0) + (raw.derived.v6 > 0)
    return raw.size + raw.derived.v4 * (RECORD_HEAD + <size_t>4) + raw.derived.v6 * (RECORD_HEAD + <size_t>16)


cdef void _keep_fixed(Writer* writer, const RawSet* raw) noexcept nogil:
    """Equal-sized record data become whole records, ready to be copied into an answer."""
    cdef uint16_t size = <uint16_t>(raw.size // raw.count)
    cdef uint16_t index
    for index in range(raw.count):
        write_u16(writer, OWNER_IS_QNAME)
        write_u16(writer, raw.rtype)
        write_u16(writer, IN)
        write_u32(writer, raw.ttl)
        write_u16(writer, size)
        write_octets(writer, raw.octets + <size_t>index * size, size)


cdef void _add_set(RecordSet* records, Writer* writer, size_t start, const RawSet* raw, uint16_t rtype, uint8_t form,
                   uint16_t count) noexcept nogil:
    records.at = <uint32_t>start
    records.size = <uint32_t>(writer.pos - start)
    records.ttl = raw.ttl
    records.rtype = rtype
    records.count = count
    records.form = form


cdef uint8_t _keep_service(RecordSet* records, Writer* writer, const RawSet* raw) noexcept nogil:
    """The block as it stands, and its plain A and AAAA records ready to be copied, those first."""
    cdef Asked nothing
    cdef ServiceWalk walk
    cdef uint8_t count = 0
    cdef uint32_t entries
    cdef size_t start
    nothing.labels = nothing.place_len = 0
    find_entries(raw.octets, raw.size, &nothing, &walk)
    if raw.derived.v4:
        start = writer.pos
        write_addresses(writer, &walk, 4, raw.ttl)
        _add_set(records + count, writer, start, raw, A, FIXED, <uint16_t>raw.derived.v4)
        count += 1
    if raw.derived.v6:
        start = writer.pos
        write_addresses(writer, &walk, 6, raw.ttl)
        _add_set(records + count, writer, start, raw, AAAA, FIXED, <uint16_t>raw.derived.v6)
        count += 1
    start = writer.pos
    write_octets(writer, raw.octets, raw.size)
    entries = raw.derived.entries if raw.derived.entries < 0xFFFF else 0xFFFF
    _add_set(records + count, writer, start, raw, raw.rtype, raw.form, <uint16_t>entries)
    return count + 1


cdef Status read_data(const uint8_t* octets, size_t size, NameData** made) noexcept nogil:
    """Check what a name is to hold and build it in one block."""
    cdef Reader reader = reader_over(octets, size)
    cdef RawSet raw[SETS_MAX]
    cdef uint16_t flags = read_u16(&reader)
    cdef uint8_t count = read_u8(&reader)
    cdef uint8_t kept = 0
    cdef uint8_t index
    cdef size_t total = 0
    cdef size_t start
    cdef NameData* data
    cdef RecordSet* records
    cdef Writer writer
    if count > SETS_MAX:
        return BROKEN
    for index in range(count):
        if _read_set(&reader, &raw[index]) != OK:
            return BROKEN
        total += _kept_size(&raw[index], &kept)
    if reader.failed or reader.pos != size or total > 0x7FFFFFFF:
        return BROKEN
    data = <NameData*>malloc(sizeof(NameData) + kept * sizeof(RecordSet) + total)
    if data == NULL:
        return NO_MEMORY
    data.size = <uint32_t>total
    data.flags = flags
    data.set_count = kept
    records = <RecordSet*>(data + 1)
    writer = writer_over(<uint8_t*>(records + kept), total)
    for index in range(count):
        if raw[index].form >= SERVICE:
            records += _keep_service(records, &writer, &raw[index])
            continue
        start = writer.pos
        if raw[index].form == FIXED:
            _keep_fixed(&writer, &raw[index])
        else:
            write_octets(&writer, raw[index].octets, raw[index].size)
        _add_set(records, &writer, start, &raw[index], raw[index].rtype, raw[index].form, raw[index].count)
        records += 1
    if writer.failed or writer.pos != total:
        free(data)
        return BROKEN
    made[0] = data
    return OK
