"""The two kinds of error (after h11): ours and the other side's.

Every message says what was wrong, where, and what to do about it.
"""


class FootlooseError(Exception):
    """Base of all errors this package raises on purpose.

    ``what`` is one sentence; ``where`` names the file, address or key concerned; ``fix`` says what to do.
    """

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        self.what = what
        self.where = where
        self.fix = fix
        super().__init__(str(self))

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text} ({self.fix})" if self.fix else text


class LocalError(FootlooseError):
    """Our side did, or was asked to do, something that is not possible."""


class RemoteError(FootlooseError):
    """The other side sent something wrong, refused, or did not answer."""


class LimitExceeded(RemoteError):
    """The other side sent more than the limit named in :mod:`footloose.core.limits` allows."""


class IllegalTransition(LocalError):
    """A machine was given an event its present state does not accept: a bug of ours."""
