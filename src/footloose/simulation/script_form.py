"""Entries of a scenario's script: one fault each, with what puts it right."""

from collections.abc import Mapping
from typing import Any

from footloose.model.appfile.document import Document
from footloose.model.appfile.document import Path as Place
from footloose.simulation.faults import (
    ClockJump,
    Crash,
    CutOneWay,
    DiskFull,
    DiskSlow,
    Fault,
    Heal,
    LossBurst,
    Mend,
    Partition,
    Pause,
    PowerLoss,
    Start,
    after,
)
from footloose.simulation.form import BAD, Block, Form, Key, ListOf
from footloose.simulation.values import LENGTH, NAME, PERCENT, SIGNED_LENGTH, TIME

DOWN_S = 5.0
"""How long a site is down where the script does not say."""

Faults = tuple[Fault, ...]


class OneOfBlocks(Form):
    """A block that is told from others by the key that only it has."""

    def __init__(self, what: str, blocks: Mapping[str, Block]) -> None:
        self._blocks = blocks
        self.description = what
        self.example = next(iter(blocks.values())).example

    def read(self, document: Document, path: Place, value: Any) -> Any:
        if not isinstance(value, dict):
            return self.refuse(document, path, value)
        given = [name for name in value if name in self._blocks]
        if not given:
            document.complain(path, "it does not say what happens", f"add one of {', '.join(self._blocks)}")
            return BAD
        for name in given[1:]:
            what = f"both `{given[0]}` and `{name}`"
            place = (*path, name)
            document.complain(place, what, "make two entries of them", at=document.key_spot(place))
        return self._blocks[given[0]].read(document, path, value) if len(given) == 1 else BAD

    def schema(self) -> dict[str, Any]:
        return {"oneOf": [block.schema() for block in self._blocks.values()]}


def _entry(make: Any, keys: Mapping[str, Key]) -> Block:
    return Block("a fault", make, {"at": Key(TIME, "at_s", required=True), **keys})


def _crash(at_s: float, site: str, down_s: float = DOWN_S) -> Faults:
    return Crash(at_s, site), Start(after(at_s, down_s), site)


def _power_loss(at_s: float, site: str, down_s: float = DOWN_S) -> Faults:
    return PowerLoss(at_s, site), Start(after(at_s, down_s), site)


def _pause(at_s: float, site: str, for_s: float) -> Faults:
    return (Pause(at_s, site, for_s),)


def _partition(at_s: float, groups: tuple[tuple[str, ...], ...], for_s: float) -> Faults:
    return Partition(at_s, groups), Heal(after(at_s, for_s))


def _cut_one_way(at_s: float, ways: tuple[str, ...], for_s: float) -> Faults:
    source, target = ways
    return CutOneWay(at_s, source, target), Mend(after(at_s, for_s), source, target)


def _loss_burst(at_s: float, loss: float, for_s: float) -> Faults:
    return (LossBurst(at_s, loss, for_s),)


def _clock_jump(at_s: float, site: str, by_s: float) -> Faults:
    return (ClockJump(at_s, site, by_s),)


def _disk_full(at_s: float, site: str, for_s: float) -> Faults:
    return DiskFull(at_s, site, True), DiskFull(after(at_s, for_s), site, False)


def _disk_slow(at_s: float, site: str, by_s: float, for_s: float) -> Faults:
    return DiskSlow(at_s, site, by_s), DiskSlow(after(at_s, for_s), site, 0.0)


_SITE = Key(NAME, "site", required=True)
_DOWN = {"down": Key(LENGTH, "down_s")}
_FOR = {"for": Key(LENGTH, "for_s", required=True)}
_GROUPS = Key(ListOf(ListOf(NAME, least=1), least=2), "groups", required=True)
_WAYS = Key(ListOf(NAME, least=2, most=2), "ways", required=True)

SCRIPT_ENTRY = OneOfBlocks(
    "a fault",
    {
        "crash": _entry(_crash, {"crash": _SITE, **_DOWN}),
        "reboot": _entry(_crash, {"reboot": _SITE, **_DOWN}),
        "power_loss": _entry(_power_loss, {"power_loss": _SITE, **_DOWN}),
        "pause": _entry(_pause, {"pause": _SITE, **_FOR}),
        "partition": _entry(_partition, {"partition": _GROUPS, **_FOR}),
        "cut_one_way": _entry(_cut_one_way, {"cut_one_way": _WAYS, **_FOR}),
        "loss_burst": _entry(_loss_burst, {"loss_burst": Key(PERCENT, "loss", required=True), **_FOR}),
        "clock_jump": _entry(_clock_jump, {"clock_jump": _SITE, "by": Key(SIGNED_LENGTH, "by_s", required=True)}),
        "disk_full": _entry(_disk_full, {"disk_full": _SITE, **_FOR}),
        "disk_slow": _entry(_disk_slow, {"disk_slow": _SITE, "by": Key(LENGTH, "by_s", required=True), **_FOR}),
    },
)
