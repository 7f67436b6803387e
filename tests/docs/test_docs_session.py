"""The reader that runs the pages notices what is wrong with them."""

from pathlib import Path

import pytest
from docs_session import Command, Shell, commands_of, run_page, why_left_out

from markdown_pages import Block, anchors, blocks, links


def page_of(tmp_path: Path, text: str) -> Path:
    page = tmp_path / "page.md"
    page.write_text(text)
    return page


@pytest.mark.parametrize(
    "block",
    [
        "$ echo one\none\n",
        "$ echo one; echo two; echo three\none\n...\nthree\n",
        "$ printf '%s\\n' 12.5 ms\n0.1\nms\n",
        "$ echo 18:20:41 took 3 ms; echo 192.0.2.1:8080\n09:00:00 took 7.25 ms\n192.0.2.1:8080\n",
        "$ echo a \\\n    b\na b\n",
        "$ echo error: no; false\nerror: no\n",
        "$ cd docs\n$ ls index.md\nindex.md\n",
        "$ ls does-not-exist 2>/dev/null || echo gone\ngone\n",
    ],
)
def test_what_goes_as_shown_is_good(tmp_path: Path, block: str) -> None:
    assert run_page(page_of(tmp_path, f"```console\n{block}```\n")) is None


@pytest.mark.parametrize(
    "block",
    [
        "$ echo one\ntwo\n",
        "$ echo one; echo two\ntwo\none\n",
        "$ false\n",
        "$ echo error: no\nerror: no\n",
        "$ echo 192.0.2.1:8080\n192.0.2.1:8081\n",
        "$ footloose nonsense\n",
        "$ footloose validate does-not-exist.yaml\n",
    ],
)
def test_what_goes_otherwise_is_noticed(tmp_path: Path, block: str) -> None:
    failure = run_page(page_of(tmp_path, f"# A page\n\n```console\n{block}```\n"))
    assert failure is not None
    assert "page.md:3:" in failure


def test_a_script_is_run_as_a_whole(tmp_path: Path) -> None:
    text = "```bash\ncat > file <<'END'\nhello\nEND\n```\n\n```console\n$ cat file\nhello\n```\n"
    assert run_page(page_of(tmp_path, text)) is None


def test_a_node_runs_on_until_the_page_ends_and_then_is_gone() -> None:
    with Shell() as shell:
        shown = ("site attic (abcdefghijklmnop) is up", "...")
        assert shell.failure_of(Command("footloose node --state s --name attic", shown)) is None
        assert shell.failure_of(Command("footloose status --socket s/run/admin.sock", ("site  attic", "..."))) is None
        _, lock = shell.run("cat s/lock")
    assert not Path(f"/proc/{lock.strip()}").exists()


def test_comments_above_a_block_say_when_it_is_left_out() -> None:
    page = (
        "<!-- docs-test: not run: it takes long -->\n```console\n$ sleep 99\n```\n"
        "<!-- docs-test: needs no-such-program -->\n```console\n$ no-such-program\n```\n"
        "<!-- docs-test: lacks sh -->\n```console\n$ true\n```\n"
        "```console\n$ true\n```\n"
    )
    left_out = [why_left_out(block) for block in blocks(page, "console")]
    assert left_out == ["not run: it takes long", "no-such-program is not installed", "sh is installed", None]


def test_commands_and_their_output_are_told_apart() -> None:
    block = Block("console", "$ one \\\n  more\nprinted\n$ two\n", 1)
    assert commands_of(block) == [Command("one \\\n  more", ("printed",)), Command("two")]


def test_headings_and_links_are_found_as_github_does() -> None:
    page = "# One `two` (three)\n\n[a](b.md#c) ![d](e.svg)\n\n```text\n# not one\n[not](one)\n```\n## What's *new*\n"
    assert anchors(page) == {"one-two-three", "whats-new"}
    assert links(page) == ["b.md#c", "e.svg"]
