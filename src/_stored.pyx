"""A stored reply given to clients: patched, rotated, cut to the room that there is; and its Python face."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy

cimport cython

from fastdns._message import ReplyKind, ReplyStatus

from fastdns._message cimport ADDITIONAL, ANSWER, RECORDS_MAX, REPLY_OK, Reply, hash_octets
from fastdns._packet cimport (
    AA, AD, CD, EDE_NONE, HEADER_SIZE, IN, MESSAGE_MAX, NAME_MAX, QR, QUERY_OK, RA, RCODE_MASK, RD, SERVFAIL, TC,
    UDP_OURS, Query, read_query, skip_name, write_opt,
)
from fastdns._reply cimport read_reply
from fastdns._wire cimport (
    Reader, Writer, load_u16, load_u32, read_octets, read_u16, reader_over, reserve_octets, store_u16, store_u32,
    writer_over,
)

cdef enum:
    OPT_SIZE = 11               # without options
    EDE_SIZE = 6


cdef void _rotate_run(uint8_t* message, const uint8_t* stored, const Reply* reply, size_t end,
                      uint32_t rotation) noexcept nogil:
    """Copy the address run's data again, `rotation` places on."""
    cdef uint32_t count = reply.run_count
    cdef size_t stride = reply.run_stride
    cdef size_t size = reply.run_rdlen
    cdef uint8_t* to = message + reply.run_at
    cdef const uint8_t* first = stored + reply.run_at
    cdef const uint8_t* source
    cdef uint32_t place
    if reply.run_at + (count - 1) * stride + size > end:        # cut off with its set
        return
    place = rotation % count
    if place == 0:
        return
    source = first + place * stride
    for place in range(place, place + count):
        memcpy(to, source, size)
        to += stride
        source += stride
        if place + 1 == count:
            source = first


cdef size_t _cut_section(Reader* reader, uint16_t* count, size_t room) noexcept nogil:
    """Step over the whole record sets of a section that end within `room`; `count` becomes that of their records.

    A set is neighbours of one owner and type; signatures that follow a set are sets of their own.
    """
    cdef uint16_t left = count[0]
    cdef uint16_t rtype
    cdef uint16_t previous_type = 0
    cdef uint32_t owner
    cdef uint32_t previous_owner = 0
    cdef uint16_t whole = 0
    cdef uint16_t seen = 0
    cdef size_t end = reader.pos
    cdef size_t start
    while left:
        left -= 1
        start = reader.pos
        if not skip_name(reader):
            break
        owner = hash_octets(reader.data + start, reader.pos - start, 1)
        rtype = read_u16(reader)
        if seen and (rtype != previous_type or owner != previous_owner):
            whole = seen
            end = start
        previous_type = rtype
        previous_owner = owner
        read_octets(reader, 6)
        read_octets(reader, read_u16(reader))
        if reader.failed or reader.pos > room:
            count[0] = whole
            return end
        seen += 1
    count[0] = seen
    return reader.pos


cdef size_t _cut_message(const uint8_t* stored, const Reply* reply, size_t question_end, size_t room,
                         uint16_t* counts) noexcept nogil:
    """What of the stored message fits: whole sections from the front, whole record sets of the answer that doesn't fit.

    Returns where it ends; `counts` become those of what is left.
    """
    cdef Reader reader = reader_over(stored, reply.size)
    cdef size_t end
    cdef uint16_t asked
    cdef int section
    reader.pos = question_end
    for section in range(3):
        asked = counts[section]
        end = reader.pos
        end = _cut_section(&reader, &counts[section], room)
        if counts[section] == asked:
            continue
        if section == ANSWER:
            counts[1] = 0
        if section != ADDITIONAL:
            counts[2] = 0
        return end
    return reader.pos


cdef void write_stored(Writer* writer, const uint8_t* stored, const Reply* reply, const uint16_t* ttl_at,
                       const Query* query, uint32_t age, uint32_t fixed_ttl, bint ttl_is_fixed, bint clear_aa,
                       uint32_t rotation, size_t limit, uint16_t udp_max, uint16_t ede) noexcept nogil:
    """Write the answer to a client's query, whose name, type and class must be the stored ones.

    `fixed_ttl` is written into every record if `ttl_is_fixed`, else `age` seconds are taken off. `limit` is the largest
    message the client takes, in octets: over it, whole record sets are left out from the end, with TC set unless only
    additional ones were (RFC 2181 section 9). The writer fails if it lacks room, or if the stored message is not to this
    question.
    """
    cdef size_t question_end = <size_t>HEADER_SIZE + query.qname_len + 4
    cdef size_t opt_size = 0
    cdef size_t end = reply.size
    cdef uint16_t counts[3]
    cdef uint16_t flags = QR | (reply.flags & (AA | TC | RA | AD | RCODE_MASK)) | (query.flags & (RD | CD))
    cdef uint8_t* message
    cdef uint32_t ttl
    cdef uint16_t at
    if query.has_edns:
        opt_size = OPT_SIZE + (EDE_SIZE if ede != EDE_NONE else 0)
    elif reply.rcode > RCODE_MASK:                      # can't be said without OPT
        flags = (flags & ~<int>RCODE_MASK) | SERVFAIL
    if clear_aa:
        flags &= ~<int>AA
    if not query.wants_dnssec and not query.flags & AD:     # RFC 6840 section 5.8
        flags &= ~<int>AD
    if query.qname_len == 0 or question_end > query.wire_len or question_end > reply.size:
        writer.failed = True
        return
    counts[0] = reply.ancount
    counts[1] = reply.nscount
    counts[2] = reply.arcount
    if end + opt_size > limit:
        end = _cut_message(stored, reply, question_end, limit - opt_size if limit > opt_size else 0, counts)
        if counts[0] != reply.ancount or counts[1] != reply.nscount:
            flags |= TC
    message = reserve_octets(writer, end)
    if message == NULL:
        return
    memcpy(message + question_end, stored + question_end, end - question_end)
    store_u16(message, query.id)
    store_u16(message + 2, flags)
    store_u16(message + 4, 1)
    store_u16(message + 6, counts[0])
    store_u16(message + 8, counts[1])
    store_u16(message + 10, <uint16_t>(counts[2] + (1 if query.has_edns else 0)))
    memcpy(message + HEADER_SIZE, query.wire + HEADER_SIZE, <size_t>query.qname_len + 4)
    for at in range(reply.ttl_count):
        if <size_t>ttl_at[at] + 4 > end:
            break
        ttl = fixed_ttl
        if not ttl_is_fixed:
            ttl = load_u32(stored + ttl_at[at])
            ttl = ttl - age if ttl > age else 0
        store_u32(message + ttl_at[at], ttl)
    if reply.run_count:
        _rotate_run(message, stored, reply, end, rotation)
    write_opt(writer, query, udp_max, reply.rcode, ede)


# --- for Python -------------------------------------------------------------------------------------------------------


@cython.final
cdef class StoredReply:
    """A reply that was read: what Reply says, and the stored message."""

    def __cinit__(self, size_t stored_size, size_t ttl_at_size):
        self.stored = <uint8_t*>malloc(stored_size if stored_size else 1)
        self.ttl_at = <uint16_t*>malloc((ttl_at_size if ttl_at_size else 1) * sizeof(uint16_t))
        if self.stored == NULL or self.ttl_at == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.stored)
        free(self.ttl_at)

    @property
    def kind(self):
        return ReplyKind(self.reply.kind)

    @property
    def flags(self):
        return self.reply.flags

    @property
    def rcode(self):
        return self.reply.rcode

    @property
    def has_soa(self):
        return bool(self.reply.has_soa)

    @property
    def min_ttl(self):
        return self.reply.min_ttl

    @property
    def counts(self):
        """Records of answer, authority and additional section."""
        return self.reply.ancount, self.reply.nscount, self.reply.arcount

    @property
    def run(self):
        """(offset, stride, count, octets of one) of the addresses that can be rotated; zeros without any."""
        return self.reply.run_at, self.reply.run_stride, self.reply.run_count, self.reply.run_rdlen

    @property
    def wire(self):
        """The stored message."""
        return self.stored[:self.reply.size]

    @property
    def ttl_offsets(self):
        return [self.ttl_at[at] for at in range(self.reply.ttl_count)]

    def render(self, bytes query not None, *, int age=0, object ttl=None, bint clear_aa=False, int rotation=0,
               int limit=MESSAGE_MAX, int udp_max=UDP_OURS, int ede=EDE_NONE):
        """The answer to `query`; `ttl`: written into each record. Raises ValueError: it asks something else."""
        cdef Query asked
        cdef uint8_t* room
        cdef Writer writer
        cdef bint ttl_is_fixed = ttl is not None
        cdef uint32_t fixed_ttl = ttl if ttl_is_fixed else 0
        if self.status != REPLY_OK or read_query(<const uint8_t*>query, <size_t>len(query), &asked) != QUERY_OK:
            raise ValueError("no query, or nothing stored")
        if not _is_to(self.stored, &self.reply, &asked):
            raise ValueError("the query asks something else")
        room = <uint8_t*>malloc(MESSAGE_MAX)
        if room == NULL:
            raise MemoryError
        try:
            writer = writer_over(room, MESSAGE_MAX)
            write_stored(&writer, self.stored, &self.reply, self.ttl_at, &asked, <uint32_t>age, fixed_ttl, ttl_is_fixed,
                         clear_aa, <uint32_t>rotation, <size_t>limit, <uint16_t>udp_max, <uint16_t>ede)
            if writer.failed:
                raise ValueError("the answer has no room")
            return room[:writer.pos]
        finally:
            free(room)


cdef bint _is_to(const uint8_t* stored, const Reply* reply, const Query* query) noexcept nogil:
    """True if the stored message's question is the query's."""
    cdef size_t end = <size_t>HEADER_SIZE + query.qname_len
    if end + 4 > reply.size or memcmp(stored + HEADER_SIZE, query.name_key, query.qname_len) != 0:
        return False
    return load_u16(stored + end) == query.qtype and load_u16(stored + end + 2) == query.qclass


def normalise(bytes wire not None, bytes name not None, int qtype, int qclass=IN, *, size_t stored_size=MESSAGE_MAX,
              size_t ttl_at_size=RECORDS_MAX):
    """Read an upstream's reply to the question of the canonical `name`; its `status` says what came of it.

    The message is copied to a block of exactly its size first, so that a sanitizer sees an octet too far.
    """
    cdef size_t size = len(wire)
    cdef StoredReply read = StoredReply(stored_size, ttl_at_size)
    cdef uint8_t* copy
    if not 0 < len(name) <= NAME_MAX:
        raise ValueError("not a name on the wire")
    copy = <uint8_t*>malloc(size if size else 1)
    if copy == NULL:
        raise MemoryError
    try:
        if size:
            memcpy(copy, <const uint8_t*>wire, size)
        read.status = ReplyStatus(read_reply(
            copy, size, <const uint8_t*>name, <uint16_t>len(name), <uint16_t>qtype, <uint16_t>qclass, read.stored,
            stored_size, read.ttl_at, ttl_at_size, False, NULL, &read.reply))
    finally:
        free(copy)
    return read
