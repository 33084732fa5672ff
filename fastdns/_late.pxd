"""Answers that come later: parked queries get what upstreams replied, a stale answer, or a failure."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t

from fastdns._answer cimport Answerer
from fastdns._askers cimport Asker
from fastdns._cache cimport Key, Part
from fastdns._inflight cimport Answered
from fastdns._message cimport Reply
from fastdns._packet cimport Query
from fastdns._plan cimport Block, CacheRule, FlushAnswers, SendAnswer
from fastdns._wire cimport Writer

cdef class LateAnswerer(Answerer):
    cdef void set_sender(self, uint32_t listener, SendAnswer send, FlushAnswers flush, void* context) noexcept nogil
    cdef void flush_answers(self) noexcept nogil

    # the steps of that, used by the class and Engine alone
    cdef void _send(self, Asker* asker, const uint8_t* wire, size_t size) noexcept nogil
    cdef void _finish(self, Asker* asker, const Query* query, const Writer* out) noexcept nogil
    cdef void _fail(self, Asker* asker, uint16_t rcode, uint16_t ede) noexcept nogil
    cdef bint _serve_stale(self, Asker* asker) noexcept nogil
    cdef void _resume(self, Asker* asker, uint8_t step) noexcept nogil
    cdef void _wake_askers(self) noexcept nogil
    cdef uint64_t _next_alarm(self) noexcept nogil
    cdef bint _goes_on(self, const Block* block, uint8_t index, const Reply* reply) noexcept nogil
    cdef void _give(self, Asker* asker, const Reply* reply) noexcept nogil
    cdef void _truncate(self, Asker* asker) noexcept nogil
    cdef void _on_reply(self, Answered* answered) noexcept nogil
    cdef bint _asks_again(self, const Answered* answered, const Reply* reply) noexcept nogil
    cdef bint _waits_for_others(self, Asker* asker, uint32_t group, const Reply* reply) noexcept nogil
    cdef void _on_failure(self, Answered* answered) noexcept nogil
    cdef void _give_up(self, Asker* asker, const Answered* answered) noexcept nogil
    cdef void _keep_silent(self, Asker* asker) noexcept nogil
    cdef void _take_events(self) noexcept nogil
    cdef CacheRule* _rule_for(self, const Block* block, const uint8_t* name_key, uint16_t name_len,
                              uint32_t* cache) noexcept nogil
    cdef bint _keeps(self, const CacheRule* rule, const uint8_t* name_key, uint16_t name_len, const Reply* reply) noexcept nogil
    cdef bint _is_refreshed(self, const Block* block, const Reply* reply) noexcept nogil
    cdef void _store(self, const Block* block, const Key* key, const Reply* reply, Part part=*) noexcept nogil
    cdef void _store_tails(self, const Block* block, const Key* key, const uint8_t* wire, size_t wire_len) noexcept nogil
    cdef void _store_for_group(self, const Answered* answered, const Reply* reply) noexcept nogil
    cdef const Block* _block_of(self, uint32_t group) noexcept nogil
    cdef bint _judge(self, const Block* block, const Key* key, Reply* reply) noexcept nogil
