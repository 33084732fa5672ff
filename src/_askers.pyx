"""Who waits for an answer: clients whose query is on its way upstream or in Python, and notes of C for Python to
collect.

The pool is one array of fixed size, touched only as far as it was ever needed: a flood of questions costs no more
memory than that.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

import socket
import struct

from fastdns._packet cimport HEADER_SIZE, OPT, Query, copy_key
from fastdns._wire cimport load_u16

cdef enum:
    AF_INET = 2
    AF_INET6 = 10


cdef Note* add_note(NoteQueue* queue, NoteKind kind, const uint8_t* octets, size_t size) noexcept nogil:
    """Append a note with a copy of `octets`; NULL, and counted: the queue is full, or memory is short."""
    cdef Note* note = NULL
    if queue.count < queue.limit:
        note = <Note*>malloc(sizeof(Note) + size)
    if note == NULL:
        queue.dropped += 1
        return NULL
    memset(note, 0, sizeof(Note))
    note.kind = kind
    note.size = size
    if size:                        # nothing may come without an address
        memcpy(note_octets(note), octets, size)
    if queue.last == NULL:
        queue.first = note
    else:
        queue.last.next = note
    queue.last = note
    queue.count += 1
    return note


cdef Note* take_note(NoteQueue* queue) noexcept nogil:
    """The oldest note, for the caller to free; NULL: none."""
    cdef Note* note = queue.first
    if note != NULL:
        queue.first = note.next
        queue.count -= 1
        if queue.first == NULL:
            queue.last = NULL
    return note


cdef void free_notes(NoteQueue* queue) noexcept nogil:
    cdef Note* note = take_note(queue)
    while note != NULL:
        free(note)
        note = take_note(queue)


cdef bint make_askers(AskerPool* pool, uint32_t capacity) noexcept nogil:
    """False: out of memory. calloc's pages stay the kernel's zero page until they are used."""
    memset(pool, 0, sizeof(AskerPool))
    pool.askers = <Asker*>calloc(capacity, sizeof(Asker))
    pool.capacity = capacity if pool.askers != NULL else 0
    return pool.askers != NULL


cdef void free_askers(AskerPool* pool) noexcept nogil:
    free(pool.askers)
    memset(pool, 0, sizeof(AskerPool))


cdef Asker* take_asker(AskerPool* pool) noexcept nogil:
    """A free place; NULL: all are in use."""
    cdef Asker* asker
    cdef uint32_t generation
    if pool.first_free:
        asker = &pool.askers[pool.first_free - 1]
        pool.first_free = asker.next_free
    elif pool.untouched < pool.capacity:
        asker = &pool.askers[pool.untouched]
        pool.untouched += 1
    else:
        return NULL
    generation = asker.generation + 1
    memset(asker, 0, sizeof(Asker))
    asker.generation = generation if generation else 1
    asker.is_used = True
    pool.in_use += 1
    return asker


cdef void release_asker(AskerPool* pool, Asker* asker) noexcept nogil:
    asker.is_used = False
    asker.next_free = pool.first_free
    pool.first_free = <uint32_t>(asker - pool.askers) + 1
    pool.in_use -= 1


cdef uint64_t token_of(const AskerPool* pool, const Asker* asker) noexcept nogil:
    """A number that names the asker until it is released; never 0."""
    return (<uint64_t>asker.generation << 32) | <uint64_t>(asker - pool.askers)


cdef Asker* asker_of(AskerPool* pool, uint64_t token) noexcept nogil:
    """The asker that a token names; NULL: it was released."""
    cdef uint32_t index = <uint32_t>(token & 0xFFFFFFFFu)
    cdef Asker* asker
    if index >= pool.untouched:
        return NULL
    asker = &pool.askers[index]
    return asker if asker.is_used and asker.generation == <uint32_t>(token >> 32) else NULL


# --- alarms -----------------------------------------------------------------------------------------------------------

cdef bint make_alarms(AlarmRing* ring, uint32_t capacity) noexcept nogil:
    """False: out of memory."""
    memset(ring, 0, sizeof(AlarmRing))
    ring.alarms = <Alarm*>calloc(capacity, sizeof(Alarm))
    ring.capacity = capacity if ring.alarms != NULL else 0
    return ring.alarms != NULL


cdef void free_alarms(AlarmRing* ring) noexcept nogil:
    free(ring.alarms)
    memset(ring, 0, sizeof(AlarmRing))


cdef void _drop_first(AlarmRing* ring) noexcept nogil:
    ring.first = (ring.first + 1) % ring.capacity
    ring.count -= 1


cdef bint set_alarm(AlarmRing* ring, AskerPool* pool, uint64_t due_ns, uint64_t token) noexcept nogil:
    """Remember that an asker wants to be woken, not before all that are remembered. False: the ring is full."""
    cdef Alarm* alarm
    while ring.count and asker_of(pool, ring.alarms[ring.first].token) == NULL:
        _drop_first(ring)
    if ring.count == ring.capacity:
        return False
    alarm = &ring.alarms[(ring.first + ring.count) % ring.capacity]
    alarm.due_ns = due_ns
    alarm.token = token
    ring.count += 1
    return True


cdef Asker* take_due(AlarmRing* ring, AskerPool* pool, uint64_t now_ns) noexcept nogil:
    """The next asker whose time has come, out of the ring; NULL: none."""
    cdef Asker* asker
    while ring.count and ring.alarms[ring.first].due_ns <= now_ns:
        asker = asker_of(pool, ring.alarms[ring.first].token)
        _drop_first(ring)
        if asker != NULL:
            return asker
    return NULL


cdef void keep_query(Asker* asker, const Query* query) noexcept nogil:
    """Copy what answering a query takes; the caller has read it as QUERY_OK."""
    asker.id = query.id
    asker.flags = query.flags
    asker.qtype = query.qtype
    asker.qclass = query.qclass
    asker.qname_len = query.qname_len
    asker.udp_size = query.udp_size
    asker.query_size = <uint16_t>(query.wire_len if query.wire_len < 0xFFFF else 0xFFFF)
    asker.has_edns = query.has_edns
    asker.wants_dnssec = query.wants_dnssec
    memcpy(asker.wire, query.wire, <size_t>HEADER_SIZE + query.qname_len + 4)


cdef void restore_query(const Asker* asker, Query* query) noexcept nogil:
    """The query as it was kept; `query.wire` is the asker's own copy, header and question."""
    query.wire = &asker.wire[0]
    query.wire_len = <size_t>HEADER_SIZE + asker.qname_len + 4
    query.id = asker.id
    query.flags = asker.flags
    query.qtype = asker.qtype
    query.qclass = asker.qclass
    query.qname_len = asker.qname_len
    query.udp_size = asker.udp_size
    query.has_edns = asker.has_edns
    query.wants_dnssec = asker.wants_dnssec
    query.label_count = copy_key(&asker.wire[<size_t>HEADER_SIZE], query.name_key, query.label_at)


# --- addresses between C and Python ---------------------------------------------------------------------------------

cdef object remote_of(const Peer* peer):
    """(text, port) of a sockaddr."""
    cdef bytes raw = peer.remote[:ADDRESS_MAX]
    if peer.remote_len == 0:
        return "", 0
    if peer.remote[0] == AF_INET:
        return socket.inet_ntop(socket.AF_INET, raw[4:8]), load_u16(&peer.remote[2])
    address = socket.inet_ntop(socket.AF_INET6, raw[8:24])
    return address.removeprefix("::ffff:") if "." in address else address, load_u16(&peer.remote[2])


cdef void set_remote(Peer* peer, str address, int port) except *:
    """A sockaddr from (text, port); none if the address is empty."""
    cdef bytes raw
    peer.remote_len = 0
    if not address:
        return
    address = address.partition("%")[0]
    if ":" in address:
        octets = socket.inet_pton(socket.AF_INET6, address)
        raw = struct.pack("=HH", AF_INET6, socket.htons(port)) + bytes(4) + octets + bytes(4)
    else:
        raw = struct.pack("=HH", AF_INET, socket.htons(port)) + socket.inet_aton(address) + bytes(8)
    memcpy(peer.remote, <const uint8_t*>raw, <size_t>len(raw))
    peer.remote_len = <uint8_t>len(raw)


cdef object local_of(const Peer* peer):
    """The text of the address that was asked; empty: unknown."""
    if peer.local_family == AF_INET:
        return socket.inet_ntop(socket.AF_INET, peer.local[:4])
    if peer.local_family == AF_INET6:
        address = socket.inet_ntop(socket.AF_INET6, peer.local[:16])
        return address.removeprefix("::ffff:") if "." in address else address
    return ""


cdef void set_local(Peer* peer, str address) except *:
    cdef bytes raw
    peer.local_family = 0
    if not address:
        return
    address = address.partition("%")[0]
    peer.local_family = AF_INET6 if ":" in address else AF_INET
    raw = socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
    memcpy(peer.local, <const uint8_t*>raw, <size_t>len(raw))


cdef bint is_ipv6(const Peer* peer) noexcept nogil:
    """True for a client on IPv6; one on IPv4 that came through an IPv6 socket (::ffff:a.b.c.d) is none."""
    cdef uint8_t index
    if peer.remote_len == 0 or peer.remote[0] != AF_INET6:
        return False
    for index in range(8, 18):
        if peer.remote[index]:
            return True
    return peer.remote[18] != 0xFF or peer.remote[19] != 0xFF


cdef bytes query_octets(const uint8_t* wire, size_t size, bint has_edns, uint16_t udp_size, bint wants_dnssec):
    """A query made anew from its header and question: no options, nothing else."""
    cdef bytes head = wire[:size]
    opt = b"\0" + struct.pack("!HHIH", OPT, udp_size, 0x8000 if wants_dnssec else 0, 0) if has_edns else b""
    return head[:4] + struct.pack("!HHHH", 1, 0, 0, int(has_edns)) + head[HEADER_SIZE:] + opt
