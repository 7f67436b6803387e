"""The samples and the C header."""

import shutil
import subprocess
from pathlib import Path

import pytest
from runtimes_guests import GUESTS, SAMPLES, Workshop

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
