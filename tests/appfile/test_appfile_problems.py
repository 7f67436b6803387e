"""What is wrong with a file is said with its place, its key and a way out; and all of it at once."""

from pathlib import Path
from textwrap import dedent

import pytest

from footloose.core.errors import LocalError
from footloose.core.limits import APP_FILE_BYTES, APP_FILE_DEPTH, APP_FILE_NODES, SERVICES_PER_APP
from footloose.model.appfile import AppFileError, Problem, parse_app_file

PROVIDER = "a" * 52


def problems_of(text: str | bytes, placements: set[str] | None = None) -> tuple[Problem, ...]:
    content = text if isinstance(text, bytes) else dedent(text).encode()
    with pytest.raises(AppFileError) as caught:
        parse_app_file(content, "compose.yaml", Path("/apps/pulse"), placements=placements)
    assert isinstance(caught.value, LocalError)
    return caught.value.problems


def service(body: str) -> str:
    """A file whose one service has ``body``, which begins on line 5."""
    lines = dedent(body).strip("\n").splitlines()
    return "\n".join(
        ["name: pulse", "services:", "  web:", "    image: ./web.wasm", *("    " + line for line in lines)]
    )


def footloose(body: str) -> str:
    """A file whose one service has ``body`` in its x-footloose block, which begins on line 6."""
    return service("x-footloose:\n" + "\n".join("  " + line for line in dedent(body).strip("\n").splitlines()))


CASES = [
    # (file, line, column, key, part of what, part of fix)
    (service("ports: ['80:80']"), 5, 5, "services.web.ports", "opens no ports", "x-footloose.route"),
    (service("volumes: ['.:/data']"), 5, 5, "services.web.volumes", "no file system", "environment"),
    (service("build: ."), 5, 5, "services.web.build", "nothing is built", "image: ./web.wasm"),
    (service("depends_on: [db]"), 5, 5, "services.web.depends_on", "in no order", "remove"),
    (service("enviroment: {A: b}"), 5, 5, "services.web.enviroment", "unknown key", "did you mean `environment`?"),
    (service("x-footlose: {}"), 5, 5, "services.web.x-footlose", "unknown key", "did you mean `x-footloose`?"),
    (service("zzz: 1"), 5, 5, "services.web.zzz", "unknown key", "known here: image"),
    (
        service("budget: {copies: 1}"),
        5,
        5,
        "services.web.budget",
        "does not belong here",
        "move it to `x-footloose.budget`",
    ),
    (footloose("copies: 3"), 6, 7, "services.web.x-footloose.copies", "does not belong", "`x-footloose.budget.copies`"),
    (service("deploy: {replicas: 3}"), 5, 14, "services.web.deploy.replicas", "fixed number", "budget.copies"),
    (
        service("deploy:\n  resources:\n    limits: {cpus: 1}"),
        *(7, 18, "services.web.deploy.resources.limits.cpus", "time per request", "x-footloose.limits.time"),
    ),
    (service("deploy: {x-footloose: {}}"), 5, 14, "services.web.deploy.x-footloose", "belongs to a service", "move it"),
    ("name: a\nservices: {web: {image: ./a.wasm}}\nnetworks: {}", 3, 1, "networks", "no connections", "remove"),
    ("name: a\nservices: {web: {image: ./a.wasm}}\nx-footloose: {}", 3, 1, "x-footloose", "to a service", "move it"),
    ("services: {web: {image: ./a.wasm}}", 1, 1, "", "`name` is missing", "name: my-app"),
    ("name: a\nservices: {web: {}}", 2, 12, "services.web", "`image` is missing", "image: ./web.wasm"),
    ("name: a\nservices: {}", 2, 11, "services", "empty", "fill it in"),
    ("name: My App\nservices: {web: {image: ./a.wasm}}", 1, 7, "name", "lower-case letters", '"pulse"'),
    ("name: a\nservices: {'..': {image: ./a.wasm}}", 2, 12, "services...", "a service's name", '"web"'),
    (
        "name: a\nservices: {web: {image: 'nginx:latest'}}",
        2,
        25,
        "services.web.image",
        "containers are not run yet",
        ".wasm",
    ),
    (service("platform: linux/amd64"), 5, 15, "services.web.platform", "containers are not run yet", "wasi/wasm"),
    (service("environment: {HOME: }"), 5, 24, "services.web.environment.HOME", "left empty", '"hi"'),
    (service("environment: [HOME]"), 5, 19, "services.web.environment[0]", "NAME=value", "GREETING=hi"),
    (service("environment: {1A: b}"), 5, 19, "services.web.environment.1A", "a variable's name", "GREETING"),
    (service("environment: [A=1, A=2]"), 5, 24, "services.web.environment[1]", "twice", "one"),
    (service("environment: {A: 1, A: 2}"), 5, 25, "services.web.environment.A", "first on line 5", "one"),
    (
        service("environment: {PATH_INFO: /}"),
        5,
        19,
        "services.web.environment.PATH_INFO",
        "set by the gateway",
        "another",
    ),
    (
        service("environment: {HTTP_HOST: a}"),
        5,
        19,
        "services.web.environment.HTTP_HOST",
        "set by the gateway",
        "another",
    ),
    (service("environment: {A: $HOME}"), 5, 22, "services.web.environment.A", "not filled in", "$$"),
    (service('environment: {A: "a\\0b"}'), 5, 22, "services.web.environment.A", "U+0000", "remove"),
    (service("environment: {A: !!timestamp 2026-01-01}"), 5, 22, "services.web.environment.A", "tag", "remove"),
    (service("environment: !reset {}"), 5, 18, "services.web.environment", "tag !reset", "remove"),
    (service("environment: {? [a] : b}"), 5, 21, "services.web.environment", "not text", "word"),
    (
        service("mem_limit: 32m\nx-footloose: {limits: {memory: 16MiB}}"),
        5,
        16,
        "services.web.mem_limit",
        "line 6",
        "one",
    ),
    (service("mem_limit: 1k"), 5, 16, "services.web.mem_limit", "between 64KiB and 4GiB", "16MiB"),
    (service("mem_limit: lots"), 5, 16, "services.web.mem_limit", "a size in bytes", "16MiB"),
    (footloose("guest: lambda"), 6, 14, "services.web.x-footloose.guest", "handler or command", "handler"),
    (footloose("route: web"), 6, 14, "services.web.x-footloose.route", "begins with a slash", '"/"'),
    (footloose("route: 5"), 6, 14, "services.web.x-footloose.route", "not `5`", '"/"'),
    (footloose("route: {}"), 6, 14, "services.web.x-footloose.route", "empty", "fill"),
    (footloose("route: {host: 'a:80'}"), 6, 21, "services.web.x-footloose.route.host", "without a port", '"*"'),
    (footloose("route: /a/../b"), 6, 14, "services.web.x-footloose.route", "never matches", "write it out"),
    (footloose("route: /.well-known/x"), 6, 14, "services.web.x-footloose.route", "the gateway", "another path"),
    (footloose("slo: {latency: 30}"), 6, 22, "services.web.x-footloose.slo.latency", "a time with its unit", "30ms"),
    (footloose("slo: {latency: 0ms}"), 6, 22, "services.web.x-footloose.slo.latency", "no latency is 0", "30ms"),
    (footloose("slo: {latncy: 30ms}"), 6, 13, "services.web.x-footloose.slo.latncy", "unknown", "`latency`?"),
    (
        footloose("slo: {latency: 30ms}\nlimits: {time: 50ms}"),
        *(7, 22, "services.web.x-footloose.limits.time", "longer than slo.latency", "lower this"),
    ),
    (footloose("limits: {time: 2m}"), 6, 22, "services.web.x-footloose.limits.time", "at most 60 s", "50ms"),
    (footloose("limits: {output: 0}"), 6, 24, "services.web.x-footloose.limits.output", "more than 0 bytes", "1MiB"),
    (footloose("budget: {copies: -1}"), 6, 24, "services.web.x-footloose.budget.copies", "from 0 to 1000", "5"),
    (footloose("budget: {copies: 1.5}"), 6, 24, "services.web.x-footloose.budget.copies", "whole number", "5"),
    (
        footloose("budget: {copies: 99999999999999999999}"),
        *(6, 24, "services.web.x-footloose.budget.copies", "from 0 to 1000", "5"),
    ),
    (footloose("budget: {price: .inf}"), 6, 23, "services.web.x-footloose.budget.price", "0 or more", "0.02"),
    (
        footloose("budget: {copies: 0}\nfollow_users: true"),
        *(6, 24, "services.web.x-footloose.budget.copies", "follow_users is true", "follow_users: false"),
    ),
    (footloose("instances: hot"), 6, 18, "services.web.x-footloose.instances", "not `hot`", "warm"),
    (footloose("follow_users: yes"), 6, 21, "services.web.x-footloose.follow_users", "not `yes`", "true"),
    (
        footloose(f"where: {{providers: {{allow: [{PROVIDER}], deny: [{PROVIDER}]}}}}"),
        *(6, 97, "services.web.x-footloose.where.providers.deny[0]", "both allowed and denied", "remove it"),
    ),
    (
        footloose("where: {providers: {deny: [acme]}}"),
        *(6, 34, "services.web.x-footloose.where.providers.deny[0]", "52 letters", "correct"),
    ),
    (footloose("where: {regions: [eu, eu]}"), 6, 24, "services.web.x-footloose.where.regions", "twice", "one"),
    (footloose("placement: greddy"), 6, 18, "services.web.x-footloose.placement", "`greddy`", "did you mean `greedy`?"),
    (footloose("placement: xyz"), 6, 18, "services.web.x-footloose.placement", "`xyz`", "there are: greedy, random"),
    (footloose("state: shared"), 6, 14, "services.web.x-footloose.state", "not carried", "none"),
    (footloose("energy: low"), 6, 7, "services.web.x-footloose.energy", "unknown key", "known here"),
    ("- a\n- b", 1, 1, "", "must be a Compose file", "correct it"),
    ("", 0, 0, "", "empty", "name"),
    ("a: [1\nb: 2", 2, 2, "", "not valid YAML", "mend"),
    ("a: 1\n---\nb: 2", 2, 1, "", "not valid YAML", "mend"),
    ("a: 1\nb: \x07", 2, 4, "", "does not allow", "escape"),
    (b"a: 1\nb: \xff\xfe", 2, 4, "", "not UTF-8", "UTF-8"),
    ('a: "\\UFFFFFFFF"', 0, 0, "", "out of range", "mend"),
    ("a: " + "[" * 40 + "]" * 40, 1, 3 + APP_FILE_DEPTH, "", "nested too deep", "mend"),
    ("a: *b", 1, 4, "", "not valid YAML", "mend"),
    ("name: a\nservices: &s {web: *s}", 2, 11, "", f"nested more than {APP_FILE_DEPTH} deep", "lead back"),
    ("name: a\nservices: &s {<<: *s}", 2, 11, "", "deep", "lead back"),
    ("<<: 5\nname: a\nservices: {web: {image: ./a.wasm}}", 1, 5, "", "takes a mapping", "alias"),
    ("a: " + "b" * APP_FILE_BYTES, 0, 0, "", "too large", "64 KiB"),
]


@pytest.mark.parametrize(("text", "line", "column", "key", "what", "fix"), CASES)
def test_a_fault_is_named_with_its_place_and_a_fix(
    text: str | bytes, line: int, column: int, key: str, what: str, fix: str
) -> None:
    found = problems_of(text, {"greedy", "random"})
    first = found[0]
    assert (first.at.line, first.at.column, first.key) == (line, column, key), first
    assert what in first.what
    assert fix in first.fix
    assert len(found) == 1 or "twice" in first.what or "empty" in first.what or not key, found


def test_a_few_aliases_cannot_become_many_values() -> None:
    bomb = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    bomb += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 9)]
    assert f"more than {APP_FILE_NODES} values" in problems_of("\n".join(bomb))[0].what


def test_merging_the_same_mapping_over_and_over_is_bounded_too() -> None:
    bomb = ["a0: &a0 {x: 1}"]
    bomb += [f"a{level}: &a{level} {{<<: [{', '.join([f'*a{level - 1}'] * 9)}]}}" for level in range(1, 9)]
    assert f"more than {APP_FILE_NODES} values" in problems_of("\n".join(bomb))[0].what


def test_all_faults_are_reported_together_in_the_order_of_the_file() -> None:
    found = problems_of("""
        name: Pulse
        services:
          web:
            image: nginx
            ports: ["80:80"]
            x-footloose:
              limits: {time: 50ms, memory: 1}
              slo: {latency: 30ms, latency: 40ms}
              route: {path: /, prot: 80}
          api:
            x-footloose: {route: /api}
          other:
            image: ./other.wasm
            x-footloose: {route: {path: /api/}}
        volumes: {}
        """)
    assert [problem.key for problem in found] == [
        "name",
        "services.web.image",
        "services.web.ports",
        "services.web.x-footloose.limits.time",
        "services.web.x-footloose.limits.memory",
        "services.web.x-footloose.slo.latency",
        "services.web.x-footloose.route.prot",
        "services.api",
        "services.other.x-footloose.route",
        "volumes",
    ]
    assert [problem.at for problem in found] == sorted(problem.at for problem in found)
    assert found[-2].what == "the same route as api has on line 12"


def test_the_error_reads_as_one_line_per_problem_in_the_form_editors_follow() -> None:
    with pytest.raises(AppFileError) as caught:
        parse_app_file(service("ports: []\nbuild: .").encode(), "app/compose.yaml", Path())
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("app/compose.yaml:5:5: services.web.ports: ")


def test_a_message_never_carries_control_characters_from_the_file() -> None:
    (problem,) = problems_of(footloose(r'guest: "\e[2J"')[:0] + footloose('"a\\e[31m\\n": 1'))
    text = problem.line("f")
    assert text.isprintable()


def test_an_app_has_no_more_services_than_the_limit() -> None:
    names = [f"s{number}: {{image: ./a.wasm}}" for number in range(SERVICES_PER_APP + 1)]
    (problem,) = problems_of(f"name: a\nservices: {{{', '.join(names)}}}")
    assert problem.what == f"more than {SERVICES_PER_APP} entries"


def test_one_service_is_not_reported_for_what_another_brought_in_by_an_alias() -> None:
    found = problems_of("""
        name: a
        x-base: &base
          ports: ["80:80"]
        services:
          one: {<<: *base, image: ./a.wasm}
          two: {<<: *base, image: ./b.wasm}
        """)
    assert [(problem.at.line, problem.key) for problem in found] == [
        (4, "services.one.ports"),
        (4, "services.two.ports"),
    ]
