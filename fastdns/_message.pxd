"""A reply of an upstream: checked against its question, stripped of what was not asked, written anew; and given to clients.

A stored message is kept without OPT, with the question as its canonical key, names compressed against the question and each
other, and every TTL's offset listed, so that giving it to a client is a copy and a few patches.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from fastdns._packet cimport Query
from fastdns._wire cimport Writer

cpdef enum ReplyStatus:
    REPLY_OK = 0
    REPLY_MISMATCH = 1      # not an answer to this question (QR, opcode, class, name, type): wait for another
    REPLY_MALFORMED = 2     # ours, but broken (RFC 9267): the next upstream, else SERVFAIL; never stored
    REPLY_TOO_LARGE = 3     # whole, but over what we store: hand the client TC

cpdef enum ReplyKind:       # as CoreDNS's response.Typify and its cache sort them, for cache and log classes
    REPLY_SUCCESS = 0
    REPLY_NODATA = 1        # NOERROR with SOA and nothing of the type asked, behind a CNAME too
    REPLY_NXDOMAIN = 2
    REPLY_DELEGATION = 3
    REPLY_SERVER_ERROR = 4  # SERVFAIL, NOTIMP
    REPLY_OTHER_ERROR = 5   # REFUSED, FORMERR, ..., and NXDOMAIN behind a CNAME
    REPLY_EMPTY = 6         # NOERROR without answer and without SOA
    REPLY_UNRESOLVED = 7    # NOERROR with an answer that is not one (a CNAME that leads nowhere), without SOA: not kept

cdef struct Reply:
    ReplyKind kind
    uint16_t flags          # the header's, as received (AA, TC, RD, RA, AD, CD, rcode)
    uint16_t rcode          # extended by OPT
    bint truncated
    bint has_soa            # in the authority section
    uint16_t size           # octets of the stored message
    uint16_t ancount
    uint16_t nscount
    uint16_t arcount        # OPT not counted
    uint16_t ttl_count      # entries of ttl_at
    uint32_t min_ttl        # seconds, over all records; 0 without records
    uint16_t run_at         # offset of the first rdata of the answer's address records, 0: none or not rotatable
    uint16_t run_stride     # octets from one such rdata to the next
    uint16_t run_count
    uint16_t run_rdlen      # 4 or 16

cdef ReplyStatus read_reply(const uint8_t* wire, size_t wire_len, const uint8_t* qname_key, uint16_t qname_len,
                            uint16_t qtype, uint16_t qclass, uint8_t* stored, size_t stored_size, uint16_t* ttl_at,
                            size_t ttl_at_size, Reply* reply) noexcept nogil

cdef bint make_failure(const uint8_t* qname_key, uint16_t qname_len, uint16_t qtype, uint16_t qclass, uint16_t rcode,
                       uint8_t* stored, size_t stored_size, Reply* reply) noexcept nogil

cdef void write_stored(Writer* writer, const uint8_t* stored, const Reply* reply, const uint16_t* ttl_at,
                       const Query* query, uint32_t age, uint32_t fixed_ttl, bint ttl_is_fixed, bint clear_aa,
                       uint32_t rotation, size_t limit, uint16_t udp_max, uint16_t ede) noexcept nogil

cdef class StoredReply:             # a reply that was read, for Python
    cdef Reply reply
    cdef uint8_t* stored            # owned
    cdef uint16_t* ttl_at           # owned
    cdef readonly object status
