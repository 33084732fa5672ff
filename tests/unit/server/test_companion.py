import os
import signal
import time

import pytest

from fastdns import errors
from fastdns.server import companion, frames
from fastdns.server.frames import Kind


def serve_until_stopped(channel: frames.Channel) -> int:
    channel.send(Kind.SERVING)
    while channel.receive() == []:
        time.sleep(0.005)
    return 0


def test_it_is_ready_when_started_and_gone_when_stopped() -> None:
    beside = companion.Companion("node", serve_until_stopped)
    beside.start()
    pid = beside.pid
    assert pid is not None
    beside.stop()
    assert beside.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    beside.stop()  # nothing more to do


def test_one_that_dies_at_its_start_is_told() -> None:
    beside = companion.Companion("node", lambda channel: 1)
    with pytest.raises(errors.ListenError, match="node did not start"):
        beside.start()
    beside.stop()


def test_one_that_hears_nothing_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    def ignore(channel: frames.Channel) -> int:
        channel.send(Kind.SERVING)
        signal.pause()
        return 0

    monkeypatch.setattr(companion, "END_TIMEOUT", 0.05)
    beside = companion.Companion("node", ignore)
    beside.start()
    beside.stop()
    assert beside.pid is None


def test_another_takes_the_place_of_one_that_died(caplog: pytest.LogCaptureFixture) -> None:
    beside = companion.Companion("node", serve_until_stopped)
    beside.start()
    first = beside.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    _, status = os.waitpid(first, 0)
    beside.note_death(status)
    assert "was killed by SIGKILL" in caplog.text
    beside.spawn()
    assert beside.pid not in (None, first)
    beside.stop()
