"""A stored reply given to clients: patched, rotated, cut to the room that there is; and its Python face."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from fastdns._message cimport Reply
from fastdns._packet cimport Query
from fastdns._wire cimport Writer

cdef void write_stored(Writer* writer, const uint8_t* stored, const Reply* reply, const uint16_t* ttl_at,
                       const Query* query, uint32_t age, uint32_t fixed_ttl, bint ttl_is_fixed, bint clear_aa,
                       uint32_t rotation, size_t limit, uint16_t udp_max, uint16_t ede) noexcept nogil

cdef class StoredReply:             # a reply that was read, for Python
    cdef Reply reply
    cdef uint8_t* stored            # owned
    cdef uint16_t* ttl_at           # owned
    cdef readonly object status
