"""The samples and the C header."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from runtimes_guests import GUESTS, LIMITS, ROOT, SAMPLES, Workshop

from footloose.model.app import GuestKind
from footloose.runtimes.wasm.inspect import detect_kind
from footloose.runtimes.wasm.runtime import WasmRuntime

CLANG_14 = "14."


def clang_version() -> str:
    clang = shutil.which("clang")
    if clang is None or shutil.which("wasm-ld") is None:
        return ""
    return subprocess.run([clang, "-dumpversion"], check=True, capture_output=True, text=True).stdout


@pytest.mark.skipif(not clang_version().startswith(CLANG_14), reason="the modules were built with clang 14 and lld")
@pytest.mark.parametrize("folder", [*sorted({path.parent for path in SAMPLES.glob("*/*.wasm")}), GUESTS], ids=str)
def test_the_modules_kept_are_those_their_sources_give(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for built in copy.glob("*.wasm"):
        built.unlink()
    subprocess.run([SAMPLES / "build.sh", copy], check=True, capture_output=True)
    kept = {path.name: path.read_bytes() for path in folder.glob("*.wasm")}
    assert {path.name: path.read_bytes() for path in copy.glob("*.wasm")} == kept


def test_the_header_sees_variables_and_keeps_header_lines_whole(runtime: WasmRuntime, workshop: Workshop) -> None:
    guest = workshop.load(runtime, "header_handler")
    answer = guest.call((("PATH_INFO", "/x\r\nSet-Cookie: a=b"), ("EMPTY", "")), b"-12")
    assert answer.output == (
        b"Status: 404\r\nLocation: /xSet-Cookie: a=b\r\n\r\n"
        b"EMPTY is there, MISSING is not, -9223372036854775808 0 42\n" + b"x" * 100_000
    )
    assert answer.log == b"one\ntwo\n"


@pytest.mark.skipif(not clang_version(), reason="clang and wasm-ld are not installed")
def test_the_guests_of_the_how_to_build_and_answer(runtime: WasmRuntime, workshop: Workshop, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "write-a-guest-in-c.md").read_text()
    sources = re.findall(r"`greeting/(greeting_\w+\.c)`:\n\n```c\n(.*?)```", page, re.DOTALL)
    assert [name for name, _ in sources] == ["greeting_handler.c", "greeting_command.c"]
    for name, source in sources:
        (tmp_path / name).write_text(source)
    subprocess.run([SAMPLES / "build.sh", tmp_path], check=True, capture_output=True)
    answers = {}
    for kind in GuestKind:
        wasm = (tmp_path / f"greeting_{kind.value}.wasm").read_bytes()
        guest = runtime.load(workshop.compile(wasm), detect_kind(wasm), LIMITS)
        answers[kind] = guest.call((("PATH_INFO", "/there"),), b"")
    assert answers[GuestKind.HANDLER].output.startswith(b"Status: 404\r\n")
    assert answers[GuestKind.HANDLER].output.endswith(b"\r\n\r\nThere is nothing at /there")
    assert answers[GuestKind.HANDLER].log == b"asked for something else\n"
    assert answers[GuestKind.COMMAND].output == b"Content-Type: text/plain\r\n\r\nYou asked for /there\n"
