"""What once broke a boundary, and what is like what it knows, does not break it."""

from pathlib import Path
from random import Random

import pytest
from fuzz_mutate import mutated
from fuzz_targets import TARGETS

CORPUS = Path(__file__).with_name("corpus")
MUTATIONS = 400


@pytest.mark.parametrize("name", TARGETS)
def test_the_known_inputs_break_nothing(name: str) -> None:
    inputs = sorted((CORPUS / name).iterdir())
    assert inputs
    for path in inputs:
        TARGETS[name](path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_like_them_breaks_nothing(name: str) -> None:
    inputs = [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]
    random = Random(f"fuzz {name}")
    for _ in range(MUTATIONS):
        TARGETS[name](mutated(inputs, random))


def test_every_corpus_has_its_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
