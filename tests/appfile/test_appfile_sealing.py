"""From a draft and the modules it names to an app."""

from collections.abc import Callable
from pathlib import Path

import pytest

from footloose.core.digest import digest_of
from footloose.core.errors import LocalError
from footloose.core.identity import Identity
from footloose.core.limits import ARTIFACT_BYTES
from footloose.model.app import App, GuestKind, HttpRoute, Instances, Service
from footloose.model.appfile import AppDraft, AppFileError, load_app_file, read_artifacts, seal

MODULE = b"\0asm\x01\0\0\0"
OWNER = Identity.from_seed(b"\1" * 32).node_id


@pytest.fixture
def draft_of(tmp_path: Path) -> Callable[[str], AppDraft]:
    def draft_of(text: str) -> AppDraft:
        (tmp_path / "compose.yaml").write_text(text)
        return load_app_file(tmp_path / "compose.yaml")

    return draft_of


def is_a_handler(_: bytes) -> GuestKind:
    return GuestKind.HANDLER


def test_an_app_is_sealed_from_its_file_and_its_modules(tmp_path: Path, draft_of: Callable[[str], AppDraft]) -> None:
    (tmp_path / "a.wasm").write_bytes(MODULE)
    draft = draft_of("name: pulse\nservices: {web: {image: ./a.wasm, x-footloose: {route: /, guest: command}}}")
    artifacts = read_artifacts(draft, None)
    app = seal(draft, OWNER, artifacts)
    web = Service(name="web", artifact=digest_of(MODULE), guest=GuestKind.COMMAND, route=HttpRoute())
    assert app == App(name="pulse", owner=OWNER, services=(web,))
    assert artifacts["web"].content == MODULE


def test_a_kind_the_file_leaves_out_is_found_from_the_module(
    tmp_path: Path, draft_of: Callable[[str], AppDraft]
) -> None:
    (tmp_path / "a.wasm").write_bytes(MODULE)
    draft = draft_of("name: pulse\nservices: {web: {image: ./a.wasm}}")
    assert read_artifacts(draft, is_a_handler)["web"].guest is GuestKind.HANDLER


def test_every_module_that_will_not_do_is_named_at_its_image_line(
    tmp_path: Path, draft_of: Callable[[str], AppDraft]
) -> None:
    (tmp_path / "text.wasm").write_text("(module)")
    (tmp_path / "component.wasm").write_bytes(b"\0asm\x0d\0\x01\0")
    (tmp_path / "good.wasm").write_bytes(MODULE)
    with (tmp_path / "large.wasm").open("wb") as file:
        file.truncate(ARTIFACT_BYTES + 1)
    names = ["missing", "text", "component", "good", "large", "."]
    services = "".join(f"  s{index}:\n    image: ./{name}.wasm\n" for index, name in enumerate(names[:5]))
    draft = draft_of(f"name: pulse\nservices:\n{services}  s5:\n    image: ./\n")
    with pytest.raises(AppFileError) as caught:
        read_artifacts(draft, is_a_handler)
    found = [(problem.at.line, problem.at.column, problem.key) for problem in caught.value.problems]
    assert found == [(line, 12, f"services.s{index}.image") for index, line in enumerate(range(4, 16, 2)) if index != 3]
    for problem, part in zip(
        caught.value.problems,
        ["No such file", "not a Wasm module", "component", "larger than", "Is a directory"],
        strict=True,
    ):
        assert part in problem.what


def test_without_an_inspector_the_file_must_say_the_kind(tmp_path: Path, draft_of: Callable[[str], AppDraft]) -> None:
    (tmp_path / "a.wasm").write_bytes(MODULE)
    draft = draft_of("name: pulse\nservices: {web: {image: ./a.wasm}}")
    with pytest.raises(AppFileError, match="write `guest: handler` or `guest: command`"):
        read_artifacts(draft, None)


def test_a_module_of_another_kind_than_the_file_says_is_refused(
    tmp_path: Path, draft_of: Callable[[str], AppDraft]
) -> None:
    (tmp_path / "a.wasm").write_bytes(MODULE)
    draft = draft_of("name: pulse\nservices: {web: {image: ./a.wasm, x-footloose: {guest: command}}}")
    with pytest.raises(AppFileError, match="by its exports"):
        read_artifacts(draft, is_a_handler)


def test_a_handler_may_be_warm_and_a_command_may_not(tmp_path: Path, draft_of: Callable[[str], AppDraft]) -> None:
    (tmp_path / "a.wasm").write_bytes(MODULE)
    text = "name: pulse\nservices:\n  web: {{image: ./a.wasm, x-footloose: {{guest: {kind}, instances: warm}}}}"
    warm = draft_of(text.format(kind="handler"))
    assert seal(warm, OWNER, read_artifacts(warm, None)).services[0].instances is Instances.WARM
    with pytest.raises(AppFileError) as caught:
        read_artifacts(draft_of(text.format(kind="command")), None)
    (problem,) = caught.value.problems
    assert (problem.at.line, problem.key) == (3, "services.web.x-footloose.instances")
    assert "ends with each request" in problem.what


def test_what_an_inspector_objects_to_is_reported_at_the_image_line(
    tmp_path: Path, draft_of: Callable[[str], AppDraft]
) -> None:
    def objects(_: bytes) -> GuestKind:
        raise LocalError("it exports nothing", fix="export _start")

    (tmp_path / "a.wasm").write_bytes(MODULE)
    draft = draft_of("name: pulse\nservices: {web: {image: ./a.wasm}}")
    with pytest.raises(AppFileError) as caught:
        read_artifacts(draft, objects)
    (problem,) = caught.value.problems
    assert problem.at.line == 2
    assert "it exports nothing" in problem.what
    assert problem.fix == "export _start"


def test_an_app_too_large_to_travel_is_refused(tmp_path: Path, draft_of: Callable[[str], AppDraft]) -> None:
    (tmp_path / "a.wasm").write_bytes(MODULE)
    services = "".join(f"  s{index}: {{<<: *base}}\n" for index in range(4))
    base = f"x-base: &base {{image: ./a.wasm, environment: {{A: {'x' * 30_000}}}}}"
    draft = draft_of(f"name: pulse\n{base}\nservices:\n{services}")
    with pytest.raises(AppFileError, match="travel in one message"):
        seal(draft, OWNER, read_artifacts(draft, is_a_handler))
