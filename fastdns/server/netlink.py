"""Requests to the kernel over netlink (netlink(7)): made, sent, and their acknowledgements read.

    message      u32 length    u16 kind    u16 flags    u32 sequence    u32 port    body, padded to 4
    attribute    u16 length    u16 kind    value, padded to 4

Integers of these headers are in the machine's order. An image without `ip` and `nft` is why they are not run instead.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Self

NETFILTER = 12  # protocol; socket.NETLINK_ROUTE is the other one
HEADER = struct.Struct("=IHHII")
ATTRIBUTE = struct.Struct("=HH")
NESTED = 0x8000
TIMEOUT = 5.0
DATAGRAM_MAX = 65536

ERROR, DONE = 2, 3  # kinds that every protocol has
REQUEST, MULTI, ACK = 0x1, 0x2, 0x4
EXCL, CREATE, APPEND = 0x200, 0x400, 0x800
DUMP = 0x300
_WITH_ATTRIBUTES = 0x200  # of an error
_SOL_NETLINK, _CAP_ACK, _EXT_ACK = 270, 10, 11
_ERROR_TEXT = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    kind: int
    body: bytes
    flags: int = 0


class Connection:
    """A netlink socket. What is bound to its life in the kernel ends when it is closed."""

    def __init__(self, protocol: int) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.bind((0, 0))
        self._socket.settimeout(TIMEOUT)
        for option in (_CAP_ACK, _EXT_ACK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def request(self, message: Message) -> list[Message]:
        """What the kernel answers before it acknowledges. Raises OSError with its reason."""
        is_dump = message.flags & DUMP == DUMP
        flags = message.flags if is_dump else message.flags | ACK
        return self._exchange([dataclasses.replace(message, flags=flags)])

    def send_batch(self, messages: Sequence[Message]) -> None:
        """Have all messages that ask for an acknowledgement acknowledged. Raises OSError for the first that is refused."""
        self._exchange(messages)

    def _exchange(self, messages: Sequence[Message]) -> list[Message]:
        packet, awaited, first = bytearray(), set[int](), self._sequence + 1
        for message in messages:
            self._sequence += 1
            packet += encode(message, self._sequence)
            if message.flags & (ACK | DUMP):
                awaited.add(self._sequence)
        self._socket.send(packet)
        replies: list[Message] = []
        refused: OSError | None = None
        while awaited and refused is None:
            for sequence, reply in decode(self._socket.recv(DATAGRAM_MAX)):
                if sequence < first:
                    continue  # of a request that was given up
                if reply.kind == ERROR:
                    refused = refused or read_error(reply)
                if reply.kind in (ERROR, DONE):
                    awaited.discard(sequence)
                else:
                    replies.append(reply)
        if refused is not None:
            raise refused
        return replies


def encode(message: Message, sequence: int) -> bytes:
    length = HEADER.size + len(message.body)
    return pad(HEADER.pack(length, message.kind, message.flags | REQUEST, sequence, 0) + message.body)


def decode(datagram: bytes) -> Iterator[tuple[int, Message]]:
    """Messages with their sequence numbers; what is cut off is left out."""
    position = 0
    while position + HEADER.size <= len(datagram):
        length, kind, flags, sequence, _ = HEADER.unpack_from(datagram, position)
        if not HEADER.size <= length <= len(datagram) - position:
            return
        yield sequence, Message(kind, datagram[position + HEADER.size : position + length], flags)
        position += align(length)


def read_error(message: Message) -> OSError | None:
    """None is an acknowledgement. The kernel's own words follow the system's, where it has any."""
    (number,) = struct.unpack_from("=i", message.body)
    if number == 0:
        return None
    reason = os.strerror(-number)
    if message.flags & _WITH_ATTRIBUTES:  # behind the request's header, which is repeated
        words = attributes(message.body[4 + HEADER.size :]).get(_ERROR_TEXT, b"").rstrip(b"\0")
        reason += f": {words.decode('utf-8', 'replace')}" if words else ""
    return OSError(-number, reason)


def attribute(kind: int, value: bytes) -> bytes:
    return pad(ATTRIBUTE.pack(ATTRIBUTE.size + len(value), kind) + value)


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def nest(kind: int, *values: bytes) -> bytes:
    return attribute(kind | NESTED, b"".join(values))


def attributes(octets: bytes) -> dict[int, bytes]:
    """Values by kind; of a kind that comes several times, the last."""
    found: dict[int, bytes] = {}
    position = 0
    while position + ATTRIBUTE.size <= len(octets):
        length, kind = ATTRIBUTE.unpack_from(octets, position)
        if length < ATTRIBUTE.size:
            break
        found[kind & ~NESTED] = octets[position + ATTRIBUTE.size : position + length]
        position += align(length)
    return found


def align(length: int) -> int:
    return (length + 3) & ~3


def pad(octets: bytes) -> bytes:
    return octets + bytes(align(len(octets)) - len(octets))


def is_absent(error: OSError) -> bool:
    """True for what the kernel says of a thing that is not there."""
    return error.errno in (errno.ENODEV, errno.ENOENT)
