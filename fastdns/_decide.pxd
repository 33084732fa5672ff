"""Which answer a name table owes to a question: the outcome, and the record sets that say so."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from fastdns._packet cimport KEY_ROOM, Query
from fastdns._rrset cimport NameData, RecordSet
from fastdns._service cimport Asked, ServiceWalk
from fastdns._trie cimport Table, Walk, Zone

cpdef enum Outcome:
    PASS = 0                # the table has no zone for the name
    HIT = 1
    NODATA = 2
    NXDOMAIN = 3
    FAILED = 4              # SERVFAIL: the table isn't complete yet, or says so of names that it doesn't have
    FOLLOW = 5              # a CNAME leads out of the table
    RARE = 7                # the table holds what Python makes the answer from
    ALIAS = 6               # a CNAME, and nothing of the type where it leads

cdef enum:
    CHAIN_MAX = 11          # CNAMEs in a row, as CoreDNS

cdef struct Finding:
    # What was decided about a question, with the record sets that say so; good until the table changes.
    Outcome outcome
    const Table* table
    const Zone* zone        # of the question's name
    uint16_t zone_at        # where its name starts in the question's name
    uint8_t chain_len       # CNAMEs before the last name
    const RecordSet* chain[11]
    const NameData* chain_data[11]
    const NameData* data
    const RecordSet* records    # the set that answers; NULL: none, or SOA
    bint is_soa
    bint is_any             # every set of the name answers
    Asked asked             # of a SERVICE set
    ServiceWalk walk        # over what of the set the question matches
    uint32_t entries        # of a SERVICE set that the question matches
    uint8_t pod[256]        # a SERVICE block made for a pod's name
    uint16_t pod_len        # 0: none
    uint8_t target[KEY_ROOM]    # canonical last CNAME target, with FOLLOW
    uint16_t target_len
    uint8_t target_labels[128]  # offsets in target
    uint8_t target_label_count

cdef void find_answer(const Table* table, const Query* query, const Walk* begun, Finding* finding) noexcept nogil
cdef bint is_known(const Table* table, const uint8_t* name) noexcept nogil
