"""The floor: what receiving and sending cost on an event loop, before anything is parsed or looked up.

`Echo` stands for an answer, `Forwarder` for a miss. A server that understands DNS does all of this and more.
"""

cimport cython
from libc.stdint cimport uint8_t, uint16_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from bench._mmsg cimport MSG_DONTWAIT, mmsghdr, iovec, recvmmsg, send_all, sockaddr_storage

cdef enum:
    BATCH = 64
    SIZE = 1984             # octets of one buffer: not a power of two, so that buffers share few cache sets
    ROUNDS = 16             # batches a wake-up, so that the loop's other readers get their turn
    HEADER = 12
    IDS = 65536


cdef struct Batch:
    mmsghdr messages[BATCH]
    iovec vectors[BATCH]
    sockaddr_storage names[BATCH]
    uint8_t data[BATCH][SIZE]


cdef Batch* new_batch() except NULL:
    """Buffers for one batch; the caller frees them."""
    cdef Batch* batch = <Batch*>calloc(1, sizeof(Batch))
    cdef int i
    if batch == NULL:
        raise MemoryError
    for i in range(BATCH):
        batch.vectors[i].iov_base = &batch.data[i][0]
        batch.messages[i].msg_hdr.msg_iov = &batch.vectors[i]
        batch.messages[i].msg_hdr.msg_iovlen = 1
    return batch


cdef int receive(int fd, Batch* batch) noexcept nogil:
    """Fill the batch with what waits at `fd`; 0 or less: nothing."""
    cdef int i
    for i in range(BATCH):
        batch.vectors[i].iov_len = SIZE
        batch.messages[i].msg_hdr.msg_name = &batch.names[i]
        batch.messages[i].msg_hdr.msg_namelen = sizeof(sockaddr_storage)
    return recvmmsg(fd, batch.messages, BATCH, MSG_DONTWAIT, NULL)


@cython.final
cdef class Echo:
    """Turns each packet into an answer: one copy of it, the header of an answer, `tail` after the question.

    With the 16 octets of an address record as tail the answer is a right one for any question without EDNS.
    """

    cdef Batch* batch
    cdef Batch* answers
    cdef int fd
    cdef size_t tail_len
    cdef uint8_t answer_count
    cdef uint8_t tail[SIZE]

    def __cinit__(self, int fileno, bytes tail, int answer_count=1):
        if len(tail) > 512:
            raise ValueError("a tail has at most 512 octets")
        self.fd = fileno
        self.tail_len = <size_t>len(tail)
        memcpy(self.tail, <const uint8_t*>tail, self.tail_len)
        self.batch = new_batch()
        self.answers = new_batch()
        self.answer_count = <uint8_t>answer_count

    def __dealloc__(self):
        free(self.batch)
        free(self.answers)

    def on_readable(self):
        """Answer what waits."""
        with nogil:
            echo_batches(self)


cdef void echo_batches(Echo echo) noexcept nogil:
    cdef int i
    cdef int count
    cdef int _round
    for _round in range(ROUNDS):
        count = receive(echo.fd, echo.batch)
        if count <= 0:
            return
        for i in range(count):
            echo_one(echo, i)
        send_all(echo.fd, echo.answers.messages, count)
        if count < BATCH:
            return


cdef void echo_one(Echo echo, int i) noexcept nogil:
    """Make the answer to packet `i` of the batch."""
    cdef size_t length = echo.batch.messages[i].msg_len
    cdef uint8_t* answer = &echo.answers.data[i][0]
    if length > 1024:
        length = 1024
    memcpy(answer, &echo.batch.data[i][0], length)
    memcpy(answer + length, echo.tail, echo.tail_len)
    answer[2] |= 0x84  # QR, AA
    answer[7] = echo.answer_count
    echo.answers.vectors[i].iov_len = length + echo.tail_len
    echo.answers.messages[i].msg_hdr.msg_name = &echo.batch.names[i]
    echo.answers.messages[i].msg_hdr.msg_namelen = echo.batch.messages[i].msg_hdr.msg_namelen


cdef struct Asker:
    sockaddr_storage name
    unsigned int name_len
    uint16_t id


@cython.final
cdef class Forwarder:
    """Sends each packet on under a new id, and each reply back under its old one. It checks nothing."""

    cdef Batch* batch
    cdef Asker* askers
    cdef int client_fd
    cdef int upstream_fd
    cdef uint16_t next_id

    def __cinit__(self, int client_fileno, int upstream_fileno):
        self.client_fd = client_fileno
        self.upstream_fd = upstream_fileno
        self.batch = new_batch()
        self.askers = <Asker*>calloc(IDS, sizeof(Asker))
        if self.askers == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.batch)
        free(self.askers)

    def on_client_readable(self):
        """Send on what clients ask."""
        with nogil:
            forward_batches(self, self.client_fd, self.upstream_fd, forward_query)

    def on_upstream_readable(self):
        """Send back what the upstream answers."""
        with nogil:
            forward_batches(self, self.upstream_fd, self.client_fd, forward_reply)


ctypedef void (*Rewrite)(Forwarder floor, int i) noexcept nogil


cdef void forward_batches(Forwarder floor, int source_fd, int target_fd, Rewrite rewrite) noexcept nogil:
    """Send what waits at one socket out of the other one, each packet rewritten."""
    cdef int i
    cdef int count
    cdef int _round
    for _round in range(ROUNDS):
        count = receive(source_fd, floor.batch)
        if count <= 0:
            return
        for i in range(count):
            rewrite(floor, i)
        send_all(target_fd, floor.batch.messages, count)
        if count < BATCH:
            return


cdef void forward_query(Forwarder floor, int i) noexcept nogil:
    """Give packet `i` a new id and remember who asked."""
    cdef uint8_t* packet = &floor.batch.data[i][0]
    cdef Asker* asker = &floor.askers[floor.next_id]
    asker.name = floor.batch.names[i]
    asker.name_len = floor.batch.messages[i].msg_hdr.msg_namelen
    memcpy(&asker.id, packet, 2)
    memcpy(packet, &floor.next_id, 2)
    floor.next_id += 1
    floor.batch.vectors[i].iov_len = floor.batch.messages[i].msg_len
    floor.batch.messages[i].msg_hdr.msg_name = NULL  # the upstream's socket is connected
    floor.batch.messages[i].msg_hdr.msg_namelen = 0


cdef void forward_reply(Forwarder floor, int i) noexcept nogil:
    """Give reply `i` the id and the address of its asker."""
    cdef uint8_t* packet = &floor.batch.data[i][0]
    cdef uint16_t slot
    cdef Asker* asker
    memcpy(&slot, packet, 2)
    asker = &floor.askers[slot]
    memcpy(packet, &asker.id, 2)
    floor.batch.names[i] = asker.name
    floor.batch.messages[i].msg_hdr.msg_namelen = asker.name_len
    floor.batch.vectors[i].iov_len = floor.batch.messages[i].msg_len
