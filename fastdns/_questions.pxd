"""Questions: who waits for each, found by what is asked and by socket and id; as a message, and beside a reply.

Lists are linked by index, NOTHING ends them; nothing is allocated after open_questions.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastdns._key cimport Key
from fastdns._packet cimport NAME_MAX

cdef enum:
    NOTHING = 0xFFFFFFFF
    ORDER_MAX = 32              # upstreams of a group

cdef struct Question:
    uint64_t asked_ns
    uint64_t sent_ns
    uint64_t deadline_ns        # of the question as a whole
    uint32_t group
    uint32_t upstream           # index, the caller's
    uint32_t hash
    uint32_t next               # in the free list, the queue of its upstream, or the failed list
    uint32_t peer_previous      # of those on the same socket
    uint32_t peer_next
    uint32_t first_waiter
    uint32_t last_waiter
    uint32_t attempts           # tries that ended without a reply
    uint16_t socket             # NO_SOCKET: none
    uint16_t id
    uint16_t flags              # RD, AD and CD
    uint8_t state
    uint8_t failure
    uint8_t position            # in `order`, of the next upstream
    uint8_t fails               # upstreams found down since the list was started
    uint8_t retries             # replies that the caller did not want
    bint without_edns
    bint repeated
    uint8_t order[ORDER_MAX]
    Key key                     # its name is `name`
    uint8_t name[NAME_MAX + 1]

cdef struct Waiter:
    uint64_t waiter
    uint32_t next

cdef struct Questions:
    Question* questions         # owned, as is all below
    uint32_t questions_max
    uint32_t questions_used     # those above were never in the free list
    uint32_t free_question
    uint32_t live
    uint32_t* by_question       # open addressing, power of two
    uint32_t* by_id
    uint32_t mask
    Waiter* waiters
    uint32_t free_waiter
    uint32_t waiters_used       # those above were never in the free list
    uint32_t waiters_max
    uint64_t seed
    uint64_t multiplier         # odd

cdef bint open_questions(Questions* known, uint32_t questions_max) noexcept nogil
cdef void close_questions(Questions* known) noexcept nogil
cdef bint add_waiter(Questions* known, Question* question, uint64_t waiter) noexcept nogil
cdef bint take_waiter(Questions* known, Question* question, uint64_t* waiter) noexcept nogil
cdef uint32_t hash_question(Questions* known, uint32_t group, const Key* key, uint16_t flags) noexcept nogil
cdef uint32_t find_question(Questions* known, uint32_t hash, uint32_t group, const Key* key,
                            uint16_t flags) noexcept nogil
cdef void index_question(Questions* known, uint32_t slot, bint by_id) noexcept nogil
cdef void unindex_question(Questions* known, uint32_t slot, bint by_id) noexcept nogil
cdef uint32_t find_by_id(Questions* known, uint16_t socket_at, uint16_t id) noexcept nogil
cdef size_t write_query(const Question* question, uint8_t* wire) noexcept nogil
cdef bint is_reply_to(const Question* question, const uint8_t* wire, size_t size) noexcept nogil
cdef bint refuses_edns(const Question* question, const uint8_t* wire, size_t size) noexcept nogil
cdef Question* new_question(Questions* known, uint32_t* slot) noexcept nogil
cdef void fill_question(Question* question, uint32_t group, const Key* key, uint16_t flags,
                        uint32_t hash) noexcept nogil
