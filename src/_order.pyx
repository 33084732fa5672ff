"""The order of the addresses in an answer: those of preferred networks first, or one drawn by weight.

It is put upon the message that is ready to leave: only the data of address records with one owner change places, so
that no name, length or pointer moves. plugin loadbalance's `prefer` and `weighted`.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy

cimport cython

import ipaddress
import os

from fastdns._packet cimport AAAA, HEADER_SIZE, NAME_MAX, A, expand_name, lower_name, skip_name
from fastdns._wire cimport Reader, load_u16, read_octets, read_u16, read_u32, reader_over

cdef enum:
    ADDRESSES_MAX = 512     # of an answer; those behind stay where they are


cdef uint32_t _hash(const uint8_t* name, size_t name_len, const uint8_t* address, uint8_t size) noexcept nogil:
    """FNV-1a over both: the weights are the operator's own."""
    cdef uint64_t value = 0xCBF29CE484222325u
    cdef size_t at
    for at in range(name_len):
        value = (value ^ name[at]) * 0x100000001B3u
    for at in range(size):
        value = (value ^ address[at]) * 0x100000001B3u
    return <uint32_t>(value ^ (value >> 32))


cdef size_t _name_len(const uint8_t* name) noexcept nogil:
    """Octets of a canonical name of ours."""
    cdef size_t at = 0
    while name[at]:
        at += <size_t>name[at] + 1
    return at + 1


cdef void _swap(uint8_t* wire, uint32_t left, uint32_t right, uint8_t size) noexcept nogil:
    """Exchange the data of two address records."""
    cdef uint8_t kept[16]
    memcpy(kept, wire + left, size)
    memcpy(wire + left, wire + right, size)
    memcpy(wire + right, kept, size)


@cython.final
cdef class AddressOrder:
    """`prefer`: networks whose addresses come first. Raises ValueError: not a network."""

    def __cinit__(self, prefer=()):
        cdef bytes packed
        cdef uint32_t index
        networks = [ipaddress.ip_network(text, strict=False) for text in prefer]
        self.random = int.from_bytes(os.urandom(8), "big") | 1
        self.networks = <Network*>calloc(<size_t>len(networks) + 1, sizeof(Network))
        if self.networks == NULL:
            raise MemoryError
        for index in range(<uint32_t>len(networks)):
            packed = networks[index].network_address.packed
            self.networks[index].size = <uint8_t>len(packed)
            self.networks[index].bits = networks[index].prefixlen
            memcpy(self.networks[index].prefix, <const uint8_t*>packed, <size_t>len(packed))
        self.network_count = <uint32_t>len(networks)

    def __dealloc__(self):
        free(self.networks)
        free(self.weights)
        free(self.names)

    def set_weights(self, weights):
        """Take [(canonical wire name, address text, weight 1..255)] in the place of those before."""
        cdef uint32_t capacity = 4
        cdef Weight* table
        cdef uint8_t* names
        while capacity < 2 * <uint32_t>len(weights):
            capacity *= 2
        table = <Weight*>calloc(capacity, sizeof(Weight))
        names = <uint8_t*>malloc(sum(len(entry[0]) for entry in weights) + 1)
        if table == NULL or names == NULL:
            free(table)
            free(names)
            raise MemoryError
        try:
            self._fill(table, capacity, names, weights)
        except BaseException:
            free(table)
            free(names)
            raise
        free(self.weights)
        free(self.names)
        self.weights, self.weight_capacity, self.names = table, capacity, names

    cdef void _fill(self, Weight* table, uint32_t capacity, uint8_t* names, object weights) except *:
        cdef bytes name, packed
        cdef uint32_t hash
        cdef size_t at = 0
        for name, address, weight in weights:
            if not 0 < len(name) <= NAME_MAX or not name.endswith(b"\0"):
                raise ValueError(f"not a canonical name on the wire: {name!r}")
            packed = ipaddress.ip_address(address).packed
            hash = _hash(<const uint8_t*>name, <size_t>len(name), <const uint8_t*>packed, <uint8_t>len(packed))
            memcpy(names + at, <const uint8_t*>name, <size_t>len(name))
            _place(table, capacity, hash, <uint32_t>at, packed, weight)
            at += <size_t>len(name)

    cdef bint _is_preferred(self, const uint8_t* address, uint8_t size) noexcept nogil:
        cdef uint32_t index
        cdef uint8_t whole, rest
        for index in range(self.network_count):
            if self.networks[index].size != size:
                continue
            whole = self.networks[index].bits // 8
            rest = self.networks[index].bits % 8
            if memcmp(address, self.networks[index].prefix, whole):
                continue
            if rest == 0 or (address[whole] ^ self.networks[index].prefix[whole]) >> (8 - rest) == 0:
                return True
        return False

    cdef uint8_t _weight_of(self, const uint8_t* name, size_t name_len, const uint8_t* address,
                            uint8_t size) noexcept nogil:
        """An address's weight under a name; 1 where none is given."""
        cdef uint32_t hash = _hash(name, name_len, address, size)
        cdef uint32_t slot = hash & (self.weight_capacity - 1)
        cdef const Weight* entry
        while self.weights[slot].weight:
            entry = &self.weights[slot]
            if entry.hash == hash and entry.size == size and memcmp(entry.address, address, size) == 0:
                if _name_len(self.names + entry.name_at) == name_len:
                    if memcmp(self.names + entry.name_at, name, name_len) == 0:
                        return entry.weight
            slot = (slot + 1) & (self.weight_capacity - 1)
        return 1

    cdef uint32_t _draw(self, uint32_t below) noexcept nogil:
        """A number from 0 to below - 1 (xorshift64*: a balance, not a secret)."""
        self.random ^= self.random >> 12
        self.random ^= self.random << 25
        self.random ^= self.random >> 27
        return <uint32_t>(((self.random * 0x2545F4914F6CDD1Du) >> 32) % below)

    cdef void _prefer(self, uint8_t* wire, const uint32_t* rdata_at, uint32_t count, uint8_t size) noexcept nogil:
        """Move preferred addresses to the front, in the order they have."""
        cdef uint32_t front = 0
        cdef uint32_t index, back
        for index in range(count):
            if not self._is_preferred(wire + rdata_at[index], size):
                continue
            back = index
            while back > front:
                _swap(wire, rdata_at[back], rdata_at[back - 1], size)
                back -= 1
            front += 1

    cdef void _lift(self, uint8_t* wire, const uint8_t* name, size_t name_len, const uint32_t* rdata_at, uint32_t count,
                    uint8_t size) noexcept nogil:
        """Draw one address by weight and put it first."""
        cdef uint32_t total = 0
        cdef uint32_t index, drawn
        for index in range(count):
            total += self._weight_of(name, name_len, wire + rdata_at[index], size)
        drawn = self._draw(total)
        for index in range(count):
            total = self._weight_of(name, name_len, wire + rdata_at[index], size)
            if drawn < total:
                _swap(wire, rdata_at[0], rdata_at[index], size)
                return
            drawn -= total

    cdef void order_addresses(self, uint8_t* wire, size_t size) noexcept nogil:
        """Order the addresses of a message's answer section that have the owner and the type of the first one."""
        cdef Reader reader = reader_over(wire, size)
        cdef uint32_t rdata_at[512]
        cdef uint8_t first[256]
        cdef uint8_t owner[256]
        cdef size_t after = 0
        cdef uint32_t count = 0
        cdef uint16_t records, owner_len, rtype, rdlen
        cdef uint16_t first_len = 0
        cdef uint16_t first_type = 0
        if size < <size_t>HEADER_SIZE or load_u16(wire + 4) != 1:
            return
        records = load_u16(wire + 6)
        reader.pos = HEADER_SIZE
        skip_name(&reader)
        read_u32(&reader)
        while records and not reader.failed:
            records -= 1
            owner_len = expand_name(wire, size, reader.pos, owner, &after)
            if owner_len == 0:
                return
            reader.pos = after
            rtype = read_u16(&reader)
            read_octets(&reader, 6)
            rdlen = read_u16(&reader)
            if read_octets(&reader, rdlen) == NULL:
                return
            if not (rtype == A and rdlen == 4) and not (rtype == AAAA and rdlen == 16):
                continue
            lower_name(owner, owner_len)
            if count == 0:
                memcpy(first, owner, owner_len)
                first_len, first_type = owner_len, rtype
            if rtype == first_type and owner_len == first_len and memcmp(owner, first, owner_len) == 0:
                rdata_at[count] = <uint32_t>(reader.pos - rdlen)
                count += 1
                if count == <uint32_t>ADDRESSES_MAX:
                    break
        if count < 2:
            return
        if self.weight_capacity:
            self._lift(wire, first, first_len, rdata_at, count, 4 if first_type == A else 16)
        if self.network_count:
            self._prefer(wire, rdata_at, count, 4 if first_type == A else 16)

    def order(self, bytes wire not None):
        """The message with its addresses in order; for tests."""
        cdef bytearray copy = bytearray(wire)
        if copy:
            self.order_addresses(<uint8_t*>copy, <size_t>len(copy))
        return bytes(copy)


cdef void _place(Weight* table, uint32_t capacity, uint32_t hash, uint32_t name_at, bytes packed, int weight) except *:
    """Add a weight. The first one of a name and address counts, as in CoreDNS."""
    cdef uint32_t slot = hash & (capacity - 1)
    if not 1 <= weight <= 255:
        raise ValueError(f"weight {weight} is not from 1 to 255")
    while table[slot].weight:
        slot = (slot + 1) & (capacity - 1)
    table[slot].hash = hash
    table[slot].name_at = name_at
    table[slot].size = <uint8_t>len(packed)
    table[slot].weight = <uint8_t>weight
    memcpy(table[slot].address, <const uint8_t*>packed, <size_t>len(packed))
