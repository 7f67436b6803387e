"""A guest's memory as the host sees it while the guest waits: every access is checked against its size."""

import ctypes
import struct
from collections.abc import Sequence

_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")


class OutOfBounds(Exception):
    """A guest named memory it does not have."""


class GuestMemory:
    """``size`` bytes at the address ``base``. Good only until the guest runs again (it may grow its memory)."""

    __slots__ = ("_base", "size")

    def __init__(self, base: int, size: int) -> None:
        self._base = base
        self.size = size

    def read(self, at: int, length: int) -> bytes:
        """A copy of ``length`` bytes. Raises :class:`OutOfBounds`."""
        if at < 0 or length < 0 or at + length > self.size:
            raise OutOfBounds
        return ctypes.string_at(self._base + at, length)

    def write(self, at: int, data: bytes) -> None:
        """Put ``data`` there. Raises :class:`OutOfBounds`."""
        if at < 0 or at + len(data) > self.size:
            raise OutOfBounds
        ctypes.memmove(self._base + at, data, len(data))

    def read_u32s(self, at: int, count: int) -> tuple[int, ...]:
        """``count`` 32-bit numbers in a row. Raises :class:`OutOfBounds`."""
        return struct.unpack(f"<{count}I", self.read(at, 4 * count))

    def write_u32s(self, at: int, values: Sequence[int]) -> None:
        """32-bit numbers in a row. Raises :class:`OutOfBounds`."""
        self.write(at, struct.pack(f"<{len(values)}I", *[value & 0xFFFF_FFFF for value in values]))

    def write_u32(self, at: int, value: int) -> None:
        """A 32-bit number. Raises :class:`OutOfBounds`."""
        self.write(at, _U32.pack(value & 0xFFFF_FFFF))

    def write_u64(self, at: int, value: int) -> None:
        """A 64-bit number. Raises :class:`OutOfBounds`."""
        self.write(at, _U64.pack(value & 0xFFFF_FFFF_FFFF_FFFF))
