"""A query read into a plain struct, and the pieces that every answer is written from (RFC 1035 section 4, RFC 6891)."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from fastdns._wire cimport Reader, Writer

cpdef enum Wire:
    HEADER_SIZE = 12
    NAME_MAX = 255          # octets of a name on the wire, root included (RFC 1035 section 2.3.4)
    LABELS_MAX = 127
    KEY_ROOM = 264          # for a name in canonical form, whose labels are read in words of eight octets
    UDP_MIN = 512           # what every client takes (RFC 1035 section 4.2.1)
    UDP_OURS = 1232         # what we take and send over UDP unless configured otherwise (RFC 9715)
    MESSAGE_MAX = 65535
    OWNER_IS_QNAME = 0xC00C  # compression pointer to the question's name
    EDE_NONE = 0xFFFF       # no extended error; 0 is RFC 8914's "other"
    EDE_NOT_READY = 14      # RFC 8914 section 4.15

cpdef enum Flag:            # second 16 bits of the header
    QR = 0x8000
    AA = 0x0400
    TC = 0x0200
    RD = 0x0100
    RA = 0x0080
    AD = 0x0020
    CD = 0x0010
    OPCODE_MASK = 0x7800
    NOTIFY = 0x2000         # the opcode (RFC 1996)
    RCODE_MASK = 0x000F

cpdef enum Rcode:
    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    NOTAUTH = 9
    BADVERS = 16            # extended: its upper bits go into the OPT record

cpdef enum Type:
    A = 1
    NS = 2
    MD = 3
    MF = 4
    CNAME = 5
    SOA = 6
    MB = 7
    MG = 8
    MR = 9
    NULL_RR = 10
    PTR = 12
    HINFO = 13
    MINFO = 14
    MX = 15
    TXT = 16
    RP = 17
    AFSDB = 18
    RT = 21
    PX = 26
    AAAA = 28
    SRV = 33
    NAPTR = 35
    KX = 36
    DNAME = 39
    OPT = 41
    DS = 43
    RRSIG = 46
    NSEC = 47
    DNSKEY = 48
    NSEC3 = 50
    SVCB = 64
    HTTPS = 65
    TKEY = 249
    TSIG = 250
    IXFR = 251
    AXFR = 252
    MAILB = 253
    MAILA = 254
    ANY = 255

cpdef enum Class:
    IN = 1
    CHAOS = 3
    HESIOD = 4
    CLASS_NONE = 254
    CLASS_ANY = 255

cpdef enum QueryStatus:
    QUERY_OK = 0            # a standard query with one question
    QUERY_DROP = 1          # silence: no whole header, or a response
    QUERY_FORMERR = 2       # header readable; answer with id, opcode, RD and the question as far as it was read
    QUERY_NOTIMP = 3        # another opcode, or a meta type
    QUERY_BADVERS = 4       # EDNS version above 0 (RFC 6891 section 6.1.3)
    QUERY_NOTAUTH = 5       # signed with TSIG, and no key is known here (RFC 8945 section 5.2)

cdef struct Query:
    const uint8_t* wire     # the message, borrowed for the life of this struct
    size_t wire_len         # octets
    uint16_t id
    uint16_t flags          # as received
    uint16_t qtype
    uint16_t qclass
    uint16_t qname_len      # octets with the root label; the name stands at wire + HEADER_SIZE; 0: no question was read
    uint16_t udp_size       # what the client takes over UDP: at least UDP_MIN; UDP_MIN without EDNS
    uint8_t label_count     # root not counted
    bint has_edns
    bint wants_dnssec       # DO bit
    uint8_t label_at[128]   # offset of each label in the name, leftmost first
    uint8_t name_key[KEY_ROOM]  # the name in canonical form: lower-cased wire, qname_len octets

cdef QueryStatus read_query(const uint8_t* wire, size_t wire_len, Query* query) noexcept nogil
cdef QueryStatus read_notify(const uint8_t* wire, size_t wire_len, Query* query) noexcept nogil

cdef void write_header(Writer* writer, const Query* query, uint16_t flags, uint16_t ancount, uint16_t nscount,
                       uint16_t arcount) noexcept nogil
cdef void write_question(Writer* writer, const Query* query) noexcept nogil
cdef void write_opt(Writer* writer, const Query* query, uint16_t udp_max, uint16_t rcode, uint16_t ede) noexcept nogil
cdef void write_error(Writer* writer, const Query* query, uint16_t rcode, uint16_t udp_max, uint16_t ede) noexcept nogil

cdef bint skip_name(Reader* reader) noexcept nogil
cdef uint16_t expand_name(const uint8_t* wire, size_t wire_len, size_t pos, uint8_t* name, size_t* after) noexcept nogil
cdef void lower_name(uint8_t* name, uint16_t name_len) noexcept nogil
cdef uint8_t copy_key(const uint8_t* name, uint8_t* name_key, uint8_t* label_at) noexcept nogil
cdef bint is_below(const uint8_t* name_key, uint16_t name_len, const uint8_t* zone_key,
                   uint16_t zone_len) noexcept nogil
