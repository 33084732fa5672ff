"""What Python asks of the compiled path."""

from libc.stdint cimport uint64_t

from fastdns._late cimport LateAnswerer
from fastdns._askers cimport Asker

cdef class Engine(LateAnswerer):
    cdef public object on_upstream_work

    cdef Asker* _asker(self, uint64_t token) except NULL
    cdef void _set_gauges(self)
