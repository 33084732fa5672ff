"""Answers that come later: of replies, failures and alarms (see fastdns/_late.pxd)."""

from libc.stdint cimport UINT64_MAX, uint16_t, uint32_t, uint64_t, uint8_t

from fastdns._answer cimport ANSWERED, EDE_NO_REACHABLE, NXDOMAIN_RCODE, TTLS_MAX, Answerer, order_answer
from fastdns._askers cimport (
    INTERNAL,
    NOTE_COMPLETED,
    NO_STEP,
    UDP,
    AlarmRing,
    Asker,
    Note,
    add_note,
    asker_of,
    release_asker,
    restore_query,
    take_due,
    token_of,
)
from fastdns._cache cimport PART_ALIAS, PART_ALL, PART_TAIL, Cache, Key, Part
from fastdns._counters cimport CACHE_INSERTIONS, WORKER_UPSTREAM_ANSWERS
from fastdns._exchange cimport FAILED_MALFORMED, FAILED_NETWORK, Failure
from fastdns._inflight cimport ASK_SENT, EVENT_NONE, EVENT_REPLY, Answered, Event
from fastdns._message cimport (
    REPLY_EMPTY,
    REPLY_NODATA,
    REPLY_NXDOMAIN,
    REPLY_OK,
    REPLY_SUCCESS,
    REPLY_TOO_LARGE,
    Reply,
    ReplyStatus,
)
from fastdns._packet cimport (
    AA,
    AD,
    CNAME,
    EDE_NONE,
    FORMERR,
    HEADER_SIZE,
    MESSAGE_MAX,
    NAME_MAX,
    RA,
    RCODE_MASK,
    SERVFAIL,
    TC,
    Query,
    write_error,
)
from fastdns._plan cimport (
    FINDS_KNOWN,
    PASS_ON,
    SILENT,
    STEP_FORWARD,
    Block,
    CacheRule,
    FlushAnswers,
    Listener,
    SendAnswer,
    Spread,
    Step,
    covers,
    has_rcode,
)
from fastdns._reply cimport make_failure, read_reply, read_tail
from fastdns._rules cimport VERDICT_BLOCKED, VERDICT_BOGUS, VERDICT_IGNORE, Verdict, empty_reply, judge_reply
from fastdns._stored cimport write_stored
from fastdns._wire cimport Writer, load_u16, store_u16, writer_over

cdef enum:
    EDE_BLOCKED = 15
    EDE_FILTERED = 17
    CHAIN_MAX = 16
    EDE_NETWORK_ERROR = 23
    EDE_INVALID_DATA = 24


cdef uint16_t _ede_of(Failure failure) noexcept nogil:
    if failure == FAILED_NETWORK:
        return EDE_NETWORK_ERROR
    return EDE_INVALID_DATA if failure == FAILED_MALFORMED else EDE_NO_REACHABLE


cdef class LateAnswerer(Answerer):
    """Gives parked queries their answers: what upstreams replied, a stale answer, or a failure."""

    # --- who waits ---------------------------------------------------------------------------------------------------

    cdef void _send(self, Asker* asker, const uint8_t* wire, size_t size) noexcept nogil:
        """Give an asker its answer (size 0: none is owed), and its place to another."""
        cdef Listener* listener = &self.listeners[asker.peer.listener]
        cdef Note* note
        if asker.is_answered:
            pass
        elif asker.peer.transport == UDP:
            if size and listener.send != NULL:
                listener.send(listener.context, &asker.peer, wire, size)
        else:
            note = add_note(&self.completions, NOTE_COMPLETED, wire, size)
            if note != NULL:
                note.token = token_of(&self.askers, asker)
        if asker.stays:
            asker.stays = False
            asker.is_answered = True
        else:
            release_asker(&self.askers, asker)

    cdef void _finish(self, Asker* asker, const Query* query, const Writer* out) noexcept nogil:
        """Count and send a late answer."""
        cdef uint64_t elapsed = self.now_ns - asker.started_ns
        cdef Query counted = query[0]
        if asker.is_answered:
            release_asker(&self.askers, asker)
            return
        order_answer(self.blocks[asker.block], out)
        counted.wire_len = asker.query_size
        self.finished_step = asker.step
        self._observe(self.blocks[asker.block], &counted, &asker.peer, out.data, out.pos, elapsed if elapsed else 1)
        self.finished_step = NO_STEP
        self._send(asker, out.data, out.pos)

    cdef void _fail(self, Asker* asker, uint16_t rcode, uint16_t ede) noexcept nogil:
        cdef Query query
        cdef Writer out = writer_over(self.answer, MESSAGE_MAX)
        restore_query(asker, &query)
        self._refuse(self.blocks[asker.block], &query, rcode, ede, &out)
        self._finish(asker, &query, &out)

    cdef bint _serve_stale(self, Asker* asker) noexcept nogil:
        """Answer with what the cache had, since the upstreams failed or are slow. False: it has nothing any more."""
        cdef Writer out = writer_over(self.answer, MESSAGE_MAX)
        cdef Query query
        restore_query(asker, &query)
        if not self._write_stale(self.blocks[asker.block], &query, &asker.peer, asker.no_limit, &out):
            return False
        self._finish(asker, &query, &out)
        return True

    cdef void _resume(self, Asker* asker, uint8_t step) noexcept nogil:
        """Run the block's steps from `step` on for a parked query."""
        cdef Block* block = self.blocks[asker.block]
        cdef Writer out = writer_over(self.answer, MESSAGE_MAX)
        cdef Query query
        cdef uint64_t token
        restore_query(asker, &query)
        if self._run_steps(block, step, &query, &asker.peer, asker, asker.no_limit, &out, &token) == ANSWERED:
            self._finish(asker, &query, &out)

    cdef void _wake_askers(self) noexcept nogil:
        """Give those that have waited long enough the stale answer; what they asked goes on for the cache's sake."""
        cdef uint32_t index
        cdef Asker* asker
        for index in range(self.cache_count):
            asker = take_due(&self.rules[index].alarms, &self.askers, self.now_ns)
            while asker != NULL:
                if asker.accepts_stale:
                    asker.stays = True
                    if self._serve_stale(asker):
                        asker.accepts_stale = False
                    else:
                        asker.stays = False
                asker = take_due(&self.rules[index].alarms, &self.askers, self.now_ns)

    cdef uint64_t _next_alarm(self) noexcept nogil:
        """When the next asker wants to be woken; UINT64_MAX: none does."""
        cdef uint64_t earliest = UINT64_MAX
        cdef const AlarmRing* ring
        cdef uint32_t index
        for index in range(self.cache_count):
            ring = &self.rules[index].alarms
            if ring.count and ring.alarms[ring.first].due_ns < earliest:
                earliest = ring.alarms[ring.first].due_ns
        return earliest

    # --- what upstreams say ------------------------------------------------------------------------------------------

    cdef bint _goes_on(self, const Block* block, uint8_t index, const Reply* reply) noexcept nogil:
        """True if a reply leads to the next forward step; without one it is given, as CoreDNS does."""
        cdef const Step* step = &block.steps[index]
        if step.kind != STEP_FORWARD or index + 1 >= block.step_count:
            return False
        if block.steps[index + 1].kind != STEP_FORWARD:
            return False
        if has_rcode(step.next_rcodes, reply.rcode):
            return True
        return step.next_on_nodata and (reply.kind == REPLY_NODATA or reply.kind == REPLY_EMPTY)

    cdef void _give(self, Asker* asker, const Reply* reply) noexcept nogil:
        """Answer one asker with the reply in self.stored; or go on behind the forward step, if `next` says so."""
        cdef Block* block = self.blocks[asker.block]
        cdef Writer out = writer_over(self.answer, MESSAGE_MAX)
        cdef Query query
        cdef CacheRule* rule
        cdef uint32_t cache = 0
        cdef uint32_t ttl = 0
        cdef bint bounded
        if self._goes_on(block, asker.step, reply):
            self._resume(asker, asker.step + 1)
            return
        if asker.accepts_stale and not self._is_refreshed(block, reply) and self._serve_stale(asker):
            return
        restore_query(asker, &query)
        if block.manners & PASS_ON:
            query.flags |= AD           # only asked for: AD is not echoed
        rule = self._rule_for(block, query.name_key, query.qname_len, &cache)
        bounded = rule != NULL and not reply.truncated and not rule.keeps_records
        if bounded:
            ttl = (<Cache>self.cache_of[cache]).clamp_ttl(reply)
        if block.rotates:
            self.rotation += 1
        write_stored(&out, self.stored, reply, self.ttl_at, &query, 0, ttl, bounded, False,
                     self.rotation if block.rotates else 0, self._limit_of(block, &query, &asker.peer, asker.no_limit),
                     block.udp_max, reply.ede)
        self.slots[<size_t>WORKER_UPSTREAM_ANSWERS] += 1
        self._finish(asker, &query, &out)

    cdef void _truncate(self, Asker* asker) noexcept nogil:
        """Tell an asker to come over TCP: the reply is larger than what we keep."""
        cdef Writer out = writer_over(self.answer, MESSAGE_MAX)
        cdef Query query
        restore_query(asker, &query)
        write_error(&out, &query, 0, self.blocks[asker.block].udp_max, EDE_NONE)
        store_u16(out.data + 2, load_u16(out.data + 2) | TC | RA)
        self.slots[<size_t>WORKER_UPSTREAM_ANSWERS] += 1
        self._finish(asker, &query, &out)

    cdef void _on_reply(self, Answered* answered) noexcept nogil:
        """A reply came: check it, keep it, give it to all who wait."""
        cdef Reply reply
        cdef const Block* owner = self._block_of(answered.group) if self.has_rules else NULL
        cdef ReplyStatus status = read_reply(
            answered.wire, answered.wire_len, answered.key.name_key, answered.key.name_len, answered.key.qtype,
            answered.key.qclass, self.stored, MESSAGE_MAX, self.ttl_at, TTLS_MAX,
            self.groups[answered.group].passes_on,
            &owner.rules.hidden if owner != NULL and owner.rules != NULL else NULL, &reply)
        cdef uint64_t waiter
        cdef Asker* asker
        cdef const Block* last = NULL
        if status != REPLY_OK and status != REPLY_TOO_LARGE:
            answered.failure = FAILED_MALFORMED
            if not self.inflight.retry_question(answered.slot, False, self.now_ns):
                self._on_failure(answered)
            return
        if status == REPLY_OK and self._asks_again(answered, &reply):
            return
        if status == REPLY_OK and not self._judge(owner, &answered.key, &reply):
            self._on_failure(answered)
            return
        while self.inflight.next_waiter(answered.slot, &waiter):
            asker = asker_of(&self.askers, waiter)
            if asker == NULL:
                if status == REPLY_OK:
                    self._store_for_group(answered, &reply)
            elif status == REPLY_TOO_LARGE:
                self._truncate(asker)
            elif self._waits_for_others(asker, answered.group, &reply):
                continue
            else:
                if self.blocks[asker.block] != last:
                    last = self.blocks[asker.block]
                    self._store(last, &answered.key, &reply)
                self._give(asker, &reply)
        if status == REPLY_OK and reply.has_alias and owner != NULL:
            self._store_tails(owner, &answered.key, answered.wire, answered.wire_len)
        self.inflight.release_question(answered.slot)

    cdef bint _asks_again(self, const Answered* answered, const Reply* reply) noexcept nogil:
        """True if the question went to another upstream, or again without OPT (RFC 6891 section 7)."""
        if has_rcode(self.groups[answered.group].again, reply.rcode):
            return self.inflight.repeat_question(answered.slot, self.now_ns)
        if reply.rcode == FORMERR and self.inflight.retry_question(answered.slot, True, self.now_ns):
            return True
        return (has_rcode(self.groups[answered.group].failover, reply.rcode)
                and self.inflight.retry_question(answered.slot, False, self.now_ns))

    cdef bint _waits_for_others(self, Asker* asker, uint32_t group, const Reply* reply) noexcept nogil:
        """One upstream of a spread has answered (NULL: it has failed). True: another may do better, so we wait."""
        cdef const Block* block = self.blocks[asker.block]
        cdef const Step* step = &block.steps[asker.step]
        cdef Spread* spread
        cdef Query query
        if step.kind != STEP_FORWARD or step.spread == 0 or asker.is_answered:
            return False
        spread = &self.spreads[step.spread - 1]
        asker.pending -= asker.pending > 0
        if reply != NULL and not has_rcode(spread.failover, reply.rcode):
            spread.favourite = group - spread.first
            return False
        if reply != NULL:
            asker.rcode = reply.rcode
        if asker.pending:
            return True
        spread.favourite = spread.count
        if asker.asked_all:
            return False
        asker.asked_all = True
        restore_query(asker, &query)
        return self._ask_spread(spread, spread.count, group - spread.first, block, &query, asker,
                                token_of(&self.askers, asker)) == ASK_SENT

    cdef void _on_failure(self, Answered* answered) noexcept nogil:
        """No upstream answered: the stale answer, or SERVFAIL."""
        cdef Reply reply
        cdef uint64_t waiter
        cdef Asker* asker
        cdef const Block* last = NULL
        cdef bint is_made = make_failure(answered.key.name_key, answered.key.name_len, answered.key.qtype,
                                         answered.key.qclass, SERVFAIL, self.stored, MESSAGE_MAX, &reply)
        while self.inflight.next_waiter(answered.slot, &waiter):
            asker = asker_of(&self.askers, waiter)
            if asker == NULL:
                self._note_refresh_failure(self._block_of(answered.group), &answered.key)
                continue
            self._note_refresh_failure(self.blocks[asker.block], &answered.key)
            if is_made and self.blocks[asker.block] != last:
                last = self.blocks[asker.block]
                self._store(last, &answered.key, &reply)    # remembered for a while (RFC 9520 section 3.2)
            if self._waits_for_others(asker, answered.group, NULL):
                continue
            if asker.accepts_stale and self._serve_stale(asker):
                continue
            self._note_failure(self.blocks[asker.block], asker, answered)
            self._give_up(asker, answered)
        self.inflight.release_question(answered.slot)

    cdef void _give_up(self, Asker* asker, const Answered* answered) noexcept nogil:
        """No upstream answered an asker, or none as it should."""
        if asker.rcode:
            self._fail(asker, asker.rcode, EDE_NONE)
            return
        if self.blocks[asker.block].manners & SILENT:
            self._keep_silent(asker)
        else:
            self._fail(asker, SERVFAIL, _ede_of(answered.failure))

    cdef void _keep_silent(self, Asker* asker) noexcept nogil:
        """Send nothing. kube-dns counts the SERVFAIL that it doesn't send."""
        cdef uint64_t elapsed = self.now_ns - asker.started_ns
        cdef Query query
        if self.blocks[asker.block].systems != NULL and asker.peer.transport != INTERNAL and not asker.is_answered:
            restore_query(asker, &query)
            self._observe_system(self.blocks[asker.block], &query, &asker.peer, SERVFAIL,
                                 <size_t>HEADER_SIZE + query.qname_len + 4, elapsed if elapsed else 1)
        self._send(asker, NULL, 0)

    cdef void _take_events(self) noexcept nogil:
        """Handle all that the in-flight table has to tell."""
        cdef Answered answered
        cdef Event event = self.inflight.next_event(self.now_ns, &answered)
        while event != EVENT_NONE:
            if event == EVENT_REPLY:
                self._on_reply(&answered)
            else:
                self._on_failure(&answered)
            event = self.inflight.next_event(self.now_ns, &answered)
        self._wake_askers()

    # --- what is kept of it ------------------------------------------------------------------------------------------

    cdef CacheRule* _rule_for(self, const Block* block, const uint8_t* name_key, uint16_t name_len,
                              uint32_t* cache) noexcept nogil:
        """The cache that a reply passes, which bounds its TTLs; NULL: none does."""
        cdef CacheRule* rule = self._rule_of(block, cache)
        return rule if rule != NULL and covers(&rule.zones, name_key, name_len) else NULL

    cdef bint _keeps(self, const CacheRule* rule, const uint8_t* name_key, uint16_t name_len, const Reply* reply) noexcept nogil:
        """False: `disable` names its zone."""
        if reply.kind == REPLY_NXDOMAIN or reply.kind == REPLY_NODATA:
            return not covers(&rule.disable_denial, name_key, name_len)
        return reply.kind != REPLY_SUCCESS or not covers(&rule.disable_success, name_key, name_len)

    cdef bint _is_refreshed(self, const Block* block, const Reply* reply) noexcept nogil:
        """True for a reply that may take the place of a stale answer (RFC 8767 section 5)."""
        cdef uint32_t cache = 0
        if reply.rcode != 0 and reply.rcode != <uint16_t>NXDOMAIN_RCODE:
            return False
        if self._rule_of(block, &cache) == NULL or not (<Cache>self.cache_of[cache]).options.prefers_positive:
            return True
        return reply.kind == REPLY_SUCCESS

    cdef void _store(self, const Block* block, const Key* key, const Reply* reply, Part part=PART_ALL) noexcept nogil:
        """Put the reply in self.stored into the block's cache."""
        cdef uint32_t cache = 0
        cdef CacheRule* rule = self._rule_for(block, key.name_key, key.name_len, &cache)
        cdef Reply kept
        if rule != NULL and rule.keeps_records:
            kept = reply[0]
            (<Cache>self.cache_of[cache]).keep_records(key, self.stored, &kept, self.ttl_at, part,
                                                       <uint32_t>(self.now_ns // 1000000000u))
            rule.slots[<size_t>CACHE_INSERTIONS] = (<Cache>self.cache_of[cache]).stats.insertions
        elif rule != NULL and self._keeps(rule, key.name_key, key.name_len, reply):
            (<Cache>self.cache_of[cache]).store_reply(key, self.stored, reply, self.ttl_at,
                                                      <uint32_t>(self.now_ns // 1000000000u))
        if not self._is_refreshed(block, reply):
            self._note_refresh_failure(block, key)

    cdef void _store_tails(self, const Block* block, const Key* key, const uint8_t* wire, size_t wire_len) noexcept nogil:
        """Keep what the aliases of a question lead to as answers of their own, and the aliases. Writes over self.stored."""
        cdef uint8_t name[NAME_MAX + 1]
        cdef Key tail = key[0]
        cdef Reply reply
        cdef uint32_t hops
        cdef bint is_alias
        tail.name_key = name
        for hops in range(<uint32_t>CHAIN_MAX):
            for is_alias in range(hops == 0, 2):        # the question's own answer is kept already
                if read_tail(wire, wire_len, key.name_key, key.name_len, key.qtype, key.qclass, hops, name, &tail.name_len,
                             self.stored, MESSAGE_MAX, self.ttl_at, TTLS_MAX, &block.rules.hidden, is_alias,
                             &reply) != REPLY_OK:
                    return
                tail.qtype = CNAME if is_alias else key.qtype
                if reply.kind != REPLY_SUCCESS or not self._judge(block, &tail, &reply):
                    return
                self._store(block, &tail, &reply, PART_ALIAS if is_alias else PART_TAIL)

    cdef void _store_for_group(self, const Answered* answered, const Reply* reply) noexcept nogil:
        """Keep a reply that was asked for the cache's sake: in the block that forwards to this group."""
        cdef const Block* block = self._block_of(answered.group)
        if reply.kind == REPLY_SUCCESS or reply.kind == REPLY_NODATA or reply.kind == REPLY_NXDOMAIN:
            self._store(block, &answered.key, reply)
        else:                                   # it must not replace what is there (RFC 8767 section 5)
            self._note_refresh_failure(block, &answered.key)

    cdef const Block* _block_of(self, uint32_t group) noexcept nogil:
        """The first block that forwards to a group."""
        cdef uint32_t index
        cdef uint8_t at
        cdef const Step* step
        for index in range(self.block_count):
            for at in range(self.blocks[index].step_count):
                step = &self.blocks[index].steps[at]
                if step.kind != STEP_FORWARD:
                    continue
                if step.index == group or (step.spread and group - self.spreads[step.spread - 1].first
                                           < self.spreads[step.spread - 1].count):
                    return self.blocks[index]
        return NULL

    cdef bint _judge(self, const Block* block, const Key* key, Reply* reply) noexcept nogil:
        """Apply a block's rules to the reply in self.stored. False: it is to be taken for none."""
        cdef size_t records_at = <size_t>HEADER_SIZE + key.name_len + 4
        cdef Verdict verdict
        if block == NULL or block.rules == NULL:
            return True
        verdict = judge_reply(block.rules, covers(&block.unblocked, key.name_key, key.name_len), self.stored, records_at,
                              reply, self.ttl_at)
        if verdict == VERDICT_IGNORE:
            return False
        if verdict == VERDICT_BOGUS:
            empty_reply(self.stored, records_at, reply, NXDOMAIN_RCODE)
        elif verdict == VERDICT_BLOCKED:
            empty_reply(self.stored, records_at, reply, 0)
            reply.ede = EDE_BLOCKED
        elif reply.kind == REPLY_NXDOMAIN and block.manners & FINDS_KNOWN and self._is_known(block, key.name_key, key.name_len):
            reply.kind = REPLY_NODATA
            reply.rcode = 0
            reply.flags = (reply.flags & ~<int>RCODE_MASK) | AA
        elif reply.has_hidden:
            reply.ede = EDE_FILTERED
        return True

    # --- for _udp ----------------------------------------------------------------------------------------------------

    cdef void set_sender(self, uint32_t listener, SendAnswer send, FlushAnswers flush, void* context) noexcept nogil:
        """How late answers leave for a listener's clients on UDP; NULL: no more."""
        if listener < self.listener_count:
            self.listeners[listener].send = send
            self.listeners[listener].flush = flush
            self.listeners[listener].context = context

    cdef void flush_answers(self) noexcept nogil:
        """Send the late answers that listeners have kept."""
        cdef uint32_t index
        for index in range(self.listener_count):
            if self.listeners[index].flush != NULL:
                self.listeners[index].flush(self.listeners[index].context)
