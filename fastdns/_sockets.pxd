"""The system's socket calls that Cython's own declarations lack (Linux); declarations only."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t
    cdef struct sockaddr:
        uint16_t sa_family
    cdef struct sockaddr_storage:
        uint16_t ss_family
    cdef struct iovec:
        void* iov_base
        size_t iov_len
    cdef struct msghdr:
        void* msg_name
        socklen_t msg_namelen
        iovec* msg_iov
        size_t msg_iovlen
        void* msg_control
        size_t msg_controllen
        int msg_flags
    cdef struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    cdef struct cmsghdr:
        size_t cmsg_len
        int cmsg_level
        int cmsg_type
    int socket(int domain, int kind, int protocol)
    int bind(int fd, const sockaddr* address, socklen_t size)
    int connect(int fd, const sockaddr* address, socklen_t size)
    int setsockopt(int fd, int level, int option, const void* value, socklen_t size)
    ssize_t send(int fd, const void* octets, size_t size, int flags)
    ssize_t sendto(int fd, const void* octets, size_t size, int flags, const sockaddr* address, socklen_t address_size)
    ssize_t recvfrom(int fd, void* octets, size_t size, int flags, sockaddr* address, socklen_t* address_size)
    int sendmmsg(int fd, mmsghdr* messages, unsigned int count, int flags)
    int recvmmsg(int fd, mmsghdr* messages, unsigned int count, int flags, void* timeout)
    ssize_t recvmsg(int fd, msghdr* message, int flags)
    cmsghdr* CMSG_FIRSTHDR(msghdr* message)
    cmsghdr* CMSG_NXTHDR(msghdr* message, cmsghdr* at)
    uint8_t* CMSG_DATA(cmsghdr* at)
    size_t CMSG_SPACE(size_t size)
    size_t CMSG_LEN(size_t size)
    int AF_INET
    int AF_INET6
    int SOCK_DGRAM
    int SOCK_NONBLOCK
    int SOCK_CLOEXEC
    int SOL_SOCKET
    int SO_RCVBUF
    int SO_SNDBUF
    int MSG_DONTWAIT
    int MSG_NOSIGNAL
    int MSG_TRUNC
    int MSG_ERRQUEUE

cdef extern from "<netinet/in.h>" nogil:
    cdef struct in_addr:
        uint32_t s_addr
    cdef struct in6_addr:
        uint8_t s6_addr[16]
    cdef struct sockaddr_in:
        uint16_t sin_family
        uint16_t sin_port
        in_addr sin_addr
    cdef struct sockaddr_in6:
        uint16_t sin6_family
        uint16_t sin6_port
        uint32_t sin6_flowinfo
        in6_addr sin6_addr
        uint32_t sin6_scope_id
    uint16_t htons(uint16_t value)
    int IPPROTO_IP
    int IPPROTO_IPV6
    int IP_RECVERR
    int IPV6_RECVERR

cdef extern from "<linux/errqueue.h>" nogil:
    cdef struct sock_extended_err:
        uint32_t ee_errno

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        uint32_t u32
        uint64_t u64
    cdef struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int flags)
    int epoll_ctl(int epoll_fd, int operation, int fd, epoll_event* event)
    int epoll_wait(int epoll_fd, epoll_event* events, int count, int timeout)
    int EPOLL_CLOEXEC
    int EPOLL_CTL_ADD
    uint32_t EPOLLIN
    uint32_t EPOLLERR

cdef extern from "<sys/random.h>" nogil:
    ssize_t getrandom(void* to, size_t size, unsigned int flags)

cdef extern from "<unistd.h>" nogil:
    int close(int fd)
