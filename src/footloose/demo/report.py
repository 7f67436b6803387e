"""The outcome of a run, for programs."""

import msgspec

from footloose.demo.story import Story


class UserReport(msgspec.Struct, frozen=True):
    """One user. ``nearest_rtt_ms`` is the round trip to its nearest site as the network was built."""

    user: str
    site: str
    nearest: str
    settled: bool
    first_rtt_ms: float | None
    rtt_ms: float | None
    nearest_rtt_ms: float
    moved_after_s: float | None
    moves: int
    pages: int
    errors: tuple[str, ...]


class SiteReport(msgspec.Struct, frozen=True):
    """One provider's site, how the home came upon it (None: not at all), and how many users it serves."""

    site: str
    node: str
    found_by: str | None
    users: int


class Report(msgspec.Struct, frozen=True):
    """The whole run. ``not_real`` says what was not as it would be outside; empty in an internet in a box."""

    good: bool
    topology: str
    first_redirect_s: float | None
    elapsed_s: float
    users: tuple[UserReport, ...]
    sites: tuple[SiteReport, ...]
    not_real: tuple[str, ...]


def report(story: Story, topology: str, not_real: tuple[str, ...]) -> Report:
    """The outcome of ``story``."""
    at = [user.site for user in story.users.values()]
    return Report(
        good=story.good,
        topology=topology,
        first_redirect_s=story.first_redirect_s,
        elapsed_s=story.elapsed_s,
        users=tuple(
            UserReport(
                user=user.name,
                site=user.site,
                nearest=user.nearest,
                settled=user.settled,
                first_rtt_ms=user.first_rtt_ms,
                rtt_ms=user.rtt_ms,
                nearest_rtt_ms=user.nearest_rtt_ms,
                moved_after_s=user.moved_after_s,
                moves=user.moves,
                pages=user.pages,
                errors=tuple(user.errors),
            )
            for user in story.users.values()
        ),
        sites=tuple(SiteReport(site.name, site.node, site.found_by, at.count(site.name)) for site in story.providers),
        not_real=not_real,
    )
