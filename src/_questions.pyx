"""Questions: who waits for each, found by what is asked and by socket and id; as a message, and beside a reply."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from fastdns._key cimport Key
from fastdns._packet cimport FORMERR, HEADER_SIZE, OPCODE_MASK, OPT, QR, RCODE_MASK, UDP_OURS
from fastdns._pool cimport NO_SOCKET
from fastdns._wire cimport load_u16, store_u16, store_u32

cdef extern from *:
    ctypedef uint64_t uint128 "unsigned __int128"

cdef enum:
    OPT_SIZE = 11
    OPT_DO = 0x8000
    WAITERS_PER_QUESTION = 4


cdef bint open_questions(Questions* known, uint32_t questions_max) noexcept nogil:
    """False: no memory. What is not touched costs none. `seed` and `multiplier` are for the caller to draw."""
    cdef uint32_t size = 4
    memset(known, 0, sizeof(Questions))
    while size < questions_max * 2:
        size *= 2
    known.mask = size - 1
    known.questions_max = questions_max
    known.waiters_max = questions_max * WAITERS_PER_QUESTION
    known.questions = <Question*>calloc(questions_max, sizeof(Question))
    known.waiters = <Waiter*>calloc(known.waiters_max, sizeof(Waiter))
    known.by_question = <uint32_t*>calloc(size, sizeof(uint32_t))
    known.by_id = <uint32_t*>calloc(size, sizeof(uint32_t))
    known.free_question = known.free_waiter = NOTHING
    if known.questions == NULL or known.waiters == NULL or known.by_question == NULL or known.by_id == NULL:
        return False
    memset(known.by_question, 0xFF, size * sizeof(uint32_t))
    memset(known.by_id, 0xFF, size * sizeof(uint32_t))
    return True


cdef void close_questions(Questions* known) noexcept nogil:
    free(known.questions)
    free(known.waiters)
    free(known.by_question)
    free(known.by_id)


cdef Question* new_question(Questions* known, uint32_t* slot) noexcept nogil:
    """A question that is not used; NULL if all are."""
    if known.free_question != <uint32_t>NOTHING:
        slot[0] = known.free_question
        known.free_question = known.questions[slot[0]].next
    elif known.questions_used < known.questions_max:
        slot[0] = known.questions_used
        known.questions_used += 1
    else:
        return NULL
    return &known.questions[slot[0]]


cdef void fill_question(Question* question, uint32_t group, const Key* key, uint16_t flags,
                        uint32_t hash) noexcept nogil:
    memcpy(question.name, key.name_key, key.name_len)
    question.key = key[0]
    question.key.name_key = question.name
    question.group = group
    question.hash = hash
    question.flags = flags
    question.socket = NO_SOCKET
    question.first_waiter = NOTHING
    question.attempts = 0
    question.position = 0
    question.fails = 0
    question.retries = 0
    question.without_edns = False
    question.repeated = False
    question.sent_ns = 0


# --- lists of waiters -------------------------------------------------------------------------------------------------

cdef bint add_waiter(Questions* known, Question* question, uint64_t waiter) noexcept nogil:
    cdef uint32_t at = known.free_waiter
    if at != <uint32_t>NOTHING:
        known.free_waiter = known.waiters[at].next
    elif known.waiters_used < known.waiters_max:
        at = known.waiters_used
        known.waiters_used += 1
    else:
        return False
    known.waiters[at].waiter = waiter
    known.waiters[at].next = NOTHING
    if question.first_waiter == <uint32_t>NOTHING:
        question.first_waiter = at
    else:
        known.waiters[question.last_waiter].next = at
    question.last_waiter = at
    return True


cdef bint take_waiter(Questions* known, Question* question, uint64_t* waiter) noexcept nogil:
    cdef uint32_t at = question.first_waiter
    if at == <uint32_t>NOTHING:
        return False
    waiter[0] = known.waiters[at].waiter
    question.first_waiter = known.waiters[at].next
    known.waiters[at].next = known.free_waiter
    known.free_waiter = at
    return True


# --- by what is asked, and by socket and id ---------------------------------------------------------------------------

cdef inline uint64_t mix(uint64_t left, uint64_t right) noexcept nogil:
    cdef uint128 product = <uint128>left * right
    return <uint64_t>product ^ <uint64_t>(product >> 64)


cdef uint32_t hash_question(Questions* known, uint32_t group, const Key* key, uint16_t flags) noexcept nogil:
    """Seeded, so that nobody can choose names that collide."""
    cdef uint64_t value = known.seed ^ key.name_len
    cdef uint64_t word
    cdef size_t at = 0
    while at + 8 <= key.name_len:
        memcpy(&word, key.name_key + at, 8)
        value = mix(value ^ word, known.multiplier)
        at += 8
    word = 0
    memcpy(&word, key.name_key + at, key.name_len - at)
    value = mix(value ^ word, known.multiplier)
    word = (<uint64_t>group << 48) ^ (<uint64_t>key.qtype << 32) ^ (<uint64_t>key.qclass << 16) ^ flags
    word ^= <uint64_t>(1 if key.wants_dnssec else 0) << 15
    value = mix(value ^ word, known.multiplier)
    return <uint32_t>(value ^ (value >> 32))


cdef bint is_same(const Question* question, uint32_t group, const Key* key, uint16_t flags) noexcept nogil:
    return (
        question.group == group and question.flags == flags and question.key.name_len == key.name_len
        and question.key.qtype == key.qtype and question.key.qclass == key.qclass
        and (not question.key.wants_dnssec) == (not key.wants_dnssec)
        and memcmp(question.name, key.name_key, key.name_len) == 0
    )


cdef uint32_t find_question(Questions* known, uint32_t hash, uint32_t group, const Key* key,
                            uint16_t flags) noexcept nogil:
    """The question's index, NOTHING if nobody asks that."""
    cdef uint32_t at = hash & known.mask
    cdef uint32_t slot
    while True:
        slot = known.by_question[at]
        if slot == <uint32_t>NOTHING:
            return slot
        if known.questions[slot].hash == hash and is_same(&known.questions[slot], group, key, flags):
            return slot
        at = (at + 1) & known.mask


cdef inline uint32_t id_hash(Questions* known, uint16_t socket_at, uint16_t id) noexcept nogil:
    return <uint32_t>mix(known.seed ^ (<uint32_t>socket_at << 16 | id), known.multiplier)


cdef inline uint32_t home_of(Questions* known, uint32_t slot, bint by_id) noexcept nogil:
    cdef Question* question = &known.questions[slot]
    return (id_hash(known, question.socket, question.id) if by_id else question.hash) & known.mask


cdef void index_question(Questions* known, uint32_t slot, bint by_id) noexcept nogil:
    cdef uint32_t* index = known.by_id if by_id else known.by_question
    cdef uint32_t at = home_of(known, slot, by_id)
    while index[at] != <uint32_t>NOTHING:
        at = (at + 1) & known.mask
    index[at] = slot


cdef void unindex_question(Questions* known, uint32_t slot, bint by_id) noexcept nogil:
    """Take a question out, and move those behind it up, so that no marks of the dead are needed."""
    cdef uint32_t* index = known.by_id if by_id else known.by_question
    cdef uint32_t hole = home_of(known, slot, by_id)
    cdef uint32_t at, home
    while index[hole] != slot:
        if index[hole] == <uint32_t>NOTHING:
            return
        hole = (hole + 1) & known.mask
    at = hole
    while True:
        at = (at + 1) & known.mask
        if index[at] == <uint32_t>NOTHING:
            break
        home = home_of(known, index[at], by_id)
        if ((at - home) & known.mask) >= ((at - hole) & known.mask):
            index[hole] = index[at]
            hole = at
    index[hole] = NOTHING


cdef uint32_t find_by_id(Questions* known, uint16_t socket_at, uint16_t id) noexcept nogil:
    cdef uint32_t at = id_hash(known, socket_at, id) & known.mask
    cdef uint32_t slot
    while True:
        slot = known.by_id[at]
        if slot == <uint32_t>NOTHING:
            return slot
        if known.questions[slot].id == id and known.questions[slot].socket == socket_at:
            return slot
        at = (at + 1) & known.mask


# --- messages ---------------------------------------------------------------------------------------------------------

cdef size_t write_query(const Question* question, uint8_t* wire) noexcept nogil:
    """The message that is sent, its size; WIRE_SIZE octets hold any."""
    cdef size_t at = HEADER_SIZE
    memset(wire, 0, HEADER_SIZE)
    store_u16(wire, question.id)
    store_u16(wire + 2, question.flags)
    wire[5] = 1
    memcpy(wire + at, question.name, question.key.name_len)
    at += question.key.name_len
    store_u16(wire + at, question.key.qtype)
    store_u16(wire + at + 2, question.key.qclass)
    at += 4
    if question.without_edns:
        return at
    wire[11] = 1
    wire[at] = 0
    store_u16(wire + at + 1, OPT)
    store_u16(wire + at + 3, UDP_OURS)
    store_u32(wire + at + 5, OPT_DO if question.key.wants_dnssec else 0)
    store_u16(wire + at + 9, 0)
    return at + OPT_SIZE


cdef bint is_reply_to(const Question* question, const uint8_t* wire, size_t size) noexcept nogil:
    """True if the message answers the question: QR, opcode, one question with its name (in any case), type and class."""
    cdef uint16_t name_len = question.key.name_len
    cdef uint16_t at
    cdef uint8_t octet
    if size < <size_t>HEADER_SIZE + name_len + 4:
        return False
    if (load_u16(wire + 2) & (QR | OPCODE_MASK)) != QR or load_u16(wire + 4) != 1:
        return False
    for at in range(name_len):
        octet = wire[HEADER_SIZE + at]
        if <uint8_t>(octet - 65) < 26:
            octet += 32
        if octet != question.name[at]:
            return False
    return (load_u16(wire + HEADER_SIZE + name_len) == question.key.qtype
            and load_u16(wire + HEADER_SIZE + name_len + 2) == question.key.qclass)


cdef bint refuses_edns(const Question* question, const uint8_t* wire, size_t size) noexcept nogil:
    """True for the bare header with FORMERR that servers older than EDNS send (RFC 6891 section 7)."""
    return (size == <size_t>HEADER_SIZE and not question.without_edns and load_u16(wire + 4) == 0
            and (load_u16(wire + 2) & (QR | OPCODE_MASK | RCODE_MASK)) == (QR | FORMERR))
