"""What tells two answers of upstreams apart: the key of the cache and of questions in flight. Declarations only."""

from libc.stdint cimport uint8_t, uint16_t


cdef struct Key:
    const uint8_t* name_key     # canonical: lower-cased wire, borrowed
    uint16_t name_len           # octets with the root label
    uint16_t qtype
    uint16_t qclass
    bint wants_dnssec
    bint checking_disabled
