import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastdns.dns import names

LABELS = st.lists(st.binary(min_size=1, max_size=20), max_size=10)


def wire_of(labels: list[bytes]) -> bytes:
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        (".", b"\0"),
        ("a", b"\x01a\0"),
        ("a.", b"\x01a\0"),
        ("Example.ORG", b"\x07Example\x03ORG\0"),
        (r"a\.b.c", b"\x03a.b\x01c\0"),
        (r"a\\.b", b"\x02a\\\x01b\0"),
        (r"a\.", b"\x02a.\0"),
        (r"\000\255", b"\x02\x00\xff\0"),
        (r"\@\;", b"\x02@;\0"),
        ("é", b"\x02\xc3\xa9\0"),
        ("_sip._udp.*", b"\x04_sip\x04_udp\x01*\0"),
        ("a" * 63, b"\x3f" + b"a" * 63 + b"\0"),
    ],
)
def test_to_wire(text: str, wire: bytes) -> None:
    assert names.to_wire(text) == wire


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a name is empty"),
        ("..", "has an empty label"),
        (".a", "has an empty label"),
        ("a..b", "has an empty label"),
        ("a" * 64, "has a label of 64 octets"),
        (".".join(["a" * 63] * 4), "has 257 octets on the wire"),
        (r"\256", r"\\256 is no octet"),
    ],
)
def test_to_wire_refuses(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        names.to_wire(text)
    assert not names.is_name(text)


def test_longest_name() -> None:
    text = ".".join(["a" * 63] * 3 + ["a" * 61])
    assert len(names.to_wire(text)) == names.MAX_NAME


@given(LABELS)
def test_wire_comes_back(labels: list[bytes]) -> None:
    wire = wire_of(labels)
    assert names.to_wire(names.from_wire(wire)) == wire


@given(LABELS)
def test_canonical_wire_is_that_of_canonical_text(labels: list[bytes]) -> None:
    text = names.from_wire(wire_of(labels))
    assert names.to_canonical_wire(text) == names.to_wire(names.canonical(text)) == wire_of(labels).lower()


@pytest.mark.parametrize(
    ("wire", "text"),
    [(b"\0", "."), (b"\x01a\0", "a."), (b"\x03a.b\x01 \0", r"a\.b.\032."), (b"\x02\xc3\xa9\0", r"\195\169.")],
)
def test_from_wire(wire: bytes, text: str) -> None:
    assert names.from_wire(wire) == text


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        (b"", "cut short"),
        (b"\x01a", "cut short"),
        (b"\x05a\0", "cut short"),
        (b"\x01a\0b", "octets follow"),
        (b"\xc0\x00", "compression pointer"),
    ],
)
def test_from_wire_refuses(wire: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        names.from_wire(wire)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("A", "a."), ("a.", "a."), (".", "."), (r"a\.", r"a\.."), (r"a\\.", r"a\\."), ("É", "É.")],
)
def test_canonical(text: str, expected: str) -> None:
    assert names.canonical(text) == expected


@pytest.mark.parametrize(
    ("child", "parent", "expected"),
    [
        ("a.b.", "b.", True),
        ("b.", "b.", True),
        ("b.", ".", True),
        (".", ".", True),
        ("ab.", "b.", False),
        ("b.", "a.b.", False),
        (".", "b.", False),
    ],
)
def test_is_below(child: str, parent: str, expected: bool) -> None:
    assert names.is_below(child, parent) is expected
