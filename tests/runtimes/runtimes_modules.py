"""Makes WebAssembly modules byte by byte, for what no text form can say or no guest should."""


def leb128(number: int) -> bytes:
    """An unsigned number (§5.2.2 of the specification)."""
    out = bytearray()
    while True:
        low, number = number & 0x7F, number >> 7
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)


def section(number: int, content: bytes) -> bytes:
    """A section with its length."""
    return bytes([number]) + leb128(len(content)) + content


def heavy_command(functions: int, steps: int) -> bytes:
    """A command that is quick to run and slow to compile: so many functions, each of so many steps."""
    step = b"\x20\x00\x41\x07\x6c\x20\x00\x73\x21\x00"  # x = (x * 7) ^ x
    body = b"\x00" + step * steps + b"\x20\x00\x0b"
    codes = [b"\x02\x00\x0b", *[leb128(len(body)) + body] * functions]
    return b"".join(
        [
            b"\0asm\1\0\0\0",
            section(1, b"\x02\x60\x01\x7f\x01\x7f\x60\x00\x00"),
            section(3, leb128(functions + 1) + b"\x01" + bytes(functions)),
            section(5, b"\x01\x00\x01"),
            section(7, b"\x02\x06memory\x02\x00\x06_start\x00\x00"),
            section(10, leb128(functions + 1) + b"".join(codes)),
        ]
    )
