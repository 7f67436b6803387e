"""When guests are loaded, and when they are put away."""

from pathlib import Path

import pytest
from gateway_support import FakeRuntime, digest_for, hello, route

from footloose.core.limits import EAGER_GUESTS
from footloose.gateway.loading import LazyGuest, LoadedGuests
from footloose.gateway.services import Services
from footloose.model.app import GuestKind, Instances, Limits
from footloose.model.guest import Guest
from footloose.model.routing import RoutingTable


def services_of(runtime: FakeRuntime, count: int) -> tuple[Services, list[str]]:
    complaints: list[str] = []
    services = Services(runtime, lambda service, text: complaints.append(f"{service}: {text}"))
    routes = tuple(route("web", service=f"demo-abcdefgh/web{number}") for number in range(count))
    services.install(RoutingTable(1, routes), {digest_for("web"): Path("web")})
    return services, complaints


def a_guest() -> Guest:
    return FakeRuntime({"web": hello}).load(Path("web"), GuestKind.HANDLER, Limits(), Instances.FRESH)


def test_a_worker_with_few_services_has_them_all_loaded_before_the_first_user_comes() -> None:
    runtime = FakeRuntime({"web": hello})
    services_of(runtime, EAGER_GUESTS)
    assert len(runtime.loaded) == EAGER_GUESTS


def test_a_worker_with_many_services_loads_each_when_it_is_first_asked_for() -> None:
    runtime = FakeRuntime({"web": hello})
    services, _ = services_of(runtime, EAGER_GUESTS + 1)
    assert runtime.loaded == []
    served = next(iter(services.by_id.values()))
    assert served.guest is served.guest is not None
    assert runtime.loaded == ["web"]


def test_a_guest_that_cannot_be_loaded_is_complained_of_once_and_not_tried_again() -> None:
    tries = 0

    def load(_: LazyGuest) -> Guest | None:
        nonlocal tries
        tries += 1
        return None

    lazy = LazyGuest(load)
    assert not lazy.failed
    assert lazy.get() is lazy.get() is None
    assert (tries, lazy.failed, lazy.loaded) == (1, True, False)
    lazy.put_away()
    assert lazy.failed


def test_what_was_put_away_is_loaded_again_when_it_is_asked_for() -> None:
    lazy = LazyGuest(lambda _: a_guest())
    first = lazy.get()
    assert lazy.loaded
    lazy.put_away()
    assert not lazy.loaded
    assert lazy.get() is not first


@pytest.mark.parametrize("asked_for", [0, 1, 2])
def test_of_too_many_loaded_those_go_that_nobody_asked_for(asked_for: int) -> None:
    loaded = LoadedGuests(2)
    guests = [LazyGuest(lambda _: a_guest()) for _ in range(3)]
    for guest in guests:
        guest.get()
        loaded.add(guest)
    loaded.tidy()  # all were asked for since the last look, so none goes yet
    assert len(loaded) == 3
    guests[asked_for].get()
    loaded.tidy()
    gone = next(guest for guest in guests if guest is not guests[asked_for])
    assert [guest.loaded for guest in guests] == [guest is not gone for guest in guests]
    assert len(loaded) == 2


def test_a_guest_that_is_no_longer_in_the_table_counts_no_more() -> None:
    loaded = LoadedGuests(1)
    guests = [LazyGuest(lambda _: a_guest()) for _ in range(2)]
    for guest in guests:
        loaded.add(guest)
    loaded.keep_only({guests[1]})
    assert len(loaded) == 1
