"""What Linux offers for many datagrams in one call, as far as the floor and the load client use it."""

from libc.stdint cimport uint16_t, uint64_t


cdef extern from "sys/socket.h" nogil:
    ctypedef unsigned int socklen_t
    struct iovec:
        void* iov_base
        size_t iov_len
    struct sockaddr_storage:
        pass
    struct msghdr:
        void* msg_name
        socklen_t msg_namelen
        iovec* msg_iov
        size_t msg_iovlen
        void* msg_control
        size_t msg_controllen
        int msg_flags
    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    int recvmmsg(int fd, mmsghdr* messages, unsigned int count, int flags, void* timeout)
    int sendmmsg(int fd, mmsghdr* messages, unsigned int count, int flags)
    enum:
        MSG_DONTWAIT

cdef extern from "time.h" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int clock, timespec* time)
    enum:
        CLOCK_MONOTONIC


cdef inline uint64_t monotonic_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <uint64_t>now.tv_sec * 1000000000 + <uint64_t>now.tv_nsec


cdef inline int send_all(int fd, mmsghdr* messages, int count) noexcept nogil:
    """Send `count` datagrams; those that the kernel refuses are dropped. The number sent."""
    cdef int sent = 0
    cdef int done = 0
    cdef int status
    while done < count:
        status = sendmmsg(fd, messages + done, <unsigned int>(count - done), MSG_DONTWAIT)
        if status <= 0:
            done += 1  # this one can't be sent now; go on with those after it
            continue
        sent += status
        done += status
    return sent
