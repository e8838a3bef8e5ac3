"""Datagrams read and sent without letting go of the interpreter: a socket that does not block takes a microsecond, but
whoever waits for the interpreter would take it at each of them, and to get it back costs a frame ten times as much."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.string cimport memset


cdef extern from "<sys/socket.h>" nogil:
    struct sockaddr_storage:
        pass
    struct sockaddr:
        pass
    struct iovec:
        void* iov_base
        size_t iov_len
    struct msghdr:
        void* msg_name
        unsigned int msg_namelen
        iovec* msg_iov
        size_t msg_iovlen
    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    int MSG_DONTWAIT
    int recvmmsg(int fd, mmsghdr* messages, unsigned int count, int flags, void* timeout)
    ssize_t c_sendto "sendto"(int fd, const void* data, size_t size, int flags, const sockaddr* to, unsigned int length)


cdef enum:
    COUNT = 64  # datagrams at one wake-up, so that timers still run under load
    LARGEST = 65_536

cdef unsigned char _buffers[COUNT][LARGEST]
cdef sockaddr_storage _senders[COUNT]


def receive(int fd):
    """[(datagram, address), ...] that are there, at most 64; the address as `send` takes it. One thread at a time."""
    cdef mmsghdr messages[COUNT]
    cdef iovec parts[COUNT]
    cdef int i, n
    memset(messages, 0, sizeof(messages))
    for i in range(COUNT):
        parts[i].iov_base, parts[i].iov_len = _buffers[i], LARGEST
        messages[i].msg_hdr.msg_iov, messages[i].msg_hdr.msg_iovlen = &parts[i], 1
        messages[i].msg_hdr.msg_name = &_senders[i]
        messages[i].msg_hdr.msg_namelen = sizeof(sockaddr_storage)
    n = recvmmsg(fd, messages, COUNT, MSG_DONTWAIT, NULL)
    return [
        (
            PyBytes_FromStringAndSize(<char*>_buffers[i], messages[i].msg_len),
            PyBytes_FromStringAndSize(<char*>&_senders[i], messages[i].msg_hdr.msg_namelen),
        )
        for i in range(n)
    ]


def send(int fd, bytes data not None, bytes address not None):
    """Send, or lose it as any network may: what can't leave now is of no use later."""
    cdef const char* to = address
    c_sendto(fd, <const char*>data, len(data), MSG_DONTWAIT, <const sockaddr*>to, <unsigned int>len(address))
