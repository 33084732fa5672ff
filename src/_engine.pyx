"""What Python asks of the compiled path: queries of streams and of our own, answers it made, notes to collect."""

cimport cython
from libc.stdint cimport UINT64_MAX, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset

from fastdns._answer cimport ANSWERED, PENDING, TTLS_MAX, Prepared, Result, Slowed, key_of
from fastdns._askers cimport (
    INTERNAL,
    STREAM,
    UDP,
    Asker,
    Note,
    Peer,
    asker_of,
    local_of,
    query_octets,
    remote_of,
    set_local,
    set_remote,
    note_octets,
    restore_query,
    take_note,
)
from fastdns._cache cimport (
    Cache,
    Key,
)
from fastdns._counters cimport (
    CACHE_ENTRIES,
    CACHE_EVICTIONS,
    CACHE_INSERTIONS,
    CACHE_OCTETS,
)
from fastdns._decide cimport ALIAS, FOLLOW, Finding, find_answer
from fastdns._encode cimport Limits, write_finding
from fastdns._exchange cimport RECEIVE_BATCH
from fastdns._late cimport LateAnswerer
from fastdns._message cimport (
    REPLY_OK,
    REPLY_TOO_LARGE,
    Reply,
    ReplyStatus,
)
from fastdns._names cimport NameTable
from fastdns._packet cimport (
    CD,
    EDE_NONE,
    HEADER_SIZE,
    MESSAGE_MAX,
    QUERY_OK,
    RD,
    SERVFAIL,
    TC,
    Query,
    read_query,
    write_header,
    write_opt,
    write_question,
)
from fastdns._plan cimport (
    NO_OPT,
    PASS_ON,
    STEP_TABLE,
    Block,
    Step,
)
from fastdns._reply cimport read_reply
from fastdns._wire cimport Writer, load_u16, store_u16, write_octets, writer_over

cdef extern from "<malloc.h>" nogil:
    int malloc_trim(size_t pad)

cdef enum:
    RECLAIM_STEP = 2000         # names of a replaced table freed at a time
    TICK_MS = 1000
    EVENTS_PER_TURN = 16        # batches of replies taken before other work gets its turn
    SHRINK_STEP = 16384         # entries of a cache dropped at a time: some milliseconds


class Slow:
    """A query for Python. `token` names its asker."""

    __slots__ = ("block", "is_stream", "local", "reason", "remote", "step", "token", "wire")

    def __init__(self, token, reason, block, step, wire, is_stream, remote, local):
        self.token = token
        self.reason = reason
        self.block = block
        self.step = step
        self.wire = wire
        self.is_stream = is_stream
        self.remote = remote
        self.local = local


@cython.final
cdef class Engine(LateAnswerer):
    """Everything one worker answers from."""

    # --- asking from Python -----------------------------------------------------------------------------------------

    def ask(self, wire not None, uint32_t listener, *, remote=("", 0), local=("", 0), bint is_stream=True,
            bint no_limit=False):
        """The answer to a query, empty if none is owed; or the token that completed() will bring it under."""
        cdef const uint8_t[::1] octets = wire
        cdef Writer out = writer_over(self.answer, MESSAGE_MAX)
        cdef Prepared prepared
        cdef Peer peer
        cdef uint64_t token = 0
        cdef Result result
        if listener >= self.listener_count:
            raise IndexError(f"no listener {listener}")
        memset(&peer, 0, sizeof(peer))
        peer.transport = STREAM if is_stream else INTERNAL
        peer.listener = <uint16_t>listener
        set_remote(&peer, remote[0], remote[1])
        set_local(&peer, local[0])
        if octets.shape[0] == 0:
            return b""
        self.begin_batch()
        self._prepare(&octets[0], <size_t>octets.shape[0], &peer, &prepared)
        result = self._begin(&prepared, &peer, no_limit, &out, &token)
        self.end_batch()
        if result == PENDING:
            return token
        return out.data[:out.pos] if result == ANSWERED and not out.failed else b""

    cdef Asker* _asker(self, uint64_t token) except NULL:
        cdef Asker* asker = asker_of(&self.askers, token)
        if asker == NULL:
            raise KeyError(f"nobody waits under token {token}")
        return asker

    def ask_behind(self, uint64_t token, bytes wire not None):
        """The answer to another question by the steps behind an asker's; or the token that completed() has it under."""
        cdef Asker* asker = self._asker(token)
        cdef Block* block = self.blocks[asker.block]
        cdef Writer out = writer_over(self.answer, MESSAGE_MAX)
        cdef Peer peer = asker.peer
        cdef Query query
        cdef uint64_t inner = 0
        cdef Result result
        if read_query(<const uint8_t*>wire, <size_t>len(wire), &query) != QUERY_OK:
            raise ValueError("a message that is no query")
        peer.transport = INTERNAL
        self.begin_batch()
        result = self._run_steps(block, asker.step + 1, &query, &peer, NULL, True, &out, &inner)
        self.end_batch()
        if result == PENDING:
            return inner
        return out.data[:out.pos] if result == ANSWERED and not out.failed else b""

    def resume(self, uint64_t token, uint8_t step):
        """Go on at `step` of the block. The answer leaves by itself: over UDP, or through completed()."""
        cdef Asker* asker = self._asker(token)
        self.begin_batch()
        self._resume(asker, step)
        self.end_batch()

    def reply(self, uint64_t token, bytes wire not None, *, bytes options=b"", bint keep_rd=False):
        """Answer with a message that Python made from the query, without OPT. Empty: drop the query."""
        cdef Asker* asker = self._asker(token)
        cdef Block* block = self.blocks[asker.block]
        cdef Writer out = writer_over(self.answer, MESSAGE_MAX)
        cdef Query query
        cdef size_t limit
        cdef size_t size = <size_t>len(wire)
        cdef size_t opt_size
        cdef uint16_t flags
        self.begin_batch()
        if size == 0:
            self._send(asker, NULL, 0)
            return
        restore_query(asker, &query)
        if size < query.wire_len:
            raise ValueError(f"an answer of {size} octets has no room for its question")
        flags = load_u16(<const uint8_t*>wire + 2)
        if keep_rd:
            query.flags = <uint16_t>((query.flags & ~<int>RD) | (flags & RD))
        flags &= <uint16_t>~(RD | CD)
        if block.manners & NO_OPT:
            query.has_edns = False
        opt_size = 11 + <size_t>len(options) if query.has_edns else 0
        limit = self._limit_of(block, &query, &asker.peer, asker.no_limit)
        if size + opt_size > limit:
            write_header(&out, &query, flags | TC, 0, 0, query.has_edns)
            write_question(&out, &query)
        else:
            write_header(&out, &query, flags, load_u16(<const uint8_t*>wire + 6), load_u16(<const uint8_t*>wire + 8),
                         load_u16(<const uint8_t*>wire + 10) + query.has_edns)
            write_question(&out, &query)
            write_octets(&out, <const uint8_t*>wire + query.wire_len, size - query.wire_len)
        write_opt(&out, &query, block.udp_max, 0, EDE_NONE)
        if query.has_edns and options and not out.failed:
            store_u16(out.data + out.pos - 2, <uint16_t>len(options))
            write_octets(&out, <const uint8_t*>options, <size_t>len(options))
        self._finish(asker, &query, &out)

    def reply_rcode(self, uint64_t token, uint16_t rcode, uint16_t ede=EDE_NONE):
        """Answer without records."""
        cdef Asker* asker = self._asker(token)
        cdef Query query
        cdef Key key
        self.begin_batch()
        if rcode == SERVFAIL:
            restore_query(asker, &query)
            key = key_of(&query)
            self._note_refresh_failure(self.blocks[asker.block], &key)
        if asker.accepts_stale and rcode == SERVFAIL and self._serve_stale(asker):
            return
        self._fail(asker, rcode, ede)

    def reply_upstream(self, uint64_t token, bytes wire not None):
        """Check an upstream's reply as a UDP one is, keep it in the cache, answer with it. False: it is broken, or
        answers another question; the asker still waits."""
        cdef Asker* asker = self._asker(token)
        cdef Query query
        cdef Reply reply
        cdef Key key
        cdef ReplyStatus status
        cdef const Block* block = self.blocks[asker.block]
        restore_query(asker, &query)
        self.begin_batch()
        status = read_reply(<const uint8_t*>wire, <size_t>len(wire), query.name_key, query.qname_len, query.qtype,
                            query.qclass, self.stored, MESSAGE_MAX, self.ttl_at, TTLS_MAX,
                            self.blocks[asker.block].manners & PASS_ON != 0,
                            &block.rules.hidden if block.rules != NULL else NULL, &reply)
        if status == REPLY_TOO_LARGE:
            self._truncate(asker)
            return True
        if status != REPLY_OK:
            return False
        key = key_of(&query)
        if not self._judge(block, &key, &reply):
            return False
        self._store(block, &key, &reply)
        self._give(asker, &reply)
        if reply.has_alias and block.rules != NULL:
            self._store_tails(block, &key, <const uint8_t*>wire, <size_t>len(wire))
        self.end_batch()
        return True

    def chain(self, uint64_t token):
        """For SLOW_CHASE: the answer so far (the CNAMEs, no OPT), the canonical name that they lead to, and whether AA stays
        with what is found there: a name that only the cache knows takes it away."""
        cdef Asker* asker = self._asker(token)
        cdef Block* block = self.blocks[asker.block]
        cdef Writer out = writer_over(self.answer, MESSAGE_MAX)
        cdef Query query
        cdef Finding finding
        cdef Limits limits
        restore_query(asker, &query)
        if block.steps[asker.step].kind == STEP_TABLE:
            find_answer(self.table_of[block.steps[asker.step].index][0], &query, NULL, &finding)
            if finding.outcome == FOLLOW or finding.outcome == ALIAS:
                query.has_edns = False
                limits.size = MESSAGE_MAX
                limits.udp_max = block.udp_max
                limits.without_opt = True
                limits.rotation = 0
                self._bound_ttls(block, &query, &limits)
                write_finding(&out, &query, &finding, &limits)
                return out.data[:out.pos], finding.target[:finding.target_len], finding.outcome == FOLLOW
        return None

    def slow_queries(self):
        """What left the compiled path since the last call."""
        cdef Slowed* slowed
        cdef Asker* asker
        result = []
        while self.slowed_count:
            slowed = &self.slowed[self.slowed_first]
            self.slowed_first = (self.slowed_first + 1) % self.slowed_capacity
            self.slowed_count -= 1
            asker = asker_of(&self.askers, slowed.token)
            if asker != NULL:
                result.append(Slow(
                    slowed.token, slowed.reason, asker.block, slowed.step,
                    query_octets(asker.wire, <size_t>HEADER_SIZE + asker.qname_len + 4, asker.has_edns, asker.udp_size,
                                 asker.wants_dnssec),
                    asker.peer.transport == STREAM, remote_of(&asker.peer), local_of(&asker.peer),
                ))
        return result

    def parked_at(self, uint64_t token):
        """(step, upstream): where an asker waits; None: it does not."""
        cdef Asker* asker = asker_of(&self.askers, token)
        cdef const Step* step
        if asker == NULL:
            return None
        step = &self.blocks[asker.block].steps[asker.step]
        if step.spread == 0 or asker.asked_all:
            return asker.step, -1
        return asker.step, <int>self.spreads[step.spread - 1].favourite

    def completed(self):
        """[(token, answer)] of what ask() gave tokens for; an empty answer: none is owed."""
        cdef Note* note = take_note(&self.completions)
        result = []
        while note != NULL:
            result.append((note.token, note_octets(note)[:note.size]))
            free(note)
            note = take_note(&self.completions)
        return result

    def log_records(self):
        """[(block, seconds, remote, local, is_stream, query, rcode, flags, answer size, query size, is_nodata, step)] since
        the last call."""
        cdef Note* note = take_note(&self.logs)
        result = []
        while note != NULL:
            result.append((
                note.block, note.elapsed_ns / 1e9, remote_of(&note.peer), local_of(&note.peer),
                note.peer.transport != UDP,
                note_octets(note)[:note.size] if self.blocks[note.block].logs_answers else
                query_octets(note_octets(note), note.size, note.has_edns, note.udp_size, note.wants_dnssec),
                note.rcode, note.flags, note.answer_size, note.query_size, bool(note.is_nodata), note.step,
            ))
            free(note)
            note = take_note(&self.logs)
        return result

    def error_records(self):
        """[(block, rcode, query, failure, group, upstream, remote)] since the last call."""
        cdef Note* note = take_note(&self.errors)
        result = []
        while note != NULL:
            result.append((
                note.block, note.rcode, note_octets(note)[:note.size], note.failure, note.group, note.upstream,
                remote_of(&note.peer),
            ))
            free(note)
            note = take_note(&self.errors)
        return result

    def dropped_notes(self):
        """How many log and error records nobody took in time."""
        return self.logs.dropped + self.errors.dropped

    def waiting(self):
        """How many queries are parked: on their way upstream, or in Python."""
        return self.askers.in_use

    # --- upstreams --------------------------------------------------------------------------------------------------

    @property
    def upstream_fd(self):
        """Readable when a reply waits: call on_upstream_readable()."""
        return self.inflight.epoll_fd

    def on_upstream_readable(self):
        """Take replies in and send what they answer; then call `on_upstream_work` if Python has something to do."""
        cdef size_t count = RECEIVE_BATCH
        cdef uint32_t turn = 0
        with nogil:
            while count >= <size_t>RECEIVE_BATCH and turn < EVENTS_PER_TURN:
                turn += 1
                self.begin_batch()
                count = self.inflight.receive_replies(self.now_ns)
                self._take_events()
                self.end_batch()
            self.flush_answers()
        if self.on_upstream_work is not None and (self.has_notes() or self.inflight.has_failing()):
            self.on_upstream_work()

    def flush(self):
        """Send the answers that are ready for clients over UDP."""
        with nogil:
            self.flush_answers()

    def on_tick(self):
        """Deadlines, gauges, memory given back: milliseconds until it wants to be called again."""
        cdef uint64_t deadline
        cdef NameTable table
        cdef bint reclaiming = False
        with nogil:
            self.begin_batch()
            self._take_events()
            self.end_batch()
        for table in self.tables:
            reclaiming = table.reclaim(RECLAIM_STEP) or reclaiming
        self._set_gauges()
        deadline = min(self.inflight.next_deadline(), self._next_alarm())
        self.alarm_ns = 0
        if reclaiming:
            return 1
        if deadline == UINT64_MAX or deadline > self.now_ns + TICK_MS * <uint64_t>1000000:
            return TICK_MS
        return (deadline - self.now_ns) // 1000000 + 1 if deadline > self.now_ns else 1

    def shrink_caches(self):
        """Memory is short: drop a quarter of what caches hold, up to SHRINK_STEP entries of each, and give it back."""
        cdef Cache cache
        self.begin_batch()
        for cache in self.caches:
            held = cache.stats.entries[0] + cache.stats.entries[1]
            cache.shrink(self.now_ns // 1000000000, min(held // 4 + 1, SHRINK_STEP))
        malloc_trim(0)

    def grow_caches(self, size_t octets):
        """Caches may grow by so many octets in all, until they are told again."""
        cdef Cache cache
        for cache in self.caches:
            cache.grow(octets // len(self.caches))

    def take_alarm(self):
        """Milliseconds until on_tick() is wanted for somebody who has come since; 0: nobody has."""
        cdef uint64_t due_ns = self.alarm_ns
        self.alarm_ns = 0
        if due_ns == 0:
            return 0
        return (due_ns - self.now_ns) // 1000000 + 1 if due_ns > self.now_ns else 1

    cdef void _set_gauges(self):
        cdef Cache cache
        cdef size_t index
        cdef uint64_t* slots
        for index in range(<size_t>len(self.caches)):
            cache = <Cache>self.cache_of[index]
            slots = self.rules[index].slots
            for side in range(2):
                slots[<size_t>CACHE_ENTRIES + <size_t>side] = cache.stats.entries[<size_t>side]
                slots[<size_t>CACHE_EVICTIONS + <size_t>side] = cache.stats.evictions[<size_t>side]
            slots[<size_t>CACHE_OCTETS] = cache.stats.octets
            slots[<size_t>CACHE_INSERTIONS] = cache.stats.insertions

    def forget_cached(self):
        """Empty every cache."""
        cdef Cache cache
        for cache in self.caches:
            cache.forget_entries()

    def failing_upstreams(self):
        """[(group, upstream)] that failed since the last call: to be health-checked."""
        return self.inflight.failing_upstreams()

    def set_upstream_down(self, uint32_t group, uint32_t upstream, bint down):
        """Leave an upstream out, or take it in again."""
        self.inflight.set_upstream_down(group, upstream, down)
