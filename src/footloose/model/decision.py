"""Why something was done: every decision says what it was given and why it chose so (design rule 7)."""

from typing import Any

import msgspec

from footloose.core.identity import NodeId
from footloose.model.app import ServiceId


class Decision(msgspec.Struct, frozen=True):
    """One decision of one site about one service.

    ``step`` is the loop's step (``observe``, ``trace``, ``discover``, ``measure``, ``choose``, ``agree``, ``deploy``,
    ``redirect``, ``retire``); ``subject`` what it was about (a prefix, a site); ``inputs`` the figures it rests on.
    """

    at: float
    site: NodeId
    service: ServiceId
    step: str
    subject: str
    outcome: str
    reason: str
    inputs: dict[str, Any] = {}
