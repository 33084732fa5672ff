"""The way of a query: down the steps of its server block, to the one that ends it. Knows no socket and no Python.

A query runs down the steps of its block until one ends it: a table answers, the cache answers, an upstream is asked,
or Python is. What can't be ended at once is parked in the pool of askers; a reply, a time-out or Python takes it up
again.
"""

from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp

from fastdns._askers cimport (
    INTERNAL,
    STREAM,
    UDP,
    Asker,
    Peer,
    asker_of,
    free_askers,
    free_notes,
    keep_query,
    make_askers,
    release_asker,
    set_alarm,
    take_asker,
    token_of,
)
from fastdns._cache cimport CACHE_MISS, CACHE_PREFETCH, CACHE_STALE, Cache, Found, Key, Lookup
from fastdns._counters cimport (
    CACHE_HITS,
    CACHE_MISSES,
    CACHE_PREFETCHES,
    CACHE_REQUESTS,
    CACHE_SERVED_STALE,
    WORKER_FORWARDED,
    WORKER_SLOW_QUERIES,
    Counters,
)
from fastdns._decide cimport ALIAS, FAILED, FOLLOW, NODATA, NXDOMAIN, PASS, RARE, Finding, find_answer, is_known
from fastdns._encode cimport Limits, write_finding
from fastdns._inflight cimport ASK_DEAD, ASK_FULL, ASK_JOINED, ASK_SENT, Asked
from fastdns._message cimport REPLY_NXDOMAIN
from fastdns._observe cimport NOTES_MAX, Observer, monotonic_ns
from fastdns._packet cimport (
    A,
    AAAA,
    ANY,
    AXFR,
    BADVERS,
    CD,
    CHAOS,
    DS,
    EDE_NONE,
    FORMERR,
    IN,
    IXFR,
    MESSAGE_MAX,
    NOTAUTH,
    NOTIMP,
    OPCODE_MASK,
    QR,
    QUERY_BADVERS,
    QUERY_DROP,
    QUERY_NOTAUTH,
    QUERY_NOTIMP,
    QUERY_OK,
    RA,
    RD,
    REFUSED,
    SERVFAIL,
    UDP_OURS,
    Query,
    QueryStatus,
    is_below,
    read_notify,
    read_query,
    write_error,
    write_header,
    write_question,
)
from fastdns._plan cimport (
    ANY_CLASS,
    BOUNDS_ALWAYS,
    BOUNDS_BY_NAME,
    BOUNDS_NEVER,
    CHAOS_IN_PYTHON,
    ERRORS_CARRY_RA,
    FINDS_KNOWN,
    NO_OPT,
    REFUSE_ANY,
    REFUSE_UNSYNCED,
    STEP_CACHE,
    STEP_CLASSES,
    STEP_FORWARD,
    STEP_TABLE,
    STEP_UNDOTTED,
    Block,
    CacheRule,
    Group,
    Listener,
    Spread,
    Step,
    covers,
)
from fastdns._stored cimport write_stored
from fastdns._trie cimport Table, fetch_child, fetch_data, set_no_walk, start_walk
from fastdns._wire cimport Writer, load_u16, store_u16, writer_over

cdef enum:
    EDE_STALE = 3               # RFC 8914
    EDE_STALE_NXDOMAIN = 19
    TEST_QUESTIONS = 50         # after so many, or so long, all upstreams of a spread are asked, as dnsmasq does
    NOBODY = 0                  # a waiter that needs no answer: the cache is being refreshed


cdef uint64_t TEST_INTERVAL = 20000000000       # nanoseconds


cdef uint16_t _rcode_of(QueryStatus status) noexcept nogil:
    if status == QUERY_NOTIMP:
        return NOTIMP
    if status == QUERY_BADVERS:
        return BADVERS
    return NOTAUTH if status == QUERY_NOTAUTH else FORMERR


cdef class Answerer(Observer):
    """The way of a query through what the configuration compiled to."""

    def __cinit__(self, Counters counters not None, *, uint32_t inflight_max=16384):
        self.stored = <uint8_t*>malloc(<size_t>MESSAGE_MAX + 1)
        self.answer = <uint8_t*>malloc(<size_t>MESSAGE_MAX + 1)
        self.ttl_at = <uint16_t*>malloc(TTLS_MAX * sizeof(uint16_t))
        self.slowed_capacity = inflight_max
        self.slowed = <Slowed*>malloc(inflight_max * sizeof(Slowed))
        self.completions.limit = NOTES_MAX
        if (self.stored == NULL or self.answer == NULL or self.ttl_at == NULL or self.slowed == NULL
                or not make_askers(&self.askers, inflight_max)):
            raise MemoryError

    def __dealloc__(self):
        free(self.stored)
        free(self.answer)
        free(self.ttl_at)
        free(self.slowed)
        free_notes(&self.completions)
        free_askers(&self.askers)

    # --- the way of a query ------------------------------------------------------------------------------------------

    cdef Block* _find_block(self, const Listener* listener, const Query* query) noexcept nogil:
        """The block with the longest zone that the name is in; for DS the parent's, if there is one (RFC 4035
        3.1.4.1)."""
        cdef Block* block
        cdef Block* child = NULL
        cdef uint32_t index
        for index in range(listener.block_count):
            block = self.blocks[listener.blocks[index]]
            if block.zone_len == 1 or is_below(query.name_key, query.qname_len, block.zone, block.zone_len):
                if query.qtype != DS or block.zone_len != query.qname_len:
                    return block
                if child == NULL:
                    child = block
        return child

    cdef size_t _limit_of(self, const Block* block, const Query* query, const Peer* peer, bint no_limit) noexcept nogil:
        """How large an answer may be: RFC 6891 section 6.2.3, and our own bound over UDP."""
        if no_limit or peer.transport != UDP:
            return MESSAGE_MAX
        return query.udp_size if query.udp_size < block.udp_max else block.udp_max

    cdef Result _refuse(self, Block* block, const Query* query, uint16_t rcode, uint16_t ede, Writer* out) noexcept nogil:
        """End a query with an rcode."""
        if block.manners & NO_OPT:
            write_header(out, query, rcode, 0, 0, 0)
            write_question(out, query)
        else:
            write_error(out, query, rcode, block.udp_max, ede)
        if block.manners & ERRORS_CARRY_RA and not out.failed:
            store_u16(out.data + 2, load_u16(out.data + 2) | <uint16_t>RA)
        return ANSWERED

    cdef void _prepare(self, const uint8_t* wire, size_t size, const Peer* peer, Prepared* prepared) noexcept nogil:
        """Take a message up: read it, find its block, begin to look its name up."""
        cdef const Table* table
        cdef Key key
        prepared.block = NULL
        prepared.cache = NULL
        set_no_walk(&prepared.walk)
        prepared.status = read_query(wire, size, &prepared.query)
        if prepared.status == QUERY_NOTIMP and self.takes_notify:
            if read_notify(wire, size, &prepared.query) == QUERY_OK:
                prepared.status = QUERY_OK
        if prepared.status != QUERY_OK:
            return
        prepared.block = self._find_block(&self.listeners[peer.listener], &prepared.query)
        if prepared.block == NULL:
            return
        table = self._first_table(prepared.block)
        if table != NULL:
            start_walk(table, prepared.query.name_key, prepared.query.label_at, prepared.query.label_count,
                       &prepared.walk)
        if prepared.block.has_bounds != BOUNDS_NEVER and (table == NULL or prepared.walk.zone == 0):
            key = key_of(&prepared.query)
            prepared.cache = self.cache_of[prepared.block.cache]
            prepared.hash = (<Cache>prepared.cache).begin_find(&key)

    cdef const Table* _first_table(self, const Block* block) noexcept nogil:
        """Of the tables that a block looks into first, the one with the most names; NULL: it begins with something else.
        """
        cdef const Table* best = NULL
        cdef const Table* table
        cdef uint8_t index
        for index in range(block.step_count):
            if block.steps[index].kind != STEP_TABLE:
                break
            table = self.table_of[block.steps[index].index][0]
            if best == NULL or table.names > best.names:
                best = table
        return best

    cdef bint _take_first(self, Block* block, const Query* query, const Peer* peer, bint no_limit, Writer* out,
                          uint64_t* token, Result* result) noexcept nogil:
        """What kube-dns looks at before the name. False: go on."""
        cdef uint16_t manners = block.manners
        if ((manners & REFUSE_UNSYNCED and not self.table_of[block.gate][0].is_synced)
                or (manners & REFUSE_ANY and query.qtype == ANY)):
            result[0] = self._refuse(block, query, REFUSED, EDE_NONE, out)
            store_u16(out.data + 2, (load_u16(out.data + 2) & <uint16_t>(OPCODE_MASK | CD)) | <uint16_t>(QR | REFUSED))
            return True
        if query.qclass == CHAOS and manners & CHAOS_IN_PYTHON:
            result[0] = self._slow_down(block, 0, SLOW_CHAOS, query, peer, NULL, no_limit, out, token)
            return True
        return False

    cdef Result _begin(self, const Prepared* prepared, const Peer* peer, bint no_limit, Writer* out,
                       uint64_t* token) noexcept nogil:
        """Answer a message, or start what its answer takes."""
        cdef const Query* query = &prepared.query
        cdef Block* block = prepared.block
        cdef Result result
        if prepared.status == QUERY_DROP:
            return DROPPED
        if block == NULL:
            write_error(out, query, REFUSED if prepared.status == QUERY_OK else _rcode_of(prepared.status), UDP_OURS,
                        EDE_NONE)
            self._observe_undecided(query, peer, out)
            return ANSWERED
        if block.manners and self._take_first(block, query, peer, no_limit, out, token, &result):
            pass
        elif query.qclass != IN and block.classes_at:
            result = self._run_steps(block, block.classes_at - 1, query, peer, NULL, no_limit, out, token)
        elif (query.qclass != IN and not block.manners & ANY_CLASS) or query.qtype == AXFR or query.qtype == IXFR:
            result = self._refuse(block, query, REFUSED, EDE_NONE, out)
        else:
            self.begun = prepared
            result = self._run_steps(block, 0, query, peer, NULL, no_limit, out, token)
            self.begun = NULL
        if result == ANSWERED:
            order_answer(block, out)
            self._observe(block, query, peer, out.data, out.pos, 0)
        return result

    cdef Result _run_steps(self, Block* block, uint8_t start, const Query* query, const Peer* peer, Asker* asker,
                           bint no_limit, Writer* out, uint64_t* token) noexcept nogil:
        """Go down a block's steps from `start` to the one that ends the query."""
        cdef Result result = DROPPED
        cdef bint accepts_stale = False
        cdef uint8_t index
        cdef Step* step
        for index in range(start, block.step_count):
            step = &block.steps[index]
            if step.kind == STEP_TABLE:
                if self._run_table(block, step, index, query, peer, asker, no_limit, out, token, &result):
                    return result
            elif step.kind == STEP_CACHE:
                if self._run_cache(block, step, index, query, peer, no_limit, out, &accepts_stale):
                    return ANSWERED
            elif step.kind == STEP_FORWARD:
                if self._run_forward(block, step, index, query, peer, asker, no_limit, accepts_stale, out, token,
                                     &result):
                    return result
            elif step.kind == STEP_UNDOTTED:
                if query.label_count == 1 and (query.qtype == A or query.qtype == AAAA or query.qtype == ANY):
                    return self._refuse(block, query, 0 if self._is_known(block, query.name_key, query.qname_len)
                                        else NXDOMAIN_RCODE, EDE_NONE, out)
            elif step.kind == STEP_CLASSES and query.qclass == IN:
                continue
            elif (step.qtype == 0 or step.qtype == query.qtype) and (
                    step.zones.size == 0 or covers(&step.zones, query.name_key, query.qname_len)) and (
                    step.first_label[0] == 0 or memcmp(step.first_label, query.name_key, step.first_label[0] + 1) == 0):
                return self._slow_down(block, index, SLOW_STEP, query, peer, asker, no_limit, out, token)
        if block.notes_errors and block.end_rcode == SERVFAIL:
            self._note_end(block, query, peer)
        return self._refuse(block, query, block.end_rcode, block.end_ede, out)

    # --- tables ------------------------------------------------------------------------------------------------------

    cdef void _bound_ttls(self, const Block* block, const Query* query, Limits* limits) noexcept nogil:
        """What the block's cache, standing in front of its tables, makes of TTLs: in zones that it must not keep too.
        """
        if block.has_bounds == BOUNDS_ALWAYS or (block.has_bounds == BOUNDS_BY_NAME and covers(
                &self.rules[block.cache].zones, query.name_key, query.qname_len)):
            limits.success = block.success
            limits.denial = block.denial
            return
        limits.success.low = limits.denial.low = 1
        limits.success.high = limits.denial.high = 0

    cdef bint _run_table(self, Block* block, const Step* step, uint8_t index, const Query* query, const Peer* peer,
                         Asker* asker, bint no_limit, Writer* out, uint64_t* token, Result* result) noexcept nogil:
        """Answer from a name table. False: the next step's turn."""
        cdef Finding finding
        cdef Limits limits
        find_answer(self.table_of[step.index][0], query, &self.begun.walk if self.begun != NULL else NULL, &finding)
        if finding.outcome == PASS:
            return False
        if (finding.outcome == NXDOMAIN or finding.outcome == FAILED) and step.zones.size:
            if covers(&step.zones, query.name_key, query.qname_len):
                return False
        if finding.outcome == RARE:
            result[0] = self._slow_down(block, index, SLOW_RARE, query, peer, asker, no_limit, out, token)
            return True
        if finding.outcome == NXDOMAIN and block.manners & FINDS_KNOWN and self._is_known(block, query.name_key, query.qname_len):
            finding.outcome = NODATA
        if finding.outcome == ALIAS and query.flags & RD and self._has_target(block, &finding, query.qtype):
            finding.outcome = FOLLOW
        if finding.outcome == FOLLOW:
            result[0] = self._slow_down(block, index, SLOW_CHASE, query, peer, asker, no_limit, out, token)
            return True
        limits.size = self._limit_of(block, query, peer, no_limit)
        limits.udp_max = block.udp_max
        limits.without_opt = block.manners & NO_OPT != 0
        limits.rotation = 0
        if block.rotates:
            self.rotation += 1
            limits.rotation = self.rotation
        self._bound_ttls(block, query, &limits)
        write_finding(out, query, &finding, &limits)
        result[0] = ANSWERED
        return True

    cdef bint _has_target(self, const Block* block, const Finding* finding, uint16_t qtype) noexcept nogil:
        """True if the block's cache of records has the addresses that an alias of a table leads to (dnsmasq)."""
        cdef uint32_t cache = 0
        cdef CacheRule* rule = self._rule_of(block, &cache)
        cdef Key key
        if rule == NULL or not rule.keeps_records or (qtype != A and qtype != AAAA):
            return False
        key.name_key = &finding.target[0]
        key.name_len = finding.target_len
        key.qtype = qtype
        key.qclass = IN
        key.wants_dnssec = key.checking_disabled = False
        return (<Cache>self.cache_of[cache]).has_records(&key, <uint32_t>(self.now_ns // 1000000000u))

    cdef bint _is_known(self, const Block* block, const uint8_t* name_key, uint16_t name_len) noexcept nogil:
        """True if a table or a cache of records of the block holds something for a name."""
        cdef uint8_t index
        cdef uint32_t cache = 0
        cdef CacheRule* rule
        cdef Key key
        for index in range(block.step_count):
            if block.steps[index].kind == STEP_TABLE:
                if is_known(self.table_of[block.steps[index].index][0], name_key):
                    return True
        rule = self._rule_of(block, &cache)
        if rule == NULL or not rule.keeps_records:
            return False
        key.name_key = name_key
        key.name_len = name_len
        key.qclass = IN
        key.wants_dnssec = key.checking_disabled = False
        key.qtype = A
        if (<Cache>self.cache_of[cache]).has_records(&key, <uint32_t>(self.now_ns // 1000000000u)):
            return True
        key.qtype = AAAA
        return (<Cache>self.cache_of[cache]).has_records(&key, <uint32_t>(self.now_ns // 1000000000u))

    # --- cache -------------------------------------------------------------------------------------------------------

    cdef bint _run_cache(self, Block* block, const Step* step, uint8_t index, const Query* query, const Peer* peer,
                         bint no_limit, Writer* out, bint* accepts_stale) noexcept nogil:
        """Answer from the cache. False: a miss, or a stale answer that is kept for when the upstreams fail."""
        cdef CacheRule* rule = &self.rules[step.index]
        cdef Key key = key_of(query)
        cdef Found found
        cdef Lookup lookup
        if not covers(&rule.zones, query.name_key, query.qname_len):
            return False
        if rule.keeps_records and not query.flags & RD:     # dnsmasq lets nobody look into its cache
            return False
        rule.slots[<size_t>CACHE_REQUESTS] += 1
        lookup = self._find_reply(step.index, &key, &found)
        if lookup == CACHE_MISS:
            rule.slots[<size_t>CACHE_MISSES] += 1
            return False
        rule.slots[<size_t>CACHE_HITS + found.side] += 1
        if lookup == CACHE_STALE and rule.stale_verify and (found.refresh_due or not rule.tracks_verify):
            accepts_stale[0] = True
            return False
        self._write_found(block, rule, &found, query, peer, no_limit, lookup == CACHE_STALE, out)
        if lookup == CACHE_STALE:
            rule.slots[<size_t>CACHE_SERVED_STALE] += 1
        if lookup == CACHE_PREFETCH or (lookup == CACHE_STALE and found.refresh_due):
            rule.slots[<size_t>CACHE_PREFETCHES] += 1
            self._refresh(block, index, query, peer)
        return True

    cdef Lookup _find_reply(self, uint32_t cache, const Key* key, Found* found) noexcept nogil:
        """Look into a cache, from where the query at hand has begun to."""
        cdef void* its = self.cache_of[cache]
        cdef uint64_t hash_value
        if self.begun != NULL and self.begun.cache == its:
            hash_value = self.begun.hash
        else:
            hash_value = (<Cache>its).begin_find(key)
        return (<Cache>its).find_reply(key, hash_value, <uint32_t>(self.now_ns // 1000000000u), found)

    cdef void _write_found(self, const Block* block, const CacheRule* rule, const Found* found, const Query* query,
                           const Peer* peer, bint no_limit, bint is_stale, Writer* out) noexcept nogil:
        cdef uint16_t ede = EDE_NONE
        if is_stale:
            ede = EDE_STALE_NXDOMAIN if found.reply.kind == REPLY_NXDOMAIN else EDE_STALE
        if block.rotates:
            self.rotation += 1
        write_stored(out, found.stored, found.reply, found.ttl_at, query, found.age, found.ttl,
                     is_stale or not rule.keeps_records, True,
                     self.rotation if block.rotates else 0, self._limit_of(block, query, peer, no_limit), block.udp_max,
                     ede)

    cdef CacheRule* _rule_of(self, const Block* block, uint32_t* cache) noexcept nogil:
        """The block's cache; NULL: it has none."""
        cdef uint8_t index
        for index in range(block.step_count):
            if block.steps[index].kind == STEP_CACHE:
                cache[0] = block.steps[index].index
                return &self.rules[cache[0]]
        return NULL

    cdef bint _write_stale(self, const Block* block, const Query* query, const Peer* peer, bint no_limit,
                           Writer* out) noexcept nogil:
        """Write what the cache had, in the place of anything written (RFC 8767). False: it has nothing any more."""
        cdef uint32_t cache = 0
        cdef CacheRule* rule = self._rule_of(block, &cache)
        cdef Key key = key_of(query)
        cdef Found found
        cdef Lookup lookup
        if rule == NULL:
            return False
        lookup = self._find_reply(cache, &key, &found)
        if lookup == CACHE_MISS:
            return False
        rule.slots[<size_t>CACHE_SERVED_STALE] += lookup == CACHE_STALE
        out[0] = writer_over(out.data, out.size)
        self._write_found(block, rule, &found, query, peer, no_limit, lookup == CACHE_STALE, out)
        return True

    cdef void _accept_stale(self, Block* block, Asker* asker) noexcept nogil:
        """A parked query that the cache has a stale answer for: it waits as long as the configuration says."""
        cdef uint32_t cache = 0
        cdef CacheRule* rule = self._rule_of(block, &cache)
        cdef uint64_t due_ns
        if rule == NULL or asker.accepts_stale:
            return
        asker.accepts_stale = True
        if rule.verify_ns == 0:
            return
        due_ns = asker.started_ns + rule.verify_ns
        if set_alarm(&rule.alarms, &self.askers, due_ns, token_of(&self.askers, asker)):
            if self.alarm_ns == 0 or due_ns < self.alarm_ns:
                self.alarm_ns = due_ns

    cdef void _note_refresh_failure(self, const Block* block, const Key* key) noexcept nogil:
        """Asking upstream came to nothing: what is stale in the block's cache is left alone for a while."""
        cdef uint32_t cache = 0
        if block != NULL and self._rule_of(block, &cache) != NULL:
            (<Cache>self.cache_of[cache]).note_failure(key, <uint32_t>(self.now_ns // 1000000000u))

    cdef void _refresh(self, Block* block, uint8_t after, const Query* query, const Peer* peer) noexcept nogil:
        """Ask upstream for the cache's sake alone."""
        cdef Key key = key_of(query)
        cdef Peer nobody
        cdef uint64_t token
        cdef uint8_t index
        cdef Step* step
        for index in range(after + 1, block.step_count):
            step = &block.steps[index]
            if step.kind == STEP_FORWARD and self._is_forwarded(step, query):
                if self.groups[step.index].in_python:
                    nobody = peer[0]
                    nobody.transport = INTERNAL
                    self._slow_down(block, index, SLOW_STREAM_FORWARD, query, &nobody, NULL, True, NULL, &token)
                else:
                    self.inflight.ask_upstream(step.index, &key, query.flags, NOBODY, self.now_ns,
                                               self.now_ns + block.deadline_ns)
                return

    # --- forward -----------------------------------------------------------------------------------------------------

    cdef bint _is_forwarded(self, const Step* step, const Query* query) noexcept nogil:
        return (covers(&step.zones, query.name_key, query.qname_len)
                and (query.label_count == 1 or not step.is_undotted)
                and not covers(&step.excluded, query.name_key, query.qname_len))

    cdef bint _run_forward(self, Block* block, const Step* step, uint8_t index, const Query* query, const Peer* peer,
                           Asker* asker, bint no_limit, bint accepts_stale, Writer* out, uint64_t* token,
                           Result* result) noexcept nogil:
        """Ask upstream. False: the step does not forward this name."""
        cdef Key key = key_of(query)
        cdef Group* group = &self.groups[step.index]
        cdef Asked asked
        cdef bint is_new = asker == NULL
        if not self._is_forwarded(step, query):
            return False
        if query.label_count < step.labels_min:
            result[0] = self._refuse(block, query, SERVFAIL, EDE_NONE, out)
            store_u16(out.data + 2, load_u16(out.data + 2) | RA)
            return True
        if group.in_python or (peer.transport == STREAM and group.stream_in_python):
            result[0] = self._slow_down(block, index, SLOW_STREAM_FORWARD, query, peer, asker, no_limit, out, token)
            self.slots[<size_t>WORKER_FORWARDED] += result[0] == PENDING
            if accepts_stale and result[0] == PENDING:
                self._accept_stale(block, asker_of(&self.askers, token[0]))
            elif accepts_stale and result[0] == ANSWERED:
                self._write_stale(block, query, peer, no_limit, out)
            return True
        result[0] = PENDING
        asker = self._park(block, index, query, peer, asker, no_limit, token)
        if asker == NULL:
            result[0] = self._refuse(block, query, REFUSED, EDE_NONE, out)
            if accepts_stale:
                self._write_stale(block, query, peer, no_limit, out)
            return True
        if accepts_stale:
            self._accept_stale(block, asker)
        asked = self._ask_step(block, step, query, asker, token[0])
        self.slots[<size_t>WORKER_FORWARDED] += asked != ASK_FULL and asked != ASK_DEAD
        if asked == ASK_FULL or asked == ASK_DEAD:
            result[0] = self._refuse(block, query, REFUSED if asked == ASK_FULL else block.end_rcode,
                                     EDE_NONE if asked == ASK_FULL else EDE_NO_REACHABLE, out)
            self._note_refresh_failure(block, &key)
            if asker.accepts_stale:
                self._write_stale(block, query, peer, no_limit, out)
            if is_new:
                release_asker(&self.askers, asker)      # else _resume sends the answer
        return True

    cdef Asked _ask_step(self, const Block* block, const Step* step, const Query* query, Asker* asker,
                         uint64_t token) noexcept nogil:
        """Ask the upstreams of a forward step, as it chooses."""
        cdef Key key = key_of(query)
        cdef Spread* spread
        if step.spread == 0:
            return self.inflight.ask_upstream(step.index, &key, query.flags, token, self.now_ns,
                                              asker.started_ns + block.deadline_ns)
        spread = &self.spreads[step.spread - 1]
        asker.pending = 0
        asker.asked_all = self._is_test_due(spread)
        return self._ask_spread(spread, spread.count if asker.asked_all else spread.favourite, spread.count, block, query,
                                asker, token)

    cdef bint _is_test_due(self, Spread* spread) noexcept nogil:
        """True if this question goes to all upstreams, so that the first to answer is known again."""
        spread.asked += 1
        if (spread.always or spread.favourite == spread.count or spread.asked > TEST_QUESTIONS
                or self.now_ns - spread.tested_ns > TEST_INTERVAL):
            spread.asked = 0
            spread.tested_ns = self.now_ns
            return True
        return False

    cdef Asked _ask_spread(self, const Spread* spread, uint32_t only, uint32_t but, const Block* block, const Query* query,
                           Asker* asker, uint64_t token) noexcept nogil:
        """Ask upstream `only` of a spread (count: all), but not `but`. ASK_SENT: at least one is asked."""
        cdef Key key = key_of(query)
        cdef Asked result = ASK_DEAD
        cdef Asked asked
        cdef uint32_t index
        for index in range(spread.count):
            if (only != spread.count and index != only) or index == but:
                continue
            asked = self.inflight.ask_upstream(spread.first + index, &key, query.flags, token, self.now_ns,
                                               asker.started_ns + block.deadline_ns)
            if asked == ASK_SENT or asked == ASK_JOINED:
                asker.pending += 1
                result = ASK_SENT
            elif result == ASK_DEAD:
                result = asked
        return result

    # --- what can't be ended at once ---------------------------------------------------------------------------------

    cdef Asker* _park(self, Block* block, uint8_t step, const Query* query, const Peer* peer, Asker* asker,
                      bint no_limit, uint64_t* token) noexcept nogil:
        """Keep a query for later; NULL: no place is free."""
        if asker == NULL:
            asker = take_asker(&self.askers)
            if asker == NULL:
                return NULL
            asker.peer = peer[0]
            asker.block = block.number
            asker.no_limit = no_limit
            asker.started_ns = self.now_ns
            keep_query(asker, query)
        asker.step = step
        token[0] = token_of(&self.askers, asker)
        return asker

    cdef Result _slow_down(self, Block* block, uint8_t step, Reason reason, const Query* query, const Peer* peer,
                           Asker* asker, bint no_limit, Writer* out, uint64_t* token) noexcept nogil:
        """Hand a query to Python."""
        cdef Slowed* slowed
        if self.slowed_count < self.slowed_capacity:
            asker = self._park(block, step, query, peer, asker, no_limit, token)
        else:
            asker = NULL                    # one that was parked before is answered by _resume
        if asker == NULL:
            return self._refuse(block, query, REFUSED, EDE_NONE, out) if out != NULL else DROPPED
        slowed = &self.slowed[(self.slowed_first + self.slowed_count) % self.slowed_capacity]
        self.slowed_count += 1
        slowed.token = token[0]
        slowed.reason = reason
        slowed.step = step
        self.slots[<size_t>WORKER_SLOW_QUERIES] += 1
        return PENDING

    # --- for _udp ----------------------------------------------------------------------------------------------------

    cdef void begin_batch(self) noexcept nogil:
        """Read the clock, once for all queries of a batch."""
        self.now_ns = monotonic_ns()

    cdef void answer_batch(self, Datagram* datagrams, uint32_t count) noexcept nogil:
        """Answer datagrams, some at a time side by side."""
        cdef uint32_t first = 0
        self.begin_batch()
        while first < count:
            self._answer_some(datagrams + first, min(count - first, <uint32_t>ABREAST))
            first += ABREAST
        self.end_batch()

    cdef void _answer_some(self, Datagram* datagrams, uint32_t count) noexcept nogil:
        cdef Prepared* prepared = self.prepared
        cdef Writer writer
        cdef uint64_t token
        cdef uint32_t index
        for index in range(count):
            self._prepare(datagrams[index].wire, datagrams[index].size, datagrams[index].peer, &prepared[index])
        for index in range(count):
            fetch_child(&prepared[index].walk)
            if prepared[index].cache != NULL:
                (<Cache>prepared[index].cache).fetch_entry(prepared[index].hash)
        for index in range(count):
            fetch_data(&prepared[index].walk)
        for index in range(count):
            writer = writer_over(datagrams[index].answer, datagrams[index].room)
            datagrams[index].answer_size = 0
            if self._begin(&prepared[index], datagrams[index].peer, False, &writer, &token) == ANSWERED:
                datagrams[index].answer_size = 0 if writer.failed else writer.pos

    cdef void end_batch(self) noexcept nogil:
        """Send what the batch asked upstream; count how long its answers took."""
        cdef uint64_t elapsed_ns = monotonic_ns() - self.now_ns
        self.inflight.flush_questions(self.now_ns)
        self._observe_batch(elapsed_ns)

    cdef bint has_notes(self) noexcept nogil:
        """True if Python has something to collect."""
        return (self.slowed_count > 0 or self.completions.count > 0 or self.logs.count > 0 or self.errors.count > 0
                or self.alarm_ns > 0)
