"""The message that a decision about a name becomes."""

from libc.stdint cimport uint16_t, uint32_t

from fastdns._decide cimport Finding
from fastdns._packet cimport Query
from fastdns._wire cimport Writer

cdef struct TtlBounds:      # what a cache in front of the table makes of TTLs; low above high: nothing
    uint32_t low
    uint32_t high

cdef struct Limits:         # of one answer
    size_t size             # octets
    uint16_t udp_max        # what OPT says
    uint32_t rotation       # how far address records are turned
    bint without_opt        # though the query had one
    TtlBounds success
    TtlBounds denial

cdef void write_finding(Writer* writer, const Query* query, const Finding* finding, const Limits* limits) noexcept nogil
