"""Sockets to upstreams: on ports that the kernel chose, picked at random, replaced when worn; datagrams in batches.

Knows destinations, and nothing of what is sent. How many wait on a socket, and who, its user writes into it.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastdns._random cimport Random
from fastdns._sockets cimport iovec, mmsghdr, sockaddr_storage, socklen_t

cdef enum:
    NO_SOCKET = 0xFFFF
    NO_PLACE = 0xFFFFFFFF
    SOCKETS_MAX = 768           # of all destinations; a descriptor each
    POOL_SIZE = 8               # sockets of a destination that new questions go out by
    SEND_BATCH = 64
    RECEIVE_MAX = 64            # datagrams
    RECEIVE_SIZE = 4096         # octets; a longer one is cut, with MSG_TRUNC
    WIRE_SIZE = 288             # header, question and OPT at their largest: 12 + 255 + 4 + 11

cdef struct Socket:
    uint64_t opened_ns
    int fd                      # -1: this one is free
    uint32_t destination
    uint32_t live               # questions waiting on it; the user's
    uint32_t first              # of them; the user's
    uint32_t sent               # questions ever sent; the user's
    uint32_t place              # in its destination's places; NO_PLACE: retired

cdef struct Destination:
    sockaddr_storage address
    socklen_t address_size
    sockaddr_storage source
    socklen_t source_size       # 0: the system chooses
    uint16_t places[POOL_SIZE]

cdef struct Ready:
    uint16_t at
    bint has_error              # its queue of errors has something

cdef struct Pool:
    Destination* destinations   # owned
    uint32_t destination_count
    Socket sockets[SOCKETS_MAX]
    uint32_t used               # sockets ever used
    uint32_t open
    uint64_t next_sweep_ns
    int epoll_fd                # borrowed
    mmsghdr receive_heads[RECEIVE_MAX]
    iovec receive_parts[RECEIVE_MAX]
    uint8_t* receive_wire       # owned
    mmsghdr send_heads[SEND_BATCH]
    iovec send_parts[SEND_BATCH]            # the user sets iov_len
    uint8_t send_wire[SEND_BATCH][WIRE_SIZE]

cdef bint open_pool(Pool* pool) noexcept nogil
cdef void close_pool(Pool* pool) noexcept nogil
cdef bint reserve_destinations(Pool* pool, size_t count) noexcept nogil
cdef void add_destination(Pool* pool, const uint8_t* address, size_t address_size, const uint8_t* source,
                          size_t source_size) noexcept nogil
cdef uint16_t pick_socket(Pool* pool, uint32_t destination_at, Random* random, uint64_t now_ns) noexcept nogil
cdef void retire_socket(Pool* pool, uint16_t at) noexcept nogil
cdef void close_if_idle(Pool* pool, uint16_t at) noexcept nogil
cdef void sweep_sockets(Pool* pool, uint64_t now_ns) noexcept nogil
cdef bint is_shortage(int error) noexcept nogil
cdef uint32_t send_datagrams(Pool* pool, uint16_t at, uint32_t count, int* error) noexcept nogil
cdef uint32_t find_ready(Pool* pool, Ready* ready) noexcept nogil
cdef int receive_datagrams(Pool* pool, uint16_t at, uint32_t used, uint32_t most) noexcept nogil
cdef bint read_errors(int fd) noexcept nogil
cdef bytes packed_address(str address, int port)
