"""The kernel's calls that Python has no names for."""

import ctypes
import os
from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)
_prctl = _libc.prctl
_prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long

PR_SET_KEEPCAPS = 8
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38


def prctl(option: int, value: int = 0) -> int:
    """prctl(2). Raises :class:`OSError`."""
    return _checked(_prctl(option, value, 0, 0, 0))


def system_call(number: int, *arguments: int | ctypes.c_void_p | None) -> int:
    """syscall(2): whole numbers and pointers only. Raises :class:`OSError`."""
    wide = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    return _checked(_syscall(ctypes.c_long(number), *wide))


def capset(header: ctypes.Structure, data: ctypes.Array[Any]) -> None:
    """capset(2). Raises :class:`OSError`."""
    _checked(_libc.capset(ctypes.byref(header), data))


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
