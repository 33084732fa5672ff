"""What is counted of an answer, and noted for the log (see fastdns/_observe.pxd)."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t

from fastdns._askers cimport (
    INTERNAL,
    NOTE_ERROR,
    NOTE_LOG,
    NO_STEP,
    UDP,
    Asker,
    Note,
    Peer,
    add_note,
    free_notes,
    is_ipv6,
)
from fastdns._counters cimport (
    SYSTEM_AUTH,
    SYSTEM_MISSES,
    SYSTEM_RECURSIVE,
    SYSTEM_SLOTS,
    WORKER_UNDECIDED,
    Counters,
    observe_durations,
    observe_query,
    observe_system,
    observe_system_durations,
    type_slot,
)
from fastdns._exchange cimport FAILED_NO_PLUGIN
from fastdns._inflight cimport Answered
from fastdns._packet cimport ANY, CHAOS, HEADER_SIZE, PTR, RCODE_MASK, SERVFAIL, TC, Query
from fastdns._plan cimport PTR_ALONE, Block, Plan
from fastdns._wire cimport Writer, load_u16


cdef inline uint8_t _slot_of(const uint8_t* type_slots, uint16_t qtype) noexcept nogil:
    return type_slots[qtype if qtype < 256 else 0]      # 0 is `other`, as all above are


cdef class Observer(Plan):
    """Counts answers, and notes for Python what is to be logged."""

    def __cinit__(self, Counters counters not None, *, uint32_t inflight_max=16384):
        cdef uint16_t qtype
        self.finished_step = NO_STEP
        for qtype in range(256):
            self.type_slots[qtype] = <uint8_t>type_slot(qtype)
        self.logs.limit = self.errors.limit = NOTES_MAX

    def __dealloc__(self):
        free_notes(&self.logs)
        free_notes(&self.errors)

    cdef void _observe(self, Block* block, const Query* query, const Peer* peer, const uint8_t* answer,
                       size_t answer_size, uint64_t elapsed_ns) noexcept nogil:
        """Count one answer, and note it for the log. elapsed_ns 0: its duration is counted with its batch."""
        cdef uint16_t flags = load_u16(answer + 2) if answer_size >= HEADER_SIZE else 0
        cdef uint16_t rcode = flags & RCODE_MASK
        if peer.transport == INTERNAL:
            return
        observe_query(block.slots, peer.transport != UDP, is_ipv6(peer), _slot_of(self.type_slots, query.qtype),
                      query.wants_dnssec, query.wire_len, rcode, answer_size)
        if elapsed_ns:
            observe_durations(block.slots, elapsed_ns, 1)
        else:
            block.unobserved += 1
        if block.logs:
            self._note_answer(block, query, peer, answer, answer_size, elapsed_ns)
        if block.systems != NULL:
            self._observe_system(block, query, peer, flags, answer_size, elapsed_ns)

    cdef void _observe_system(self, const Block* block, const Query* query, const Peer* peer, uint16_t flags,
                              size_t answer_size, uint64_t elapsed_ns) noexcept nogil:
        """Count one answer as kube-dns does: a denial of its own over UDP twice, all but ANY as a miss of its cache."""
        cdef size_t system = block.system
        cdef uint64_t* slots
        if query.qtype == ANY or query.qclass == CHAOS:
            system = SYSTEM_AUTH
        elif block.manners & PTR_ALONE and query.qtype != PTR:
            system = SYSTEM_RECURSIVE
        slots = block.systems + system * SYSTEM_SLOTS
        observe_system(slots, system == SYSTEM_AUTH and peer.transport == UDP, flags & RCODE_MASK, flags & TC != 0,
                       answer_size)
        if system == SYSTEM_AUTH and query.qtype != ANY:
            slots[<size_t>SYSTEM_MISSES] += 1
        if elapsed_ns:
            observe_system_durations(slots, elapsed_ns, 1)

    cdef void _observe_undecided(self, const Query* query, const Peer* peer, const Writer* out) noexcept nogil:
        """Count an answer outside every server block."""
        if peer.transport != INTERNAL:
            observe_query(self.slots + <size_t>WORKER_UNDECIDED, peer.transport != UDP, is_ipv6(peer),
                          _slot_of(self.type_slots, query.qtype if query.qname_len else 0), query.wants_dnssec,
                          query.wire_len, load_u16(out.data + 2) & RCODE_MASK, out.pos)

    cdef void _note_answer(self, Block* block, const Query* query, const Peer* peer, const uint8_t* answer,
                           size_t answer_size, uint64_t elapsed_ns) noexcept nogil:
        cdef bint has_header = answer_size >= <size_t>HEADER_SIZE
        cdef Note* note
        if block.logs_answers:
            note = add_note(&self.logs, NOTE_LOG, answer, answer_size)
        else:
            note = add_note(&self.logs, NOTE_LOG, query.wire, <size_t>HEADER_SIZE + query.qname_len + 4)
        if note == NULL:
            return
        note.step = self.finished_step
        note.block = block.number
        note.elapsed_ns = elapsed_ns if elapsed_ns else monotonic_ns() - self.now_ns
        note.peer = peer[0]
        note.flags = load_u16(answer + 2) if has_header else 0
        note.rcode = note.flags & <uint16_t>RCODE_MASK
        # An empty answer with something in the authority section: NODATA, as CoreDNS sorts answers for its log.
        note.is_nodata = has_header and note.rcode == 0 and load_u16(answer + 6) == 0 and load_u16(answer + 8) != 0
        note.udp_size = query.udp_size
        note.query_size = <uint16_t>(query.wire_len if query.wire_len < 0xFFFF else 0xFFFF)
        note.has_edns = query.has_edns and not block.logs_answers
        note.wants_dnssec = query.wants_dnssec
        note.answer_size = answer_size

    cdef void _note_failure(self, Block* block, const Asker* asker, const Answered* answered) noexcept nogil:
        cdef Note* note
        if not block.notes_errors:
            return
        note = add_note(&self.errors, NOTE_ERROR, asker.wire, <size_t>HEADER_SIZE + asker.qname_len + 4)
        if note != NULL:
            note.block = asker.block
            note.rcode = SERVFAIL
            note.failure = answered.failure
            note.group = answered.group
            note.upstream = answered.upstream
            note.peer = asker.peer

    cdef void _note_end(self, const Block* block, const Query* query, const Peer* peer) noexcept nogil:
        """Note a query that no step of its block has ended."""
        cdef Note* note = add_note(&self.errors, NOTE_ERROR, query.wire, <size_t>HEADER_SIZE + query.qname_len + 4)
        if note != NULL:
            note.block = block.number
            note.rcode = SERVFAIL
            note.failure = FAILED_NO_PLUGIN
            note.group = note.upstream = 0
            note.peer = peer[0]

    cdef void _observe_batch(self, uint64_t elapsed_ns) noexcept nogil:
        """Count how long the answers of a batch took."""
        cdef uint32_t index
        for index in range(self.block_count):
            if self.blocks[index].unobserved:
                observe_durations(self.blocks[index].slots, elapsed_ns, self.blocks[index].unobserved)
                if self.blocks[index].systems != NULL:
                    observe_system_durations(
                        self.blocks[index].systems + <size_t>self.blocks[index].system * <size_t>SYSTEM_SLOTS, elapsed_ns,
                        self.blocks[index].unobserved)
                self.blocks[index].unobserved = 0
