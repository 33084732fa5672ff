"""The name table: a trie over labels from the root down; every node's children in a small hash table."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastdns._rrset cimport NameData

cpdef enum ZoneFlag:
    ENT_NODATA = 1
    SOA_APEX_ONLY = 2
    NO_SOA = 4
    MISS_SERVFAIL = 8
    WILDCARD_ONE_LABEL = 16
    NS_APEX_ONLY = 32
    STARS = 64
    PARTIAL = 128
    OWN_SPELLING = 512
    SRV_GLUE = 1024
    STAR_ENDINGS = 2048
    MISS_PASSES = 256

cdef struct Child:
    Node* node              # owned; NULL: free
    uint32_t hash

cdef struct Node:
    NameData* data          # owned; NULL: the name holds nothing
    Child* children         # owned, child_capacity entries, open addressing
    uint32_t child_count
    uint32_t child_capacity     # a power of two, or 0
    uint16_t zone           # index + 1 in the table's zones; 0: not an apex
    uint8_t label_len       # the label follows the struct

cdef struct Zone:
    uint8_t name[256]       # canonical
    uint16_t name_len
    uint16_t flags          # ZoneFlag
    uint16_t positive       # header flags of each outcome
    uint16_t nodata
    uint16_t nxdomain
    uint32_t soa_ttl        # seconds, at the apex; denials carry at most the minimum, which is in soa_tail
    uint8_t mname[64]       # labels before the zone's name, mname_len octets
    uint8_t mname_len
    uint8_t rname[64]
    uint8_t rname_len
    uint8_t soa_tail[16]    # refresh, retry, expire, minimum on the wire

cdef struct Table:
    Node* root
    Zone* zones             # owned, zone_count entries
    uint16_t zone_count
    bint is_synced
    uint32_t serial
    uint8_t primary[256]    # canonical zone that PRIMARY record data end in
    uint16_t primary_len
    uint64_t hash_seed
    size_t names            # nodes with data
    size_t nodes
    size_t octets           # memory taken, without malloc's own

cdef struct Match:
    const Zone* zone        # deepest zone that the name is in; NULL: none, nothing else is set
    const Node* node        # deepest node on the name's path
    const Node* above       # its parent; NULL at the root
    uint16_t zone_at        # offset of the zone's name in the question's name
    uint8_t remaining       # labels of the name left of node's name

cdef struct Walk:
    # A look-up on its way: all labels but the name's first are found, as far as there are nodes.
    const Table* table
    const Node* node        # deepest so far
    const Node* above
    const Node* child       # the node's child for the label that is next, if it was looked at; NULL: not known
    uint64_t head           # that label's first word, and
    uint32_t hash           # its hash, with has_hash
    bint has_hash
    uint8_t left            # labels not found yet
    uint16_t zone           # index + 1; 0: none so far
    uint8_t zone_left       # labels of the name before the zone's

cdef inline void set_no_walk(Walk* walk) noexcept nogil:
    walk.table = NULL
    walk.child = NULL
    walk.has_hash = False


cdef inline uint8_t* label_of(const Node* node) noexcept nogil:
    """The node's label, with its length octet."""
    return <uint8_t*>&node.label_len


cdef Table* new_table(uint64_t seed) noexcept nogil
cdef bint free_some(Table* table, uint32_t budget) noexcept nogil
cdef void free_all(Table* table) noexcept nogil
cdef void free_data(Table* table, Node* node) noexcept nogil
cdef Node* path_to(Table* table, const uint8_t* name, Node** path, uint8_t* depth, bint make) noexcept nogil
cdef void prune(Table* table, Node* node, Node** path, uint8_t depth) noexcept nogil
cdef Zone* zone_at(Table* table, Node* node) noexcept nogil

# `name_key` has KEY_ROOM octets, and a `label` as many as whole words of eight take.
cdef void start_walk(const Table* table, const uint8_t* name_key, const uint8_t* label_at, uint8_t label_count,
                     Walk* walk) noexcept nogil
cdef void fetch_child(Walk* walk) noexcept nogil
cdef void fetch_data(const Walk* walk) noexcept nogil
cdef void end_walk(const Walk* walk, const uint8_t* name_key, const uint8_t* label_at, uint8_t label_count,
                   Match* match) noexcept nogil
cdef void find_name(const Table* table, const uint8_t* name_key, const uint8_t* label_at, uint8_t label_count,
                    Match* match) noexcept nogil
cdef const Node* find_child(const Table* table, const Node* node, const uint8_t* label) noexcept nogil
