"""IP addresses spelt as one label, with dashes for dots and colons: `10-0-0-1`, `2001-db8--1`."""

from libc.stdint cimport uint8_t

cdef bint parse_ipv4(const uint8_t* label, uint8_t* address) noexcept nogil
cdef bint parse_ipv6(const uint8_t* label, uint8_t* address) noexcept nogil
cdef bint is_mapped(const uint8_t* address) noexcept nogil
