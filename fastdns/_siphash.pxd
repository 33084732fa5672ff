"""SipHash-1-3 (Aumasson, Bernstein 2012) with a random seed, so that nobody can aim at one bucket. Inline functions only."""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from fastdns._key cimport Key


cdef inline uint64_t _turn(uint64_t value, int bits) noexcept nogil:
    return (value << bits) | (value >> (64 - bits))


cdef inline void _mix(uint64_t* v) noexcept nogil:
    v[0] += v[1]
    v[2] += v[3]
    v[1] = _turn(v[1], 13) ^ v[0]
    v[3] = _turn(v[3], 16) ^ v[2]
    v[0] = _turn(v[0], 32)
    v[2] += v[1]
    v[0] += v[3]
    v[1] = _turn(v[1], 17) ^ v[2]
    v[3] = _turn(v[3], 21) ^ v[0]
    v[2] = _turn(v[2], 32)


cdef inline void _absorb(uint64_t* v, uint64_t word) noexcept nogil:
    v[3] ^= word
    _mix(v)
    v[0] ^= word


cdef inline uint64_t hash_key(const uint64_t* seed, const Key* key) noexcept nogil:
    """Hash all of a key; `seed` are two words."""
    cdef uint64_t v[4]
    cdef uint64_t word
    cdef size_t left = key.name_len
    cdef const uint8_t* at = key.name_key
    v[0] = seed[0] ^ <uint64_t>0x736F6D6570736575
    v[1] = seed[1] ^ <uint64_t>0x646F72616E646F6D
    v[2] = seed[0] ^ <uint64_t>0x6C7967656E657261
    v[3] = seed[1] ^ <uint64_t>0x7465646279746573
    word = (<uint64_t>key.name_len << 48) | (<uint64_t>key.qtype << 16) | key.qclass
    word |= (<uint64_t>(key.wants_dnssec != 0) << 32) | (<uint64_t>(key.checking_disabled != 0) << 33)
    _absorb(v, word)
    while left >= 8:
        memcpy(&word, at, 8)
        _absorb(v, word)
        at += 8
        left -= 8
    if left:
        word = 0
        memcpy(&word, at, left)
        _absorb(v, word)
    v[2] ^= 0xFF
    _mix(v)
    _mix(v)
    _mix(v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]
