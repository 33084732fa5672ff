import os
import pathlib
import signal
import time

import pytest

from fastdns.server import children, frames, generation
from fastdns.server.frames import Kind


def wait_for(child: children.Child) -> int:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child.pid, os.WNOHANG)
        if pid:
            return status
        time.sleep(0.01)
    raise AssertionError("the child did not end")


def receive(channel: frames.Channel) -> list[frames.Message]:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        messages = channel.receive()
        if messages is None or messages:
            return messages or []
        time.sleep(0.01)
    raise AssertionError("nothing came")


def test_child_has_its_channel_its_descriptors_and_no_other(tmp_path: pathlib.Path) -> None:
    kept, other = os.open(tmp_path, os.O_RDONLY), os.open(tmp_path, os.O_RDONLY)

    def tell(channel: frames.Channel) -> int:
        held = {int(name) for name in os.listdir("/proc/self/fd")}
        has_other = other in held and other != min(held - {0, 1, 2, kept, channel.fileno()}, default=-1)
        channel.send(Kind.STATUS, f"{kept in held} {has_other} {len(held)}".encode())
        return 7

    child = children.spawn("worker-0", tell, [kept])
    status = wait_for(child)
    (message,) = receive(child.channel)
    assert message.payload == b"True False 6"  # standard ones, kept, the channel, the listing's own
    assert os.waitstatus_to_exitcode(status) == 7
    assert children.describe_end(status) == "left with status 7"
    assert child.channel.receive() is None
    for fd in (kept, other):
        os.close(fd)
    child.channel.close()


def test_child_is_named_and_deaf_to_signals_of_the_group() -> None:
    def wait(channel: frames.Channel) -> int:
        channel.send(Kind.SERVING)
        while channel.receive() == []:
            time.sleep(0.01)
        return 0

    child = children.spawn("control", wait)
    receive(child.channel)
    assert pathlib.Path(f"/proc/{child.pid}/comm").read_text() == "fastdns-control\n"
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        os.kill(child.pid, number)
    time.sleep(0.05)
    assert child.channel.receive() == []
    child.kill()
    assert children.describe_end(wait_for(child)) == "was killed by SIGKILL"
    child.channel.close()


def test_child_that_raises_leaves_with_1(capfd: pytest.CaptureFixture[str]) -> None:
    def fail(channel: frames.Channel) -> int:
        raise ValueError("on purpose")

    child = children.spawn("worker-1", fail)
    assert os.waitstatus_to_exitcode(wait_for(child)) == 1
    child.channel.close()


def make_child() -> children.Child:
    here, there = frames.open_pair()
    there.close()
    return children.Child("worker-0", 0, here, started=100.0)


def test_worker_that_keeps_dying_is_waited_for_longer() -> None:
    delays = []
    seat = generation.Seat(0)
    for _ in range(9):
        seat.child = make_child()
        delays.append(generation.note_death(seat, 101.0))
    assert delays == [0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 5.0, 5.0, 5.0]
    seat.child = make_child()
    assert generation.note_death(seat, 200.0) == 0.0
