"""A reply of an upstream, written anew: the records that are kept, names compressed, the offsets of TTLs listed."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from fastdns._message cimport Reading, Reply, ReplyStatus
from fastdns._wire cimport Writer

cdef enum:
    SUFFIXES_MAX = 192          # names that later ones can be compressed against
    SLOTS = 512                 # of their hash table; a power of two

cdef struct Writing:
    Writer out
    uint16_t qname_len
    bint has_question           # its suffixes are known; most replies hold no other name
    uint32_t suffix_count
    uint32_t suffix_hash[SUFFIXES_MAX]
    uint16_t suffix_at[SUFFIXES_MAX]
    uint8_t slots[SLOTS]        # suffix + 1

# The stored message's header and question.
cdef void start_stored(Writer* out, const uint8_t* qname_key, uint16_t qname_len, uint16_t qtype, uint16_t qclass,
                       const Reply* reply) noexcept nogil
# The records kept, behind what start_stored wrote; REPLY_TOO_LARGE: no room.
cdef ReplyStatus write_records(Writing* writing, const Reading* reading, uint16_t* ttl_at, size_t ttl_at_size,
                               Reply* reply) noexcept nogil
