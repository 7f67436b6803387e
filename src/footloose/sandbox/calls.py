"""Which system calls a process that carries users' traffic may make: seccomp(2), by way of libseccomp.

What is not listed fails with EPERM. Nothing on the list opens a socket that leads off this machine, starts a program or
a process, or looks into another; files are :mod:`~footloose.sandbox.files`' affair.
"""

import ctypes
import errno
import os
import socket

_ALWAYS = """
    read readv pread64 preadv write writev pwrite64 pwritev lseek close close_range dup dup2 dup3 fcntl sendfile
    open openat access faccessat faccessat2 stat fstat lstat newfstatat statx readlink readlinkat getdents64 getcwd
    fstatfs statfs unlink unlinkat
    poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd2 pipe2
    timerfd_create timerfd_settime timerfd_gettime
    accept accept4 recvfrom recvmsg recvmmsg sendto sendmsg sendmmsg shutdown connect bind getsockname getpeername
    getsockopt setsockopt listen socketpair
    memfd_create mmap munmap mremap mprotect madvise mincore msync membarrier brk mlock munlock
    futex futex_waitv set_robust_list get_robust_list rseq set_tid_address sched_yield sched_getaffinity
    sched_getparam sched_getscheduler nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time
    rt_sigaction rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigpending rt_sigtimedwait sigaltstack restart_syscall
    getpid gettid getppid getuid geteuid getgid getegid getgroups getresuid getresgid uname sysinfo getrusage times
    getrandom arch_prctl capget exit exit_group
"""
"""Calls that need no look at what they are given. Unix sockets are bound, and connected to, in folders one may use."""

_PAGEMAP_SCAN = 0xC0606610  # the engine asks which pages a guest has touched
_FIONREAD, _FIONBIO, _FIOCLEX, _FIONCLEX, _TCGETS = 0x541B, 0x5421, 0x5451, 0x5450, 0x5401
_CLONE_THREAD = 0x10000


_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_EQUAL, _MASKED = 4, 7
_THREADS, _OPTIMIZE = 4, 8
_WORD = 0xFFFF_FFFF
_LIBRARY = "libseccomp.so.2"


class NoFilter(Exception):
    """System calls cannot be restricted here."""


class _Argument(ctypes.Structure):
    """A condition: the argument with this number, of the call, compared so."""

    _fields_ = (("number", ctypes.c_uint), ("how", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


class CallFilter:
    """The list, not yet in force. Make it while libraries can still be loaded: with files confined they cannot.

    Raises :class:`NoFilter` if there is no libseccomp.
    """

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL(_LIBRARY)
        except OSError as error:
            raise NoFilter(f"libseccomp cannot be loaded: {error}") from error
        self._library.seccomp_init.restype = ctypes.c_void_p
        self._rules = ctypes.c_void_p(self._library.seccomp_init(_ERRNO | errno.EPERM))

    def enforce(self) -> None:
        """Keep all threads of this process to the list, for good. Raises :class:`NoFilter` if the kernel cannot."""
        try:
            self._list()
            self._checked(self._library.seccomp_load(self._rules))
        except OSError as error:
            raise NoFilter(f"the kernel takes no filter: {error}") from error
        finally:
            self._library.seccomp_release(self._rules)

    def _list(self) -> None:
        for attribute, value in ((_THREADS, 1), (_OPTIMIZE, 2)):
            self._checked(self._library.seccomp_attr_set(self._rules, attribute, ctypes.c_uint32(value)))
        for name in _ALWAYS.split():
            self._add(_ALLOW, name)
        for request in (_PAGEMAP_SCAN, _FIONREAD, _FIONBIO, _FIOCLEX, _FIONCLEX, _TCGETS):
            self._add(_ALLOW, "ioctl", _Argument(1, _MASKED, _WORD, request))
        datagrams = _Argument(1, _MASKED, 0xF, socket.SOCK_DGRAM)
        self._add(_ALLOW, "socket", _Argument(0, _EQUAL, socket.AF_UNIX), datagrams)
        # Threads, but no processes. What clone3 is to do lies in memory, where a filter cannot look: the C library
        # takes clone where there is no clone3.
        self._add(_ALLOW, "clone", _Argument(0, _MASKED, _CLONE_THREAD, _CLONE_THREAD))
        self._add(_ERRNO | errno.ENOSYS, "clone3")
        self._add(_ALLOW, "prlimit64", _Argument(2, _EQUAL, 0))  # to ask, not to set
        self._add(_ALLOW, "tgkill", _Argument(0, _EQUAL, os.getpid()))  # abort(3)

    def _add(self, action: int, name: str, *conditions: _Argument) -> None:
        number = self._library.seccomp_syscall_resolve_name(name.encode())
        if number == -1:
            return  # newer than this libseccomp: then the kernel's answer is EPERM, as for all that is not listed
        array = (_Argument * len(conditions))(*conditions)
        self._checked(
            self._library.seccomp_rule_add_array(self._rules, ctypes.c_uint32(action), number, len(conditions), array)
        )

    def _checked(self, result: int) -> None:
        if result < 0:
            raise OSError(-result, os.strerror(-result))
