"""A reply of an upstream: compared with its question, stripped of what was not asked, and written anew for keeping.

A stored message is kept without OPT, with the question as its canonical key, names compressed against the question and each
other, and every TTL's offset listed, so that giving it to a client is a copy and a few patches.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from fastdns._message cimport Hidden, Reply, ReplyStatus

cdef ReplyStatus read_reply(const uint8_t* wire, size_t wire_len, const uint8_t* qname_key, uint16_t qname_len,
                            uint16_t qtype, uint16_t qclass, uint8_t* stored, size_t stored_size, uint16_t* ttl_at,
                            size_t ttl_at_size, bint keeps_foreign, const Hidden* hidden, Reply* reply) noexcept nogil

# As read_reply, of the name that `hops` aliases of the question lead to, which is written to `name` (NAME_MAX octets).
# REPLY_MISMATCH: there are not so many. `alias_only`: as if that name's CNAME had been asked for.
cdef ReplyStatus read_tail(const uint8_t* wire, size_t wire_len, const uint8_t* qname_key, uint16_t qname_len,
                           uint16_t qtype, uint16_t qclass, uint32_t hops, uint8_t* name, uint16_t* name_len,
                           uint8_t* stored, size_t stored_size, uint16_t* ttl_at, size_t ttl_at_size,
                           const Hidden* hidden, bint alias_only, Reply* reply) noexcept nogil

cdef bint make_failure(const uint8_t* qname_key, uint16_t qname_len, uint16_t qtype, uint16_t qclass, uint16_t rcode,
                       uint8_t* stored, size_t stored_size, Reply* reply) noexcept nogil
