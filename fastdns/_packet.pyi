"""A query read into a plain struct, and the pieces that every answer is written from (RFC 1035 section 4, RFC 6891)."""

import enum

class Wire(enum.IntEnum):
    HEADER_SIZE = 12
    NAME_MAX = 255
    LABELS_MAX = 127
    KEY_ROOM = 264
    UDP_MIN = 512
    UDP_OURS = 1232
    MESSAGE_MAX = 65535
    OWNER_IS_QNAME = 0xC00C
    EDE_NONE = 0xFFFF
    EDE_NOT_READY = 14

class Flag(enum.IntEnum):
    QR = 0x8000
    AA = 0x0400
    TC = 0x0200
    RD = 0x0100
    RA = 0x0080
    AD = 0x0020
    CD = 0x0010
    OPCODE_MASK = 0x7800
    NOTIFY = 0x2000
    RCODE_MASK = 0x000F

class Rcode(enum.IntEnum):
    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    NOTAUTH = 9
    BADVERS = 16

class Type(enum.IntEnum):
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

class Class(enum.IntEnum):
    IN = 1
    CHAOS = 3
    HESIOD = 4
    CLASS_NONE = 254
    CLASS_ANY = 255

class QueryStatus(enum.IntEnum):
    QUERY_OK = 0
    QUERY_DROP = 1
    QUERY_FORMERR = 2
    QUERY_NOTIMP = 3
    QUERY_BADVERS = 4
    QUERY_NOTAUTH = 5

def inspect_query(wire: bytes) -> tuple[QueryStatus, int, int, bytes, int, int, int, bool, bool]:
    """Read a message as a query; for tests and diagnosis."""

def refusal(wire: bytes, rcode: int, ede: int = ...) -> bytes:
    """The answer without records that a message is owed; empty if it is owed none."""

def expanded_name(wire: bytes, pos: int) -> tuple[bytes, int]:
    """The name at `pos` uncompressed, and the position behind it. Raises ValueError: the name is broken."""
