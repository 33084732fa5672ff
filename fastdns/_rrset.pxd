"""What a name holds: its record sets, checked once and made ready to answer with, in one block of memory."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

cdef enum Status:
    OK = 0
    BROKEN = 1              # octets end early, or a field is out of range
    NO_MEMORY = 2

cpdef enum DataFlag:
    TXT_NXDOMAIN = 1
    ONLY_THESE = 2
    POD_ADDRESSES = 4
    CNAME_NXDOMAIN = 8
    IN_PYTHON = 16
    ENTRY = 32
    ANY_TYPE = 128
    ALIVE = 256
    HIDDEN = 512
    NAMELESS = 1024
    PTR_NXDOMAIN = 64

cpdef enum Form:
    FIXED = 0
    WHOLE = 1
    ZONED = 2
    PRIMARY_ZONED = 3
    SERVICE = 4
    ZONAL = 5               # a SERVICE with ZONES, once it is kept: a delta says SERVICE

cdef struct RecordSet:
    uint32_t at             # of its octets, behind the NameData
    uint32_t size           # octets
    uint32_t ttl            # seconds
    uint16_t rtype
    uint16_t count          # records; of SERVICE the (address, port) pairs that answer for the Service itself
    uint8_t form            # FIXED: whole records on the wire, owner OWNER_IS_QNAME, all of one size

cdef struct NameData:
    # What a name holds: one block of memory, this header, then the sets, then their octets.
    uint32_t size           # octets of all sets
    uint16_t flags
    uint8_t set_count

cdef Status read_data(const uint8_t* octets, size_t size, NameData** made) noexcept nogil
cdef size_t data_size(const NameData* data) noexcept nogil
cdef bint is_whole_name(const uint8_t* name, size_t size, bint has_root) noexcept nogil
cdef inline const RecordSet* sets_of(const NameData* data) noexcept nogil:
    return <const RecordSet*>(data + 1)
cdef inline const uint8_t* octets_of(const NameData* data, const RecordSet* records) noexcept nogil:
    return <const uint8_t*>(sets_of(data) + data.set_count) + records.at
