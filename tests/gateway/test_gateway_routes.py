"""Which service a path belongs to."""

from hypothesis import given
from hypothesis import strategies as st

from footloose.gateway.redirects import points_at, url_at, websocket_url
from footloose.gateway.routes import Authority, Routes, host_name, parse_authority
from footloose.model.app import HttpRoute, ServiceId

A, B, C = ServiceId("app-1/a"), ServiceId("app-1/b"), ServiceId("app-2/a")


def found(routes: Routes[str], path: str, host: str = "h") -> tuple[str, str, str] | None:
    hit = routes.find(host, path)
    return None if hit is None else (hit[0], path[: hit[1]], path[hit[1] :])


def test_a_service_is_found_by_its_id_at_every_host() -> None:
    routes = Routes([(A, None, "a"), (C, None, "c")])
    assert found(routes, "/app-1/a/x/y", "any") == ("a", "/app-1/a", "/x/y")
    assert found(routes, "/app-2/a") == ("c", "/app-2/a", "")
    for path in ("/", "/app-1", "/app-1/", "/app-1/ab", "/app-1/b/", "//app-1/a", "/APP-1/a", "", "*", "/app-1%2Fa/"):
        assert found(routes, path) is None


def test_the_longest_prefix_wins_and_ends_at_a_slash() -> None:
    routes = Routes(
        [(A, HttpRoute("*", "/"), "root"), (B, HttpRoute("*", "/api/"), "api"), (C, HttpRoute("*", "/api/v2"), "v2")]
    )
    assert found(routes, "/api/v2/x") == ("v2", "/api/v2", "/x")
    assert found(routes, "/api/v20") == ("api", "/api", "/v20")
    assert found(routes, "/api") == ("api", "/api", "")
    assert found(routes, "/apis") == ("root", "", "/apis")


def test_a_named_host_goes_before_any_host() -> None:
    routes = Routes([(A, HttpRoute("*", "/deep/path"), "any"), (B, HttpRoute("Shop.Example", "/"), "shop")])
    assert found(routes, "/deep/path", "shop.example:8080") == ("shop", "", "/deep/path")
    assert found(routes, "/deep/path", "other") == ("any", "/deep/path", "")
    assert found(routes, "/x", "other") is None


def test_the_id_goes_before_any_route() -> None:
    routes = Routes([(A, None, "a"), (B, HttpRoute("*", "/app-1"), "route")])
    assert found(routes, "/app-1/a/") == ("a", "/app-1/a", "/")


SEGMENTS = st.lists(st.sampled_from(["a", "b", "ab", "app-1", ""]), max_size=5)


@given(st.lists(SEGMENTS, max_size=5), SEGMENTS)
def test_a_match_is_always_the_longest_prefix_on_whole_segments(prefixes: list[list[str]], segments: list[str]) -> None:
    wanted = ["/" + "/".join(prefix) for prefix in prefixes]
    routes = Routes([(ServiceId(f"x/{n}"), HttpRoute("*", path), path.rstrip("/")) for n, path in enumerate(wanted)])
    path = "/" + "/".join(segments)
    hit = routes.find("h", path)
    fitting = [one.rstrip("/") for one in wanted if path == one.rstrip("/") or path.startswith(one.rstrip("/") + "/")]
    if hit is None:
        assert not fitting
    else:
        assert hit == (max(fitting, key=len), len(max(fitting, key=len)))


def test_hosts_are_taken_apart() -> None:
    assert parse_authority("Example.com:80") == Authority("example.com", 80)
    assert parse_authority("[2001:db8::1]:8080") == Authority("2001:db8::1", 8080)
    assert parse_authority("[::1]") == Authority("::1", None)
    assert parse_authority("") == Authority("", None)
    for bad in ("a b", "a:b:c", "a:99999", "a:x", "[::1", "a/b", "user@host", "a\\b", "é", "a" * 301):
        assert parse_authority(bad) is None
    assert host_name("bad host") == ""


@given(st.text(max_size=30))
def test_any_text_is_a_host_or_none(text: str) -> None:
    authority = parse_authority(text)
    assert authority is None or authority.name == authority.name.lower()


def test_the_rest_of_the_path_and_the_query_go_along() -> None:
    assert url_at("http://b:1/app/web", "/x%20y", "q=1") == "http://b:1/app/web/x%20y?q=1"
    assert url_at("http://b:1/app/web/", "/x", "") == "http://b:1/app/web/x"
    assert url_at("http://b:1/app/web", "", "") == "http://b:1/app/web/"
    assert websocket_url("https://b/x") == "wss://b/x"
    assert websocket_url("http://b/x") == "ws://b/x"


def test_a_url_is_known_to_lead_here() -> None:
    here = [Authority("10.0.0.1", 8080), Authority("site.example", 80)]
    assert points_at("http://10.0.0.1:8080/a/b/", here)
    assert points_at("http://Site.Example/a/b", here)
    assert points_at("nonsense", here)
    assert points_at("http://[bad/", here)
    assert not points_at("http://10.0.0.1:8081/a/b/", here)
    assert not points_at("https://site.example/", here)
