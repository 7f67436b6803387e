"""Text from elsewhere, made safe to show."""


def printable(text: str, most: int | None = None) -> str:
    """``text`` with all that a terminal would obey spelt out, and cut to ``most`` characters before that, if given."""
    kept = text if most is None or len(text) <= most else text[: most - 3] + "..."
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in kept)
