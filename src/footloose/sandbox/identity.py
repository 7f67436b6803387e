"""Who a process is: another user, with none of root's powers (capabilities(7), credentials(7))."""

import ctypes
import os

from footloose.sandbox.kernel import (
    PR_CAPBSET_DROP,
    PR_CAPBSET_READ,
    PR_SET_KEEPCAPS,
    PR_SET_NO_NEW_PRIVS,
    capset,
    prctl,
)

_CAP_DAC_READ_SEARCH = 2
_VERSION_3 = 0x20080522
_LAST_CAPABILITY = 63


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Capabilities(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def no_new_privileges() -> None:
    """Nothing this process starts can have more rights than itself, whatever the file says. Raises :class:`OSError`."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def become(user: int, *, may_read: bool) -> None:
    """Stop being root and be ``user`` (of the group with the same number), without any capability.

    ``may_read`` keeps the one to read files whatever their mode says: only for a process whose files are confined
    otherwise. It lets a site's files stay private to root, and its Python lie in root's home. Call it before there are
    threads: capabilities are a thread's own. Raises :class:`OSError`.
    """
    prctl(PR_SET_KEEPCAPS, 1)
    _drop_bounding_set()
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    prctl(PR_SET_KEEPCAPS, 0)
    _set_capabilities(1 << _CAP_DAC_READ_SEARCH if may_read else 0)


def _drop_bounding_set() -> None:
    for capability in range(_LAST_CAPABILITY + 1):
        try:
            prctl(PR_CAPBSET_READ, capability)
        except OSError:
            return  # the kernel knows no more of them
        prctl(PR_CAPBSET_DROP, capability)


def _set_capabilities(kept: int) -> None:
    header = _Header(_VERSION_3, 0)
    data = (_Capabilities * 2)(_Capabilities(kept, kept, 0), _Capabilities(0, 0, 0))
    capset(header, data)
