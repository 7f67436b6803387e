"""One request in the two forms guests take it: as an environment (RFC 3875) and as SCGI bytes.

Source: SCGI, Neil Schemenauer, 2008. ``CONTENT_LENGTH`` comes first and always fits the body.
"""

from collections.abc import Sequence

from footloose.core.errors import LocalError


def environment_of(variables: Sequence[tuple[str, str]], length: int | None) -> list[bytes]:
    """``NAME=VALUE`` for each variable. Raises :class:`LocalError` if one cannot be told so.

    Where the ``length`` of the body is not known, none is told: the body is what can be read.
    """
    complete = _completed(variables, length)
    if "=" in "".join(complete):
        raise _untellable("a name with an equals sign")
    text = "\0".join([f"{name}={value}" for name, value in complete.items()])
    return _encoded(text, nuls=len(complete) - 1).split(b"\0")


def scgi_of(variables: Sequence[tuple[str, str]], body: bytes) -> bytes:
    """The whole request as one buffer. Raises :class:`LocalError` if a variable cannot be told so."""
    complete = _completed(variables, len(body))
    complete["SCGI"] = "1"
    text = "".join([f"{name}\0{value}\0" for name, value in complete.items()])
    head = _encoded(text, nuls=2 * len(complete))
    return b"%d:%b,%b" % (len(head), head, body)


def _completed(variables: Sequence[tuple[str, str]], length: int | None) -> dict[str, str]:
    complete = {"CONTENT_LENGTH": ""}
    complete.update(variables)
    if length is None:
        del complete["CONTENT_LENGTH"]
    else:
        complete["CONTENT_LENGTH"] = str(length)
    if "" in complete:
        raise _untellable("an empty name")
    return complete


def _encoded(text: str, nuls: int) -> bytes:
    if text.count("\0") != nuls:
        raise _untellable("a NUL")
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise _untellable("a lone surrogate") from error


def _untellable(reason: str) -> LocalError:
    return LocalError(f"a variable has {reason}, which no guest can be told", where="guest request")
