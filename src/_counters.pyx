"""Metric slots in shared memory (see fastdns/_counters.pxd for their layout)."""

cimport cython
from libc.stdint cimport uint16_t, uint64_t
from cpython.buffer cimport PyObject_GetBuffer, PyBuffer_Release, PyBUF_SIMPLE, PyBUF_WRITABLE


@cython.final
@cython.auto_pickle(False)
cdef class Counters:
    """The slots of one worker over a writable shared buffer (8 octets a slot)."""

    def __init__(self, memory):
        cdef Py_buffer view
        self.memory = memoryview(memory)
        PyObject_GetBuffer(self.memory, &view, PyBUF_SIMPLE | PyBUF_WRITABLE)
        self.slots = <uint64_t*>view.buf
        self.count = <size_t>view.len // sizeof(uint64_t)
        PyBuffer_Release(&view)     # the memoryview goes on holding the exporter
        if <size_t>self.slots % sizeof(uint64_t):
            raise ValueError("slots must start at a multiple of 8 octets")

    def __len__(self):
        return self.count

    def add(self, size_t slot, uint64_t amount=1):
        """Add `amount` to a slot, modulo 2 to the power of 64. Raises IndexError outside of the buffer."""
        self.slots[checked_slot(self, slot)] += amount

    def set(self, size_t slot, uint64_t value):
        """Raises IndexError outside of the buffer."""
        self.slots[checked_slot(self, slot)] = value

    def get(self, size_t slot):
        """Raises IndexError outside of the buffer."""
        return self.slots[checked_slot(self, slot)]


def find_type_slot(uint16_t qtype):
    """The place of a type in BLOCK_REQUESTS's [type]."""
    return type_slot(qtype)


def find_size_bucket(size_t octets):
    """The place of a size in BLOCK_REQUEST_SIZE's [bucket]."""
    return size_bucket(octets)


def find_duration_bucket(uint64_t nanoseconds):
    """The place of a duration in BLOCK_DURATION's [bucket]."""
    return duration_bucket(nanoseconds)


cdef size_t checked_slot(Counters counters, size_t slot) except? 0:
    if slot >= counters.count:
        raise IndexError(f"slot {slot} of {counters.count}")
    return slot
