"""IP addresses spelt as one label, with dashes for dots and colons: `10-0-0-1`, `2001-db8--1`.

The names of pods, and of endpoints without a hostname. A label is given with its length octet, in canonical form.
"""

from libc.stdint cimport uint8_t, uint16_t

from fastdns._wire cimport store_u16

cdef enum:
    DASH = 45
    ZERO_GROUP_NONE = 16


cdef bint parse_ipv4(const uint8_t* label, uint8_t* address) noexcept nogil:
    """Read `10-0-0-1`, a label with its length octet."""
    cdef uint16_t part = 0
    cdef uint8_t digits = 0
    cdef uint8_t parts = 0
    cdef uint8_t at, octet
    for at in range(1, label[0] + 1):
        octet = label[at]
        if octet == DASH:
            if digits == 0 or parts == 3:
                return False
            address[parts] = <uint8_t>part
            parts += 1
            part = digits = 0
            continue
        if <uint8_t>(octet - 48) > 9 or (digits and part == 0):
            return False
        part = part * 10 + (octet - 48)
        digits += 1
        if part > 255:
            return False
    if parts != 3 or digits == 0:
        return False
    address[3] = <uint8_t>part
    return True


cdef bint _parse_group(const uint8_t* label, uint8_t* at, uint16_t* value) noexcept nogil:
    """One to four hexadecimal digits of an IPv6 address."""
    cdef uint8_t digits = 0
    cdef uint8_t octet
    value[0] = 0
    while at[0] <= label[0] and label[at[0]] != DASH:
        octet = label[at[0]]
        if <uint8_t>(octet - 48) < 10:
            octet -= 48
        elif <uint8_t>(octet - 97) < 6:
            octet -= 87
        else:
            return False
        value[0] = <uint16_t>((value[0] << 4) | octet)
        digits += 1
        at[0] += 1
        if digits > 4:
            return False
    return digits > 0


cdef bint parse_ipv6(const uint8_t* label, uint8_t* address) noexcept nogil:
    """Read `2001-db8--1`: an IPv6 address with dashes for colons (RFC 4291 section 2.2, forms 1 and 2)."""
    cdef uint16_t groups[8]
    cdef uint8_t count = 0
    cdef uint8_t gap = ZERO_GROUP_NONE      # groups before `--`
    cdef uint8_t at = 1
    cdef uint8_t index, zeros
    if label[0] < 2:
        return False
    if label[1] == DASH:
        if label[2] != DASH:
            return False
        gap = 0
        at = 3
    while at <= label[0]:
        if count == 8 or not _parse_group(label, &at, &groups[count]):
            return False
        count += 1
        if at > label[0]:
            break
        at += 1                             # the dash
        if at <= label[0] and label[at] == DASH:
            if gap != ZERO_GROUP_NONE:
                return False
            gap = count
            at += 1
        elif at > label[0]:
            return False                    # one dash at the end
    if count == 8 if gap != ZERO_GROUP_NONE else count != 8:
        return False
    zeros = 8 - count
    if gap == ZERO_GROUP_NONE:
        gap = 8
    for index in range(8):
        store_u16(address + 2 * index,
                  groups[index] if index < gap else 0 if index < gap + zeros else groups[index - zeros])
    return True


cdef bint is_mapped(const uint8_t* address) noexcept nogil:
    """True for ::ffff:0:0/96 (RFC 4291 section 2.5.5.2)."""
    cdef uint8_t index
    for index in range(10):
        if address[index]:
            return False
    return address[10] == 0xFF and address[11] == 0xFF
