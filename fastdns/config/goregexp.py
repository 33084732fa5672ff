"""Regular expressions as Go writes them (RE2's syntax), for Python's `re`.

What the two write differently is translated. RE2 has nothing that Python lacks but Unicode classes and the flag U, which
are refused. Look-arounds and back references, which Go has not, are refused too: no pattern works here that CoreDNS
would not take.
"""

from __future__ import annotations

import functools
import re

MAX_PATTERN = 10_000  # CoreDNS's limit

_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7F",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1F\x7F",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_PART = re.compile(
    r"\\Q(?P<quoted>.*?)(?:\\E|$)|\\(?P<escaped>.)|\[:(?P<class>\w+):\]|\(\?<(?P<group>[A-Za-z_]\w*)>|\(\?(?P<other>[^:)P]?)",
    re.DOTALL,
)
_FLAGS = frozenset("ims-")


@functools.lru_cache(maxsize=1024)
def compile(pattern: str) -> re.Pattern[str]:
    """Compile a pattern of Go's. Raises ValueError with a reason."""
    try:
        return re.compile(_PART.sub(_translate, pattern), re.ASCII)
    except re.error as error:
        raise ValueError(error.msg) from None


def _translate(match: re.Match[str]) -> str:
    if match["quoted"] is not None:
        return re.escape(match["quoted"])
    if match["escaped"] is not None:
        return _translate_escape(match["escaped"])
    if match["class"] is not None:
        if match["class"] not in _CLASSES:
            raise ValueError(f"invalid character class range: `{match[0]}`")
        return _CLASSES[match["class"]]
    if match["group"] is not None:
        return f"(?P<{match['group']}>"
    if match["other"] and match["other"] not in _FLAGS:
        raise ValueError(f"invalid or unsupported Perl syntax: `{match[0]}`")
    return match[0]


def _translate_escape(escaped: str) -> str:
    if escaped == "z":
        return r"\Z"
    if escaped in "pPCZ" or (escaped.isdigit() and escaped != "0"):
        raise ValueError(f"invalid escape sequence: `\\{escaped}`")
    return "\\" + escaped
