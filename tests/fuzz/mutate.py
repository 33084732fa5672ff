"""Seeds and what becomes of them: a small mutator that knows lengths, counts and pointers of DNS are 8 and 16 bits."""

from __future__ import annotations

import importlib
import pathlib
import random
from collections.abc import Callable, Iterator
from types import ModuleType

HERE = pathlib.Path(__file__).parent
BYTES = (0, 1, 2, 3, 4, 11, 12, 13, 31, 41, 63, 64, 0x7F, 0x80, 0xBF, 0xC0, 0xFF)
WORDS = (0, 1, 2, 12, 41, 255, 256, 511, 512, 0x7FFF, 0x8000, 0xC000, 0xC00C, 0xFFFF)
SIZE_MAX = 1 << 18  # a delta may be larger than a message
POOL_MAX = 2000


def targets() -> list[str]:
    return sorted(path.stem.removeprefix("fuzz_") for path in HERE.glob("fuzz_*.py"))


def load(target: str) -> ModuleType:
    return importlib.import_module(f"tests.fuzz.fuzz_{target}")


def corpus(target: str) -> pathlib.Path:
    return HERE / "corpus" / target


def seeds(target: str) -> list[bytes]:
    """The module's own, and every file of its corpus."""
    files = sorted(corpus(target).glob("*")) if corpus(target).is_dir() else []
    return [bytes(seed) for seed in load(target).SEEDS] + [path.read_bytes() for path in files]


class Inputs:
    """An endless supply: the seeds first, then mutations of what gave a new outcome."""

    def __init__(self, first: list[bytes], chance: random.Random) -> None:
        self._pool = [data[:SIZE_MAX] for data in first]
        self._random = chance
        self._outcomes: set[object] = set()

    def __iter__(self) -> Iterator[bytes]:
        yield from tuple(self._pool)
        while True:
            data = bytearray(self._random.choice(self._pool))
            for _ in range(self._random.choice((1, 1, 1, 2, 3, 5, 8))):
                self._random.choice(MUTATIONS)(data, self._random, self._pool)
            yield bytes(data[:SIZE_MAX])

    def learn(self, data: bytes, outcome: object) -> None:
        if outcome is not None and outcome not in self._outcomes and len(self._pool) < POOL_MAX:
            self._outcomes.add(outcome)
            self._pool.append(data)


Mutation = Callable[[bytearray, random.Random, list[bytes]], None]


def _flip_bit(data: bytearray, chance: random.Random, _: list[bytes]) -> None:
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _set_byte(data: bytearray, chance: random.Random, _: list[bytes]) -> None:
    if data:
        data[chance.randrange(len(data))] = chance.choice(BYTES)


def _set_word(data: bytearray, chance: random.Random, _: list[bytes]) -> None:
    if len(data) > 1:
        at = chance.randrange(len(data) - 1)
        data[at : at + 2] = chance.choice(WORDS).to_bytes(2, "big")


def _point_back(data: bytearray, chance: random.Random, _: list[bytes]) -> None:
    if len(data) > 1:
        at = chance.randrange(len(data) - 1)
        data[at : at + 2] = (0xC000 | chance.randrange(min(len(data), 0x3FFF) + 1)).to_bytes(2, "big")


def _insert(data: bytearray, chance: random.Random, _: list[bytes]) -> None:
    at = chance.randrange(len(data) + 1)
    data[at:at] = bytes(chance.choice(BYTES) for _ in range(chance.choice((1, 1, 2, 4, 64, 300))))


def _cut(data: bytearray, chance: random.Random, _: list[bytes]) -> None:
    if data:
        at = chance.randrange(len(data))
        del data[at : at + chance.choice((1, 1, 2, 4, 16, len(data)))]


def _repeat(data: bytearray, chance: random.Random, _: list[bytes]) -> None:
    if data:
        at = chance.randrange(len(data))
        block = data[at : at + chance.randrange(1, 40)]
        data[at:at] = block * chance.choice((1, 2, 30))


def _splice(data: bytearray, chance: random.Random, pool: list[bytes]) -> None:
    other = chance.choice(pool)
    at = chance.randrange(len(data) + 1)
    data[at:] = other[chance.randrange(len(other) + 1) :]


MUTATIONS: tuple[Mutation, ...] = (
    _flip_bit,
    _set_byte,
    _set_byte,
    _set_word,
    _set_word,
    _point_back,
    _insert,
    _cut,
    _repeat,
    _splice,
)
