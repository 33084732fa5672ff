"""Names as text and as wire octets.

Text is what people write: labels with dots between them, `\\.` for a dot inside a label and `\\DDD` for any octet
(RFC 1035 section 5.1); canonical text is lower case and ends in a dot. Wire is uncompressed, root included, at most 255
octets (RFC 1035 section 3.1); canonical wire is lower case.
"""

from __future__ import annotations

import re
import string

MAX_NAME = 255
MAX_LABEL = 63

_ESCAPE = re.compile(r"\\([0-9]{3}|.)", re.DOTALL)
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_PRINTABLE = frozenset(range(0x21, 0x7F)) - frozenset(b'."();@$\\')


def canonical(text: str) -> str:
    """Give `text` in lower case with a final dot. Only ASCII letters have a case in DNS (RFC 4343)."""
    lower = text.translate(_LOWER)
    return lower if is_fully_qualified(lower) else lower + "."


def is_fully_qualified(text: str) -> bool:
    """Tell whether `text` ends in a dot that is no part of its last label."""
    if not text.endswith("."):
        return False
    before = text[:-1]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 0


def is_name(text: str) -> bool:
    """Tell whether `text` can be put on the wire, with or without its final dot."""
    try:
        to_wire(text)
    except ValueError:
        return False
    return True


def to_wire(text: str) -> bytes:
    """Encode `text`, its case kept. Raises ValueError naming what is wrong: empty label, label or name too long."""
    if not text:
        raise ValueError("a name is empty; the root is written as a dot")
    if text == ".":
        return b"\0"
    wire = bytearray()
    for label in _labels(text):
        octets = _unescape(label)
        _check_label(octets, text)
        wire.append(len(octets))
        wire += octets
    wire.append(0)
    if len(wire) > MAX_NAME:
        raise ValueError(f"{text!r} has {len(wire)} octets on the wire; a name has at most {MAX_NAME}")
    return bytes(wire)


def to_canonical_wire(text: str) -> bytes:
    """Encode `text` in lower case: the key of every table. Raises ValueError as to_wire does."""
    # bytes.lower changes ASCII letters only, and a length octet is at most 63, below any letter.
    return to_wire(text).lower()


def from_wire(wire: bytes) -> str:
    """Decode an uncompressed name that fills `wire`. Raises ValueError when it is cut short or followed by more."""
    labels: list[str] = []
    position = 0
    while position < len(wire) and wire[position]:
        length = wire[position]
        if length > MAX_LABEL:
            raise ValueError(f"octet {position}: a label of {length} octets, or a compression pointer")
        labels.append(_escape(wire[position + 1 : position + 1 + length]))
        position += 1 + length
    if position != len(wire) - 1:
        raise ValueError("the name is cut short" if position >= len(wire) else "octets follow the name")
    return ".".join(labels) + "."


def is_below(child: str, parent: str) -> bool:
    """Tell whether `child` is `parent` or a name below it; both are canonical text."""
    if parent == ".":
        return True
    return child == parent or child.endswith("." + parent)


def _labels(text: str) -> list[str]:
    """Split at dots that aren't escaped."""
    body = text[:-1] if is_fully_qualified(text) else text
    labels: list[str] = []
    start = position = 0
    while position < len(body):
        if body[position] == "\\":
            position += 2
            continue
        if body[position] == ".":
            labels.append(body[start:position])
            start = position + 1
        position += 1
    return [*labels, body[start:]]


def _unescape(label: str) -> bytes:
    if "\\" not in label:
        return label.encode(errors="surrogateescape")
    octets = bytearray()
    end = 0
    for match in _ESCAPE.finditer(label):
        octets += label[end : match.start()].encode() + _escaped_octets(match[1])
        end = match.end()
    return bytes(octets + label[end:].encode())


def _escaped_octets(escaped: str) -> bytes:
    if not escaped.isdigit() or len(escaped) != 3:
        return escaped.encode()
    if int(escaped) > 255:
        raise ValueError(f"\\{escaped} is no octet")
    return bytes([int(escaped)])


def _check_label(octets: bytes, text: str) -> None:
    if not octets:
        raise ValueError(f"{text!r} has an empty label")
    if len(octets) > MAX_LABEL:
        raise ValueError(f"{text!r} has a label of {len(octets)} octets; a label has at most {MAX_LABEL}")


def _escape(label: bytes) -> str:
    return "".join(_escape_octet(octet) for octet in label)


def _escape_octet(octet: int) -> str:
    if octet in _PRINTABLE:
        return chr(octet)
    return f"\\{chr(octet)}" if chr(octet) in '."();@$\\' else f"\\{octet:03d}"
