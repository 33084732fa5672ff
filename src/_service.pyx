"""A Kubernetes Service in one block of octets: its addresses, ports and endpoints, and what A, AAAA and SRV find in it.

What CoreDNS's kubernetes plugin does with a list of objects, entry by entry, is done here over the block: an entry is
a pair of an address and a port of its group that the question matches. Every pass over a block is linear in its size,
however often its addresses and names repeat.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from fastdns._dashed cimport is_mapped, parse_ipv4, parse_ipv6
from fastdns._packet cimport AAAA, IN, OWNER_IS_QNAME, SRV, A, lower_name
from fastdns._wire cimport (
    Reader,
    Writer,
    patch_u16,
    read_octets,
    read_u8,
    read_u16,
    read_u32,
    reader_over,
    rewind_to,
    write_octets,
    write_u8,
    write_u16,
    write_u32,
    writer_over,
)

cdef enum:
    LABEL_MAX = 63
    UNDERSCORE = 95
    DASH = 45
    POINTER = 0xC000
    DASHED_MAX = 15         # "255-255-255-255"
    PORTS_COMPARED = 16     # of a group; among more, equal numbers are taken for granted
    TOLD_SLOTS = 8192       # twice as many as there are records in the largest message


cdef struct Port:
    uint16_t number
    uint8_t name_len
    uint8_t protocol_len
    const uint8_t* name
    const uint8_t* protocol


cdef struct Address:
    uint8_t family          # with its NAME_REPEATS, ADDRESS_REPEATS and ADDRESS_SEEN bits
    uint8_t size            # 4 or 16
    uint8_t label_len
    const uint8_t* octets
    const uint8_t* label


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


cdef uint32_t _skip_head(Reader* reader, bint is_placed, bint* has_ports) noexcept nogil:
    """Read over a group's head; how many addresses follow."""
    cdef Port port
    cdef uint8_t left
    if is_placed:
        read_octets(reader, read_u8(reader))
    left = read_u8(reader)
    has_ports[0] = left > 0
    while left and not reader.failed:
        left -= 1
        _read_port(reader, &port)
    return read_u32(reader)


cdef void _skip_own_groups(Reader* reader, uint16_t count) noexcept nogil:
    cdef uint32_t addresses
    cdef Address address
    cdef bint has_ports
    while count and not reader.failed:
        count -= 1
        addresses = _skip_head(reader, False, &has_ports)
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


cdef void _write_dashed(Writer* writer, const Address* address) noexcept nogil:
    """An IPv4 address with dashes, as a label."""
    cdef uint8_t text[1 + DASHED_MAX + 1]
    cdef uint8_t length = 1
    cdef uint8_t at, part
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


cdef uint8_t _read_key(Reader* reader, bint by_name, uint8_t* key) noexcept nogil:
    """What an address is compared by, how many octets: itself, or the name that questions find it by, whatever its case.
    """
    cdef Address address
    cdef Writer writer
    _read_address(reader, &address)
    if not by_name:
        memcpy(key, address.octets, address.size)
        return address.size
    if address.label_len == 0:              # named after its address; of a Service's own one, nobody asks
        writer = writer_over(key, 1 + DASHED_MAX)
        if address.size == 4:
            _write_dashed(&writer, &address)
        return <uint8_t>writer.pos
    key[0] = address.label_len
    memcpy(key + 1, address.label, address.label_len)
    lower_name(key, <uint16_t>(1 + address.label_len))
    return 1 + address.label_len


cdef size_t _find_equal(uint32_t* table, uint32_t mask, uint8_t* base, size_t size, size_t at,
                        bint by_name) noexcept nogil:
    """The position of an earlier address in `base` that is equal to the one at `at`; 0: none, and this one is added."""
    cdef uint8_t key[1 + LABEL_MAX]
    cdef uint8_t other[1 + LABEL_MAX]
    cdef Reader reader = reader_over(base, size)
    cdef uint8_t key_len
    cdef uint32_t slot
    reader.pos = at
    key_len = _read_key(&reader, by_name, key)
    slot = <uint32_t>_mix(by_name, key, key_len) & mask
    while table[slot]:
        reader.pos = table[slot]
        if _read_key(&reader, by_name, other) == key_len and memcmp(key, other, key_len) == 0:
            return table[slot]
        slot = (slot + 1) & mask
    table[slot] = <uint32_t>at
    return 0


cdef void _mark_address(uint8_t* octets, size_t size, size_t at, uint32_t* names, uint32_t* addresses,
                        uint32_t mask) noexcept nogil:
    """Set the bits of one address, and of the first one that is equal."""
    cdef size_t equal_at = _find_equal(names, mask, octets, size, at, True)
    if equal_at:
        octets[equal_at] |= NAME_REPEATS
        octets[at] |= NAME_REPEATS
    equal_at = _find_equal(addresses, mask, octets, size, at, False)
    if equal_at:
        octets[equal_at] |= ADDRESS_REPEATS
        octets[at] |= ADDRESS_REPEATS | ADDRESS_SEEN


cdef bint _mark_repeats(uint8_t* octets, size_t size, size_t groups_at, uint16_t groups, bint is_placed) noexcept nogil:
    """Set the bits of every address of a run of groups. False: out of memory.

    A group without ports answers nothing: nothing repeats what stands there.
    """
    cdef Reader reader = reader_over(octets, size)
    cdef uint32_t left
    cdef Address address
    cdef uint32_t mask = 15
    cdef uint32_t* names
    cdef size_t at
    cdef bint has_ports
    while mask < size // 3:         # an address has at least 6 octets: the tables stay half empty
        mask = mask * 2 + 1
    names = <uint32_t*>calloc(2 * (<size_t>mask + 1), sizeof(uint32_t))
    if names == NULL:
        return False
    reader.pos = groups_at
    while groups:
        groups -= 1
        left = _skip_head(&reader, is_placed, &has_ports)
        while left:
            left -= 1
            at = reader.pos
            _read_address(&reader, &address)
            octets[at] = address.family & FAMILY_MASK
            if has_ports:
                _mark_address(octets, size, at, names, names + mask + 1, mask)
    free(names)
    return True


cdef bint _check_labels(Reader* reader, uint8_t size) noexcept nogil:
    """Labels without root, filling `size` octets exactly."""
    cdef uint8_t label
    cdef size_t end = reader.pos + size
    while reader.pos < end and not reader.failed:
        label = read_u8(reader)
        if label == 0 or label > LABEL_MAX:
            return False
        read_octets(reader, label)
    return reader.pos == end and not reader.failed


cdef bint _check_groups(Reader* reader, uint16_t count, bint is_own, bint is_placed) noexcept nogil:
    """Only a Service's own addresses and IPv4 endpoints go without a label: it can't be derived from an IPv6 address.
    """
    cdef uint32_t addresses
    cdef Address address
    cdef size_t at
    cdef bint has_ports
    while count:
        count -= 1
        at = reader.pos
        if is_placed and not _check_labels(reader, read_u8(reader)):
            return False
        reader.pos = at
        addresses = _skip_head(reader, is_placed, &has_ports)
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
    """True if the block is well-formed; the bits of its addresses are then set. False too when memory is short."""
    cdef Reader reader = reader_over(octets, size)
    cdef uint16_t own_groups, endpoint_groups
    cdef size_t own_at, endpoints_at
    cdef uint8_t name_len = read_u8(&reader)
    cdef bint is_placed
    if name_len == 0 or not _check_labels(&reader, name_len):
        return False
    is_placed = read_u8(&reader) & PLACED != 0
    own_groups = read_u16(&reader)
    own_at = reader.pos
    if not _check_groups(&reader, own_groups, True, False):
        return False
    endpoint_groups = read_u16(&reader)
    endpoints_at = reader.pos
    if not _check_groups(&reader, endpoint_groups, False, is_placed) or reader.failed or reader.pos != size:
        return False
    return (_mark_repeats(octets, size, own_at, own_groups, False)
            and _mark_repeats(octets, size, endpoints_at, endpoint_groups, is_placed))


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


cdef bint _names_port(const uint8_t* first, const uint8_t* second) noexcept nogil:
    """Where an endpoint and its cluster may stand too, an underscore tells a port and its protocol."""
    return first[0] and first[1] == UNDERSCORE or second[0] and second[1] == UNDERSCORE


cdef void find_entries(const uint8_t* octets, size_t size, const Asked* asked, ServiceWalk* walk) noexcept nogil:
    """Stand before the first entry of the groups that the question is about."""
    cdef uint16_t own_groups
    walk.asked = asked
    walk.reader = reader_over(octets, size)
    walk.name_len = read_u8(&walk.reader)
    walk.name = read_octets(&walk.reader, walk.name_len)
    walk.flags = read_u8(&walk.reader)
    walk.by_port = asked.labels == 2 and (not walk.flags & CLUSTERS or _names_port(asked.first, asked.second))
    walk.by_endpoint = asked.labels == 1 or (asked.labels == 2 and not walk.by_port)
    walk.own = not walk.by_endpoint and not walk.flags & HEADLESS
    walk.is_dashed = walk.by_endpoint and parse_ipv4(asked.first, walk.dashed)
    walk.counts_once = asked.labels == 0 and asked.place_len == 0
    walk.bare = False
    walk.place = NULL
    walk.place_len = 0
    walk.addresses_left = 0
    own_groups = read_u16(&walk.reader)
    walk.own_repeats = walk.own and own_groups > 1
    if walk.own:
        walk.groups_left = own_groups
    else:
        _skip_own_groups(&walk.reader, own_groups)
        walk.groups_left = read_u16(&walk.reader)
    _enter_groups(walk)


cdef bint _has_name(const ServiceWalk* walk, const Address* address) noexcept nogil:
    if not walk.by_endpoint:
        return True
    if address.label_len:
        return _label_is(walk.asked.first, address.label, address.label_len)
    return walk.is_dashed and address.size == 4 and memcmp(walk.dashed, address.octets, 4) == 0


cdef bint _port_matches(const ServiceWalk* walk, const Port* port) noexcept nogil:
    return not walk.by_port or (_service_label_is(walk.asked.first, port.name, port.name_len)
                                and _service_label_is(walk.asked.second, port.protocol, port.protocol_len))


cdef bint _is_in_place(const ServiceWalk* walk) noexcept nogil:
    """True if the question asks for the zone or the cluster of the group at hand, or for none."""
    if walk.flags & ZONES:
        return walk.asked.place_len == 0 or (walk.asked.place_len == walk.place_len
                                             and memcmp(walk.asked.place, walk.place, walk.place_len) == 0)
    if not walk.by_endpoint or walk.place == NULL:
        return True
    if walk.asked.labels == 1 or walk.place_len == 0:
        return walk.asked.labels == 1 and walk.place_len == 0
    return walk.place[0] == walk.place_len - 1 and _label_is(walk.asked.second, walk.place + 1, walk.place[0])


cdef void _enter_group(ServiceWalk* walk) noexcept nogil:
    """Read the next group's head, and which of its ports the question matches: the same for all its addresses."""
    cdef uint16_t numbers[PORTS_COMPARED]
    cdef Port port
    cdef uint8_t count, earlier
    cdef uint8_t _index
    cdef size_t at
    if walk.flags & PLACED and not walk.own:
        walk.place_len = read_u8(&walk.reader)
        walk.place = read_octets(&walk.reader, walk.place_len)
    count = read_u8(&walk.reader)
    walk.matching = 0
    walk.has_number = False
    walk.port_repeats = count > PORTS_COMPARED
    for _index in range(count):
        at = walk.reader.pos
        _read_port(&walk.reader, &port)
        if not _port_matches(walk, &port):
            continue
        if walk.matching == 0:
            walk.first_port = at
        if count <= PORTS_COMPARED:
            for earlier in range(walk.matching):
                walk.port_repeats = walk.port_repeats or numbers[earlier] == port.number
            numbers[walk.matching] = port.number
        walk.matching += 1
        walk.has_number = walk.has_number or not _is_portless(&port)
    walk.addresses_left = read_u32(&walk.reader)
    walk.is_first = True
    walk.bare = walk.bare or (walk.own and walk.matching and walk.addresses_left == 0)
    if not _is_in_place(walk):
        walk.matching = 0


cdef void _enter_groups(ServiceWalk* walk) noexcept nogil:
    """Go on to the next group that has an address to look at, if there is one."""
    while walk.addresses_left == 0 and walk.groups_left and not walk.reader.failed:
        walk.groups_left -= 1
        _enter_group(walk)


cdef uint8_t _next_entry(ServiceWalk* walk, Address* address) noexcept nogil:
    """The next address that the question matches; how many ports of its group match too, 0 at the end."""
    while True:
        while walk.addresses_left:
            walk.addresses_left -= 1
            _read_address(&walk.reader, address)
            if walk.matching and _has_name(walk, address):
                if walk.by_endpoint and not address.family & NAME_REPEATS:
                    walk.addresses_left = walk.groups_left = 0      # nothing else has this name
                return walk.matching
        _enter_groups(walk)
        if walk.addresses_left == 0 or walk.reader.failed:
            return 0


cdef void count_addresses(const ServiceWalk* begun, uint8_t family, Addresses* found) noexcept nogil:
    """Count what a question finds; no entries: the name does not exist, unless it is bare. `family`: the first address of
    that one (4, 6) ends the counting; 0: none does.
    """
    cdef ServiceWalk walk = begun[0]
    cdef Address address
    cdef uint8_t ports
    found.v4 = found.v6 = found.entries = 0
    while True:
        ports = _next_entry(&walk, &address)
        if ports == 0:
            found.bare = walk.bare
            return
        found.entries += ports
        if walk.counts_once and address.family & ADDRESS_SEEN:
            continue
        if address.size == 4:
            found.v4 += 1
        else:
            found.v6 += 1
        if address.family & FAMILY_MASK == family:
            found.bare = False
            return


# --- telling things once ----------------------------------------------------------------------------------------------

cdef struct Told:
    # The records of a message that may come again, by their octets: open addressing, cleared when first used.
    bint is_used
    uint16_t slots[TOLD_SLOTS]      # where a record starts; 0: free


cdef bint _is_told(Told* told, const Writer* writer, size_t start) noexcept nogil:
    """True if the record written from `start` to the end equals one that was given here before; else it is kept.

    Records are at least 16 octets of a message of at most 65535, so that at most half of the slots are taken. A record
    tells its own length: one that begins with the octets of another is that one.
    """
    cdef size_t size = writer.pos - start
    cdef uint32_t slot
    if writer.failed:
        return False
    if not told.is_used:
        told.is_used = True
        memset(told.slots, 0, sizeof(told.slots))
    slot = <uint32_t>_mix(3, writer.data + start, size) & (TOLD_SLOTS - 1)
    while told.slots[slot]:
        if memcmp(writer.data + told.slots[slot], writer.data + start, size) == 0:
            return True
        slot = (slot + 1) & (TOLD_SLOTS - 1)
    told.slots[slot] = <uint16_t>start
    return False


# --- writing --------------------------------------------------------------------------------------------------------

cdef void _write_address(Writer* writer, const Address* address, uint32_t ttl) noexcept nogil:
    """An address record behind its owner."""
    write_u16(writer, A if address.size == 4 else AAAA)
    write_u16(writer, IN)
    write_u32(writer, ttl)
    write_u16(writer, address.size)
    write_octets(writer, address.octets, address.size)


cdef void write_addresses(Writer* writer, const ServiceWalk* begun, uint8_t family, uint32_t ttl) noexcept nogil:
    """The A (family 4) or AAAA (6) records that a question finds, each once, owned by the question's name."""
    cdef ServiceWalk walk = begun[0]
    cdef Told told
    cdef Address address
    cdef size_t start
    told.is_used = False
    while not writer.failed and _next_entry(&walk, &address):
        if (address.family & FAMILY_MASK) != family or (walk.counts_once and address.family & ADDRESS_SEEN):
            continue
        start = writer.pos
        write_u16(writer, OWNER_IS_QNAME)
        _write_address(writer, &address, ttl)
        if not walk.counts_once and address.family & ADDRESS_REPEATS and _is_told(&told, writer, start):
            rewind_to(writer, start)


cdef void _write_endpoint_label(Writer* writer, const ServiceWalk* walk, const Address* address) noexcept nogil:
    """The endpoint's labels below its Service: its own, and its cluster's."""
    if address.label_len:
        write_u8(writer, address.label_len)
        write_octets(writer, address.label, address.label_len)
    else:
        _write_dashed(writer, address)
    if walk.flags & CLUSTERS:
        write_octets(writer, walk.place, walk.place_len)


cdef uint16_t _write_srv(Writer* writer, const ServiceWalk* walk, const Address* address, uint16_t port, uint16_t weight,
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
        _write_endpoint_label(writer, walk, address)
    service_at = writer.pos
    write_octets(writer, walk.name, walk.name_len)
    write_octets(writer, zone.name, zone.name_len)
    patch_u16(writer, rdlen_at, <uint16_t>(writer.pos - rdlen_at - 2))
    return <uint16_t>service_at


cdef uint16_t _weight_of(uint32_t entries) noexcept nogil:
    """An entry's share of 100, at least 1, as CoreDNS rounds it."""
    cdef uint32_t share = 100 // entries if entries else 1
    return <uint16_t>(share if share else 1)


cdef uint16_t write_services(Writer* writer, const ServiceWalk* begun, uint32_t entries, uint32_t ttl, const Zonal* zone,
                             uint16_t* service_at) noexcept nogil:
    """The SRV records that a question finds, one for each (target, port); how many. `entries` is count_addresses'.

    `service_at` becomes the position of the Service's name in the first one's target, for write_glue to point to.
    """
    cdef ServiceWalk walk = begun[0]
    cdef Told told
    cdef Address address
    cdef Port port
    cdef Reader ports
    cdef uint16_t count = 0
    cdef uint16_t at
    cdef size_t start
    cdef uint8_t matching
    cdef bint may_repeat
    told.is_used = False
    while not writer.failed:
        matching = _next_entry(&walk, &address)
        if matching == 0:
            break
        if walk.own and not walk.is_first:
            continue                        # a Service's own addresses all have its name
        walk.is_first = False
        may_repeat = (walk.port_repeats or walk.own_repeats
                      or (not walk.own and address.family & NAME_REPEATS != 0))
        ports = walk.reader
        ports.pos = walk.first_port
        while matching and not ports.failed:
            _read_port(&ports, &port)
            if not _port_matches(&walk, &port):
                continue
            matching -= 1
            if _is_portless(&port):
                continue
            start = writer.pos
            at = _write_srv(writer, &walk, &address, port.number, _weight_of(entries), ttl, zone)
            if may_repeat and _is_told(&told, writer, start):
                rewind_to(writer, start)
                continue
            if count == 0:
                service_at[0] = at
            count += 1
    return count


cdef uint16_t write_glue(Writer* writer, const ServiceWalk* begun, uint32_t ttl, uint16_t service_at) noexcept nogil:
    """The addresses of the SRV records' targets, one for each (target, address); how many."""
    cdef ServiceWalk walk = begun[0]
    cdef Told told
    cdef Address address
    cdef uint16_t count = 0
    cdef size_t start
    told.is_used = False
    while not writer.failed and _next_entry(&walk, &address):
        if not walk.has_number:
            continue
        start = writer.pos
        if not walk.own:
            _write_endpoint_label(writer, &walk, &address)
        write_u16(writer, POINTER | service_at)
        _write_address(writer, &address, ttl)
        if address.family & ADDRESS_REPEATS and _is_told(&told, writer, start):
            rewind_to(writer, start)
            continue
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
