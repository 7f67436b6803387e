"""Which app, service or site a person means by a word."""

import difflib
from collections.abc import Collection, Mapping

from footloose.core.errors import LocalError
from footloose.core.identity import SHORT_ID_CHARS, NodeId, short
from footloose.model.app import AppId, ServiceId
from footloose.model.view import View


def app_of(service: ServiceId) -> AppId:
    """The app a service belongs to."""
    return AppId(service.partition("/")[0])


def app_name(app: AppId) -> str:
    """An app's name: its id without the hyphen and the owner's key."""
    return app[: -SHORT_ID_CHARS - 1]


def find_app(view: View, word: str) -> AppId:
    """The app called ``word`` (its id or name). Raises :class:`LocalError` if none or several are."""
    apps = {app_of(entry.service) for entry in view.services}
    return AppId(_the_one("app", word, {app: (app, app_name(app)) for app in apps}))


def find_service(view: View, word: str) -> ServiceId:
    """The service called ``word``: its id, ``app/service`` or just ``service``. Raises :class:`LocalError` as above."""
    names: dict[str, Collection[str]] = {}
    for entry in view.services:
        own = entry.service.partition("/")[2]
        names[entry.service] = (entry.service, f"{app_name(app_of(entry.service))}/{own}", own)
    return ServiceId(_the_one("service", word, names))


def find_site(view: View, word: str) -> NodeId:
    """The site called ``word`` (its node id, the beginning of it, or its name). Raises :class:`LocalError` as above."""
    return NodeId(_the_one("site", word, {site.node: (site.node, short(site.node), site.name) for site in view.sites}))


def site_names(view: View) -> Mapping[str, str]:
    """What to call each site: its name, or the beginning of its id where it has none."""
    names: dict[str, str] = {site.node: site.name or short(site.node) for site in view.sites}
    return {view.node: view.name, **names}


def named(text: str, names: Mapping[str, str]) -> str:
    """``text`` with the ids that ``names`` knows replaced by names."""
    for unnamed, name in names.items():
        text = text.replace(unnamed, name)
    return text


def _the_one(kind: str, word: str, names: Mapping[str, Collection[str]]) -> str:
    """The key of ``names`` one of whose values is ``word``; of several, one that is it in full."""
    if word in names:
        return word
    fitting = sorted(key for key, words in names.items() if word in words)
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise LocalError(f"{word!r} may be any of {len(fitting)} {kind}s", fix=f"say which: {', '.join(fitting)}")
    near = difflib.get_close_matches(word, sorted({known for words in names.values() for known in words}), n=1)
    fix = f"did you mean {near[0]!r}?" if near else f"`footloose {'sites' if kind == 'site' else 'ps'}` lists them"
    raise LocalError(f"no {kind} here is called {word!r}", fix=fix)
