"""UDP sockets: recvmmsg, answer, sendmmsg, with the GIL released; knows no DNS rule."""

from libc.errno cimport EAGAIN, EINTR, ENOBUFS, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset
from posix.time cimport nanosleep, timespec

from fastdns._answer cimport Datagram
from fastdns._engine cimport Engine
from fastdns._askers cimport ADDRESS_MAX, UDP, Peer
from fastdns._coalescing cimport Coalescing
from fastdns._counters cimport WORKER_UDP_FAILURES
from fastdns._plan cimport UDP_MAX
from fastdns._sockets cimport *
from fastdns._wire cimport load_u16

cdef extern from * nogil:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <netinet/in.h>
    /* Declared by glibc only with _GNU_SOURCE, which Python.h defines before any system header. */
    typedef struct in_pktinfo fastdns_pktinfo4;
    typedef struct in6_pktinfo fastdns_pktinfo6;
    """
    ctypedef struct fastdns_pktinfo4:
        unsigned int ipi_ifindex
        in_addr ipi_spec_dst

    ctypedef struct fastdns_pktinfo6:
        in6_addr ipi6_addr
        unsigned int ipi6_ifindex

    int IP_PKTINFO
    int IPV6_PKTINFO

cdef enum:
    BATCH = 64              # datagrams of one recvmmsg
    ROUNDS = 8              # batches of one call: then timers and deltas get their turn
    GAP_NS = 20000          # between batches of one: further apart, the next is one too
    HOLDS = 4               # sleeps of one call, for the same reason; 1 while queries wait for upstreams
    QUERY_MAX = 4096        # octets; a longer datagram is no query and is dropped
    CONTROL_MAX = 64        # room for one in6_pktinfo
    SEND_TRIES = 3          # of a batch that the socket's buffer has no room for
    REFLECTORS_END = 38     # below it no client asks from a port, and services answer whatever comes to them


cdef inline bint _is_reflector(uint16_t port) noexcept nogil:
    """True for ports that can't be sent to (0), or that would answer our answer for ever: echo, discard, daytime, qotd,
    chargen, time, as BIND drops them too. Other servers of the DNS are silent to a response, as we are."""
    return port < REFLECTORS_END and port in (0, 7, 9, 13, 17, 19, 37)


cdef inline void _sleep(uint64_t duration_ns) noexcept nogil:
    """Sleep for less than a second; the kernel adds its timer slack, 50 microseconds."""
    cdef timespec duration
    duration.tv_sec = 0
    duration.tv_nsec = <long>duration_ns
    nanosleep(&duration, NULL)


cdef struct Slot:
    # One datagram's buffers.
    uint8_t query[4096]
    uint8_t query_control[64]
    Peer peer
    uint8_t answer[4096]
    uint8_t answer_control[64]


cdef class UdpListener:
    """One bound socket. `fileno` stays the caller's to close, after this object is gone."""

    cdef Engine engine
    cdef object on_notes                # called when Python has something to collect from the engine
    cdef uint32_t listener
    cdef int fd
    cdef Coalescing coalescing
    cdef uint64_t heard_ns              # when a datagram last came; 0: none has
    cdef uint64_t* failures             # a counter of the engine's
    cdef Slot* slots                    # owned, BATCH of them
    cdef mmsghdr received[64]
    cdef iovec received_parts[64]
    cdef uint32_t used                  # headers of `received` that the kernel has written to
    cdef uint32_t room                  # of the next batch: BATCH, or 1 where more is unlikely
    cdef bint tells_address             # datagrams come with the address they were sent to
    cdef Datagram datagrams[64]         # of the batch, those that can be answered
    cdef Slot* slot_of[64]              # of a datagram
    cdef mmsghdr outgoing[64]
    cdef iovec outgoing_parts[64]
    cdef Slot* late                     # owned, BATCH of them: answers made after their batch
    cdef mmsghdr late_outgoing[64]
    cdef iovec late_parts[64]
    cdef uint32_t late_count

    def __cinit__(self, Engine engine not None, uint32_t listener, int fileno, on_notes, uint64_t hold_ns=0):
        cdef uint32_t index
        self.engine = engine
        self.on_notes = on_notes
        self.coalescing = Coalescing(hold_ns)
        self.listener = listener
        self.fd = fileno
        self.failures = &engine.slots[<size_t>WORKER_UDP_FAILURES]
        self.slots = <Slot*>calloc(BATCH, sizeof(Slot))
        self.late = <Slot*>calloc(BATCH, sizeof(Slot))
        if self.slots == NULL or self.late == NULL:
            raise MemoryError
        if listener >= engine.listener_count:
            raise IndexError(f"no listener {listener}")
        for index in range(<uint32_t>BATCH):
            self._point_to(index)
        self.used = self.room = BATCH
        engine.set_sender(listener, _send_late, _flush_late, <void*>self)

    def __dealloc__(self):
        if self.engine is not None and self.listener < self.engine.listener_count:
            if self.engine.listeners[self.listener].context == <void*>self:    # not another's that came since
                self.engine.set_sender(self.listener, NULL, NULL, NULL)
        free(self.slots)
        free(self.late)

    # --- receiving --------------------------------------------------------------------------------------------------

    cdef void _point_to(self, uint32_t index) noexcept nogil:
        """Have the header that a datagram is received into point to its slot's buffers."""
        cdef msghdr* header = &self.received[index].msg_hdr
        self.received_parts[index].iov_base = self.slots[index].query
        self.received_parts[index].iov_len = QUERY_MAX
        header.msg_name = self.slots[index].peer.remote
        header.msg_iov = &self.received_parts[index]
        header.msg_iovlen = 1
        header.msg_control = self.slots[index].query_control

    cdef int _receive(self) noexcept nogil:
        """Read a batch; how many datagrams, 0 if none waits."""
        cdef int count = self._receive_one() if self.room == 1 and not self.tells_address else self._receive_batch()
        if count < 0:
            if errno != EAGAIN and errno != EINTR:
                self.failures[0] += 1
            return 0
        return count

    cdef int _receive_batch(self) noexcept nogil:
        cdef uint32_t index
        cdef msghdr* header
        cdef int count
        for index in range(self.used):
            header = &self.received[index].msg_hdr
            header.msg_namelen = ADDRESS_MAX
            header.msg_controllen = CONTROL_MAX
        self.used = 0
        count = recvmmsg(self.fd, self.received, self.room, MSG_DONTWAIT, NULL)
        if count > 0:
            self.used = <uint32_t>count
            self.tells_address = self.received[0].msg_hdr.msg_controllen > 0
        return count

    cdef int _receive_one(self) noexcept nogil:
        """By the call for a single datagram, which costs less than a batch of one."""
        cdef msghdr* header = &self.received[0].msg_hdr
        cdef ssize_t size
        header.msg_namelen = ADDRESS_MAX
        header.msg_controllen = 0
        header.msg_flags = 0
        self.used = max(self.used, <uint32_t>1)
        size = recvfrom(self.fd, self.slots[0].query, QUERY_MAX, MSG_DONTWAIT | MSG_TRUNC,
                        <sockaddr*>self.slots[0].peer.remote, &header.msg_namelen)
        if size < 0:
            return -1
        self.received[0].msg_len = <unsigned int>size
        if size > <ssize_t>QUERY_MAX:
            header.msg_flags = MSG_TRUNC
        return 1

    cdef void _expect(self, int count, uint64_t gap_ns) noexcept nogil:
        """After a batch that came `gap_ns` after the one before it: how many to look for next time.

        One too few costs another wake-up; a look for one more costs as much as to read it.
        """
        self.room = 1 if count == 1 and gap_ns > <uint64_t>GAP_NS else <uint32_t>BATCH

    cdef bint _read_peer(self, uint32_t index) noexcept nogil:
        """Who sent a datagram, and which of our addresses it came to. False: it can't be answered."""
        cdef msghdr* header = &self.received[index].msg_hdr
        cdef Peer* peer = &self.slots[index].peer
        cdef cmsghdr* control = CMSG_FIRSTHDR(header)
        cdef fastdns_pktinfo4 pktinfo4
        cdef fastdns_pktinfo6 pktinfo6
        if header.msg_flags & MSG_TRUNC or header.msg_namelen > <unsigned int>ADDRESS_MAX:
            return False
        if _is_reflector(load_u16(&peer.remote[2])):
            return False
        peer.transport = UDP
        peer.listener = <uint16_t>self.listener
        peer.remote_len = <uint8_t>header.msg_namelen
        peer.local_family = 0
        while control != NULL:
            if control.cmsg_level == IPPROTO_IP and control.cmsg_type == IP_PKTINFO:
                memcpy(&pktinfo4, CMSG_DATA(control), sizeof(pktinfo4))
                peer.local_family = AF_INET
                peer.local_index = pktinfo4.ipi_ifindex
                memcpy(peer.local, &pktinfo4.ipi_spec_dst, 4)
            elif control.cmsg_level == IPPROTO_IPV6 and control.cmsg_type == IPV6_PKTINFO:
                memcpy(&pktinfo6, CMSG_DATA(control), sizeof(pktinfo6))
                peer.local_family = AF_INET6
                peer.local_index = pktinfo6.ipi6_ifindex
                memcpy(peer.local, &pktinfo6.ipi6_addr, 16)
            control = CMSG_NXTHDR(header, control)
        return True

    # --- sending ----------------------------------------------------------------------------------------------------

    cdef void _send_all(self, mmsghdr* messages, uint32_t count) noexcept nogil:
        """Send a batch; what the kernel refuses for good is dropped and counted."""
        cdef uint32_t sent = 0
        cdef uint32_t tries = 0
        cdef int result
        while sent < count:
            result = self._send_some(messages + sent, count - sent)
            if result > 0:
                sent += <uint32_t>result
                continue
            if (errno == EAGAIN or errno == ENOBUFS or errno == EINTR) and tries < <uint32_t>SEND_TRIES:
                tries += 1
                continue
            self.failures[0] += 1
            sent += 1                               # this one's destination is the trouble

    cdef int _send_some(self, mmsghdr* messages, uint32_t count) noexcept nogil:
        """How many went, or -1 and errno. One is cheaper without what a batch needs."""
        cdef msghdr* header = &messages.msg_hdr
        if count > 1 or header.msg_control != NULL:
            return sendmmsg(self.fd, messages, count, MSG_DONTWAIT)
        return 1 if sendto(self.fd, header.msg_iov.iov_base, header.msg_iov.iov_len, MSG_DONTWAIT,
                           <sockaddr*>header.msg_name, header.msg_namelen) >= 0 else -1

    # --- the way of a batch -----------------------------------------------------------------------------------------

    cdef int _answer_batch(self) noexcept nogil:
        """Receive, answer, send; how many datagrams there were."""
        cdef int count = self._receive()
        cdef uint32_t taken
        if count <= 0:
            return 0
        taken = self._take_datagrams(<uint32_t>count)
        self.engine.answer_batch(self.datagrams, taken)
        self._expect(count, self.engine.now_ns - self.heard_ns)
        self.heard_ns = self.engine.now_ns
        self.coalescing.note_batch(<uint32_t>count, self.heard_ns)
        self._send_answers(taken)
        self._flush()
        return count

    cdef void _answer_waiting(self) noexcept nogil:
        """Answer batches until none is full, with a few sleeps in which the next one gathers."""
        cdef uint32_t _round
        cdef uint32_t holds = 0
        cdef int count
        for _round in range(<uint32_t>ROUNDS):
            count = self._answer_batch()
            if count == BATCH:
                continue
            if holds == (1 if self.engine.askers.in_use else <uint32_t>HOLDS) or self.engine.has_notes():
                return
            if not self.coalescing.should_hold(<uint32_t>count):
                return
            _sleep(self.coalescing.hold_ns)
            self.room = BATCH               # for what has gathered
            holds += 1

    cdef uint32_t _take_datagrams(self, uint32_t count) noexcept nogil:
        """List the received datagrams that can be answered; how many."""
        cdef uint32_t index
        cdef uint32_t taken = 0
        cdef Slot* slot
        for index in range(count):
            if not self._read_peer(index):
                continue
            slot = &self.slots[index]
            self.slot_of[taken] = slot
            self.datagrams[taken].wire = slot.query
            self.datagrams[taken].size = self.received[index].msg_len
            self.datagrams[taken].peer = &slot.peer
            self.datagrams[taken].answer = slot.answer
            self.datagrams[taken].room = UDP_MAX
            taken += 1
        return taken

    cdef void _send_answers(self, uint32_t taken) noexcept nogil:
        """Send what the batch's datagrams were answered at once."""
        cdef uint32_t index
        cdef uint32_t count = 0
        for index in range(taken):
            if self.datagrams[index].answer_size:
                _address(&self.outgoing[count], &self.outgoing_parts[count], self.slot_of[index],
                         self.datagrams[index].answer_size)
                count += 1
        self._send_all(self.outgoing, count)

    cdef void _flush(self) noexcept nogil:
        if self.late_count:
            self._send_all(self.late_outgoing, self.late_count)
            self.late_count = 0

    cdef void keep_late(self, const Peer* peer, const uint8_t* wire, size_t size) noexcept nogil:
        """Keep an answer until a batch of them is full, or the engine's flush()."""
        cdef Slot* slot
        if size > <size_t>UDP_MAX:
            return
        if self.late_count == <uint32_t>BATCH:
            self._flush()
        slot = &self.late[self.late_count]
        memcpy(slot.answer, wire, size)
        slot.peer = peer[0]
        _address(&self.late_outgoing[self.late_count], &self.late_parts[self.late_count], slot, size)
        self.late_count += 1

    def on_readable(self):
        """Answer what waits, in batches, up to a bound; then call `on_notes` if Python has something to collect."""
        with nogil:
            self._answer_waiting()
        if self.engine.has_notes():
            self.on_notes()

    @property
    def heard(self):
        """When a datagram last came, in seconds of the monotonic clock; 0.0: none has."""
        return self.heard_ns * 1e-9


cdef void _address(mmsghdr* message, iovec* part, Slot* slot, size_t size) noexcept nogil:
    """Make the message that carries a slot's answer back: to its sender, from the address that was asked."""
    cdef msghdr* header = &message.msg_hdr
    cdef cmsghdr* control
    cdef fastdns_pktinfo4 pktinfo4
    cdef fastdns_pktinfo6 pktinfo6
    part.iov_base = slot.answer
    part.iov_len = size
    header.msg_name = slot.peer.remote
    header.msg_namelen = slot.peer.remote_len
    header.msg_iov = part
    header.msg_iovlen = 1
    header.msg_control = NULL
    header.msg_controllen = 0
    header.msg_flags = 0
    if slot.peer.local_family == 0:
        return
    header.msg_control = slot.answer_control
    control = <cmsghdr*>slot.answer_control
    if slot.peer.local_family == AF_INET:
        memset(&pktinfo4, 0, sizeof(pktinfo4))
        memcpy(&pktinfo4.ipi_spec_dst, slot.peer.local, 4)
        header.msg_controllen = CMSG_SPACE(sizeof(pktinfo4))
        control.cmsg_level = IPPROTO_IP
        control.cmsg_type = IP_PKTINFO
        control.cmsg_len = CMSG_LEN(sizeof(pktinfo4))
        memcpy(CMSG_DATA(control), &pktinfo4, sizeof(pktinfo4))
        return
    memset(&pktinfo6, 0, sizeof(pktinfo6))
    memcpy(&pktinfo6.ipi6_addr, slot.peer.local, 16)
    pktinfo6.ipi6_ifindex = slot.peer.local_index
    header.msg_controllen = CMSG_SPACE(sizeof(pktinfo6))
    control.cmsg_level = IPPROTO_IPV6
    control.cmsg_type = IPV6_PKTINFO
    control.cmsg_len = CMSG_LEN(sizeof(pktinfo6))
    memcpy(CMSG_DATA(control), &pktinfo6, sizeof(pktinfo6))


cdef void _send_late(void* context, const Peer* peer, const uint8_t* wire, size_t size) noexcept nogil:
    """The engine's way to a client whose answer was made after its batch."""
    (<UdpListener>context).keep_late(peer, wire, size)


cdef void _flush_late(void* context) noexcept nogil:
    (<UdpListener>context)._flush()
