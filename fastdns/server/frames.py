"""What passes between our processes: frames over a stream, messages with descriptors over a channel.

    frame    u32 length of what follows    u8 kind    u16 table    payload

Integers in network order. Control sends records to workers as a stream of frames (encode_frame, FrameReader). The
supervisor and each of its children share a Channel: one frame is one packet, and descriptors can go with it.
"""

from __future__ import annotations

import array
import dataclasses
import enum
import os
import socket
import struct
from collections.abc import Iterator

from fastdns import errors

HEADER = struct.Struct(">IBH")
LENGTH = struct.Struct(">I")
KIND_SIZE = HEADER.size - LENGTH.size
FRAME_MAX = 64 * 1024 * 1024  # a single name's records are far smaller; more is a broken stream
PACKET_MAX = 64 * 1024
FDS_MAX = 4


class Kind(enum.IntEnum):
    """What a frame says. `table` matters to the first three only."""

    # control -> worker, over the stream
    BEGIN_SNAPSHOT = 1
    DELTA = 2  # operations of fastdns/_names.pxd
    END_SNAPSHOT = 3
    CAUGHT_UP = 4  # every table's snapshot has been sent

    # supervisor -> worker
    RECORDS = 16  # one descriptor: the stream on which control sends records
    SERVE = 18  # read the sockets: nobody else does any more
    INHERIT = 19  # one descriptor: a file with what a retiring worker had cached
    REREAD = 20  # forget what is cached, and read files of names again
    REOPEN = 22  # one descriptor: the file that the log goes to from now on; to control too
    DRAIN = 17  # stop reading, finish, leave; payload "wait": first read until the sockets stay empty; "bequeath": see BEQUEATH

    # worker -> supervisor; FATAL of control too
    SERVING = 24
    PREPARED = 26  # it could serve, and waits for SERVE
    FATAL = 25  # payload: what to log before the whole server ends
    BEQUEATH = 27  # one descriptor: a file with what it has cached, for the worker that follows

    # supervisor -> control
    WORKER = 32  # one descriptor: the stream to a worker; payload: u32 generation, u32 index, u8 whether it is new
    RELOAD = 33  # payload "if changed": only then
    ADOPTED = 34  # payload: u32 generation, which serves from now on
    REJECTED = 35  # payload: u32 generation, then why
    STOP = 36
    REPORT = 37  # asks for a METRICS message
    SHOW_TREE = 38  # asks for a TREE message

    # control -> supervisor
    CONFIG = 48  # one descriptor: a file with a pickled Config; payload: u32 generation
    RELOAD_FAILED = 49
    STATUS = 50  # payload: names of plugins that are not ready, comma between
    METRICS = 51  # one descriptor: a file with metric families as JSON
    ALIVE = 52
    TREE = 54  # one descriptor: a file with kube-dns's tree as JSON
    RECONNECT = 53  # payload: u32 generation, u32 index of a worker whose stream has broken


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    kind: Kind
    table: int = 0
    payload: bytes = b""
    fds: tuple[int, ...] = ()


def encode_frame(kind: Kind, payload: bytes = b"", *, table: int = 0) -> bytes:
    return HEADER.pack(KIND_SIZE + len(payload), kind, table) + payload


class FrameReader:
    """Cuts a stream into frames: feed() it octets as they come, and take what is whole."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, octets: bytes) -> None:
        self._held += octets

    def frames(self) -> Iterator[Message]:
        """Whole frames, in order; the next call goes on where this one was left. Raises FrameError when what came can't be
        frames."""
        start = 0
        try:
            while (size := self._whole_at(start)) is not None:
                message = self._decode(start, size)
                start += LENGTH.size + size
                yield message
        finally:
            del self._held[:start]

    @property
    def is_empty(self) -> bool:
        return not self._held

    def _whole_at(self, start: int) -> int | None:
        """The length of the frame at `start`, if all of it is here."""
        if len(self._held) - start < LENGTH.size:
            return None
        (size,) = LENGTH.unpack_from(self._held, start)
        if not KIND_SIZE <= size <= FRAME_MAX:
            raise errors.FrameError(f"a frame of {size} octets")
        return size if len(self._held) - start >= LENGTH.size + size else None

    def _decode(self, start: int, size: int) -> Message:
        _, number, table = HEADER.unpack_from(self._held, start)
        payload = bytes(memoryview(self._held)[start + HEADER.size : start + LENGTH.size + size])
        return Message(kind_of(number), table, payload)


def kind_of(number: int) -> Kind:
    try:
        return Kind(number)
    except ValueError:
        raise errors.FrameError(f"unknown kind of frame {number}") from None


class Channel:
    """One end of a pair between the supervisor and a child. Never blocks; descriptors that come are the receiver's."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._socket = end

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def send(self, kind: Kind, payload: bytes = b"", *, fds: tuple[int, ...] = ()) -> bool:
        """False: the other end is gone, or so far behind that nothing more fits."""
        packet = encode_frame(kind, payload)
        try:
            if fds:
                socket.send_fds(self._socket, [packet], fds)
            else:
                self._socket.send(packet)
        except OSError:
            return False
        return True

    def receive(self) -> list[Message] | None:
        """What has come; None when the other end is gone."""
        messages: list[Message] = []
        while True:
            try:
                packet, fds, flags = receive_packet(self._socket)
            except BlockingIOError:
                return messages
            except OSError:
                return messages or None
            if not packet:
                return messages or None
            if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                close_all(fds)
                raise errors.FrameError("a message that does not fit")
            messages.append(decode_packet(packet, fds))


def receive_packet(end: socket.socket) -> tuple[bytes, tuple[int, ...], int]:
    """As socket.recv_fds, with descriptors that a child does not leak when it forks or executes."""
    packet, ancillary, flags, _ = end.recvmsg(
        PACKET_MAX, socket.CMSG_SPACE(FDS_MAX * array.array("i").itemsize), socket.MSG_CMSG_CLOEXEC
    )
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return packet, tuple(fds), flags


def decode_packet(packet: bytes, fds: tuple[int, ...]) -> Message:
    reader = FrameReader()
    reader.feed(packet)
    for message in reader.frames():
        return dataclasses.replace(message, fds=fds)
    close_all(fds)
    raise errors.FrameError("a cut message")


def close_all(fds: tuple[int, ...]) -> None:
    for fd in fds:
        os.close(fd)


def open_pair() -> tuple[Channel, Channel]:
    """A channel's two ends."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Channel(one), Channel(other)


def share_octets(octets: bytes) -> int:
    """A descriptor of a file in memory that holds `octets`: for what may be larger than a message."""
    fd = os.memfd_create("fastdns")
    with open(fd, "wb", closefd=False) as file:
        file.write(octets)
    return fd


def take_octets(fd: int) -> bytes:
    """What share_octets put there; the descriptor is closed."""
    with open(fd, "rb") as file:
        file.seek(0)
        return file.read()
