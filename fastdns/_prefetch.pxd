"""A hint that memory will be read soon, so that its way from there overlaps with other work. Any address will do."""

cdef enum:
    CACHE_LINE = 64         # octets that come at a time

cdef extern from * nogil:
    """
    #define fastdns_prefetch(address) __builtin_prefetch(address)
    """
    void fetch_ahead "fastdns_prefetch" (const void* address)
