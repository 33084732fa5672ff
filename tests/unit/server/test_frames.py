import os

import pytest

from fastdns import errors
from fastdns.server import frames
from fastdns.server.frames import Kind, Message
from tests.peers.process import wait_until


def read_in_pieces(stream: bytes, size: int) -> list[Message]:
    reader = frames.FrameReader()
    messages = []
    for start in range(0, len(stream), size):
        reader.feed(stream[start : start + size])
        messages += reader.frames()
    assert reader.is_empty
    return messages


@pytest.mark.parametrize("size", [1, 2, 7, 8, 1000])
def test_frames_survive_any_cut(size: int) -> None:
    stream = (
        frames.encode_frame(Kind.BEGIN_SNAPSHOT, table=3)
        + frames.encode_frame(Kind.DELTA, b"x" * 300, table=65535)
        + frames.encode_frame(Kind.CAUGHT_UP)
    )
    assert read_in_pieces(stream, size) == [
        Message(Kind.BEGIN_SNAPSHOT, 3),
        Message(Kind.DELTA, 65535, b"x" * 300),
        Message(Kind.CAUGHT_UP),
    ]


def test_frames_go_on_where_they_were_left() -> None:
    """A worker applies some, answers queries, and applies the others."""
    reader = frames.FrameReader()
    reader.feed(b"".join(frames.encode_frame(Kind.DELTA, bytes([number])) for number in range(3)))
    for message in reader.frames():
        assert message.payload == b"\0"
        break
    reader.feed(frames.encode_frame(Kind.DELTA, b"\3"))
    assert [message.payload for message in reader.frames()] == [b"\1", b"\2", b"\3"]
    assert reader.is_empty


@pytest.mark.parametrize(
    "stream",
    [
        b"\x00\x00\x00\x02xx",  # shorter than a kind and a table
        b"\xff\xff\xff\xff\x02\x00\x00",  # longer than any frame
        b"\x00\x00\x00\x03\xee\x00\x00",  # no such kind
    ],
)
def test_what_is_no_frame_is_refused(stream: bytes) -> None:
    reader = frames.FrameReader()
    reader.feed(stream)
    with pytest.raises(errors.FrameError):
        list(reader.frames())


def test_channel_brings_messages_in_order() -> None:
    here, there = frames.open_pair()
    assert here.send(Kind.RELOAD)
    assert here.send(Kind.REJECTED, b"why")
    assert there.receive() == [Message(Kind.RELOAD), Message(Kind.REJECTED, payload=b"why")]
    assert there.receive() == []
    here.close()
    wait_until(lambda: there.receive() is None, what="the end of the channel")
    there.close()


def test_channel_passes_descriptors() -> None:
    here, there = frames.open_pair()
    fd = frames.share_octets(b"a configuration" * 100_000)
    assert here.send(Kind.CONFIG, fds=(fd,))
    os.close(fd)
    (message,) = there.receive() or []
    assert frames.take_octets(message.fds[0]) == b"a configuration" * 100_000
    here.close()
    there.close()


def test_send_to_a_full_or_closed_channel_says_so() -> None:
    here, there = frames.open_pair()
    sent = 0
    while here.send(Kind.STATUS, b"x" * 1000):
        sent += 1
    assert sent > 10
    there.close()
    assert not here.send(Kind.STATUS)
    here.close()
