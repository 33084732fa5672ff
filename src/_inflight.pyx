"""Questions on their way upstream over UDP (see fastdns/_inflight.pxd for what callers may rely on).

A question is FREE, then QUEUED for a flush, WAITING on a socket, or RESTING until the system has room again; it ends as
REPLIED or FAILED, is HANDED to the caller by next_event, and is FREE again or QUEUED again by what the caller decides.
Four indices lead to it: by what is asked and by socket and id (_questions), by time (_wheel), by socket (errors).
Lists are linked by the index of a question, NOTHING ends them; nothing is allocated after a group was added.
"""

import socket as sockets

from fastdns._exchange import Failure as Failures

cimport cython
from libc.errno cimport errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from fastdns._counters cimport GROUP_COALESCED, GROUP_MAX_CONCURRENT_REJECTS, GROUP_SLOTS, UPSTREAM_SLOTS, Counters
from fastdns._exchange cimport (
    FAILED_MALFORMED, FAILED_TIMEOUT, FREE, HANDED, POLICY_SEQUENTIAL, QUEUED, RESTING, UPSTREAMS_MAX, WAITING, Group,
    Reply, Table, Upstream, choose_upstream, enqueue, fail_question, fail_socket, fire_timers, flush_upstream,
    leave_socket, order_upstreams, receive_from,
)
from fastdns._key cimport Key
from fastdns._packet cimport AD, CD, NAME_MAX, RD
from fastdns._pool cimport (
    RECEIVE_MAX, Ready, add_destination, close_pool, find_ready, open_pool, packed_address, read_errors,
    reserve_destinations, retire_socket, sweep_sockets,
)
from fastdns._questions cimport (
    NOTHING, Question, add_waiter, close_questions, fill_question, find_question, hash_question,
    index_question, new_question, open_questions, take_waiter, unindex_question,
)
from fastdns._random cimport random_u16, start_random
from fastdns._sockets cimport EPOLL_CLOEXEC, close, epoll_create1
from fastdns._wheel cimport clear_timer, close_wheel, next_due, open_wheel

cdef uint64_t NEVER = 0xFFFFFFFFFFFFFFFF


cdef void free_question(Table* table, uint32_t slot) noexcept nogil:
    cdef Question* question = &table.known.questions[slot]
    cdef uint64_t waiter
    while take_waiter(&table.known, question, &waiter):
        pass
    unindex_question(&table.known, slot, False)
    question.state = FREE
    question.next = table.known.free_question
    table.known.free_question = slot
    table.groups[question.group].concurrent -= 1
    table.known.live -= 1


@cython.final
@cython.auto_pickle(False)
cdef class Inflight:
    """The questions of one worker. `questions_max` may be on their way at once, four times as many may wait for them."""

    def __cinit__(self, uint32_t questions_max=16384):
        self.epoll_fd = -1
        self.table = NULL
        self.counters = []
        if not 1 <= questions_max <= 1 << 24:
            raise ValueError("questions_max must be between 1 and 2 to the power of 24")
        self.table = new_table(questions_max)
        if self.table == NULL:
            raise MemoryError
        self.epoll_fd = epoll_create1(EPOLL_CLOEXEC)
        if self.epoll_fd < 0:
            raise OSError(errno, "epoll_create1")
        (<Table*>self.table).pool.epoll_fd = self.epoll_fd

    def __dealloc__(self):
        if self.table != NULL:
            close_all(<Table*>self.table)
            free_table(<Table*>self.table)
        if self.epoll_fd >= 0:
            close(self.epoll_fd)

    cdef Asked ask_upstream(self, uint32_t group, const Key* key, uint16_t flags, uint64_t waiter, uint64_t now_ns,
                            uint64_t deadline_ns) noexcept nogil:
        """Ask, or wait with those who asked already. ASK_SENT: flush_questions is to be called."""
        cdef Table* table = <Table*>self.table
        cdef Group* of
        cdef Question* question
        cdef uint32_t hash, slot
        if group >= table.group_count or key.name_len == 0 or key.name_len > NAME_MAX or deadline_ns <= now_ns:
            return ASK_DEAD
        of = &table.groups[group]
        flags = (flags & (RD | AD)) | (CD if key.checking_disabled else 0)
        hash = hash_question(&table.known, group, key, flags)
        slot = find_question(&table.known, hash, group, key, flags)
        if slot != <uint32_t>NOTHING:
            if not add_waiter(&table.known, &table.known.questions[slot], waiter):
                return ASK_FULL
            of.slots[<size_t>GROUP_COALESCED] += 1
            return ASK_JOINED
        if of.max_concurrent and of.concurrent >= of.max_concurrent:
            of.slots[<size_t>GROUP_MAX_CONCURRENT_REJECTS] += 1
            return ASK_FULL
        question = new_question(&table.known, &slot)
        if question == NULL:
            return ASK_FULL
        fill_question(question, group, key, flags, hash)
        clear_timer(&table.wheel, slot)
        question.failure = FAILED_TIMEOUT
        question.asked_ns = now_ns
        question.deadline_ns = deadline_ns
        index_question(&table.known, slot, False)
        of.concurrent += 1
        table.known.live += 1
        if not add_waiter(&table.known, question, waiter):
            free_question(table, slot)
            return ASK_FULL
        order_upstreams(table, of, question)
        if not choose_upstream(table, question):
            free_question(table, slot)
            return ASK_DEAD
        enqueue(table, slot)
        return ASK_SENT

    cdef void flush_questions(self, uint64_t now_ns) noexcept nogil:
        """Send what is queued. A question that fails at once goes to its next upstream here as well."""
        cdef Table* table = <Table*>self.table
        cdef uint32_t upstream_at
        while table.pending_count:
            table.pending_count -= 1
            upstream_at = table.pending[table.pending_count]
            table.upstreams[upstream_at].is_pending = False
            flush_upstream(table, upstream_at, now_ns)

    cdef size_t receive_replies(self, uint64_t now_ns) noexcept nogil:
        """Read one batch; the replies in it come out of next_event. Nothing is read while replies of the last one are left."""
        cdef Table* table = <Table*>self.table
        cdef Ready ready[RECEIVE_MAX]
        cdef uint32_t used = 0
        cdef uint32_t place
        cdef uint16_t at
        if table.reply_next < table.reply_count:
            return table.reply_count - table.reply_next
        table.reply_next = table.reply_count = 0
        if table.known.live == 1 and table.pool.sockets[table.asked_by].live == 1:
            used = receive_from(table, table.asked_by, 0, now_ns)   # the only socket that something is due on
            if used:
                return used
        for place in range(find_ready(&table.pool, ready)):
            at = ready[place].at
            if table.pool.sockets[at].fd < 0:
                continue
            used = receive_from(table, at, used, now_ns)
            if ready[place].has_error and table.pool.sockets[at].fd >= 0 and read_errors(table.pool.sockets[at].fd):
                fail_socket(table, at, now_ns)
        return used

    cdef Event next_event(self, uint64_t now_ns, Answered* answered) noexcept nogil:
        """Replies first, then what failed, also by time."""
        cdef Table* table = <Table*>self.table
        cdef Reply* reply
        cdef uint32_t slot
        if table.reply_next < table.reply_count:
            reply = &table.replies[table.reply_next]
            table.reply_next += 1
            hand_question(table, reply.slot, answered)
            answered.wire = reply.wire
            answered.wire_len = reply.size
            return EVENT_REPLY
        fire_timers(table, now_ns)
        slot = table.failed_first
        if slot == <uint32_t>NOTHING:
            sweep_sockets(&table.pool, now_ns)
            return EVENT_NONE
        table.failed_first = table.known.questions[slot].next
        hand_question(table, slot, answered)
        return EVENT_FAILED

    cdef bint retry_question(self, uint32_t slot, bint without_edns, uint64_t now_ns) noexcept nogil:
        """Ask again instead of taking the reply: each upstream of the list once at most."""
        cdef Table* table = <Table*>self.table
        cdef Question* question = &table.known.questions[slot]
        if slot >= table.known.questions_used or question.state != <uint8_t>HANDED or now_ns >= question.deadline_ns:
            return False
        if without_edns:
            if question.without_edns:
                return False
            question.without_edns = True
            enqueue(table, slot)
            return True
        question.retries += 1
        if question.retries >= table.groups[question.group].count:
            return False
        question.failure = FAILED_MALFORMED
        question.without_edns = False
        if not choose_upstream(table, question):
            return False
        enqueue(table, slot)
        return True

    cdef bint repeat_question(self, uint32_t slot, uint64_t now_ns) noexcept nogil:
        """Ask the same upstream once more instead of taking the reply."""
        cdef Table* table = <Table*>self.table
        cdef Question* question = &table.known.questions[slot]
        if slot >= table.known.questions_used or question.state != <uint8_t>HANDED or now_ns >= question.deadline_ns:
            return False
        if question.repeated:
            return False
        question.repeated = True
        enqueue(table, slot)
        return True

    cdef bint next_waiter(self, uint32_t slot, uint64_t* waiter) noexcept nogil:
        """Take one of those who wait for the question; False: there is none."""
        cdef Table* table = <Table*>self.table
        return slot < table.known.questions_used and take_waiter(&table.known, &table.known.questions[slot], waiter)

    cdef void release_question(self, uint32_t slot) noexcept nogil:
        """Done with an event's question; waiters that were not taken are forgotten."""
        cdef Table* table = <Table*>self.table
        if slot < table.known.questions_used and table.known.questions[slot].state == <uint8_t>HANDED:
            free_question(table, slot)

    cdef bint has_failing(self) noexcept nogil:
        """True if failing_upstreams has something to tell."""
        return (<Table*>self.table).has_failing

    cdef uint64_t next_deadline(self) noexcept nogil:
        """When a timer fires next, never too early for it; what waits to be told or to be sent is due at once."""
        cdef Table* table = <Table*>self.table
        if table.pending_count or table.failed_first != <uint32_t>NOTHING or table.reply_next < table.reply_count:
            return 0
        if table.wheel.running:
            return next_due(&table.wheel)
        return table.pool.next_sweep_ns if table.pool.open else NEVER

    # --- building, and the slow side --------------------------------------------------------------------------------

    def add_group(self, upstreams, *, uint32_t policy, uint32_t max_concurrent, uint32_t read_timeout_ms,
                  uint32_t max_fails, uint32_t max_connect_attempts, bint failfast, str source_address not None="",
                  Counters counters=None, size_t first_slot=0):
        """Add the upstreams of one forward plugin, (IP address, port) each; its number.

        `max_connect_attempts` 0 is no limit but the deadline, as in CoreDNS. Metric slots start at `first_slot` of
        `counters`: GROUP_SLOTS, then UPSTREAM_SLOTS for each upstream; without `counters` they are kept here.
        """
        cdef Table* table = <Table*>self.table
        cdef size_t count = len(upstreams)
        cdef size_t slots = GROUP_SLOTS + count * UPSTREAM_SLOTS
        cdef Group* group
        cdef Upstream* upstream
        cdef size_t place
        if not 1 <= count <= UPSTREAMS_MAX:
            raise ValueError(f"a group has 1 to {<int>UPSTREAMS_MAX} upstreams, not {count}")
        if policy > POLICY_SEQUENTIAL:
            raise ValueError(f"no policy has number {policy}")
        if counters is not None and (first_slot > counters.count or counters.count - first_slot < slots):
            raise IndexError(f"{slots} slots from {first_slot} of {counters.count}")
        addresses = [packed_address(address, port) for address, port in upstreams]
        source = packed_address(source_address, 0) if source_address else b""
        grow_table(table, count)
        group = &table.groups[table.group_count]
        memset(group, 0, sizeof(Group))
        if counters is None:
            group.own_slots = <uint64_t*>calloc(slots, sizeof(uint64_t))
            if group.own_slots == NULL:
                raise MemoryError
            group.slots = group.own_slots
        else:
            self.counters.append(counters)
            group.slots = counters.slots + first_slot
        group.read_timeout_ns = <uint64_t>read_timeout_ms * 1000000
        group.first = table.upstream_count
        group.count = <uint32_t>count
        group.policy = policy
        group.max_concurrent = max_concurrent
        group.max_attempts = max_connect_attempts
        group.is_checked = max_fails != 0
        group.fails_fast = failfast
        for place in range(count):
            upstream = &table.upstreams[table.upstream_count]
            memset(upstream, 0, sizeof(Upstream))
            add_destination(&table.pool, <const uint8_t*>(<bytes>addresses[place]), len(addresses[place]),
                            <const uint8_t*>source, len(source))
            upstream.slots = group.slots + <size_t>GROUP_SLOTS + place * <size_t>UPSTREAM_SLOTS
            upstream.group = table.group_count
            upstream.index = <uint32_t>place
            upstream.first = NOTHING
            table.upstream_count += 1
        table.group_count += 1
        return table.group_count - 1

    def set_upstream_down(self, uint32_t group, uint32_t upstream, bint down):
        """Health checks have failed more than max_fails times, or one has succeeded. Raises IndexError."""
        find_upstream(<Table*>self.table, group, upstream).is_down = down

    def is_upstream_down(self, uint32_t group, uint32_t upstream):
        """Raises IndexError."""
        return bool(find_upstream(<Table*>self.table, group, upstream).is_down)

    def note_failure(self, uint32_t group, uint32_t upstream):
        """Put the upstream on the list of failing_upstreams: it failed over TCP or TLS. Raises IndexError."""
        cdef Upstream* found = find_upstream(<Table*>self.table, group, upstream)
        found.has_failed = (<Table*>self.table).groups[group].is_checked
        (<Table*>self.table).has_failing |= found.has_failed

    def failing_upstreams(self):
        """(group, upstream) that did not answer since the last call, in groups that are health-checked."""
        cdef Table* table = <Table*>self.table
        cdef uint32_t at
        failing = []
        if not table.has_failing:
            return failing
        table.has_failing = False
        for at in range(table.upstream_count):
            if table.upstreams[at].has_failed:
                table.upstreams[at].has_failed = False
                failing.append((table.upstreams[at].group, table.upstreams[at].index))
        return failing

    def counts(self, uint32_t group):
        """The metric slots of a group: its GROUP_SLOTS, and a list of UPSTREAM_SLOTS for each upstream. Raises IndexError."""
        cdef Table* table = <Table*>self.table
        cdef uint32_t place
        cdef Upstream* upstream
        cdef size_t slot
        find_upstream(table, group, 0)
        of_upstreams = []
        for place in range(table.groups[group].count):
            upstream = &table.upstreams[table.groups[group].first + place]
            of_upstreams.append([upstream.slots[slot] for slot in range(<size_t>UPSTREAM_SLOTS)])
        return [table.groups[group].slots[slot] for slot in range(<size_t>GROUP_SLOTS)], of_upstreams

    @property
    def live(self):
        """Questions on their way, or with the caller."""
        return (<Table*>self.table).known.live

    @property
    def open_sockets(self):
        return (<Table*>self.table).pool.open

    def local_ports(self):
        """Ports of the sockets that are open, in no order."""
        cdef Table* table = <Table*>self.table
        cdef uint32_t at
        ports = []
        for at in range(table.pool.used):
            if table.pool.sockets[at].fd >= 0:
                with sockets.socket(fileno=sockets.dup(table.pool.sockets[at].fd)) as sock:
                    ports.append(sock.getsockname()[1])
        return ports

    def close(self):
        """Close every socket; what was on its way fails. Nothing may be asked after that."""
        close_all(<Table*>self.table)

    # --- the hot functions for Python: tests, and look-ups of our own ----------------------------------------------

    def ask(self, uint32_t group, bytes name_key not None, uint16_t qtype, uint64_t waiter, *, uint64_t now_ns,
            uint64_t deadline_ns, uint16_t qclass=1, bint wants_dnssec=False, bint checking_disabled=False,
            uint16_t flags=RD):
        """As ask_upstream; `name_key` is a canonical wire name."""
        cdef Key key
        key.name_key = <const uint8_t*>name_key
        key.name_len = <uint16_t>min(<size_t>len(name_key), <size_t>0xFFFF)
        key.qtype = qtype
        key.qclass = qclass
        key.wants_dnssec = wants_dnssec
        key.checking_disabled = checking_disabled
        return Asked(self.ask_upstream(group, &key, flags, waiter, now_ns, deadline_ns))

    def flush(self, uint64_t now_ns):
        with nogil:
            self.flush_questions(now_ns)

    def receive(self, uint64_t now_ns):
        cdef size_t count
        with nogil:
            count = self.receive_replies(now_ns)
        return count

    def take_event(self, uint64_t now_ns):
        """(slot, upstream, reply) or (slot, upstream, Failure), None if there is nothing more."""
        cdef Answered answered
        cdef Event event = self.next_event(now_ns, &answered)
        if event == EVENT_NONE:
            return None
        if event == EVENT_REPLY:
            return answered.slot, answered.upstream, answered.wire[:answered.wire_len]
        return answered.slot, answered.upstream, Failures(answered.failure)

    def retry(self, uint32_t slot, *, uint64_t now_ns, bint without_edns=False):
        return bool(self.retry_question(slot, without_edns, now_ns))

    def release(self, uint32_t slot):
        """The question is done; those who wait for it."""
        cdef uint64_t waiter
        waiters = []
        while self.next_waiter(slot, &waiter):
            waiters.append(waiter)
        self.release_question(slot)
        return waiters

    def deadline(self):
        """As next_deadline; None: no question is on its way."""
        cdef uint64_t due = self.next_deadline()
        return None if due == NEVER else due


cdef void hand_question(Table* table, uint32_t slot, Answered* answered) noexcept nogil:
    cdef Question* question = &table.known.questions[slot]
    question.state = HANDED
    answered.slot = slot
    answered.failure = <Failure>question.failure
    answered.group = question.group
    answered.upstream = table.upstreams[question.upstream].index
    answered.key = question.key
    answered.wire = NULL
    answered.wire_len = 0
    answered.asked_ns = question.asked_ns
    answered.sent_ns = question.sent_ns


cdef Table* new_table(uint32_t questions_max) noexcept nogil:
    """NULL: no memory. What is not touched costs none."""
    cdef Table* table = <Table*>calloc(1, sizeof(Table))
    if table == NULL:
        return NULL
    if (not open_questions(&table.known, questions_max) or not open_wheel(&table.wheel, questions_max)
            or not open_pool(&table.pool)):
        free_table(table)
        return NULL
    table.failed_first = NOTHING
    start_random(&table.random)
    for _ in range(4):
        table.known.seed = (table.known.seed << 16) | random_u16(&table.random)
        table.known.multiplier = (table.known.multiplier << 16) | random_u16(&table.random)
    table.known.multiplier |= 1
    return table


cdef void close_all(Table* table) noexcept nogil:
    """Every question fails, every socket is closed; whoever asks later finds no group."""
    cdef uint32_t at
    for at in range(table.known.questions_used):
        if table.known.questions[at].state == <uint8_t>WAITING or table.known.questions[at].state == <uint8_t>RESTING:
            leave_socket(table, at)
            fail_question(table, at)
        elif table.known.questions[at].state == <uint8_t>QUEUED:
            fail_question(table, at)
    for at in range(table.upstream_count):
        table.upstreams[at].first = NOTHING
        table.upstreams[at].is_pending = False
    table.pending_count = 0
    for at in range(table.pool.used):
        retire_socket(&table.pool, <uint16_t>at)


cdef void free_table(Table* table) noexcept nogil:
    cdef uint32_t at
    for at in range(table.group_count):
        free(table.groups[at].own_slots)
    free(table.groups)
    free(table.upstreams)
    free(table.pending)
    close_questions(&table.known)
    close_wheel(&table.wheel)
    close_pool(&table.pool)
    free(table)


cdef int grow_table(Table* table, size_t upstreams) except -1:
    """Make room for one more group with that many upstreams."""
    cdef size_t count = table.upstream_count + upstreams
    cdef void* block = realloc(table.groups, (table.group_count + 1) * sizeof(Group))
    if block == NULL:
        raise MemoryError
    table.groups = <Group*>block
    block = realloc(table.upstreams, count * sizeof(Upstream))
    if block == NULL:
        raise MemoryError
    table.upstreams = <Upstream*>block
    block = realloc(table.pending, count * sizeof(uint32_t))
    if block == NULL:
        raise MemoryError
    table.pending = <uint32_t*>block
    if not reserve_destinations(&table.pool, upstreams):
        raise MemoryError
    return 0


cdef Upstream* find_upstream(Table* table, uint32_t group, uint32_t upstream) except NULL:
    if group >= table.group_count:
        raise IndexError(f"group {group} of {table.group_count}")
    if upstream >= table.groups[group].count:
        raise IndexError(f"upstream {upstream} of {table.groups[group].count}")
    return &table.upstreams[table.groups[group].first + upstream]
