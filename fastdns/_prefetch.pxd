"""A hint that memory will be read soon, so that its way from there overlaps with other work. Any address will do."""

cdef extern from * nogil:
    """
    #define fastdns_prefetch(address) __builtin_prefetch(address)
    """
    void prefetch "fastdns_prefetch" (const void* address)
