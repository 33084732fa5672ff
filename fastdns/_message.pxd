"""A reply of an upstream, read: its question compared, its records found and checked, whatever they are for.

Reading holds where everything stands; Reply is what is known of a reply when all is done (fastdns/_reply.pxd).
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from fastdns._packet cimport AFSDB, CNAME, DNAME, KX, MB, MD, MF, MG, MINFO, MR, MX, NS, PTR, PX, RP, RT, SOA, SRV
from fastdns._wire cimport Reader

cdef enum:
    RECORDS_MAX = 4096          # of one reply; a message of 65,535 octets has room for 4,094 address records
    CHAIN_MAX = 16              # names from the question on, one CNAME apart
    POINTER_MAX = 0x4000        # RFC 1035 section 4.1.4: 14 bits
    POINTER_BITS = 0xC000
    RECORD_FIXED = 10           # type, class, TTL, rdlen
    HASH_FACTOR = 0x01000193
    META_FIRST = 128            # types that are no data (RFC 6895 section 3.1): 128 to 255, and OPT

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
    uint16_t ede            # what a client is told with it (RFC 8914); EDE_NONE: nothing
    bint has_alias          # the question's name is an alias
    bint has_hidden         # records were left out because of their type

cdef enum:
    HIDDEN_MAX = 16

cdef struct Hidden:         # types of records that are left out of answers; with one a SOA is kept whosever it is, as dnsmasq does
    uint16_t types[HIDDEN_MAX]
    uint8_t count

cdef enum Section:
    ANSWER = 0
    AUTHORITY = 1
    ADDITIONAL = 2

cdef struct Name:               # in the reply, checked
    uint32_t hash               # of its lower-cased octets
    uint16_t at                 # where its first label stands (pointers at its start followed)

cdef struct Record:
    Name owner
    Name target                 # the last name in the data; at = 0 without one
    uint16_t rtype
    uint16_t rclass
    uint16_t rdata_at
    uint16_t rdlen
    uint8_t section
    bint kept

cdef struct Layout:             # where names stand in a type's data
    uint8_t before              # octets before the first
    uint8_t names
    uint8_t behind              # octets behind the last
    bint compressible           # when sent (RFC 3597 section 4)

cdef struct Reading:
    const uint8_t* wire
    size_t size
    uint32_t glue_at            # the record that the last glue belonged to: the next often belongs to the one behind it
    uint16_t qtype
    uint16_t qclass
    uint32_t count              # of records
    uint32_t chain_len
    bint chain_is_clear         # False: an owner has two CNAMEs
    bint has_opt
    bint keeps_foreign          # the authority section is kept whatever zone it speaks for
    bint has_hidden
    uint32_t hidden_ttl         # the least of what is left out
    uint16_t question_at        # where the name stands that what is written is about; 0: it is not the question's
    const Hidden* hidden        # NULL: nothing is left out
    uint16_t rcode
    Name chain[CHAIN_MAX]
    Record records[RECORDS_MAX]

cdef bint is_equal_name(const Reading* reading, const Name* one, const Name* other) noexcept nogil
cdef bint is_at_or_below(const Reading* reading, const Name* name, const Name* zone) noexcept nogil
cdef bint read_question(Reading* reading, Reader* reader, const uint8_t* qname_key, uint16_t qname_len) noexcept nogil
cdef ReplyStatus read_records(Reading* reading, Reader* reader, const uint16_t* counts, bint truncated) noexcept nogil


cdef inline uint8_t fold(uint8_t octet) noexcept nogil:
    return octet + 32 if <uint8_t>(octet - 65) < 26 else octet


cdef inline uint32_t hash_octets(const uint8_t* octets, size_t count, uint32_t seed) noexcept nogil:
    cdef size_t at
    cdef uint32_t value = seed
    for at in range(count):
        value = (value ^ fold(octets[at])) * <uint32_t>HASH_FACTOR
    return value


cdef inline bint find_layout(uint16_t rtype, Layout* layout) noexcept nogil:
    """True if the type's data holds names that may come compressed (RFC 1035 section 3.3, RFC 3597 section 4)."""
    layout.before = 0
    layout.names = 1
    layout.behind = 0
    layout.compressible = True
    if rtype in (NS, CNAME, PTR, MB, MD, MF, MG, MR):
        return True
    if rtype == SOA:
        layout.names = 2
        layout.behind = 20
        return True
    if rtype == MX:
        layout.before = 2
        return True
    if rtype == MINFO:
        layout.names = 2
        return True
    layout.compressible = False
    if rtype == SRV:
        layout.before = 6
        return True
    if rtype == DNAME:
        return True
    if rtype in (AFSDB, RT, KX):
        layout.before = 2
        return True
    if rtype == RP:
        layout.names = 2
        return True
    if rtype == PX:
        layout.before = 2
        layout.names = 2
        return True
    return False


cdef inline bint is_same_name(const Reading* reading, const Name* one, const Name* other) noexcept nogil:
    return one.hash == other.hash and (one.at == other.at or is_equal_name(reading, one, other))
