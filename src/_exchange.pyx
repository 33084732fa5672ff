"""The tries that a question takes (see fastdns/_exchange.pxd): chosen, queued, sent, timed, matched with replies, failed."""

from libc.errno cimport EINTR, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from fastdns._counters cimport (
    GROUP_HEALTHCHECK_BROKEN, GROUP_MISMATCHED_REPLIES, UPSTREAM_CONN_CACHE_HITS, UPSTREAM_CONN_CACHE_MISSES,
    observe_exchange,
)
from fastdns._packet cimport HEADER_SIZE, RCODE_MASK, TC
from fastdns._pool cimport (
    NO_SOCKET, SEND_BATCH, Socket, close_if_idle, is_shortage, pick_socket, receive_datagrams, retire_socket,
    send_datagrams,
)
from fastdns._questions cimport (
    NOTHING, Question, find_by_id, index_question, is_reply_to, refuses_edns, unindex_question, write_query,
)
from fastdns._random cimport random_below, random_u16
from fastdns._sockets cimport MSG_TRUNC
from fastdns._wheel cimport NO_TIMER, start_timer, stop_timer, take_fired
from fastdns._wire cimport load_u16, store_u16

cdef uint64_t REST = 20000000                   # before the system is asked for room again


cdef inline void append(Table* table, uint32_t* first, uint32_t* last, uint32_t slot) noexcept nogil:
    """Put a question at the end of a list."""
    table.known.questions[slot].next = NOTHING
    if first[0] == <uint32_t>NOTHING:
        first[0] = slot
    else:
        table.known.questions[last[0]].next = slot
    last[0] = slot


# --- by time ---------------------------------------------------------------------------------------------------------

cdef void fire_timers(Table* table, uint64_t now_ns) noexcept nogil:
    cdef uint32_t slot = take_fired(&table.wheel, now_ns)
    while slot != <uint32_t>NO_TIMER:
        on_timer(table, slot, now_ns)
        slot = take_fired(&table.wheel, now_ns)


cdef void on_timer(Table* table, uint32_t slot, uint64_t now_ns) noexcept nogil:
    cdef Question* question = &table.known.questions[slot]
    if table.wheel.timers[slot].due_ns > now_ns:
        start_timer(&table.wheel, slot, table.wheel.timers[slot].due_ns, now_ns)
    elif question.state == <uint8_t>RESTING and now_ns < question.deadline_ns:
        enqueue(table, slot)
    else:
        leave_socket(table, slot)
        fail_try(table, slot, FAILED_TIMEOUT, now_ns)


# --- on a socket ------------------------------------------------------------------------------------------------------

cdef bint join_socket(Table* table, uint32_t slot, uint16_t at) noexcept nogil:
    """Give the question an id that is not in use on the socket; False if none was found."""
    cdef Question* question = &table.known.questions[slot]
    cdef Socket* sock = &table.pool.sockets[at]
    cdef uint32_t left = 64
    cdef uint16_t id = random_u16(&table.random)
    while find_by_id(&table.known, at, id) != <uint32_t>NOTHING:
        left -= 1
        if left == 0:
            return False
        id = random_u16(&table.random)
    question.id = id
    question.socket = at
    index_question(&table.known, slot, True)
    question.peer_previous = NOTHING
    question.peer_next = sock.first
    if sock.first != <uint32_t>NOTHING:
        table.known.questions[sock.first].peer_previous = slot
    sock.first = slot
    sock.live += 1
    return True


cdef void leave_socket(Table* table, uint32_t slot) noexcept nogil:
    """Wait for nothing more on the socket: not for a reply, and for no timer."""
    cdef Question* question = &table.known.questions[slot]
    cdef uint16_t at = question.socket
    stop_timer(&table.wheel, slot)
    if at == <uint16_t>NO_SOCKET:
        return
    unindex_question(&table.known, slot, True)
    if question.peer_previous != <uint32_t>NOTHING:
        table.known.questions[question.peer_previous].peer_next = question.peer_next
    else:
        table.pool.sockets[at].first = question.peer_next
    if question.peer_next != <uint32_t>NOTHING:
        table.known.questions[question.peer_next].peer_previous = question.peer_previous
    question.socket = NO_SOCKET
    table.pool.sockets[at].live -= 1
    close_if_idle(&table.pool, at)


cdef void fail_socket(Table* table, uint16_t at, uint64_t now_ns) noexcept nogil:
    """The network says that the upstream can't be reached: whatever waits on the socket goes to the next upstream at once."""
    cdef uint32_t slot
    while table.pool.sockets[at].first != <uint32_t>NOTHING:
        slot = table.pool.sockets[at].first
        leave_socket(table, slot)
        fail_try(table, slot, FAILED_NETWORK, now_ns)
    retire_socket(&table.pool, at)


# --- which upstream: CoreDNS's plugin/forward/forward.go, ServeDNS --------------------------------------------------

cdef void order_upstreams(Table* table, Group* group, Question* question) noexcept nogil:
    """The group's upstreams in the order of its policy."""
    cdef uint32_t at, other
    cdef uint8_t held
    for at in range(group.count):
        question.order[at] = <uint8_t>at
    if group.policy == <uint32_t>POLICY_RANDOM:
        at = group.count
        while at > 1:
            other = random_below(&table.random, at)
            at -= 1
            held = question.order[at]
            question.order[at] = question.order[other]
            question.order[other] = held
    elif group.policy == <uint32_t>POLICY_ROUND_ROBIN:      # the one whose turn it is, then the others as they stand
        group.turn = (group.turn + 1) % group.count
        at = group.turn
        held = question.order[at]
        while at > 0:
            question.order[at] = question.order[at - 1]
            at -= 1
        question.order[0] = held


cdef bint choose_upstream(Table* table, Question* question) noexcept nogil:
    """The next upstream in the list that is not down; a random one if all are, and False if the group fails fast then."""
    cdef Group* group = &table.groups[question.group]
    cdef uint32_t at
    while True:
        if question.position >= group.count:
            question.position = 0
            question.fails = 0
        at = group.first + question.order[question.position]
        question.position += 1
        if not table.upstreams[at].is_down:
            break
        question.fails += 1
        if question.fails < group.count:
            continue
        group.slots[<size_t>GROUP_HEALTHCHECK_BROKEN] += 1
        if group.fails_fast:
            return False
        at = group.first + random_below(&table.random, group.count)
        break
    question.upstream = at
    return True


cdef void fail_try(Table* table, uint32_t slot, Failure failure, uint64_t now_ns) noexcept nogil:
    """This try is over without a reply: the next upstream is tried, or the question has failed."""
    cdef Question* question = &table.known.questions[slot]
    cdef Group* group = &table.groups[question.group]
    question.failure = <uint8_t>failure
    question.attempts += 1
    if group.is_checked:
        table.upstreams[question.upstream].has_failed = True
        table.has_failing = True
    if (now_ns >= question.deadline_ns or question.fails >= group.count
            or (group.max_attempts and question.attempts >= group.max_attempts)):
        fail_question(table, slot)
        return
    if group.max_attempts == 0 and question.position >= group.count and failure == FAILED_NETWORK:
        if not choose_upstream(table, question):
            question.failure = FAILED_BROKEN
            fail_question(table, slot)
            return
        rest_question(table, slot, now_ns)      # else a closed port would be asked without a pause until the deadline
        return
    if choose_upstream(table, question):
        enqueue(table, slot)
        return
    question.failure = FAILED_BROKEN
    fail_question(table, slot)


cdef void fail_question(Table* table, uint32_t slot) noexcept nogil:
    cdef Question* question = &table.known.questions[slot]
    question.state = FAILED
    append(table, &table.failed_first, &table.failed_last, slot)


cdef void rest_question(Table* table, uint32_t slot, uint64_t now_ns) noexcept nogil:
    """The system has no room to send it now (ENOBUFS, EMFILE): not the upstream's fault, and no reason to spin."""
    cdef Question* question = &table.known.questions[slot]
    question.state = RESTING
    start_timer(&table.wheel, slot, min(now_ns + REST, question.deadline_ns), now_ns)


# --- sending ---------------------------------------------------------------------------------------------------------

cdef void enqueue(Table* table, uint32_t slot) noexcept nogil:
    cdef Question* question = &table.known.questions[slot]
    cdef Upstream* upstream = &table.upstreams[question.upstream]
    question.state = QUEUED
    append(table, &upstream.first, &upstream.last, slot)
    if not upstream.is_pending:
        upstream.is_pending = True
        table.pending[table.pending_count] = question.upstream
        table.pending_count += 1


cdef uint32_t dequeue(Table* table, Upstream* upstream) noexcept nogil:
    cdef uint32_t slot = upstream.first
    if slot != <uint32_t>NOTHING:
        upstream.first = table.known.questions[slot].next
    return slot


cdef void drop_try(Table* table, uint32_t slot, int error, uint64_t now_ns) noexcept nogil:
    """The question could not be sent."""
    if is_shortage(error):
        rest_question(table, slot, now_ns)
    else:
        fail_try(table, slot, FAILED_NETWORK, now_ns)


cdef void flush_upstream(Table* table, uint32_t upstream_at, uint64_t now_ns) noexcept nogil:
    """Send what is queued for an upstream now; what its sending brings about is for the next round."""
    cdef Upstream* upstream = &table.upstreams[upstream_at]
    cdef uint32_t last = upstream.last
    cdef uint32_t slot = NOTHING
    cdef uint16_t at
    cdef uint32_t count
    while slot != last and upstream.first != <uint32_t>NOTHING:
        at = pick_socket(&table.pool, upstream_at, &table.random, now_ns)
        if at == <uint16_t>NO_SOCKET:
            slot = dequeue(table, upstream)
            drop_try(table, slot, errno, now_ns)
            continue
        count = 0
        while slot != last and count < <uint32_t>SEND_BATCH:
            slot = dequeue(table, upstream)
            if not join_socket(table, slot, at):
                rest_question(table, slot, now_ns)
                continue
            table.send_slots[count] = slot
            table.pool.send_parts[count].iov_len = write_query(&table.known.questions[slot], table.pool.send_wire[count])
            count += 1
        send_batch(table, at, count, now_ns)


cdef void send_batch(Table* table, uint16_t at, uint32_t count, uint64_t now_ns) noexcept nogil:
    cdef uint32_t upstream_at = table.pool.sockets[at].destination
    cdef int error = 0
    cdef uint32_t sent = send_datagrams(&table.pool, at, count, &error)
    cdef uint32_t place
    for place in range(sent):
        mark_sent(table, table.send_slots[place], at, now_ns)
    for place in range(sent, count):
        leave_socket(table, table.send_slots[place])
        drop_try(table, table.send_slots[place], error, now_ns)
    if sent:
        table.asked_by = at
        count_connections(&table.upstreams[upstream_at], &table.pool.sockets[at], sent)
    if error and not is_shortage(error) and error != EINTR:
        fail_earlier(table, at, sent, now_ns)


cdef void mark_sent(Table* table, uint32_t slot, uint16_t at, uint64_t now_ns) noexcept nogil:
    cdef Question* question = &table.known.questions[slot]
    cdef uint64_t due = now_ns + table.groups[question.group].read_timeout_ns
    question.state = WAITING
    question.sent_ns = now_ns
    start_timer(&table.wheel, slot, due if due < question.deadline_ns else question.deadline_ns, now_ns)


cdef void count_connections(Upstream* upstream, Socket* sock, uint32_t sent) noexcept nogil:
    """CoreDNS takes a connection per query: from its cache (a hit) or a new one (a miss)."""
    if sock.sent == 0:
        upstream.slots[<size_t>UPSTREAM_CONN_CACHE_MISSES] += 1
        upstream.slots[<size_t>UPSTREAM_CONN_CACHE_HITS] += sent - 1
    else:
        upstream.slots[<size_t>UPSTREAM_CONN_CACHE_HITS] += sent
    sock.sent += sent


cdef void fail_earlier(Table* table, uint16_t at, uint32_t sent, uint64_t now_ns) noexcept nogil:
    """An error of an earlier datagram came up while sending: those that waited on the socket before this batch have failed.

    Those sent just now may have a live upstream again, so they wait; the socket is not used any more.
    """
    cdef uint32_t slot = table.pool.sockets[at].first
    cdef uint32_t following
    cdef uint32_t place
    cdef bint is_new
    while slot != <uint32_t>NOTHING:
        following = table.known.questions[slot].peer_next
        is_new = False
        for place in range(sent):
            if table.send_slots[place] == slot:
                is_new = True
        if not is_new:
            leave_socket(table, slot)
            fail_try(table, slot, FAILED_NETWORK, now_ns)
        slot = following
    retire_socket(&table.pool, at)


# --- receiving -------------------------------------------------------------------------------------------------------

cdef void take_datagram(Table* table, uint16_t at, uint8_t* wire, size_t size, bint is_cut, uint64_t now_ns) noexcept nogil:
    """Keep the datagram as the reply to the question that it belongs to, or count it and go on waiting."""
    cdef Upstream* upstream = &table.upstreams[table.pool.sockets[at].destination]
    cdef uint32_t slot = NOTHING
    cdef Question* question
    if size >= <size_t>HEADER_SIZE:
        slot = find_by_id(&table.known, at, load_u16(wire))
    if slot == <uint32_t>NOTHING:
        table.groups[upstream.group].slots[<size_t>GROUP_MISMATCHED_REPLIES] += 1
        return
    question = &table.known.questions[slot]
    if refuses_edns(question, wire, size):
        leave_socket(table, slot)
        question.without_edns = True
        enqueue(table, slot)
        return
    if not is_reply_to(question, wire, size):
        table.groups[upstream.group].slots[<size_t>GROUP_MISMATCHED_REPLIES] += 1
        return
    if is_cut:                  # longer than what we asked for, and than our room: as CoreDNS, the client is told to use TCP
        size = <size_t>HEADER_SIZE + question.key.name_len + 4
        store_u16(wire + 2, load_u16(wire + 2) | TC)
        memset(wire + 6, 0, 6)
    leave_socket(table, slot)
    observe_exchange(upstream.slots, load_u16(wire + 2) & RCODE_MASK,
                     now_ns - question.sent_ns if now_ns > question.sent_ns else 0)
    question.state = REPLIED
    table.replies[table.reply_count].slot = slot
    table.replies[table.reply_count].wire = wire
    table.replies[table.reply_count].size = <uint32_t>size
    table.reply_count += 1


cdef uint32_t receive_from(Table* table, uint16_t at, uint32_t used, uint64_t now_ns) noexcept nogil:
    """Read datagrams of one socket into the buffers from `used` on; how many buffers are used then.

    As many as it waits for, since to look for one more costs as much as to read one; more if these were not they.
    """
    cdef Socket* sock = &table.pool.sockets[at]
    cdef uint32_t most = sock.live if sock.live else <uint32_t>RECEIVE_BATCH
    cdef uint32_t place
    cdef int got
    while used < <uint32_t>RECEIVE_BATCH and sock.fd >= 0:
        got = receive_datagrams(&table.pool, at, used, most)
        if got <= 0:
            if got < 0 and not is_shortage(errno) and errno != EINTR:
                fail_socket(table, at, now_ns)
            break
        place = used
        used += <uint32_t>got
        while place < used:
            if sock.fd < 0:                     # closed since its last question was answered
                break
            take_datagram(table, at, <uint8_t*>table.pool.receive_parts[place].iov_base, table.pool.receive_heads[place].msg_len,
                          (table.pool.receive_heads[place].msg_hdr.msg_flags & MSG_TRUNC) != 0, now_ns)
            place += 1
        if sock.live == 0 or <uint32_t>got < most:
            break
        most = <uint32_t>RECEIVE_BATCH
    return used
