"""A client that asks fast: sendmmsg and recvmmsg with the GIL released, bounded in time.

It sends and hears in turn without ever sleeping (so that no server pays for waking it), or, with `wait`, sleeps while
nothing comes and nothing is due (so that what shares its core gets on). Either it keeps a window (as many questions
outstanding as given: the server is saturated) or a rate (questions fall due by the clock, and latency counts from the
moment that a question was due, so that a stall is seen in full).

Each socket numbers its questions by one counter; the id is its lower 16 bits. What was asked first and isn't answered
in time is lost: one pointer (`tail`) follows the counter (`head`), so nothing is searched.
"""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from bench._mmsg cimport MSG_DONTWAIT, mmsghdr, iovec, monotonic_ns, recvmmsg, sendmmsg, timespec

cdef extern from "poll.h" nogil:
    struct pollfd:
        int fd
        short events
    int ppoll(pollfd* polled, unsigned long count, const timespec* timeout, const void* mask)
    enum:
        POLLIN

cdef enum:
    BATCH = 64
    QUESTION_MAX = 512
    ANSWER_MAX = 4096
    IDS = 65536
    SOCKETS_MAX = 64
    RCODES = 16
    LABEL = 8               # octets of a fresh label
    NAP_NS = 1000000        # the longest sleep
    # Latencies as HdrHistogram keeps them: 32 steps to each power of two, so that a bucket is 3 % wide.
    STEP_BITS = 5
    BUCKETS = 1 << 11


cdef struct Socket:
    int fd
    uint32_t head           # number of the next question
    uint32_t tail           # number of the oldest question that may be outstanding
    uint32_t outstanding
    uint64_t* asked_ns      # of each id that is outstanding (0: it isn't); owned


cdef struct Questions:
    const uint8_t* data     # borrowed from the caller's bytes
    uint32_t* starts        # count + 1 of them; owned
    uint32_t count
    uint32_t next


cdef struct Plan:
    uint64_t start_ns
    uint64_t stop_ns        # no question after this
    uint64_t give_up_ns     # no waiting after this
    uint64_t timeout_ns
    uint64_t limit          # no more questions than this
    uint32_t window         # of each socket
    bint wait               # sleep when nothing was heard
    bint fresh              # each question gets a new first label
    uint32_t salt           # number of the first of these labels
    double rate             # a second, over all sockets; 0: saturate


cdef struct Tally:
    uint64_t sent
    uint64_t answered
    uint64_t lost
    uint64_t stray          # no question of that id was outstanding: a late answer, or no answer at all
    uint64_t empty          # answers without an answer record
    uint64_t octets
    uint64_t last_ns        # when the last answer came
    uint64_t rcodes[RCODES]
    uint64_t latency[BUCKETS]


cdef struct Client:
    Socket sockets[SOCKETS_MAX]
    uint32_t socket_count
    Questions questions
    Plan plan
    Tally tally
    mmsghdr messages[BATCH]
    iovec vectors[BATCH]
    uint8_t data[BATCH][ANSWER_MAX]


cdef inline uint32_t bucket_of(uint64_t ns) noexcept nogil:
    """The bucket of a latency: exact below 64 ns, then 32 to each power of two."""
    cdef uint32_t shift = 0
    while (ns >> shift) >= (2 << STEP_BITS):
        shift += 1
    return (shift << STEP_BITS) + <uint32_t>(ns >> shift)


def bucket_floor(uint32_t bucket):
    """The least latency (ns) of a bucket."""
    cdef uint32_t shift
    if bucket < (2 << STEP_BITS):
        return bucket
    shift = (bucket >> STEP_BITS) - 1
    return <uint64_t>(bucket - (shift << STEP_BITS)) << shift


@cython.final
cdef class Load:
    """Connected UDP sockets and the questions (whole messages, at most 512 octets) that go round over them."""

    cdef Client* client
    cdef bytes data
    cdef int shortest_label

    def __cinit__(self, filenos, questions):
        if not 0 < len(filenos) <= SOCKETS_MAX or not questions:
            raise ValueError(f"1 to {SOCKETS_MAX} sockets and a question are needed")
        self.client = <Client*>calloc(1, sizeof(Client))
        if self.client == NULL:
            raise MemoryError
        self.data = b"".join(questions)
        self.shortest_label = min(question[12] for question in questions)
        keep_questions(&self.client.questions, self.data, questions)
        for fileno in filenos:
            open_socket(self.client, fileno)
        point_vectors(self.client)

    def __dealloc__(self):
        cdef uint32_t i
        if self.client == NULL:
            return
        for i in range(self.client.socket_count):
            free(self.client.sockets[i].asked_ns)
        free(self.client.questions.starts)
        free(self.client)

    def run(
        self,
        *,
        double seconds,
        int window=128,
        double rate=0.0,
        double timeout=1.0,
        uint64_t limit=0,
        bint wait=False,
        salt=None,
    ):
        """Ask for `seconds` or `limit` questions (0: no limit), then hear what is outstanding, for `timeout` at most.

        With a `salt` the first eight octets of each question's first label become hexadecimal digits that aren't used
        twice in 2**32 questions from that number on: names that no cache has.
        """
        cdef Client* client = self.client
        cdef Plan* plan = &client.plan
        if not 0 < window <= 32768 or not 0 < seconds <= 600 or rate < 0:
            raise ValueError("window, seconds or rate is out of bounds")
        if salt is not None and self.shortest_label < LABEL:
            raise ValueError("a salt needs first labels of at least 8 octets")
        plan.rate = rate
        plan.limit = limit or <uint64_t>-1
        plan.window = <uint32_t>max(1, window // <int>client.socket_count)
        plan.wait = wait
        plan.fresh = salt is not None
        plan.salt = salt or 0
        with nogil:
            begin(client, seconds, timeout)
            ask_and_hear(client)
        return report(client)


cdef int keep_questions(Questions* kept, bytes data, questions) except -1:
    cdef uint32_t i
    cdef uint32_t at = 0
    kept.data = <const uint8_t*>data
    kept.count = <uint32_t>len(questions)
    kept.starts = <uint32_t*>calloc(kept.count + 1, sizeof(uint32_t))
    if kept.starts == NULL:
        raise MemoryError
    for i in range(kept.count):
        if not 12 < len(questions[i]) <= QUESTION_MAX:
            raise ValueError(f"question {i} has {len(questions[i])} octets")
        at += <uint32_t>len(questions[i])
        kept.starts[i + 1] = at
    return 0


cdef int open_socket(Client* client, int fileno) except -1:
    cdef Socket* socket = &client.sockets[client.socket_count]
    socket.fd = fileno
    socket.asked_ns = <uint64_t*>calloc(IDS, sizeof(uint64_t))
    if socket.asked_ns == NULL:
        raise MemoryError
    client.socket_count += 1
    return 0


cdef void point_vectors(Client* client) noexcept nogil:
    cdef int i
    for i in range(BATCH):
        client.vectors[i].iov_base = &client.data[i][0]
        client.messages[i].msg_hdr.msg_iov = &client.vectors[i]
        client.messages[i].msg_hdr.msg_iovlen = 1


cdef void begin(Client* client, double seconds, double timeout) noexcept nogil:
    """Start the clock and forget what an earlier run left outstanding."""
    cdef Plan* plan = &client.plan
    cdef uint32_t i
    plan.start_ns = monotonic_ns()
    plan.timeout_ns = <uint64_t>(timeout * 1e9)
    plan.stop_ns = plan.start_ns + <uint64_t>(seconds * 1e9)
    plan.give_up_ns = plan.stop_ns + plan.timeout_ns
    for i in range(client.socket_count):
        forget_outstanding(&client.sockets[i])
    memset(&client.tally, 0, sizeof(Tally))


cdef void forget_outstanding(Socket* socket) noexcept nogil:
    while socket.tail != socket.head:
        socket.asked_ns[socket.tail & (IDS - 1)] = 0
        socket.tail += 1
    socket.outstanding = 0


cdef void ask_and_hear(Client* client) noexcept nogil:
    """Go round the sockets until the time is up or all is asked, and nothing is outstanding any more."""
    cdef uint64_t now = client.plan.start_ns
    cdef uint32_t outstanding = 1
    cdef uint32_t i
    cdef int heard
    while is_asking(client, now) or (outstanding > 0 and now < client.plan.give_up_ns):
        outstanding = 0
        heard = 0
        for i in range(client.socket_count):
            heard += go_round(client, &client.sockets[i])
            outstanding += client.sockets[i].outstanding
        now = monotonic_ns()
        if client.plan.wait and heard == 0:
            wait_for_answer(client, now, outstanding)
            now = monotonic_ns()
    for i in range(client.socket_count):
        client.tally.lost += client.sockets[i].outstanding


cdef bint is_asking(Client* client, uint64_t now) noexcept nogil:
    return now < client.plan.stop_ns and client.tally.sent < client.plan.limit


cdef int go_round(Client* client, Socket* socket) noexcept nogil:
    """Hear, then ask at one socket; the number of answers heard."""
    cdef int heard = hear(client, socket)
    cdef uint64_t now = monotonic_ns()
    give_up_old(client, socket, now)
    if is_asking(client, now):
        ask(client, socket, heard, now)
    return heard


cdef void wait_for_answer(Client* client, uint64_t now, uint32_t outstanding) noexcept nogil:
    """Sleep until any socket has an answer or a question is due, a millisecond at most."""
    cdef pollfd polled[SOCKETS_MAX]
    cdef timespec nap
    cdef uint32_t i
    nap.tv_sec = 0
    nap.tv_nsec = nap_ns(client, now, outstanding)
    if nap.tv_nsec == 0:
        return
    for i in range(client.socket_count):
        polled[i].fd = client.sockets[i].fd
        polled[i].events = POLLIN
    ppoll(polled, client.socket_count, &nap, NULL)


cdef long nap_ns(Client* client, uint64_t now, uint32_t outstanding) noexcept nogil:
    """How long nothing is due; 0: something is."""
    cdef uint64_t due
    if client.plan.rate > 0 and is_asking(client, now):
        due = due_ns(client, client.tally.sent)
        if due <= now:
            return 0
        return <long>(due - now if due - now < NAP_NS else NAP_NS)
    return NAP_NS if outstanding > 0 else 0


cdef inline uint64_t due_ns(Client* client, uint64_t number) noexcept nogil:
    """When the question of this number is due at a rate."""
    return client.plan.start_ns + <uint64_t>(<double>number * 1e9 / client.plan.rate)


cdef int hear(Client* client, Socket* socket) noexcept nogil:
    """Take in a batch of answers; their number."""
    cdef int i
    cdef int count
    cdef uint64_t now
    if socket.outstanding == 0:
        return 0
    for i in range(BATCH):
        client.vectors[i].iov_len = ANSWER_MAX
    count = recvmmsg(socket.fd, client.messages, BATCH, MSG_DONTWAIT, NULL)
    if count <= 0:
        return 0
    now = monotonic_ns()
    for i in range(count):
        hear_answer(&client.tally, socket, &client.data[i][0], client.messages[i].msg_len, now)
    return count


cdef void hear_answer(Tally* tally, Socket* socket, const uint8_t* answer, size_t length, uint64_t now) noexcept nogil:
    cdef uint32_t id
    cdef uint64_t asked
    if length < 12 or not answer[2] & 0x80:
        tally.stray += 1
        return
    id = (<uint32_t>answer[0] << 8) | answer[1]
    asked = socket.asked_ns[id]
    if asked == 0:
        tally.stray += 1
        return
    socket.asked_ns[id] = 0
    socket.outstanding -= 1
    tally.answered += 1
    tally.octets += length
    tally.last_ns = now
    tally.empty += answer[6] == 0 and answer[7] == 0
    tally.rcodes[answer[3] & 15] += 1
    tally.latency[bucket_of(now - asked if now > asked else 0)] += 1


cdef void give_up_old(Client* client, Socket* socket, uint64_t now) noexcept nogil:
    """Move the tail past what is answered, and past what is older than the timeout."""
    cdef uint64_t asked
    while socket.tail != socket.head:
        asked = socket.asked_ns[socket.tail & (IDS - 1)]
        if asked != 0:
            if now < asked + client.plan.timeout_ns:
                return
            socket.asked_ns[socket.tail & (IDS - 1)] = 0
            socket.outstanding -= 1
            client.tally.lost += 1
        socket.tail += 1


cdef void ask(Client* client, Socket* socket, int heard, uint64_t now) noexcept nogil:
    """Send what is due by the plan, a batch at most."""
    cdef uint32_t due = due_now(client, socket, heard, now)
    cdef uint32_t i
    cdef uint64_t asked
    cdef int sent
    for i in range(due):
        put_question(client, socket, i)
    if due == 0:
        return
    sent = sendmmsg(socket.fd, client.messages, due, MSG_DONTWAIT)
    for _ in range(sent):
        asked = now
        if client.plan.rate > 0:
            asked = due_ns(client, client.tally.sent)
        socket.asked_ns[socket.head & (IDS - 1)] = asked
        socket.head += 1
        socket.outstanding += 1
        client.tally.sent += 1
        client.questions.next = (client.questions.next + 1) % client.questions.count


cdef uint32_t due_now(Client* client, Socket* socket, int heard, uint64_t now) noexcept nogil:
    """How many questions to send now. A window is filled half a batch at a time, as long as answers keep coming."""
    cdef uint32_t room
    cdef uint64_t due
    if socket.head - socket.tail >= IDS - BATCH or socket.outstanding >= client.plan.window:
        return 0
    room = client.plan.window - socket.outstanding
    if client.plan.rate > 0:
        due = <uint64_t>(<double>(now - client.plan.start_ns) * client.plan.rate / 1e9) + 1
        due = due - client.tally.sent if due > client.tally.sent else 0
        room = room if room < due else <uint32_t>due
    elif heard > 0 and room < BATCH / 2 and room < client.plan.window / 2:
        return 0
    if room > client.plan.limit - client.tally.sent:
        room = <uint32_t>(client.plan.limit - client.tally.sent)
    return room if room < BATCH else BATCH


cdef void put_question(Client* client, Socket* socket, uint32_t i) noexcept nogil:
    """Copy the question that is `i` after the next one into the batch, under its id."""
    cdef Questions* questions = &client.questions
    cdef uint32_t number = (questions.next + i) % questions.count
    cdef uint32_t length = questions.starts[number + 1] - questions.starts[number]
    cdef uint8_t* packet = &client.data[i][0]
    memcpy(packet, questions.data + questions.starts[number], length)
    packet[0] = <uint8_t>(((socket.head + i) >> 8) & 0xFF)
    packet[1] = <uint8_t>((socket.head + i) & 0xFF)
    if client.plan.fresh:
        write_label(packet + 13, client.plan.salt + <uint32_t>client.tally.sent + i)
    client.vectors[i].iov_len = length


cdef void write_label(uint8_t* label, uint32_t number) noexcept nogil:
    """Eight hexadecimal digits of the number, spread over all values one to one (the factor is odd)."""
    cdef uint32_t mixed = number * <uint32_t>2654435761
    cdef uint32_t digit
    cdef int i
    for i in range(LABEL):
        digit = (mixed >> (28 - 4 * i)) & 15
        label[i] = <uint8_t>(48 + digit if digit < 10 else 87 + digit)


cdef dict report(Client* client):
    cdef Tally* tally = &client.tally
    cdef uint64_t end_ns = min(tally.last_ns, client.plan.stop_ns) if tally.last_ns else client.plan.stop_ns
    return {
        "sent": tally.sent,
        "answered": tally.answered,
        "lost": tally.lost,
        "stray": tally.stray,
        "empty": tally.empty,
        "octets": tally.octets,
        "seconds": (end_ns - client.plan.start_ns) / 1e9,
        "rcodes": [tally.rcodes[i] for i in range(RCODES)],
        "latency": {i: tally.latency[i] for i in range(BUCKETS) if tally.latency[i]},
    }
