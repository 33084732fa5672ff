"""Rules for a reply that was read, before it is kept and given: addresses that empty it, deny it or change in it, flags, TTLs."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from fastdns._message cimport Hidden, Reply

cpdef enum Verdict:
    VERDICT_KEEP = 0
    VERDICT_IGNORE = 1      # it is no reply at all
    VERDICT_BLOCKED = 2     # an address that no public name has: nothing is left of it
    VERDICT_BOGUS = 3       # an address that stands for names that don't exist: NXDOMAIN

cdef struct Network:
    uint8_t size            # octets of an address: 4 or 16
    uint8_t first[16]
    uint8_t last[16]
    uint8_t address[4]      # of an alias: what addresses become,
    uint8_t mask[4]         # in these bits

cdef struct Networks:
    Network* at             # owned
    uint32_t count

cdef struct ReplyRules:
    uint16_t clear_flags
    uint16_t set_flags
    uint32_t max_ttl        # 0: as it comes
    Hidden hidden           # types that are left out
    Networks ignored
    Networks bogus
    Networks blocked
    Networks aliases

# Apply the rules to a stored message whose question ends at `records_at`. `is_exempt`: nothing is blocked.
cdef Verdict judge_reply(const ReplyRules* rules, bint is_exempt, uint8_t* stored, size_t records_at, Reply* reply,
                         const uint16_t* ttl_at) noexcept nogil
# A reply without records, of a kind and an rcode, in the place of one.
cdef void empty_reply(uint8_t* stored, size_t records_at, Reply* reply, uint16_t rcode) noexcept nogil
# Cut off what a cache of records does not keep; False: nothing of it is kept. `reply.min_ttl` becomes how long it holds.
cdef bint trim_reply(const uint8_t* stored, size_t records_at, Reply* reply, uint32_t negative_ttl) noexcept nogil
cdef ReplyRules* make_rules(object described) except NULL
cdef void free_rules(ReplyRules* rules) noexcept nogil
