"""The bounded reader and writer: the only code that turns a position into an address.

Both are sticky. A step past the end sets `failed`, yields zero or does nothing, and so does every later step; a caller
checks once, at the end. Inline functions only, so that each user gets its own copy. Integers are in network order.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy


cdef struct Reader:
    const uint8_t* data     # borrowed; must outlive the reader
    size_t size             # octets at data
    size_t pos              # next octet; never above size
    bint failed


cdef struct Writer:
    uint8_t* data           # borrowed
    size_t size             # octets that may be written
    size_t pos              # octets written; never above size
    bint failed


cdef inline Reader reader_over(const uint8_t* data, size_t size) noexcept nogil:
    cdef Reader reader
    reader.data = data
    reader.size = size
    reader.pos = 0
    reader.failed = False
    return reader


cdef inline bint can_read(Reader* reader, size_t count) noexcept nogil:
    """True if `count` octets are left; else the reader fails."""
    if reader.failed or reader.size - reader.pos < count:
        reader.failed = True
        return False
    return True


cdef inline uint8_t read_u8(Reader* reader) noexcept nogil:
    cdef uint8_t value
    if not can_read(reader, 1):
        return 0
    value = reader.data[reader.pos]
    reader.pos += 1
    return value


cdef inline uint16_t load_u16(const uint8_t* at) noexcept nogil:
    """Two octets at an address already checked."""
    return <uint16_t>((<uint16_t>at[0] << 8) | at[1])


cdef inline uint32_t load_u32(const uint8_t* at) noexcept nogil:
    """Four octets at an address already checked."""
    return (<uint32_t>at[0] << 24) | (<uint32_t>at[1] << 16) | (<uint32_t>at[2] << 8) | at[3]


cdef inline void store_u16(uint8_t* at, uint16_t value) noexcept nogil:
    """Two octets to an address already checked."""
    at[0] = <uint8_t>(value >> 8)
    at[1] = <uint8_t>(value & 0xFF)


cdef inline void store_u32(uint8_t* at, uint32_t value) noexcept nogil:
    """Four octets to an address already checked."""
    at[0] = <uint8_t>(value >> 24)
    at[1] = <uint8_t>((value >> 16) & 0xFF)
    at[2] = <uint8_t>((value >> 8) & 0xFF)
    at[3] = <uint8_t>(value & 0xFF)


cdef inline uint16_t read_u16(Reader* reader) noexcept nogil:
    cdef uint16_t value
    if not can_read(reader, 2):
        return 0
    value = load_u16(reader.data + reader.pos)
    reader.pos += 2
    return value


cdef inline uint32_t read_u32(Reader* reader) noexcept nogil:
    cdef uint32_t value
    if not can_read(reader, 4):
        return 0
    value = load_u32(reader.data + reader.pos)
    reader.pos += 4
    return value


cdef inline const uint8_t* read_octets(Reader* reader, size_t count) noexcept nogil:
    """The address of the next `count` octets, which are then passed over; NULL if fewer are left."""
    cdef const uint8_t* at
    if not can_read(reader, count):
        return NULL
    at = reader.data + reader.pos
    reader.pos += count
    return at


cdef inline Writer writer_over(uint8_t* data, size_t size) noexcept nogil:
    cdef Writer writer
    writer.data = data
    writer.size = size
    writer.pos = 0
    writer.failed = False
    return writer


cdef inline bint can_write(Writer* writer, size_t count) noexcept nogil:
    """True if `count` octets have room; else the writer fails."""
    if writer.failed or writer.size - writer.pos < count:
        writer.failed = True
        return False
    return True


cdef inline void write_u8(Writer* writer, uint8_t value) noexcept nogil:
    if can_write(writer, 1):
        writer.data[writer.pos] = value
        writer.pos += 1


cdef inline void write_u16(Writer* writer, uint16_t value) noexcept nogil:
    if can_write(writer, 2):
        store_u16(writer.data + writer.pos, value)
        writer.pos += 2


cdef inline void write_u32(Writer* writer, uint32_t value) noexcept nogil:
    if can_write(writer, 4):
        store_u32(writer.data + writer.pos, value)
        writer.pos += 4


cdef inline void write_octets(Writer* writer, const uint8_t* octets, size_t count) noexcept nogil:
    if count and can_write(writer, count):
        memcpy(writer.data + writer.pos, octets, count)
        writer.pos += count


cdef inline uint8_t* reserve_octets(Writer* writer, size_t count) noexcept nogil:
    """The address of the next `count` octets, for the caller to fill; NULL if they have no room."""
    cdef uint8_t* at
    if not can_write(writer, count):
        return NULL
    at = writer.data + writer.pos
    writer.pos += count
    return at


cdef inline void patch_u16(Writer* writer, size_t pos, uint16_t value) noexcept nogil:
    """Write again over two octets already written."""
    if not writer.failed and pos + 2 <= writer.pos:
        store_u16(writer.data + pos, value)
    else:
        writer.failed = True


cdef inline void rewind_to(Writer* writer, size_t pos) noexcept nogil:
    """Forget what was written after `pos`, and that it did not fit."""
    if pos <= writer.pos:
        writer.pos = pos
        writer.failed = False
    else:
        writer.failed = True
