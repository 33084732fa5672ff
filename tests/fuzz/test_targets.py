"""Each fuzz target runs: all its seeds, findings of the past among them, and some mutations."""

from __future__ import annotations

import itertools
import random

import pytest

from tests.fuzz import mutate

MUTATED = 1500


@pytest.mark.parametrize("target", mutate.targets())
def test_target(target: str) -> None:
    run = mutate.load(target).run
    inputs = mutate.Inputs(mutate.seeds(target), random.Random(1))
    for data in itertools.islice(inputs, len(mutate.seeds(target)) + MUTATED):
        inputs.learn(data, run(data))
