"""Runs the commands that ``docs/reference/cli.md`` shows.

``PYTHONPATH=tests python tests/cli/cli_docs.py`` writes their output anew.
"""

import io
import os
import re
import shlex
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from cli_fake_node import fake_node

from footloose.cli.main import run
from markdown_pages import ROOT, blocks

PAGE = ROOT / "docs/reference/cli.md"
EXAMPLE = ROOT / "docs/reference/app-file.md"
HANDLER = ROOT / "src/footloose/samples/hello/hello_handler.wasm"
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def with_outputs(page: str) -> str:
    """``page`` with what each ``$ footloose …`` really prints below it. Needs :func:`documented_surroundings`."""
    return _BLOCK.sub(lambda block: f"```console\n{_session(block[1])}```", page)


def commands_of(page: str) -> list[str]:
    """Every command shown in ``page``, in order."""
    shown = [line for block in blocks(page, "console") for line in block.text.splitlines()]
    return [line.removeprefix("$ ") for line in shown if line.startswith("$ ")]


def first_app_file(page: str) -> str:
    """The first YAML block of ``page``."""
    return blocks(page, "yaml")[0].text


@contextmanager
def documented_surroundings(directory: Path) -> Iterator[None]:
    """A node, an app file and a faulty one, a faulty scenario, a terminal of 80 columns in UTC."""
    (directory / "compose.yaml").write_text(first_app_file(EXAMPLE.read_text()))
    (directory / "pulse.wasm").write_bytes(HANDLER.read_bytes())
    (directory / "broken.yaml").write_text(
        "name: pulse\nservices:\n  web:\n    image: ./puls.wasm\n    ports: ['80:80']\n    x-footlose: {}\n"
    )
    (directory / "wrong.yaml").write_text(
        "duration: 10m\nsites: [a, b]\napps: [{name: pulse, home: c}]\nscript: [{at: 8m, reboot: a, dwon: 5s}]\n"
    )
    settings = {"FOOTLOOSE_SOCKET": str(directory / "admin.sock"), "COLUMNS": "80", "TZ": "UTC"}
    with fake_node(directory / "admin.sock"), chdir(directory), environment(settings):
        yield


@contextmanager
def environment(settings: Mapping[str, str]) -> Iterator[None]:
    """The process's environment with ``settings``, for as long as the block lasts."""
    before = dict(os.environ)
    os.environ.update(settings)
    time.tzset()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        time.tzset()


def output_of(command: str) -> tuple[int, str]:
    """Exit code of a ``footloose …`` command line, and all it printed."""
    program, *arguments = shlex.split(command)
    assert program == "footloose", command
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed):
        code = run(arguments)
    return code, printed.getvalue()


def _session(block: str) -> str:
    text = ""
    for line in block.splitlines():
        if line.startswith("$ "):
            code, printed = output_of(line.removeprefix("$ "))
            text += f"{line}\n" + "".join(f"{row.rstrip()}\n" for row in printed.splitlines())
        elif line.startswith("exit code "):
            text += f"exit code {code}\n"
    return text


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary, documented_surroundings(Path(temporary)):
        PAGE.write_text(with_outputs(PAGE.read_text()))
