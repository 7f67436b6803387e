"""The small pieces of the ground floor: digests, transition tables, errors, the clock, limits."""

import ast
import hashlib
import inspect
import time
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footloose.core import limits
from footloose.core.clock import SystemClock
from footloose.core.digest import digest_of, parse_digest
from footloose.core.errors import FootlooseError, IllegalTransition, LimitExceeded, LocalError, RemoteError
from footloose.core.table import TransitionTable


class Light(Enum):
    RED = "red"
    GREEN = "green"
    OFF = "off"


class Event(Enum):
    TURN = "turn"
    CUT = "cut"


ROWS = {(Light.RED, Event.TURN): Light.GREEN, (Light.GREEN, Event.TURN): Light.RED, (Light.RED, Event.CUT): Light.OFF}
TABLE = TransitionTable("light", ROWS)


@given(st.binary())
def test_a_digest_is_the_sha256_of_the_content(content: bytes) -> None:
    digest = digest_of(content)
    assert digest == "sha256:" + hashlib.sha256(content).hexdigest()
    assert parse_digest(digest) == digest


@given(st.text() | st.from_regex(r"sha256:[0-9a-fA-F]{60,68}\n?", fullmatch=True))
def test_only_the_one_form_of_a_digest_is_accepted(text: str) -> None:
    right = len(text) == 71 and text.startswith("sha256:") and set(text[7:]) <= set("0123456789abcdef")
    if right:
        assert parse_digest(text) == text
    else:
        with pytest.raises(RemoteError, match="is not a digest"):
            parse_digest(text)


@given(st.sampled_from(Light), st.sampled_from(Event))
def test_a_table_allows_its_rows_and_nothing_else(state: Light, event: Event) -> None:
    assert TABLE.allows(state, event) == ((state, event) in ROWS)
    if TABLE.allows(state, event):
        assert TABLE.next(state, event) is ROWS[state, event]
    else:
        with pytest.raises(IllegalTransition, match=f"light: '{event.value}' is not legal in state '{state.value}'"):
            TABLE.next(state, event)


def test_a_table_draws_all_its_rows() -> None:
    lines = TABLE.mermaid().splitlines()
    assert lines[0] == "stateDiagram-v2"
    assert [line.strip() for line in lines[1:]] == ["green --> red: turn", "red --> green: turn", "red --> off: cut"]


def test_a_table_does_not_change_with_what_it_was_made_from() -> None:
    rows = dict(ROWS)
    table = TransitionTable("light", rows)
    rows.clear()
    assert table.allows(Light.RED, Event.TURN)


def test_an_error_says_what_where_and_what_to_do() -> None:
    assert str(LocalError("disk full", where="/var", fix="free some space")) == "/var: disk full (free some space)"
    assert str(RemoteError("refused")) == "refused"
    assert isinstance(LimitExceeded("x"), RemoteError)
    assert isinstance(IllegalTransition("x"), LocalError)
    for kind in (LocalError, RemoteError):
        assert issubclass(kind, FootlooseError)
    assert not issubclass(LocalError, RemoteError)


def test_the_clock_never_goes_back_even_if_wall_time_jumps(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SystemClock()
    before = clock.now()
    assert abs(before - time.time()) < 60
    wall = time.time()
    monkeypatch.setattr(time, "time", lambda: wall - 3600)
    readings = [before, *(clock.now() for _ in range(100))]
    assert readings == sorted(readings)
    assert readings[-1] - readings[0] < 60


def test_the_clock_takes_over_a_step_forward_and_no_wobble() -> None:
    wall, monotonic = [1000.0], [50.0]
    clock = SystemClock(lambda: wall[0], lambda: monotonic[0])
    wall[0] += 3.0  # a wobble, as time synchronisation makes
    assert clock.now() == 1000.0
    wall[0], monotonic[0] = 500_000_000.0, 60.0  # the machine learns the date
    assert clock.now() == 500_000_000.0
    wall[0], monotonic[0] = 400_000_000.0, 61.0
    assert clock.now() == 500_000_001.0


def test_every_limit_is_a_positive_number_with_a_word_about_it() -> None:
    statements = ast.parse(inspect.getsource(limits)).body[1:]
    names = [
        one.targets[0].id for one in statements if isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Name)
    ]
    assert len(names) == len(set(names))
    for one, following in zip(statements, [*statements[1:], None], strict=True):
        if isinstance(one, ast.Assign):
            assert isinstance(following, ast.Expr), f"{ast.unparse(one)} is not explained"
    assert all(getattr(limits, name) > 0 for name in names)


def test_limits_fit_each_other() -> None:
    assert limits.ARTIFACT_BYTES <= limits.ARTIFACT_STORE_BYTES
    assert limits.NONCES_PER_CALLER <= limits.NONCES_KEPT
    assert limits.GUEST_LOGS_PER_SERVICE <= limits.GUEST_LOGS_KEPT
    assert limits.LEASE_TERM_S < limits.LEASE_GRACE_S
    assert limits.SITE_REQUEST_TIMEOUT_S < limits.LEASE_TERM_S / 2
    assert 2 * limits.CLOCK_SKEW_S < limits.RECORD_LIFETIME_S
