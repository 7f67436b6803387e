"""Artifacts this site has asked its customers for. Others are not taken: the disk is not for strangers to fill."""

from collections import OrderedDict

from footloose.core.digest import Digest
from footloose.core.identity import NodeId
from footloose.core.limits import ARTIFACT_UNUSED_S, ARTIFACTS_AWAITED


class Awaited:
    """Who was asked for what, and until when it may come (seconds)."""

    def __init__(self) -> None:
        self._until: OrderedDict[tuple[NodeId, Digest], float] = OrderedDict()

    def add(self, customer: NodeId, digest: Digest, now: float) -> None:
        """``customer`` was asked for an artifact."""
        self._until.pop((customer, digest), None)
        self._until[customer, digest] = now + ARTIFACT_UNUSED_S
        if len(self._until) > ARTIFACTS_AWAITED:
            self._until.popitem(last=False)

    def takes(self, customer: NodeId, digest: Digest, now: float) -> bool:
        """Whether ``customer`` may send it."""
        return self._until.get((customer, digest), 0.0) > now
