"""A Kubernetes Service in one block of octets: its addresses, ports and endpoints, and what A, AAAA and SRV find in it.

What CoreDNS's kubernetes plugin does with a list of objects, entry by entry, is done here over the block: an entry is
a pair of an address and a port of its group that the question matches.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy

from fastdns._dashed cimport is_mapped, parse_ipv4, parse_ipv6
from fastdns._packet cimport AAAA, IN, OWNER_IS_QNAME, SRV, A
from fastdns._wire cimport (
    Reader,
    Writer,
    patch_u16,
    read_octets,
    read_u8,
    read_u16,
    read_u32,
    reader_over,
    write_octets,
    write_u8,
    write_u16,
    write_u32,
)

cdef enum:
    LABEL_MAX = 63
    UNDERSCORE = 95
    DASH = 45
    PORTS_MAX = 255
    POINTER = 0xC000
    DASHED_MAX = 15         # "255-255-255-255"


cdef struct Port:
    uint16_t number
    uint8_t name_len
    uint8_t protocol_len
    const uint8_t* name
    const uint8_t* protocol


cdef struct Address:
    uint8_t family          # with its NAME_SEEN and ADDRESS_SEEN bits
    uint8_t size            # 4 or 16
    uint8_t label_len
    const uint8_t* octets
    const uint8_t* label


cdef struct Walk:
    # A pass over the entries that a question matches.
    Reader reader
    const uint8_t* name     # the Service's labels below its zone, no root
    uint8_t name_len
    bint own                # walks the Service's own groups, not its endpoints
    uint16_t groups_left
    const uint8_t* ports    # of the group that the walk is in
    uint8_t port_count
    uint8_t matching        # ports that the question matches
    uint8_t first_matching  # index of the first of these
    const uint8_t* first_port   # and where it stands
    bint has_number         # one of these is a real port, which SRV tells
    uint32_t addresses_left     # of the group
    uint8_t dashed[4]       # the asked endpoint label as an IPv4 address, if is_dashed
    bint is_dashed


# --- reading the block ----------------------------------------------------------------------------------------------

cdef void _read_port(Reader* reader, Port* port) noexcept nogil:
    port.number = read_u16(reader)
    port.name_len = read_u8(reader)
    port.name = read_octets(reader, port.name_len)
    port.protocol_len = read_u8(reader)
    port.protocol = read_octets(reader, port.protocol_len)


cdef bint _is_portless(const Port* port) noexcept nogil:
    """The stand-in that a Service or slice without ports has, so that its addresses are still found."""
    return port.number == 65535 and port.name_len == 0 and port.protocol_len == 0


cdef void _read_address(Reader* reader, Address* address) noexcept nogil:
    address.family = read_u8(reader)
    address.size = 4 if (address.family & FAMILY_MASK) == 4 else 16
    address.octets = read_octets(reader, address.size)
    address.label_len = read_u8(reader)
    address.label = read_octets(reader, address.label_len)


cdef uint32_t _skip_ports(Reader* reader) noexcept nogil:
    """Read over a group's head; how many addresses follow."""
    cdef Port port
    cdef uint8_t left = read_u8(reader)
    while left and not reader.failed:
        left -= 1
        _read_port(reader, &port)
    return read_u32(reader)


cdef void _skip_groups(Reader* reader, uint16_t count) noexcept nogil:
    cdef uint32_t addresses
    cdef Address address
    while count and not reader.failed:
        count -= 1
        addresses = _skip_ports(reader)
        while addresses and not reader.failed:
            addresses -= 1
            _read_address(reader, &address)


# --- checking it ----------------------------------------------------------------------------------------------------

cdef uint64_t _mix(uint64_t seed, const uint8_t* octets, size_t size) noexcept nogil:
    """FNV-1a: good enough to find equal names in one Service's own block."""
    cdef size_t at
    cdef uint64_t value = seed ^ 0xCBF29CE484222325u
    for at in range(size):
        value = (value ^ octets[at]) * 0x100000001B3u
    return value ^ (value >> 29)


cdef bint _same_name(const Address* left, const Address* right) noexcept nogil:
    if left.label_len != right.label_len:
        return False
    if left.label_len == 0:         # both are named after their address
        return left.size == right.size and memcmp(left.octets, right.octets, left.size) == 0
    return memcmp(left.label, right.label, left.label_len) == 0


cdef bint _same_address(const Address* left, const Address* right) noexcept nogil:
    return left.size == right.size and memcmp(left.octets, right.octets, left.size) == 0


cdef bint _was_seen(uint32_t* table, uint32_t mask, uint8_t* base, size_t size, const Address* address, size_t at,
                    bint by_name) noexcept nogil:
    """Look an address up in a set of earlier ones (positions + 1 in `base`); add it if it is new."""
    cdef Reader reader
    cdef Address other
    cdef uint32_t slot
    if by_name and address.label_len:
        slot = <uint32_t>_mix(1, address.label, address.label_len) & mask
    else:
        slot = <uint32_t>_mix(2, address.octets, address.size) & mask
    while table[slot]:
        reader = reader_over(base, size)
        reader.pos = table[slot] - 1
        _read_address(&reader, &other)
        if _same_name(address, &other) if by_name else _same_address(address, &other):
            return True
        slot = (slot + 1) & mask
    table[slot] = <uint32_t>(at + 1)
    return False


cdef bint _mark_seen(uint8_t* octets, size_t size, size_t groups_at, uint16_t groups, bint is_own) noexcept nogil:
    """Set the SEEN bits of every address of a run of groups. False: out of memory."""
    cdef Reader reader = reader_over(octets, size)
    cdef uint32_t left
    cdef Address address
    cdef uint32_t mask = 15
    cdef uint32_t* names
    cdef uint32_t* addresses
    cdef size_t at
    cdef bint is_first = True
    while mask < size // 3:         # an address has at least 6 octets: the tables stay half empty
        mask = mask * 2 + 1
    names = <uint32_t*>calloc(2 * (<size_t>mask + 1), sizeof(uint32_t))
    if names == NULL:
        return False
    addresses = names + mask + 1
    reader.pos = groups_at
    while groups:
        groups -= 1
        left = _skip_ports(&reader)
        while left:
            left -= 1
            at = reader.pos
            _read_address(&reader, &address)
            octets[at] = address.family & FAMILY_MASK
            if not is_first if is_own else _was_seen(names, mask, octets, size, &address, at, True):
                octets[at] |= NAME_SEEN         # a Service's own addresses all have its name
            if _was_seen(addresses, mask, octets, size, &address, at, False):
                octets[at] |= ADDRESS_SEEN
            is_first = False
    free(names)
    return True


cdef bint _check_name(Reader* reader) noexcept nogil:
    """Labels without root, filling their size octet exactly."""
    cdef uint8_t size = read_u8(reader)
    cdef uint8_t label
    cdef size_t end = reader.pos + size
    if size == 0:
        return False
    while reader.pos < end and not reader.failed:
        label = read_u8(reader)
        if label == 0 or label > LABEL_MAX:
            return False
        read_octets(reader, label)
    return reader.pos == end and not reader.failed


cdef bint _check_groups(Reader* reader, uint16_t count, bint is_own) noexcept nogil:
    """Only a Service's own addresses and IPv4 endpoints go without a label: it can't be derived from an IPv6 address.
    """
    cdef uint32_t addresses
    cdef Address address
    while count:
        count -= 1
        addresses = _skip_ports(reader)
        while addresses and not reader.failed:
            addresses -= 1
            _read_address(reader, &address)
            if (address.family != 4 and address.family != 6) or address.label_len > LABEL_MAX:
                return False
            if address.label_len == 0 and address.family == 6 and not is_own:
                return False
        if reader.failed:
            return False
    return True


cdef bint check_service(uint8_t* octets, size_t size) noexcept nogil:
    """True if the block is well-formed; its SEEN bits are then set. False too when memory is short."""
    cdef Reader reader = reader_over(octets, size)
    cdef uint16_t own_groups, endpoint_groups
    cdef size_t own_at, endpoints_at
    if not _check_name(&reader):
        return False
    read_u8(&reader)
    own_groups = read_u16(&reader)
    own_at = reader.pos
    if not _check_groups(&reader, own_groups, True):
        return False
    endpoint_groups = read_u16(&reader)
    endpoints_at = reader.pos
    if not _check_groups(&reader, endpoint_groups, False) or reader.failed or reader.pos != size:
        return False
    return (_mark_seen(octets, size, own_at, own_groups, True)
            and _mark_seen(octets, size, endpoints_at, endpoint_groups, False))


# --- what a question matches ----------------------------------------------------------------------------------------

cdef bint _label_is(const uint8_t* asked, const uint8_t* text, uint8_t text_len) noexcept nogil:
    """Compare a canonical label with a name of the block, whatever its case."""
    cdef uint8_t at, octet
    if asked[0] != text_len:
        return False
    for at in range(text_len):
        octet = text[at]
        if <uint8_t>(octet - 65) < 26:
            octet += 32
        if asked[1 + at] != octet:
            return False
    return True


cdef bint _service_label_is(const uint8_t* asked, const uint8_t* text, uint8_t text_len) noexcept nogil:
    """As _label_is, for a port or a protocol: an underscore in front is optional, and nothing else stands for any."""
    cdef uint8_t size = asked[0]
    cdef uint8_t at
    asked += 1
    if size and asked[0] == UNDERSCORE:
        size -= 1
        asked += 1
    if size == 0:
        return True
    if size != text_len:
        return False
    for at in range(size):
        if asked[at] != text[at]:
            return False
    return True


cdef void _start(Walk* walk, const uint8_t* octets, size_t size, const Asked* asked) noexcept nogil:
    """Stand before the first entry of the groups that the question is about."""
    cdef uint8_t flags
    cdef uint16_t own_groups
    walk.reader = reader_over(octets, size)
    walk.name_len = read_u8(&walk.reader)
    walk.name = read_octets(&walk.reader, walk.name_len)
    flags = read_u8(&walk.reader)
    walk.own = asked.labels != 1 and not flags & HEADLESS
    walk.is_dashed = asked.labels == 1 and parse_ipv4(asked.first, walk.dashed)
    own_groups = read_u16(&walk.reader)
    if walk.own:
        walk.groups_left = own_groups
    else:
        _skip_groups(&walk.reader, own_groups)
        walk.groups_left = read_u16(&walk.reader)
    walk.addresses_left = 0


cdef bint _has_name(const Walk* walk, const Address* address, const Asked* asked) noexcept nogil:
    if asked.labels != 1:
        return True
    if address.label_len:
        return _label_is(asked.first, address.label, address.label_len)
    return walk.is_dashed and address.size == 4 and memcmp(walk.dashed, address.octets, 4) == 0


cdef bint _port_matches(const Port* port, const Asked* asked) noexcept nogil:
    return asked.labels != 2 or (_service_label_is(asked.first, port.name, port.name_len)
                                 and _service_label_is(asked.second, port.protocol, port.protocol_len))


cdef void _enter_group(Walk* walk, const Asked* asked) noexcept nogil:
    """Read the next group's head, and which of its ports the question matches: the same for all its addresses."""
    cdef Port port
    cdef uint8_t count = read_u8(&walk.reader)
    cdef uint8_t index
    cdef size_t at
    walk.ports = walk.reader.data + walk.reader.pos
    walk.port_count = count
    walk.matching = 0
    walk.has_number = False
    for index in range(count):
        at = walk.reader.pos
        _read_port(&walk.reader, &port)
        if _port_matches(&port, asked):
            if walk.matching == 0:
                walk.first_matching = index
                walk.first_port = walk.reader.data + at
            walk.matching += 1
            walk.has_number = walk.has_number or not _is_portless(&port)
    walk.addresses_left = read_u32(&walk.reader)


cdef uint8_t _next_entry(Walk* walk, const Asked* asked, Address* address) noexcept nogil:
    """The next address that the question matches; how many ports of its group match too, 0 at the end."""
    while True:
        while walk.addresses_left:
            walk.addresses_left -= 1
            _read_address(&walk.reader, address)
            if walk.matching and _has_name(walk, address, asked):
                return walk.matching
        if walk.groups_left == 0 or walk.reader.failed:
            return 0
        walk.groups_left -= 1
        _enter_group(walk, asked)


cdef enum Same:
    SAME_ADDRESS = 0
    SAME_NAME_AND_ADDRESS = 1
    SAME_NAME_AND_PORT = 2


cdef bint _has_port(const Walk* walk, const Asked* asked, uint16_t number, uint8_t before) noexcept nogil:
    """True if one of the first `before` ports of the walk's group matches and has this number."""
    cdef Reader reader = reader_over(walk.reader.data, walk.reader.size)
    cdef Port port
    cdef uint8_t _index
    if before <= walk.first_matching:
        return False
    reader.pos = <size_t>(walk.ports - walk.reader.data)
    for _index in range(before):
        _read_port(&reader, &port)
        if port.number == number and _port_matches(&port, asked) and not _is_portless(&port):
            return True
    return False


cdef bint _stood_before(const uint8_t* octets, size_t size, const Asked* asked, const Address* address, Same same,
                        uint16_t port) noexcept nogil:
    """True if a matching entry before `address` is the same in that sense. Walked only for addresses with a SEEN bit.
    """
    cdef Walk walk
    cdef Address other
    _start(&walk, octets, size, asked)
    while _next_entry(&walk, asked, &other):
        if other.octets == address.octets:
            return False
        if same == SAME_ADDRESS:
            if _same_address(&other, address):
                return True
        elif walk.own or _same_name(&other, address):
            if same == SAME_NAME_AND_ADDRESS:
                if _same_address(&other, address) and walk.has_number:
                    return True             # write_glue has it already
            elif _has_port(&walk, asked, port, walk.port_count):
                return True
    return False


cdef bint _is_repeated(const uint8_t* octets, size_t size, const Asked* asked, const Address* address) noexcept nogil:
    return address.family & ADDRESS_SEEN and _stood_before(octets, size, asked, address, SAME_ADDRESS, 0)


cdef void count_addresses(const uint8_t* octets, size_t size, const Asked* asked, Addresses* found) noexcept nogil:
    """Count what a question finds; all zero: the name does not exist."""
    cdef Walk walk
    cdef Address address
    cdef uint8_t ports
    _start(&walk, octets, size, asked)
    found.v4 = found.v6 = found.entries = 0
    while True:
        ports = _next_entry(&walk, asked, &address)
        if ports == 0:
            return
        found.entries += ports
        if not _is_repeated(octets, size, asked, &address):
            if address.size == 4:
                found.v4 += 1
            else:
                found.v6 += 1


# --- writing --------------------------------------------------------------------------------------------------------

cdef void _write_address(Writer* writer, const Address* address, uint32_t ttl) noexcept nogil:
    """An address record behind its owner."""
    write_u16(writer, A if address.size == 4 else AAAA)
    write_u16(writer, IN)
    write_u32(writer, ttl)
    write_u16(writer, address.size)
    write_octets(writer, address.octets, address.size)


cdef void write_addresses(Writer* writer, const uint8_t* octets, size_t size, const Asked* asked, uint8_t family,
                          uint32_t ttl) noexcept nogil:
    """The A (family 4) or AAAA (6) records that a question finds, each once, owned by the question's name."""
    cdef Walk walk
    cdef Address address
    _start(&walk, octets, size, asked)
    while not writer.failed and _next_entry(&walk, asked, &address):
        if (address.family & FAMILY_MASK) == family and not _is_repeated(octets, size, asked, &address):
            write_u16(writer, OWNER_IS_QNAME)
            _write_address(writer, &address, ttl)


cdef void _write_endpoint_label(Writer* writer, const Address* address) noexcept nogil:
    """The endpoint's own label: its name, or its IPv4 address with dashes."""
    cdef uint8_t text[1 + DASHED_MAX + 1]
    cdef uint8_t length = 1
    cdef uint8_t at, part
    if address.label_len:
        write_u8(writer, address.label_len)
        write_octets(writer, address.label, address.label_len)
        return
    for at in range(4):
        part = address.octets[at]
        if part >= 100:
            text[length] = 48 + part // 100
            length += 1
        if part >= 10:
            text[length] = 48 + part // 10 % 10
            length += 1
        text[length] = 48 + part % 10
        text[length + 1] = DASH
        length += 2
    text[0] = length - 2
    write_octets(writer, text, length - 1)


cdef uint16_t _write_srv(Writer* writer, const Walk* walk, const Address* address, uint16_t port, uint16_t weight,
                         uint32_t ttl, const Zonal* zone) noexcept nogil:
    """One SRV record (RFC 2782; its target is never compressed). Where the Service's name stands in it."""
    cdef size_t rdlen_at, service_at
    write_u16(writer, OWNER_IS_QNAME)
    write_u16(writer, SRV)
    write_u16(writer, IN)
    write_u32(writer, ttl)
    rdlen_at = writer.pos
    write_u16(writer, 0)
    write_u16(writer, 0)
    write_u16(writer, weight)
    write_u16(writer, port)
    if not walk.own:
        _write_endpoint_label(writer, address)
    service_at = writer.pos
    write_octets(writer, walk.name, walk.name_len)
    write_octets(writer, zone.name, zone.name_len)
    patch_u16(writer, rdlen_at, <uint16_t>(writer.pos - rdlen_at - 2))
    return <uint16_t>service_at


cdef uint16_t _weight_of(uint32_t entries) noexcept nogil:
    """An entry's share of 100, at least 1, as CoreDNS rounds it."""
    cdef uint32_t share = 100 // entries if entries else 1
    return <uint16_t>(share if share else 1)


cdef uint16_t write_services(Writer* writer, const uint8_t* octets, size_t size, const Asked* asked, uint32_t entries,
                             uint32_t ttl, const Zonal* zone, uint16_t* service_at) noexcept nogil:
    """The SRV records that a question finds, one for each (target, port); how many. `entries` is count_addresses'.

    `service_at` becomes the position of the Service's name in the first one's target, for write_glue to point to.
    """
    cdef Walk walk
    cdef Address address
    cdef Port port
    cdef Reader ports
    cdef uint16_t count = 0
    cdef uint16_t at
    cdef uint8_t index, matching
    _start(&walk, octets, size, asked)
    while not writer.failed:
        matching = _next_entry(&walk, asked, &address)
        if matching == 0:
            break
        ports = reader_over(octets, size)
        ports.pos = <size_t>(walk.first_port - octets)
        for index in range(walk.first_matching, walk.port_count):
            if matching == 0:
                break
            _read_port(&ports, &port)
            if not _port_matches(&port, asked):
                continue
            matching -= 1
            if _is_portless(&port) or _has_port(&walk, asked, port.number, index):
                continue
            if (address.family & NAME_SEEN
                    and _stood_before(octets, size, asked, &address, SAME_NAME_AND_PORT, port.number)):
                continue
            at = _write_srv(writer, &walk, &address, port.number, _weight_of(entries), ttl, zone)
            if count == 0:
                service_at[0] = at
            count += 1
    return count


cdef uint16_t write_glue(Writer* writer, const uint8_t* octets, size_t size, const Asked* asked, uint32_t ttl,
                         uint16_t service_at) noexcept nogil:
    """The addresses of the SRV records' targets, one for each (target, address); how many."""
    cdef Walk walk
    cdef Address address
    cdef uint16_t count = 0
    _start(&walk, octets, size, asked)
    while not writer.failed and _next_entry(&walk, asked, &address):
        if not walk.has_number:
            continue
        if address.family & ADDRESS_SEEN and _stood_before(octets, size, asked, &address, SAME_NAME_AND_ADDRESS, 0):
            continue
        if not walk.own:
            _write_endpoint_label(writer, &address)
        write_u16(writer, POINTER | service_at)
        _write_address(writer, &address, ttl)
        count += 1
    return count


cdef bint write_pod(Writer* writer, const uint8_t* label, const uint8_t* below, size_t below_len) noexcept nogil:
    """The block of the pod whose address a label spells; `below` are the labels from there to its zone. False: it
    spells none.
    """
    cdef uint8_t address[16]
    cdef uint8_t family = 4 if parse_ipv4(label, address) else 6
    if family == 6:
        if not parse_ipv6(label, address):
            return False
        if is_mapped(address):              # ::ffff:10.0.0.1 is an IPv4 address to CoreDNS, too
            memcpy(address, address + 12, 4)
            family = 4
    write_u8(writer, <uint8_t>(label[0] + 1 + below_len))
    write_octets(writer, label, <size_t>label[0] + 1)
    write_octets(writer, below, below_len)
    write_u8(writer, POD)
    write_u16(writer, 1)                    # one group of its own:
    write_u8(writer, 1)                     # one port, 0 and nameless,
    write_u32(writer, 0)
    write_u32(writer, 1)                    # one address
    write_u8(writer, family)
    write_octets(writer, address, 4 if family == 4 else 16)
    write_u8(writer, 0)
    write_u16(writer, 0)                    # no endpoints
    return not writer.failed and label[0] + 1 + below_len <= 255
