"""A schedule in a file, so that a run can be played again: JSON, versioned, checked when it is read."""

from pathlib import Path

import msgspec

from footloose.core.errors import LocalError
from footloose.core.limits import SCHEDULE_FILE_BYTES
from footloose.simulation.faults import Fault, lasts_until
from footloose.simulation.scenario import Scenario
from footloose.simulation.smaller import Smaller, sites_of

VERSION = 1
_FIX = "use a file that `footloose simulate` wrote for this scenario"


class ScheduleFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that is needed, beside the scenario, to play a run again. ``checker`` is who found it wrong, if anybody."""

    scenario: str
    seed: int
    faults: tuple[Fault, ...]
    smaller: Smaller = Smaller()
    checker: str = ""
    version: int = VERSION


class _Version(msgspec.Struct):
    version: int


def save_schedule(path: Path, content: ScheduleFile) -> None:
    """Write a schedule, as JSON for people to read. Raises :class:`LocalError` if that is not possible."""
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")
    except OSError as error:
        raise LocalError(f"cannot be written: {error.strerror}", where=str(path)) from error


def load_schedule(path: Path, scenario: Scenario) -> ScheduleFile:
    """The schedule in a file, once it is seen to be for ``scenario``. Raises :class:`LocalError` if it is not."""
    try:
        with path.open("rb") as file:
            content = file.read(SCHEDULE_FILE_BYTES + 1)
    except OSError as error:
        raise LocalError(f"cannot be read: {error.strerror}", where=str(path), fix=_FIX) from error
    if len(content) > SCHEDULE_FILE_BYTES:
        raise LocalError(f"larger than {SCHEDULE_FILE_BYTES // 1024**2} MiB", where=str(path), fix=_FIX)
    return parse_schedule(content, scenario, str(path))


def parse_schedule(content: bytes, scenario: Scenario, where: str) -> ScheduleFile:
    """The schedule in ``content``, as :func:`load_schedule` has it."""
    try:
        version = msgspec.json.decode(content, type=_Version).version
        if version != VERSION:
            raise LocalError(
                f"a schedule of version {version}, where {VERSION} is understood", where=where, fix="make it anew"
            )
        found = msgspec.json.decode(content, type=ScheduleFile)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LocalError(f"not a schedule: {error}", where=where, fix=_FIX) from error
    _check(found, scenario, where)
    return found


def _check(found: ScheduleFile, scenario: Scenario, where: str) -> None:
    if found.scenario != scenario.name:
        what = f"it is for the scenario {found.scenario[:60]!r}, not {scenario.name!r}"
        raise LocalError(what, where=where, fix=_FIX)
    if not found.smaller.fits(scenario):
        raise LocalError("`smaller` does not fit the scenario: that has changed", where=where, fix=_FIX)
    smaller = found.smaller.of(scenario)
    names = frozenset(smaller.site_names)
    for index, fault in enumerate(found.faults):
        strange = next((name for name in sites_of(fault) if name not in names), None)
        place = f"{where}: faults[{index}]"
        if strange is not None:
            raise LocalError(f"no site is called {strange[:60]!r}", where=place, fix=f"there are: {_some(smaller)}")
        if not 0 <= fault.at_s <= lasts_until(fault) <= smaller.duration_s:
            what = f"at {fault.at_s:g} s, which is not within the {smaller.duration_s:g} s of the run"
            raise LocalError(what, where=place, fix="change `at_s`")


def _some(scenario: Scenario) -> str:
    return ", ".join(scenario.site_names[:10]) + (", ..." if len(scenario.sites) > 10 else "")
