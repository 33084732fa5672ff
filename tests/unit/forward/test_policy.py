"""The order of upstreams, and when a question has had enough of them."""

from __future__ import annotations

import collections
import random

import pytest

from fastdns.forward import policy


def make(name: str = "sequential", count: int = 3) -> policy.Policy:
    return policy.Policy(name, count=count, generator=random.Random(7))


def tries(down: set[int], *, max_attempts: int = 0, failfast: bool = False, count: int = 3) -> policy.Tries:
    return policy.Tries(make(count=count), max_attempts=max_attempts, is_down=down.__contains__, failfast=failfast)


def test_sequential_is_as_written() -> None:
    assert [make().order() for _ in range(2)] == [[0, 1, 2], [0, 1, 2]]


def test_round_robin_takes_turns() -> None:
    made = make("round_robin")
    assert [made.order() for _ in range(4)] == [[1, 0, 2], [2, 0, 1], [0, 1, 2], [1, 0, 2]]


def test_random_is_even() -> None:
    made = make("random")
    orders = collections.Counter(tuple(made.order()) for _ in range(600))
    assert len(orders) == 6
    assert all(60 < count < 140 for count in orders.values())


def test_list_starts_over() -> None:
    made = tries(set())
    assert [made.next_upstream() for _ in range(5)] == [0, 1, 2, 0, 1]


def test_those_that_are_down_are_passed_over() -> None:
    made = tries({0, 2})
    assert [made.next_upstream() for _ in range(3)] == [1, 1, 1]
    assert not made.is_broken


def test_all_down_is_one_at_random_and_no_more() -> None:
    made = tries({0, 1, 2})
    assert made.next_upstream() in {0, 1, 2}
    assert made.is_broken
    assert not made.may_go_on()


def test_all_down_with_failfast_is_none() -> None:
    assert tries({0, 1, 2}, failfast=True).next_upstream() is None


@pytest.mark.parametrize(("limit", "answers"), [(1, [False]), (3, [True, True, False]), (0, [True] * 9)])
def test_attempts_are_limited(limit: int, answers: list[bool]) -> None:
    made = tries(set(), max_attempts=limit)
    assert [made.may_go_on() for _ in answers] == answers
