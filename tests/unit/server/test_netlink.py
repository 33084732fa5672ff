import errno
import os
import socket
import struct

import pytest

from fastdns.server import netlink


def test_message_is_encoded_and_decoded() -> None:
    octets = netlink.encode(netlink.Message(16, b"abcde", netlink.ACK), 7)
    assert octets == struct.pack("=IHHII", 21, 16, netlink.REQUEST | netlink.ACK, 7, 0) + b"abcde\0\0\0"
    assert list(netlink.decode(octets * 2)) == [(7, netlink.Message(16, b"abcde", netlink.REQUEST | netlink.ACK))] * 2


@pytest.mark.parametrize("length", [0, 8, 15, 100])
def test_message_with_a_wrong_length_ends_the_datagram(length: int) -> None:
    whole = netlink.encode(netlink.Message(16, b""), 1)
    broken = struct.pack("=I", length) + whole[4:]
    assert [sequence for sequence, _ in netlink.decode(whole + broken + whole)] == [1]


def test_attributes_are_padded_and_nested() -> None:
    inner = netlink.text(1, "dummy")
    assert inner == struct.pack("=HH", 10, 1) + b"dummy\0" + b"\0\0"
    nested = netlink.nest(18, inner, netlink.attribute(2, b"\1"))
    assert netlink.attributes(nested) == {18: nested[4:]}
    assert netlink.attributes(nested[4:]) == {1: b"dummy\0", 2: b"\1"}


def test_cut_attribute_is_left_out() -> None:
    assert netlink.attributes(struct.pack("=HH", 3, 1)) == {}
    assert netlink.attributes(b"\5\0\1") == {}


def test_error_has_the_kernels_words() -> None:
    request = struct.pack("=IHHII", 16, 16, 5, 1, 0)
    words = netlink.text(1, "Unknown device type")
    message = netlink.Message(netlink.ERROR, struct.pack("=i", -errno.EOPNOTSUPP) + request + words, 0x300)
    error = netlink.read_error(message)
    assert error is not None
    assert error.errno == errno.EOPNOTSUPP
    assert error.strerror == f"{os.strerror(errno.EOPNOTSUPP)}: Unknown device type"


def test_acknowledgement_is_no_error() -> None:
    assert netlink.read_error(netlink.Message(netlink.ERROR, struct.pack("=i", 0))) is None


def test_kernel_answers_and_refuses() -> None:
    """Asking for a link needs no rights."""
    body = struct.pack("=BxHiII", 0, 0, 0, 0, 0)
    with netlink.Connection(socket.NETLINK_ROUTE) as route:
        (answer,) = route.request(netlink.Message(18, body + netlink.text(3, "lo")))
        assert struct.unpack_from("=BxHiII", answer.body)[2] == socket.if_nametoindex("lo")
        with pytest.raises(OSError) as caught:
            route.request(netlink.Message(18, body + netlink.text(3, "nosuchlink")))
        assert netlink.is_absent(caught.value)
        names = [netlink.attributes(one.body[16:])[3] for one in route.request(netlink.Message(18, body, netlink.DUMP))]
        assert b"lo\0" in names
