"""What a form cannot say of a scenario: names that nobody has, times that do not fit, faults that cannot both be."""

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from footloose.core.limits import SCENARIO_FAULTS, SCENARIO_USERS
from footloose.model.appfile.document import Document, Path, shown
from footloose.simulation.episodes import Episode, episodes
from footloose.simulation.faults import (
    ClockJump,
    Crash,
    CutOneWay,
    DiskFull,
    DiskSlow,
    Fault,
    Partition,
    Pause,
    PowerLoss,
)
from footloose.simulation.form import Placed
from footloose.simulation.scenario import CALM_S, SETTLE_S, AppSpec, FaultKind, RandomFault, Tree, Users
from footloose.simulation.schedule import BETWEEN_SITES, OF_THE_NETWORK

TREE_PLACES = 100_000
"""Most routers of a tree."""
_OF_A_SITE = frozenset(kind.value for kind in FaultKind) - {"partition", "cut_one_way", "loss_burst"}


def check_sense(document: Document, found: Mapping[str, Any], placements: Collection[str]) -> None:
    """Note what makes no sense among the fields ``found`` in a document. ``placements``: the algorithms there are."""
    _Sense(document, found, placements).check()


def names_of(count: int) -> tuple[str, ...]:
    """The names of sites that are only counted: ``a`` to ``z``, and on with ``aa``."""
    return tuple(_letters(number) for number in range(count))


def _letters(number: int) -> str:
    return (_letters(number // 26 - 1) if number >= 26 else "") + chr(ord("a") + number % 26)


class _Sense:
    """The fields of one file, as far as they were right; the others are left out of what is checked."""

    def __init__(self, document: Document, found: Mapping[str, Any], placements: Collection[str]) -> None:
        self._document = document
        self._found = found
        self._placements = placements
        self._sites: tuple[Placed, ...] = found["sites"] if isinstance(found.get("sites"), tuple) else ()
        self._apps: tuple[Placed, ...] = found.get("apps", ())
        self._users: tuple[Placed, ...] = found.get("users", ())
        self._script: tuple[Placed, ...] = found.get("script", ())
        counted = found.get("sites")
        self._site_names = names_of(counted) if isinstance(counted, int) else [each.value.name for each in self._sites]
        self._sites_known = "sites" in found and document.is_sound(("sites",))
        self._apps_known = "apps" in found and document.is_sound(("apps",))

    def check(self) -> None:
        self._check_times()
        self._check_map()
        self._check_unique(self._sites)
        self._check_unique(self._apps)
        for site in self._sites:
            self._check_place((*site.path, "at"), site.value.at)
        for app in self._apps:
            self._check_app(app.path, app.value)
        for users in self._users:
            self._check_users(users.path, users.value)
        total = sum(each.value.count + (each.value.crowd.count if each.value.crowd else 0) for each in self._users)
        if total > SCENARIO_USERS:
            self._document.complain(("users",), f"{total:,} users", f"use at most {SCENARIO_USERS:,}")
        self._check_rates()
        self._check_script()

    def _complain(self, path: Path, what: str, fix: str) -> None:
        self._document.complain(path, what, fix)

    @property
    def _duration_s(self) -> float | None:
        duration_s: float | None = self._found.get("duration_s")
        return duration_s

    @property
    def _faults_end_s(self) -> float | None:
        """When faults must be over, if the file says so in a way that makes sense."""
        duration_s, settle_s = self._duration_s, self._settle_s
        if duration_s is None or not self._document.is_sound(("settle",)) or settle_s >= duration_s:
            return None
        return round(duration_s - settle_s, 6)

    @property
    def _settle_s(self) -> float:
        settle_s: float = self._found.get("settle_s", SETTLE_S)
        return settle_s

    def _check_times(self) -> None:
        duration_s, settle_s = self._duration_s, self._settle_s
        if duration_s is not None and settle_s >= duration_s:
            at: Path = ("settle",) if "settle_s" in self._found else ("duration",)
            what = f"with {settle_s:g} s to settle (`settle`), nothing is left of the {duration_s:g} s (`duration`)"
            self._complain(at, what, "make `settle` shorter, or `duration` longer")
        end_s, calm_s = self._faults_end_s, self._found.get("calm_s", CALM_S)
        if self._found.get("faults") and end_s is not None and calm_s >= end_s:
            what = f"random faults would begin at {calm_s:g} s (`calm`) and end by {end_s:g} s (`duration` - `settle`)"
            self._complain(("faults",), what, "make `duration` longer")

    def _check_map(self) -> None:
        tree = self._found.get("map")
        if isinstance(tree, Tree) and sum(tree.branching**level for level in range(tree.depth + 1)) > TREE_PLACES:
            self._complain(("map", "tree"), f"a tree of more than {TREE_PLACES:,} routers", "lower `depth`")

    def _check_unique(self, named: Iterable[Placed]) -> None:
        seen: dict[str, Path] = {}
        for each in named:
            name = each.value.name
            if name in seen:
                line = self._document.value_spot(seen[name]).line
                self._complain(each.path, f"`{name}` is the name of the one on line {line} too", "choose another name")
            seen.setdefault(name, each.path)

    def _check_site(self, path: Path, name: str) -> bool:
        if not self._sites_known or name in self._site_names:
            return True
        self._unknown(path, f"no site is called `{shown(name)}`", name, self._site_names)
        return False

    def _unknown(self, path: Path, what: str, name: str, known: Sequence[str]) -> None:
        near = difflib.get_close_matches(name, known, n=1)
        some = ", ".join(known[:10]) + (", ..." if len(known) > 10 else "")
        self._complain(path, what, f"did you mean `{near[0]}`?" if near else f"there are: {some}")

    def _check_place(self, path: Path, place: str, known: Collection[str] = ()) -> None:
        tree = self._found.get("map", Tree())
        if not place or place in known or not isinstance(tree, Tree) or not self._document.is_sound(("map",)):
            return
        turns = [] if place == "root" else place.split(".")
        if len(turns) > tree.depth or not all(_is_turn(turn, tree.branching) for turn in turns):
            what = f"`{shown(place)}` is no place of a tree with branching {tree.branching} and depth {tree.depth}"
            example = ".".join(["0", str(tree.branching - 1)][: tree.depth]) or "root"
            self._complain(path, what, f"write `random`, `root`, or turns such as `{example}`")

    def _check_app(self, path: Path, app: AppSpec) -> None:
        self._check_site((*path, "home"), app.home)
        if app.placement not in self._placements:
            what = f"no placement algorithm is called `{app.placement}`"
            self._unknown((*path, "placement"), what, app.placement, sorted(self._placements))
        regions = sorted({site.value.region for site in self._sites} - {""})
        for index, region in enumerate(app.regions):
            if self._sites_known and region not in regions:
                self._unknown((*path, "regions", index), f"no site is in `{region}`", region, regions or ["none"])

    def _check_users(self, path: Path, users: Users) -> None:
        names = [each.value.name for each in self._apps]
        if self._apps_known and users.app and users.app not in names:
            self._unknown((*path, "app"), f"no app is called `{users.app}`", users.app, names)
        if self._apps_known and not users.app and len(names) > 1:
            self._complain(path, "it does not say of which app", f"add `app:` with one of {', '.join(names[:10])}")
        if self._sites_known:
            self._check_place((*path, "at"), users.at, self._site_names)
            if users.crowd is not None:
                self._check_place((*path, "crowd", "place"), users.crowd.at, self._site_names)
        crowd, end_s = users.crowd, self._duration_s
        if crowd is not None and end_s is not None and crowd.at_s + crowd.for_s > end_s:
            what = f"this crowd leaves at {crowd.at_s + crowd.for_s:g} s, after the end at {end_s:g} s"
            self._complain((*path, "crowd"), what, "let it come earlier, or make `duration` longer")

    def _check_rates(self) -> None:
        causes: tuple[RandomFault, ...] = self._found.get("faults", ())
        end_s, count = self._faults_end_s, len(self._site_names)
        for cause in causes:
            if cause.kind in BETWEEN_SITES and self._sites_known and count < 2:
                self._complain(("faults", cause.kind.value), "there is only one site", "add sites, or remove this")
        per_hour = sum(cause.per_hour * (1 if cause.kind in OF_THE_NETWORK else count) for cause in causes)
        if end_s is not None and per_hour * end_s / 3600 > SCENARIO_FAULTS / 2:
            what = f"about {per_hour * end_s / 3600:,.0f} faults in a run"
            self._complain(("faults",), what, f"use rates that make at most {SCENARIO_FAULTS // 2:,}")

    def _check_script(self) -> None:
        if len(self._script) > SCENARIO_FAULTS:
            self._complain(("script",), "too many faults", f"use at most {SCENARIO_FAULTS:,}")
            return
        before: dict[str | None, list[tuple[Path, Episode]]] = {}
        for entry in self._script:
            (episode,) = episodes(entry.value)
            self._check_fault(entry.path, episode.first)
            self._check_ends(entry.path, episode)
            others = before.setdefault(episode.resource, [])
            clash = next((path for path, other in others if episode.meets(other)), None)
            if clash is not None:
                line = self._document.value_spot(clash).line
                what = f"it meets the one on line {line}, which is about the same: {episode.resource}"
                self._complain(entry.path, what, "let one be over before the other begins")
            others.append((entry.path, episode))

    def _check_ends(self, path: Path, episode: Episode) -> None:
        end_s = self._faults_end_s
        if end_s is not None and episode.ends_s > end_s:
            what = f"it is over at {episode.ends_s:g} s, but faults end by {end_s:g} s (`duration` - `settle`)"
            self._complain(path, what, "let it come earlier, or make `duration` longer")

    def _check_fault(self, path: Path, fault: Fault) -> None:
        match fault:
            case Partition(groups=groups):
                side: dict[str, int] = {}
                for number, group in enumerate(groups):
                    for index, name in enumerate(group):
                        place = (*path, "partition", number, index)
                        if self._check_site(place, name) and name in side:
                            what = f"`{name}` is in group {side[name] + 1} already"
                            self._complain(place, what, "keep it in one group")
                        side.setdefault(name, number)
            case CutOneWay(source=source, target=target):
                self._check_site((*path, "cut_one_way", 0), source)
                if self._check_site((*path, "cut_one_way", 1), target) and source == target:
                    self._complain((*path, "cut_one_way"), "from a site to itself", "name two sites")
            case Crash() | PowerLoss() | Pause() | ClockJump() | DiskFull() | DiskSlow():
                key = next(key for key in self._document.data["script"][path[-1]] if key in _OF_A_SITE)
                self._check_site((*path, key), fault.site)


def _is_turn(text: str, branching: int) -> bool:
    return text.isdecimal() and text == str(int(text)) and int(text) < branching
