import logging
from collections.abc import Callable

import pytest

from fastdns.config import model
from fastdns.server import failures


class Clock:
    def __init__(self) -> None:
        self.waiting: list[tuple[float, Callable[[], None]]] = []

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        self.waiting.append((seconds, action))

    def pass_all(self) -> None:
        for _, action in self.waiting:
            action()
        self.waiting = []


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [(record.levelno, record.getMessage()) for record in caplog.records]


def test_failure_is_told_as_coredns_tells_it(caplog: pytest.LogCaptureFixture) -> None:
    failures.FailureLog(model.Errors(), Clock().later).tell(2, "example.org.", "A", "i/o timeout")
    assert lines(caplog) == [(logging.ERROR, "2 example.org. A: i/o timeout")]


def test_failures_of_a_kind_are_consolidated(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    clock = Clock()
    rule = model.Consolidate(90, ".* i/o timeout$", "warning")
    log = failures.FailureLog(model.Errors(consolidate=(rule,)), clock.later)
    for _ in range(3):
        log.tell(2, "a.", "A", "read udp: i/o timeout")
    log.tell(2, "b.", "A", "another")
    assert [seconds for seconds, _ in clock.waiting] == [90]
    clock.pass_all()
    assert lines(caplog) == [
        (logging.ERROR, "2 b. A: another"),
        (logging.WARNING, "3 errors like '.* i/o timeout$' occurred in last 1m30s"),
    ]


def test_first_can_be_shown(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    log = failures.FailureLog(model.Errors(consolidate=(model.Consolidate(1, "x", show_first=True),)), clock.later)
    log.tell(2, "a.", "A", "x")
    clock.pass_all()
    assert lines(caplog) == [(logging.ERROR, "2 a. A: x")]
    log.tell(2, "a.", "A", "x")
    log.tell(2, "a.", "A", "x")
    clock.pass_all()
    assert lines(caplog)[2:] == [(logging.ERROR, "2 errors like 'x' occurred in last 1s")]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.5, "500ms"), (30, "30s"), (60, "1m0s"), (3600, "1h0m0s"), (90, "1m30s")]
)
def test_durations_are_spelt_as_go_spells_them(seconds: float, text: str) -> None:
    assert failures.format_duration(seconds) == text
