"""Random numbers of the kernel's generator, fetched in bulk. Inline functions only."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memset

from fastdns._sockets cimport getrandom
from fastdns._wire cimport load_u16

cdef enum:
    RANDOM_SIZE = 256           # getrandom() never gives fewer than asked up to this size

cdef struct Random:
    uint8_t octets[RANDOM_SIZE]
    uint32_t at                 # those before are used up


cdef inline void start_random(Random* random) noexcept nogil:
    random.at = RANDOM_SIZE


cdef inline uint16_t random_u16(Random* random) noexcept nogil:
    """16 bits, forgotten once used."""
    cdef uint16_t value
    if random.at + 2 > <uint32_t>RANDOM_SIZE:
        while getrandom(random.octets, RANDOM_SIZE, 0) != <ssize_t>RANDOM_SIZE:
            pass                # only EINTR, and only before the generator is first seeded
        random.at = 0
    value = load_u16(random.octets + random.at)
    memset(random.octets + random.at, 0, 2)
    random.at += 2
    return value


cdef inline uint32_t random_below(Random* random, uint32_t bound) noexcept nogil:
    """For small bounds; its bias is bound / 65536."""
    return (<uint32_t>random_u16(random) * bound) >> 16
