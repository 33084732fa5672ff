"""The way of a query: down the steps of its server block, to the one that ends it. Knows no socket and no Python.

A query runs down the steps of its block until one ends it: a table answers, the cache answers, an upstream is asked,
or Python is. What can't be ended at once is parked in the pool of askers; a reply, a time-out or Python takes it up
again.
"""

from libc.stdint cimport UINT64_MAX, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from fastdns._askers cimport (
    INTERNAL,
    NOTE_COMPLETED,
    NO_STEP,
    NOTE_ERROR,
    NOTE_LOG,
    STREAM,
    UDP,
    AlarmRing,
    Asker,
    Note,
    Peer,
    add_note,
    asker_of,
    is_ipv6,
    set_alarm,
    free_askers,
    free_notes,
    keep_query,
    make_askers,
    release_asker,
    restore_query,
    take_asker,
    take_due,
    token_of,
)
from fastdns._cache cimport (
    CACHE_MISS,
    CACHE_PREFETCH,
    CACHE_STALE,
    PART_ALIAS,
    PART_ALL,
    PART_TAIL,
    Cache,
    Found,
    Key,
    Lookup,
)
from fastdns._counters cimport (
    CACHE_HITS,
    CACHE_INSERTIONS,
    CACHE_MISSES,
    CACHE_PREFETCHES,
    CACHE_REQUESTS,
    CACHE_SERVED_STALE,
    SYSTEM_AUTH,
    SYSTEM_MISSES,
    SYSTEM_RECURSIVE,
    SYSTEM_SLOTS,
    WORKER_FORWARDED,
    WORKER_SLOW_QUERIES,
    WORKER_UNDECIDED,
    WORKER_UPSTREAM_ANSWERS,
    Counters,
    observe_durations,
    observe_query,
    observe_system,
    observe_system_durations,
)
from fastdns._inflight cimport (
    ASK_DEAD,
    ASK_FULL,
    ASK_JOINED,
    ASK_SENT,
    EVENT_NONE,
    EVENT_REPLY,
    FAILED_MALFORMED,
    FAILED_NETWORK,
    FAILED_NO_PLUGIN,
    Answered,
    Asked,
    Event,
    Failure,
)
from fastdns._local cimport (
    FAILED,
    ALIAS,
    FOLLOW,
    NODATA,
    NXDOMAIN,
    PASS,
    RARE,
    Finding,
    Limits,
    find_answer,
    is_known,
    write_finding,
)
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
from fastdns._order cimport AddressOrder
from fastdns._packet cimport (
    AA,
    AAAA,
    AD,
    ANY,
    AXFR,
    CD,
    CHAOS,
    CNAME,
    DS,
    EDE_NONE,
    FORMERR,
    HEADER_SIZE,
    IN,
    IXFR,
    MESSAGE_MAX,
    NAME_MAX,
    NOTAUTH,
    OPCODE_MASK,
    NOTIMP,
    PTR,
    QR,
    QUERY_BADVERS,
    QUERY_DROP,
    QUERY_NOTAUTH,
    QUERY_NOTIMP,
    QUERY_OK,
    RA,
    RCODE_MASK,
    RD,
    REFUSED,
    SERVFAIL,
    TC,
    UDP_OURS,
    BADVERS,
    Query,
    QueryStatus,
    is_below,
    read_notify,
    read_query,
    write_error,
    write_header,
    write_question,
    A,
)
from fastdns._plan cimport (
    BOUNDS_ALWAYS,
    BOUNDS_BY_NAME,
    BOUNDS_NEVER,
    STEP_CACHE,
    STEP_CLASSES,
    STEP_FORWARD,
    STEP_TABLE,
    ANY_CLASS,
    CHAOS_IN_PYTHON,
    ERRORS_CARRY_RA,
    FINDS_KNOWN,
    NO_OPT,
    PASS_ON,
    PTR_ALONE,
    REFUSE_ANY,
    REFUSE_UNSYNCED,
    SILENT,
    STEP_UNDOTTED,
    Block,
    CacheRule,
    FlushAnswers,
    Group,
    Listener,
    Plan,
    SendAnswer,
    Spread,
    Step,
    covers,
    has_rcode,
)
from fastdns._reply cimport make_failure, read_reply, read_tail
from fastdns._rules cimport (
    VERDICT_BLOCKED,
    VERDICT_BOGUS,
    VERDICT_IGNORE,
    Verdict,
    empty_reply,
    judge_reply,
)
from fastdns._stored cimport write_stored
from fastdns._trie cimport Table, fetch_child, fetch_data, set_no_walk, start_walk
from fastdns._wire cimport Writer, load_u16, store_u16, writer_over

cdef enum:
    EDE_STALE = 3               # RFC 8914
    EDE_STALE_NXDOMAIN = 19
    EDE_NO_REACHABLE = 22
    NXDOMAIN_RCODE = 3
    EDE_NETWORK_ERROR = 23
    EDE_INVALID_DATA = 24
    NOTES_MAX = 65536
    EDE_BLOCKED = 15
    EDE_FILTERED = 17
    CHAIN_MAX = 16
    TEST_QUESTIONS = 50         # after so many, or so long, all upstreams of a spread are asked, as dnsmasq does
    NOBODY = 0                  # a waiter that needs no answer: the cache is being refreshed


cdef uint64_t TEST_INTERVAL = 20000000000       # nanoseconds


cdef uint64_t _monotonic_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <uint64_t>now.tv_sec * 1000000000u + <uint64_t>now.tv_nsec


cdef uint16_t _rcode_of(QueryStatus status) noexcept nogil:
    if status == QUERY_NOTIMP:
        return NOTIMP
    if status == QUERY_BADVERS:
        return BADVERS
    return NOTAUTH if status == QUERY_NOTAUTH else FORMERR


cdef uint16_t _ede_of(Failure failure) noexcept nogil:
    if failure == FAILED_NETWORK:
        return EDE_NETWORK_ERROR
    return EDE_INVALID_DATA if failure == FAILED_MALFORMED else EDE_NO_REACHABLE


cdef inline void _order(Block* block, const Writer* out) noexcept nogil:
    """Put the addresses of an answer in the order that its block has for them."""
    if block.order != NULL and not out.failed:
        (<AddressOrder>block.order).order_addresses(out.data, out.pos)


cdef class Answerer(Plan):
    """The way of a query through what the configuration compiled to."""

    def __cinit__(self, Counters counters not None, *, uint32_t inflight_max=16384):
        self.stored = <uint8_t*>malloc(<size_t>MESSAGE_MAX + 1)
        self.answer = <uint8_t*>malloc(<size_t>MESSAGE_MAX + 1)
        self.ttl_at = <uint16_t*>malloc(TTLS_MAX * sizeof(uint16_t))
        self.slowed_capacity = inflight_max
        self.slowed = <Slowed*>malloc(inflight_max * sizeof(Slowed))
        self.finished_step = NO_STEP
        self.completions.limit = self.logs.limit = self.errors.limit = NOTES_MAX
        if (self.stored == NULL or self.answer == NULL or self.ttl_at == NULL or self.slowed == NULL
                or not make_askers(&self.askers, inflight_max)):
            raise MemoryError

    def __dealloc__(self):
        free(self.stored)
        free(self.answer)
        free(self.ttl_at)
        free(self.slowed)
        free_notes(&self.completions)
        free_notes(&self.logs)
        free_notes(&self.errors)
        free_askers(&self.askers)

    # --- the way of a query -----------------------------------------------------------------------------------------

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

    cdef void _observe(self, Block* block, const Query* query, const Peer* peer, const uint8_t* answer,
                       size_t answer_size, uint64_t elapsed_ns) noexcept nogil:
        """Count one answer, and note it for the log. elapsed_ns 0: its duration is counted with its batch."""
        cdef uint16_t flags = load_u16(answer + 2) if answer_size >= HEADER_SIZE else 0
        cdef uint16_t rcode = flags & RCODE_MASK
        if peer.transport == INTERNAL:
            return
        observe_query(block.slots, peer.transport != UDP, is_ipv6(peer), query.qtype, query.wants_dnssec,
                      query.wire_len, rcode, answer_size)
        if elapsed_ns:
            observe_durations(block.slots, elapsed_ns, 1)
        else:
            block.unobserved += 1
        if block.logs:
            self._note_answer(block, query, peer, answer, answer_size, elapsed_ns)
        if block.systems != NULL:
            self._observe_system(block, query, peer, flags, answer_size, elapsed_ns)

    cdef void _observe_system(self, const Block* block, const Query* query, const Peer* peer, uint16_t flags,
                              size_t answer_size, uint64_t elapsed_ns) noexcept nogil:
        """Count one answer as kube-dns does: a denial of its own over UDP twice, all but ANY as a miss of its cache."""
        cdef size_t system = block.system
        cdef uint64_t* slots
        if query.qtype == ANY or query.qclass == CHAOS:
            system = SYSTEM_AUTH
        elif block.manners & PTR_ALONE and query.qtype != PTR:
            system = SYSTEM_RECURSIVE
        slots = block.systems + system * SYSTEM_SLOTS
        observe_system(slots, system == SYSTEM_AUTH and peer.transport == UDP, flags & RCODE_MASK, flags & TC != 0,
                       answer_size)
        if system == SYSTEM_AUTH and query.qtype != ANY:
            slots[<size_t>SYSTEM_MISSES] += 1
        if elapsed_ns:
            observe_system_durations(slots, elapsed_ns, 1)

    cdef void _note_answer(self, Block* block, const Query* query, const Peer* peer, const uint8_t* answer,
                           size_t answer_size, uint64_t elapsed_ns) noexcept nogil:
        cdef bint has_header = answer_size >= <size_t>HEADER_SIZE
        cdef Note* note
        if block.logs_answers:
            note = add_note(&self.logs, NOTE_LOG, answer, answer_size)
        else:
            note = add_note(&self.logs, NOTE_LOG, query.wire, <size_t>HEADER_SIZE + query.qname_len + 4)
        if note == NULL:
            return
        note.step = self.finished_step
        note.block = block.number
        note.elapsed_ns = elapsed_ns if elapsed_ns else _monotonic_ns() - self.now_ns
        note.peer = peer[0]
        note.flags = load_u16(answer + 2) if has_header else 0
        note.rcode = note.flags & <uint16_t>RCODE_MASK
        # An empty answer with something in the authority section: NODATA, as CoreDNS sorts answers for its log.
        note.is_nodata = has_header and note.rcode == 0 and load_u16(answer + 6) == 0 and load_u16(answer + 8) != 0
        note.udp_size = query.udp_size
        note.query_size = <uint16_t>(query.wire_len if query.wire_len < 0xFFFF else 0xFFFF)
        note.has_edns = query.has_edns and not block.logs_answers
        note.wants_dnssec = query.wants_dnssec
        note.answer_size = answer_size

    cdef void _note_failure(self, Block* block, const Asker* asker, const Answered* answered) noexcept nogil:
        cdef Note* note
        if not block.notes_errors:
            return
        note = add_note(&self.errors, NOTE_ERROR, asker.wire, <size_t>HEADER_SIZE + asker.qname_len + 4)
        if note != NULL:
            note.block = asker.block
            note.rcode = SERVFAIL
            note.failure = answered.failure
            note.group = answered.group
            note.upstream = answered.upstream
            note.peer = asker.peer

    cdef void _note_end(self, const Block* block, const Query* query, const Peer* peer) noexcept nogil:
        """Note a query that no step of its block has ended."""
        cdef Note* note = add_note(&self.errors, NOTE_ERROR, query.wire, <size_t>HEADER_SIZE + query.qname_len + 4)
        if note != NULL:
            note.block = block.number
            note.rcode = SERVFAIL
            note.failure = FAILED_NO_PLUGIN
            note.group = note.upstream = 0
            note.peer = peer[0]

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
            _order(block, out)
            self._observe(block, query, peer, out.data, out.pos, 0)
        return result

    cdef void _observe_undecided(self, const Query* query, const Peer* peer, const Writer* out) noexcept nogil:
        """Count an answer outside every server block."""
        if peer.transport != INTERNAL:
            observe_query(self.slots + <size_t>WORKER_UNDECIDED, peer.transport != UDP, is_ipv6(peer),
                          query.qtype if query.qname_len else 0, query.wants_dnssec, query.wire_len,
                          load_u16(out.data + 2) & RCODE_MASK, out.pos)

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

    # --- tables -----------------------------------------------------------------------------------------------------

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
        key.name_key = finding.target
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
                if is_known(self.table_of[block.steps[index].index][0], name_key, name_len):
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

    # --- cache ------------------------------------------------------------------------------------------------------

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

    cdef void _note_refresh_failure(self, const Block* block, const Key* key) noexcept nogil:
        """Asking upstream came to nothing: what is stale in the block's cache is left alone for a while."""
        cdef uint32_t cache = 0
        if block != NULL and self._rule_of(block, &cache) != NULL:
            (<Cache>self.cache_of[cache]).note_failure(key, <uint32_t>(self.now_ns // 1000000000u))

    cdef bint _is_refreshed(self, const Block* block, const Reply* reply) noexcept nogil:
        """True for a reply that may take the place of a stale answer (RFC 8767 section 5)."""
        cdef uint32_t cache = 0
        if reply.rcode != 0 and reply.rcode != <uint16_t>NXDOMAIN_RCODE:
            return False
        if self._rule_of(block, &cache) == NULL or not (<Cache>self.cache_of[cache]).options.prefers_positive:
            return True
        return reply.kind == REPLY_SUCCESS

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

    # --- forward ----------------------------------------------------------------------------------------------------

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

    # --- answers that come later ------------------------------------------------------------------------------------

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
        _order(self.blocks[asker.block], out)
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

    cdef bint _asks_again(self, const Answered* answered, const Reply* reply) noexcept nogil:
        """True if the question went to another upstream, or again without OPT (RFC 6891 section 7)."""
        if has_rcode(self.groups[answered.group].again, reply.rcode):
            return self.inflight.repeat_question(answered.slot, self.now_ns)
        if reply.rcode == FORMERR and self.inflight.retry_question(answered.slot, True, self.now_ns):
            return True
        return (has_rcode(self.groups[answered.group].failover, reply.rcode)
                and self.inflight.retry_question(answered.slot, False, self.now_ns))

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

    # --- for _udp ---------------------------------------------------------------------------------------------------

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

    cdef void begin_batch(self) noexcept nogil:
        """Read the clock, once for all queries of a batch."""
        self.now_ns = _monotonic_ns()

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
        cdef uint64_t elapsed = _monotonic_ns() - self.now_ns
        cdef uint32_t index
        self.inflight.flush_questions(self.now_ns)
        for index in range(self.block_count):
            if self.blocks[index].unobserved:
                observe_durations(self.blocks[index].slots, elapsed, self.blocks[index].unobserved)
                if self.blocks[index].systems != NULL:
                    observe_system_durations(
                        self.blocks[index].systems + <size_t>self.blocks[index].system * <size_t>SYSTEM_SLOTS, elapsed,
                        self.blocks[index].unobserved)
                self.blocks[index].unobserved = 0

    cdef bint has_notes(self) noexcept nogil:
        """True if Python has something to collect."""
        return (self.slowed_count > 0 or self.completions.count > 0 or self.logs.count > 0 or self.errors.count > 0
                or self.alarm_ns > 0)
