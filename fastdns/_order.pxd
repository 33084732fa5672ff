"""The order of the addresses in an answer: those of preferred networks first, or one drawn by weight."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef struct Network:
    uint8_t size            # octets of an address: 4 or 16
    uint8_t bits            # length of the prefix
    uint8_t prefix[16]

cdef struct Weight:
    uint32_t hash           # of name and address
    uint32_t name_at        # of the canonical name, in `names`
    uint8_t size            # octets of the address
    uint8_t address[16]
    uint8_t weight          # 1 to 255

cdef class AddressOrder:
    cdef Network* networks  # owned
    cdef uint32_t network_count
    cdef Weight* weights    # owned, open addressing; weight 0: free
    cdef uint32_t weight_capacity   # a power of two, or 0
    cdef uint8_t* names     # owned: canonical names, one behind the other
    cdef uint64_t random

    cdef void order_addresses(self, uint8_t* wire, size_t size) noexcept nogil
    cdef void _fill(self, Weight* table, uint32_t capacity, uint8_t* names, object weights) except *
    cdef bint _is_preferred(self, const uint8_t* address, uint8_t size) noexcept nogil
    cdef uint8_t _weight_of(self, const uint8_t* name, size_t name_len, const uint8_t* address,
                            uint8_t size) noexcept nogil
    cdef uint32_t _draw(self, uint32_t below) noexcept nogil
    cdef void _prefer(self, uint8_t* wire, const uint32_t* rdata_at, uint32_t count, uint8_t size) noexcept nogil
    cdef void _lift(self, uint8_t* wire, const uint8_t* name, size_t name_len, const uint32_t* rdata_at, uint32_t count,
                    uint8_t size) noexcept nogil
