"""Sockets to upstreams: on ports that the kernel chose, picked at random, replaced when worn; datagrams in batches."""

import socket as sockets

from libc cimport errno as c_errno
from libc.errno cimport EAGAIN, EMFILE, EMSGSIZE, ENFILE, ENOBUFS, ENOMEM, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memset

from fastdns._random cimport Random, random_below
from fastdns._sockets cimport *

cdef enum:
    SOCKET_QUERIES_MAX = 128    # then its port has been used for long enough
    SOCKET_BUFFER = 1 << 20

cdef uint64_t SECOND = 1000000000
cdef uint64_t SOCKET_AGE_MAX = 10 * SECOND      # CoreDNS's `expire`


cdef bint open_pool(Pool* pool) noexcept nogil:
    cdef uint32_t at
    memset(pool, 0, sizeof(Pool))
    pool.epoll_fd = -1
    pool.receive_wire = <uint8_t*>calloc(RECEIVE_MAX, RECEIVE_SIZE)
    if pool.receive_wire == NULL:
        return False
    for at in range(<uint32_t>SOCKETS_MAX):
        pool.sockets[at].fd = -1
    for at in range(<uint32_t>RECEIVE_MAX):
        pool.receive_parts[at].iov_base = pool.receive_wire + at * <uint32_t>RECEIVE_SIZE
        pool.receive_parts[at].iov_len = RECEIVE_SIZE
        pool.receive_heads[at].msg_hdr.msg_iov = &pool.receive_parts[at]
        pool.receive_heads[at].msg_hdr.msg_iovlen = 1
    for at in range(<uint32_t>SEND_BATCH):
        pool.send_parts[at].iov_base = pool.send_wire[at]
        pool.send_heads[at].msg_hdr.msg_iov = &pool.send_parts[at]
        pool.send_heads[at].msg_hdr.msg_iovlen = 1
    return True


cdef void close_pool(Pool* pool) noexcept nogil:
    """Give memory back; sockets must be retired and left by then."""
    free(pool.destinations)
    free(pool.receive_wire)
    pool.destinations = NULL
    pool.receive_wire = NULL


cdef bint reserve_destinations(Pool* pool, size_t count) noexcept nogil:
    """Room for that many more; False: no memory."""
    cdef void* block = realloc(pool.destinations, (pool.destination_count + count) * sizeof(Destination))
    if block == NULL:
        return False
    pool.destinations = <Destination*>block
    return True


cdef void add_destination(Pool* pool, const uint8_t* address, size_t address_size, const uint8_t* source,
                          size_t source_size) noexcept nogil:
    cdef Destination* added = &pool.destinations[pool.destination_count]
    cdef uint32_t place
    memset(added, 0, sizeof(Destination))
    memcpy(&added.address, address, address_size)
    added.address_size = <socklen_t>address_size
    memcpy(&added.source, source, source_size)
    added.source_size = <socklen_t>source_size
    for place in range(<uint32_t>POOL_SIZE):
        added.places[place] = NO_SOCKET
    pool.destination_count += 1


# --- one socket -------------------------------------------------------------------------------------------------------

cdef uint16_t open_socket(Pool* pool, uint32_t destination_at, uint64_t now_ns) noexcept nogil:
    """One on a port that the kernel chose at random, connected to the destination; NO_SOCKET, and errno: none."""
    cdef Destination* destination = &pool.destinations[destination_at]
    cdef sockaddr_storage source
    cdef socklen_t source_size = destination.address_size
    cdef epoll_event event
    cdef int size = SOCKET_BUFFER
    cdef int one = 1
    cdef int family = destination.address.ss_family
    cdef uint32_t at = 0
    cdef int fd
    while at < pool.used and pool.sockets[at].fd >= 0:
        at += 1
    if at == <uint32_t>SOCKETS_MAX:
        return set_no_socket(-1, EMFILE)
    fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
    if fd < 0:
        return NO_SOCKET
    if destination.source_size:
        memcpy(&source, &destination.source, sizeof(source))
        source_size = destination.source_size
    else:
        memset(&source, 0, sizeof(source))
        source.ss_family = <uint16_t>family
    if bind(fd, <const sockaddr*>&source, source_size) < 0:
        return set_no_socket(fd, errno)
    if connect(fd, <const sockaddr*>&destination.address, destination.address_size) < 0:
        return set_no_socket(fd, errno)
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size))
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size))
    if family == AF_INET:       # so that an unreachable host is told too, not only a closed port
        setsockopt(fd, IPPROTO_IP, IP_RECVERR, &one, sizeof(one))
    else:
        setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &one, sizeof(one))
    event.events = EPOLLIN
    event.data.u64 = at
    if epoll_ctl(pool.epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0:
        return set_no_socket(fd, errno)
    pool.sockets[at].fd = fd
    pool.sockets[at].destination = destination_at
    pool.sockets[at].opened_ns = now_ns
    pool.sockets[at].live = 0
    pool.sockets[at].first = NO_PLACE
    pool.sockets[at].sent = 0
    pool.sockets[at].place = NO_PLACE
    pool.open += 1
    if at == pool.used:
        pool.used += 1
    return <uint16_t>at


cdef uint16_t set_no_socket(int fd, int error) noexcept nogil:
    if fd >= 0:
        close(fd)
    c_errno.errno = error
    return NO_SOCKET


cdef void close_if_idle(Pool* pool, uint16_t at) noexcept nogil:
    """Close a retired socket that nothing waits on."""
    cdef Socket* sock = &pool.sockets[at]
    if sock.fd >= 0 and sock.live == 0 and sock.place == <uint32_t>NO_PLACE:
        close(sock.fd)
        sock.fd = -1
        pool.open -= 1


cdef void retire_socket(Pool* pool, uint16_t at) noexcept nogil:
    """Send nothing more by it; it goes when the last question that waits on it has gone."""
    cdef Socket* sock = &pool.sockets[at]
    if sock.place != <uint32_t>NO_PLACE:
        pool.destinations[sock.destination].places[sock.place] = NO_SOCKET
        sock.place = NO_PLACE
    close_if_idle(pool, at)


cdef bint is_worn(const Socket* sock, uint64_t now_ns) noexcept nogil:
    return sock.sent >= <uint32_t>SOCKET_QUERIES_MAX or now_ns > sock.opened_ns + SOCKET_AGE_MAX


cdef uint16_t pick_socket(Pool* pool, uint32_t destination_at, Random* random, uint64_t now_ns) noexcept nogil:
    """One at random. A worn one is replaced if it can be, else used on; NO_SOCKET, and errno, if there is none."""
    cdef Destination* destination = &pool.destinations[destination_at]
    cdef uint32_t place = random_below(random, POOL_SIZE)
    cdef uint16_t old = destination.places[place]
    cdef uint16_t fresh
    cdef uint32_t step
    if old != <uint16_t>NO_SOCKET and not is_worn(&pool.sockets[old], now_ns):
        return old
    fresh = open_socket(pool, destination_at, now_ns)
    if fresh != <uint16_t>NO_SOCKET:
        if old != <uint16_t>NO_SOCKET:
            retire_socket(pool, old)
        destination.places[place] = fresh
        pool.sockets[fresh].place = place
        return fresh
    for step in range(<uint32_t>POOL_SIZE):
        old = destination.places[(place + step) % POOL_SIZE]
        if old != <uint16_t>NO_SOCKET:
            return old
    return NO_SOCKET


cdef void sweep_sockets(Pool* pool, uint64_t now_ns) noexcept nogil:
    """Close what was idle for long, at most once a second."""
    cdef uint32_t at
    if now_ns < pool.next_sweep_ns:
        return
    pool.next_sweep_ns = now_ns + SECOND
    for at in range(pool.used):
        if pool.sockets[at].fd >= 0 and pool.sockets[at].live == 0 and is_worn(&pool.sockets[at], now_ns):
            retire_socket(pool, <uint16_t>at)


# --- datagrams --------------------------------------------------------------------------------------------------------

cdef bint is_shortage(int error) noexcept nogil:
    """True if the system lacks something that it may have again soon."""
    return (error == EAGAIN or error == ENOBUFS or error == ENOMEM or error == EMFILE or error == ENFILE)


cdef uint32_t send_datagrams(Pool* pool, uint16_t at, uint32_t count, int* error) noexcept nogil:
    """Send the first `count` messages of send_wire; how many went. `error` is the last that came up, or 0."""
    cdef int fd = pool.sockets[at].fd
    cdef uint32_t sent = 0
    cdef uint32_t left = 4
    cdef int got
    error[0] = 0
    while sent < count and left:
        if count == 1:          # cheaper than a batch of one
            got = send(fd, pool.send_parts[0].iov_base, pool.send_parts[0].iov_len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0
        else:
            got = sendmmsg(fd, pool.send_heads + sent, count - sent, MSG_DONTWAIT | MSG_NOSIGNAL)
        if got > 0:
            sent += <uint32_t>got
            continue
        error[0] = errno
        if is_shortage(errno):
            break
        left -= 1               # an error that an earlier datagram has left is told once: what we send now may well go
    return sent


cdef uint32_t find_ready(Pool* pool, Ready* ready) noexcept nogil:
    """The open sockets that have something to read, RECEIVE_MAX at most."""
    cdef epoll_event events[RECEIVE_MAX]
    cdef uint32_t found = 0
    cdef int place
    cdef int count = epoll_wait(pool.epoll_fd, events, RECEIVE_MAX, 0)
    for place in range(count):
        ready[found].at = <uint16_t>events[place].data.u64
        ready[found].has_error = (events[place].events & EPOLLERR) != 0
        found += 1
    return found


cdef int receive_datagrams(Pool* pool, uint16_t at, uint32_t used, uint32_t most) noexcept nogil:
    """Read up to `most` datagrams into the buffers from `used` on, below RECEIVE_MAX; how many, or -1 and errno."""
    return recvmmsg(pool.sockets[at].fd, pool.receive_heads + used, min(most, <uint32_t>RECEIVE_MAX - used), MSG_DONTWAIT, NULL)


cdef bint read_errors(int fd) noexcept nogil:
    """Empty the socket's queue of ICMP errors; True if one of them says that the upstream can't be reached."""
    cdef msghdr message
    cdef iovec part
    cdef uint8_t payload[64]
    cdef uint64_t control[64]
    cdef cmsghdr* head
    cdef bint is_unreachable = False
    cdef uint32_t left = 64
    part.iov_base = payload
    part.iov_len = sizeof(payload)
    while left:
        left -= 1
        memset(&message, 0, sizeof(message))
        message.msg_iov = &part
        message.msg_iovlen = 1
        message.msg_control = control
        message.msg_controllen = sizeof(control)
        if recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0:
            break
        head = CMSG_FIRSTHDR(&message)
        while head != NULL:
            if ((head.cmsg_level == IPPROTO_IP and head.cmsg_type == IP_RECVERR)
                    or (head.cmsg_level == IPPROTO_IPV6 and head.cmsg_type == IPV6_RECVERR)):
                if (<sock_extended_err*>CMSG_DATA(head)).ee_errno != <uint32_t>EMSGSIZE:
                    is_unreachable = True
            head = CMSG_NXTHDR(&message, head)
    return is_unreachable


# --- addresses --------------------------------------------------------------------------------------------------------

cdef bytes packed_address(str address, int port):
    """The sockaddr of an IP address, with %scope if it has one. Raises ValueError: it is none."""
    cdef sockaddr_in ipv4
    cdef sockaddr_in6 ipv6
    cdef bytes packed
    try:
        family, _, _, _, found = sockets.getaddrinfo(
            address, port, type=sockets.SOCK_DGRAM, flags=sockets.AI_NUMERICHOST)[0]
    except OSError as error:
        raise ValueError(f"{address!r} is no IP address") from error
    packed = sockets.inet_pton(family, found[0].partition("%")[0])
    if family == sockets.AF_INET:
        memset(&ipv4, 0, sizeof(ipv4))
        ipv4.sin_family = <uint16_t>AF_INET
        ipv4.sin_port = htons(<uint16_t>port)
        memcpy(&ipv4.sin_addr, <const char*>packed, 4)
        return (<char*>&ipv4)[:sizeof(ipv4)]
    memset(&ipv6, 0, sizeof(ipv6))
    ipv6.sin6_family = <uint16_t>AF_INET6
    ipv6.sin6_port = htons(<uint16_t>port)
    memcpy(&ipv6.sin6_addr, <const char*>packed, 16)
    ipv6.sin6_scope_id = found[3]
    return (<char*>&ipv6)[:sizeof(ipv6)]
