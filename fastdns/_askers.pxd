"""Who waits for an answer: clients whose query is on its way upstream or in Python, and notes of C for Python to
collect."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastdns._packet cimport Query

cdef enum:
    ADDRESS_MAX = 28        # sizeof(sockaddr_in6)
    QUESTION_MAX = 259      # name, type, class

cpdef enum Transport:
    UDP = 0                 # answered through the listener's send function
    STREAM = 1              # TCP or TLS: answered through completed()
    INTERNAL = 2            # a look-up of our own: as STREAM

cdef struct Peer:
    # Who asked, and where the answer leaves from.
    uint8_t transport       # Transport
    uint8_t remote_len      # octets of remote
    uint8_t local_family    # AF_INET, AF_INET6, or 0: unknown, the kernel chooses
    uint16_t listener
    uint32_t local_index    # interface
    uint8_t local[16]       # address that was asked
    uint8_t remote[28]      # sockaddr_in or sockaddr_in6

cdef struct Asker:
    Peer peer
    uint32_t generation     # tells two users of one place apart
    uint32_t block
    uint32_t next_free
    uint8_t step            # where to go on in the block
    bint is_used
    bint in_python          # handed out as Slow
    bint no_limit           # an answer of any size will do
    bint accepts_stale      # the cache holds a stale answer, for when upstreams fail
    bint stays              # its place is kept behind the answer: what it asked goes on for the cache's sake
    bint is_answered        # no second answer is owed
    uint8_t pending         # of a spread: upstreams that have not answered yet
    bint asked_all          # of a spread: no other upstream is left
    uint16_t rcode          # of a spread: what an upstream has said that others were waited for; 0: nothing
    uint64_t started_ns
    # the query, without its options
    uint16_t id
    uint16_t flags
    uint16_t qtype
    uint16_t qclass
    uint16_t qname_len
    uint16_t udp_size
    uint16_t query_size     # octets as received
    bint has_edns
    bint wants_dnssec
    uint8_t wire[271]       # header and question, as received

cdef enum:
    NO_STEP = 0xFF

cpdef enum NoteKind:
    NOTE_COMPLETED = 0      # octets: an answer
    NOTE_LOG = 1            # octets: header and question of the query
    NOTE_ERROR = 2          # likewise

cdef struct Note:
    Note* next
    NoteKind kind
    uint32_t block
    uint64_t token          # NOTE_COMPLETED
    uint64_t elapsed_ns
    Peer peer
    uint16_t rcode
    uint16_t flags          # of the answer
    uint16_t udp_size
    uint16_t query_size
    bint has_edns
    bint wants_dnssec
    bint is_nodata          # NOTE_LOG
    uint8_t step            # NOTE_LOG: where the query was parked last; NO_STEP: it was answered at once
    uint8_t failure         # NOTE_ERROR
    uint32_t group          # NOTE_ERROR
    uint32_t upstream       # NOTE_ERROR
    size_t answer_size
    size_t size             # octets behind the struct

cdef struct NoteQueue:
    Note* first
    Note* last
    size_t count
    size_t limit            # notes beyond it are dropped
    uint64_t dropped

cdef inline uint8_t* note_octets(Note* note) noexcept nogil:
    return <uint8_t*>(note + 1)

cdef Note* add_note(NoteQueue* queue, NoteKind kind, const uint8_t* octets, size_t size) noexcept nogil
cdef Note* take_note(NoteQueue* queue) noexcept nogil
cdef void free_notes(NoteQueue* queue) noexcept nogil

cdef struct AskerPool:
    Asker* askers           # owned, `capacity` of them
    uint32_t capacity
    uint32_t first_free     # index + 1; 0: none
    uint32_t in_use
    uint32_t untouched      # first index never used

cdef struct Alarm:
    uint64_t due_ns
    uint64_t token          # of an asker, which may be gone

cdef struct AlarmRing:
    # In the order of their time, since all of a ring wait equally long.
    Alarm* alarms           # owned, `capacity` of them
    uint32_t capacity
    uint32_t first
    uint32_t count

cdef bint make_alarms(AlarmRing* ring, uint32_t capacity) noexcept nogil
cdef void free_alarms(AlarmRing* ring) noexcept nogil
cdef bint set_alarm(AlarmRing* ring, AskerPool* pool, uint64_t due_ns, uint64_t token) noexcept nogil
cdef Asker* take_due(AlarmRing* ring, AskerPool* pool, uint64_t now_ns) noexcept nogil

cdef bint make_askers(AskerPool* pool, uint32_t capacity) noexcept nogil
cdef void free_askers(AskerPool* pool) noexcept nogil
cdef Asker* take_asker(AskerPool* pool) noexcept nogil
cdef void release_asker(AskerPool* pool, Asker* asker) noexcept nogil
cdef uint64_t token_of(const AskerPool* pool, const Asker* asker) noexcept nogil
cdef Asker* asker_of(AskerPool* pool, uint64_t token) noexcept nogil
cdef void keep_query(Asker* asker, const Query* query) noexcept nogil
cdef void restore_query(const Asker* asker, Query* query) noexcept nogil

cdef object remote_of(const Peer* peer)
cdef void set_remote(Peer* peer, str address, int port) except *
cdef object local_of(const Peer* peer)
cdef void set_local(Peer* peer, str address) except *
cdef bint is_ipv6(const Peer* peer) noexcept nogil
cdef bytes query_octets(const uint8_t* wire, size_t size, bint has_edns, uint16_t udp_size, bint wants_dnssec)
