"""A Kubernetes Service in one block of octets: its addresses, ports and endpoints, and what A, AAAA and SRV find in it.

The layout is the SERVICE form of a delta (drawn in fastdns/_names.pxd). A block is checked once, by check_service,
before it is kept; three bits of each address's family octet then tell what else of the block is equal to it.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from fastdns._packet cimport Query
from fastdns._wire cimport Reader, Writer

cpdef enum ServiceFlag:
    HEADLESS = 1
    POD = 2
    ZONES = 4
    CLUSTERS = 8

cdef enum:
    PLACED = 12             # ZONES or CLUSTERS: groups of endpoints begin with labels
    FAMILY_MASK = 0x0F
    NAME_REPEATS = 0x80     # another address of these groups has the same endpoint name
    ADDRESS_REPEATS = 0x40  # another address is equal
    ADDRESS_SEEN = 0x20     # an address before it is equal

cdef struct Asked:
    # The part of a question that stands left of a Service's name.
    uint8_t labels          # 0: the Service itself; 1: an endpoint; 2: a port and a protocol, or endpoint and cluster
    const uint8_t* first    # leftmost label, with its length octet, canonical
    const uint8_t* second
    const uint8_t* place    # with ZONES: labels of the zone that is asked for
    uint8_t place_len       # 0: any

cdef struct ServiceWalk:
    # A pass over the entries of a block that a question matches; a copy begins where its original stands.
    Reader reader
    const Asked* asked      # borrowed, as is the block
    const uint8_t* name     # the Service's labels below its zone, no root
    uint8_t name_len
    uint8_t flags           # ServiceFlag
    bint own                # walks the Service's own groups, not its endpoints
    bint by_endpoint        # the question names an endpoint
    bint by_port            # the question names a port and a protocol
    bint counts_once        # the question has nothing left of the Service's name: equal addresses are one
    bint is_first           # the address is the first of its group
    bint own_repeats        # the Service's own groups are several, with the same name
    bint bare               # a port of the Service's own matched, without any address
    uint16_t groups_left
    const uint8_t* place    # labels of the group's zone or cluster; NULL: groups have none
    uint8_t place_len
    uint8_t matching        # ports that the question matches
    size_t first_port       # where the first of these stands
    bint has_number         # one of these is a real port, which SRV tells
    bint port_repeats       # two of these may have the same number
    uint32_t addresses_left     # of the group
    uint8_t dashed[4]       # the asked endpoint label as an IPv4 address, if is_dashed
    bint is_dashed

cdef struct Addresses:      # how many addresses of each family answer a question
    uint32_t v4             # equal ones are counted once where nothing stands left of the Service's name
    uint32_t v6
    uint32_t entries        # (address, port) pairs, equal ones counted: what SRV weights are shares of
    bint bare               # no address, but the name exists: a ServiceImport that has no IPs yet

cdef struct Zonal:
    # Where the zone of an answer is spelt: record data of the cluster ends in it.
    const uint8_t* name     # as the question spells it, root included
    uint16_t name_len

cdef bint check_service(uint8_t* octets, size_t size) noexcept nogil
cdef void find_entries(const uint8_t* octets, size_t size, const Asked* asked, ServiceWalk* walk) noexcept nogil
cdef void count_addresses(const ServiceWalk* begun, uint8_t family, Addresses* found) noexcept nogil
cdef void write_addresses(Writer* writer, const ServiceWalk* begun, uint8_t family, uint32_t ttl) noexcept nogil
cdef uint16_t write_services(Writer* writer, const ServiceWalk* begun, uint32_t entries, uint32_t ttl, const Zonal* zone,
                             uint16_t* service_at) noexcept nogil
cdef uint16_t write_glue(Writer* writer, const ServiceWalk* begun, uint32_t ttl, uint16_t service_at) noexcept nogil
cdef bint write_pod(Writer* writer, const uint8_t* label, const uint8_t* below, size_t below_len) noexcept nogil
