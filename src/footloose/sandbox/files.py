"""Which files a process can reach: Landlock (https://docs.kernel.org/userspace-api/landlock.html).

The kernel may know fewer kinds of access than are listed here; what it does not know it cannot deny.
"""

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

from footloose.sandbox.kernel import system_call

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_RULE_PATH_BENEATH = 1

_READ_FILE, _READ_FOLDER = 1 << 2, 1 << 3
_REMOVE_FILE, _MAKE_SOCKET = 1 << 5, 1 << 9
_READ = _READ_FILE | _READ_FOLDER
_SOCKETS = _READ | _REMOVE_FILE | _MAKE_SOCKET
_FILE_ACCESS = (1, 13), (2, 14), (3, 15), (5, 16)
"""From which version on how many kinds of access to files are known."""
_TCP_VERSION, _BIND_AND_CONNECT = 4, 0b11
_SCOPE_VERSION, _ABSTRACT_SOCKETS_AND_SIGNALS = 6, 0b11


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("access", ctypes.c_uint64), ("folder", ctypes.c_int32))


def version() -> int:
    """The version of Landlock in this kernel; 0 if it has none, or it is off."""
    try:
        return system_call(_CREATE_RULESET, None, 0, _VERSION_FLAG)
    except OSError:
        return 0


def confine_files(readable: Iterable[Path], sockets: Iterable[Path]) -> None:
    """Let this thread, and those it starts, read what lies beneath ``readable``, keep Unix sockets in the folders of
    ``sockets``, and reach no other file.

    Where the kernel can, TCP connections can then neither be made nor listened for, and processes outside cannot be
    signalled. Files, sockets and folders that are open already stay usable. What is not there is left out.
    Raises :class:`OSError`.
    """
    known = version()
    ruleset = _Ruleset(
        (1 << max((kinds for since, kinds in _FILE_ACCESS if known >= since), default=0)) - 1,
        _BIND_AND_CONNECT if known >= _TCP_VERSION else 0,
        _ABSTRACT_SOCKETS_AND_SIGNALS if known >= _SCOPE_VERSION else 0,
    )
    size = 24 if known >= _SCOPE_VERSION else 16 if known >= _TCP_VERSION else 8
    rules = system_call(_CREATE_RULESET, ctypes.cast(ctypes.byref(ruleset), ctypes.c_void_p), size, 0)
    try:
        for access, paths in ((_READ, readable), (_SOCKETS, sockets)):
            for path in paths:
                _allow(rules, path, access)
        system_call(_RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)


def _allow(rules: int, path: Path, access: int) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        beneath = _Beneath(access if path.is_dir() else access & _READ_FILE, opened)
        system_call(_ADD_RULE, rules, _RULE_PATH_BENEATH, ctypes.cast(ctypes.byref(beneath), ctypes.c_void_p), 0)
    finally:
        os.close(opened)
