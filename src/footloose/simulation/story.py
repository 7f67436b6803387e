"""What went wrong, told for people: what was violated, what had been done, what happened last, how to see it again."""

from collections.abc import Iterator, Sequence

import msgspec

from footloose.core.printable import printable
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
)
from footloose.simulation.outcome import Happening, Outcome, Violation
from footloose.simulation.smaller import Smaller

HAPPENINGS = 30
"""How many of the last happenings are told."""
_TEXT = 160


class Story(msgspec.Struct, frozen=True):
    """What is told. ``planned`` is how many faults there were at first, ``replay`` the command that plays it again."""

    scenario: str
    outcome: Outcome
    violation: Violation
    schedule: tuple[Fault, ...]
    planned: int
    smaller: Smaller = Smaller()
    runs: int = 0
    reproduced: bool = True
    finished: bool = True
    interrupted: bool = False
    replay: str = ""

    def lines(self) -> Iterator[str]:
        """All of it, line by line."""
        wrong = self.violation
        yield f"{self.scenario}, seed {self.outcome.seed}: {_short(wrong.checker)} is violated at {clock(wrong.at_s)}"
        yield f"  about   {_short(wrong.about)}"
        yield f"  what    {_short(wrong.what)}"
        yield f"  reason  {_short(wrong.reason)}"
        others = len(self.outcome.violations) - 1
        if others:
            yield f"  and {others} more violation{'s' if others > 1 else ''} after it"
        yield ""
        yield from self._faults()
        yield ""
        yield from self._happenings()
        if self.replay:
            yield ""
            yield "Play it again:"
            yield f"  {self.replay}"

    def _faults(self) -> Iterator[str]:
        if not self.reproduced:
            yield "It did not happen again in a second run with the same seed and faults: something in the run is left"
            yield "to chance. All that was done to it:"
        elif not self.schedule:
            yield f"It goes wrong without any fault (tried in {_runs(self.runs)})."
        elif self.runs:
            few = f"{len(self.schedule)} of {self.planned}"
            yield f"What was done to it ({few} faults are enough{self._how_sure()}):"
        else:
            yield "What was done to it:"
        yield from (f"  {clock(fault.at_s)}  {described(fault)}" for fault in self.schedule)
        left = list(_left(self.smaller))
        if left:
            yield f"It is enough to have {', '.join(left)}."

    def _how_sure(self) -> str:
        return (
            f", found in {_runs(self.runs)}" if self.finished else f"; perhaps fewer: given up after {_runs(self.runs)}"
        )

    def _happenings(self) -> Iterator[str]:
        before = [each for each in self.outcome.happenings if each.at_s <= self.violation.at_s][-HAPPENINGS:]
        if not before:
            yield "Nothing is known of what happened before."
            return
        yield "What happened last:"
        yield from _table(before)


def first_violation(outcome: Outcome, checker: str = "") -> Violation:
    """The earliest violation, of ``checker`` if given and there is one."""
    own = [violation for violation in outcome.violations if violation.checker == checker]
    return min(own or outcome.violations, key=lambda violation: violation.at_s)


def described(fault: Fault) -> str:
    """A fault in words."""
    match fault:
        case Crash(site=site):
            return f"{site}: the node is killed"
        case PowerLoss(site=site):
            return f"{site}: the power fails"
        case Start(site=site):
            return f"{site}: the node starts again"
        case Pause(site=site, for_s=for_s):
            return f"{site}: the node stands still for {for_s:g} s"
        case Partition(groups=groups):
            return "the network is parted: " + " | ".join(", ".join(group) for group in groups)
        case Heal():
            return "the network is whole again"
        case CutOneWay(source=source, target=target):
            return f"nothing gets from {source} to {target}"
        case Mend(source=source, target=target):
            return f"messages get from {source} to {target} again"
        case LossBurst(loss=loss, for_s=for_s):
            return f"{loss:.0%} of all messages are lost for {for_s:g} s"
        case ClockJump(site=site, by_s=by_s):
            return f"{site}: the clock is set {abs(by_s):g} s {'forwards' if by_s > 0 else 'back'}"
        case DiskFull(site=site, on=on):
            return f"{site}: the disk is full" if on else f"{site}: the disk has room again"
        case DiskSlow(site=site, slow_s=slow_s):
            return f"{site}: each sync of the disk takes {slow_s:g} s" if slow_s else f"{site}: the disk is fast again"


def clock(at_s: float) -> str:
    """A time in a run: ``02:03.500``, or ``1:02:03.500``."""
    ms = round(at_s * 1000)
    minutes, rest_ms = divmod(ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{minutes:02}:{rest_ms // 1000:02}.{rest_ms % 1000:03}"
    return f"{hours}:{text}" if hours else text


def _table(happenings: Sequence[Happening]) -> Iterator[str]:
    rows = [(clock(each.at_s), _short(each.site), _short(each.kind), _short(each.text)) for each in happenings]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for at, site, kind, text in rows:
        yield f"  {at:>{widths[0]}}  {site:{widths[1]}}  {kind:{widths[2]}}  {text}".rstrip()


def _left(smaller: Smaller) -> Iterator[str]:
    if smaller.duration_s is not None:
        yield f"{smaller.duration_s:g} s"
    if smaller.users is not None or smaller.crowds is not None:
        count = sum(smaller.users or ()) + sum(smaller.crowds or ())
        yield f"{count} user{'' if count == 1 else 's'}" if smaller.users is not None else f"{count} in crowds"
    if smaller.without:
        yield f"no site {', '.join(smaller.without)}"


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


def _short(text: str) -> str:
    return printable(text, _TEXT)
