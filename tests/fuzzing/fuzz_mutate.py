"""Mutations of known inputs: what is used where no fuzzer that sees the code's coverage is installed, and in tests."""

from collections.abc import Sequence
from random import Random

_WORDS = (
    b'\r\n|\n|\r|\0|: |;|,|=|"|0|00|ffffffff|-1|chunked|Content-Length|Transfer-Encoding|HTTP/1.1|HTTP/1.0|Host'
    b"|PROXY |\r\n\r\n\0\r\nQUIT\n|TCP4|TCP6|UNKNOWN|for=|Status: |Location: |Content-Type: |{|}|[|]|null"
    b"|\x81|\x88|\x89|\x7e|\x7f"
).split(b"|")
_LONGEST_BYTES = 16 * 1024


def mutated(known: Sequence[bytes], random: Random) -> bytes:
    """A few changes to one of ``known``."""
    data = bytearray(random.choice(known))
    for _ in range(random.randint(1, 8)):
        at = random.randint(0, len(data))
        end = min(len(data), at + random.choice((1, 1, 2, 4, 8, 32)))
        match random.randrange(6):
            case 0:
                data[at:end] = random.randbytes(end - at)
            case 1:
                del data[at:end]
            case 2:
                data[at:at] = random.choice(_WORDS)
            case 3:
                data[at:at] = data[at:end] * random.randint(1, 4)
            case 4:
                other = random.choice(known)
                start = random.randint(0, len(other))
                data[at:end] = other[start : start + random.randint(0, 64)]
            case _:
                if at < len(data):
                    data[at] ^= 1 << random.randrange(8)
    return bytes(data[:_LONGEST_BYTES])
