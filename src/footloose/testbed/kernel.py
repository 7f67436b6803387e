"""Linux calls that Python 3.11 lacks: namespaces and timers.

Sources: unshare(2), setns(2), timerfd_create(2).
"""

import ctypes
import os
import time
from typing import Final

CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWNET: Final = 0x40000000

_TFD_CLOEXEC: Final = os.O_CLOEXEC
_TFD_NONBLOCK: Final = os.O_NONBLOCK
_TFD_TIMER_ABSTIME: Final = 1

_libc = ctypes.CDLL(None, use_errno=True)


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


def _checked(result: int, call: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
    return result


def unshare(flags: int) -> None:
    """Move this thread to new namespaces. Raises :class:`OSError`."""
    _checked(_libc.unshare(flags), "unshare")


def enter_network(descriptor: int) -> None:
    """Move this thread to the network namespace behind ``descriptor``. Raises :class:`OSError`."""
    _checked(_libc.setns(descriptor, CLONE_NEWNET), "setns")


def own_network() -> int:
    """A descriptor of this thread's network namespace, which keeps it alive until closed."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


class Timer:
    """A timer of the kernel with a descriptor to wait for. epoll's own timeout counts only milliseconds."""

    def __init__(self) -> None:
        flags = _TFD_CLOEXEC | _TFD_NONBLOCK
        self.descriptor = _checked(_libc.timerfd_create(time.CLOCK_MONOTONIC, flags), "timerfd_create")
        self._setting = _Itimerspec()
        self._pointer = ctypes.byref(self._setting)

    def set(self, at: float | None) -> None:
        """Fire once at this time of :func:`time.monotonic`, at once if it has passed; None: not at all."""
        value = self._setting.value
        # All zero would mean "not at all", so the least time is one nanosecond.
        value.seconds = int(at) if at is not None else 0
        value.nanoseconds = max(1, int((at - int(at)) * 1e9)) if at is not None else 0
        flags = _TFD_TIMER_ABSTIME
        _checked(_libc.timerfd_settime(self.descriptor, flags, self._pointer, None), "timerfd_settime")

    def clear(self) -> None:
        """Make the descriptor unreadable again after it fired."""
        try:
            os.read(self.descriptor, 8)
        except BlockingIOError:
            return

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.descriptor)
