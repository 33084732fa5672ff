"""Patterns of Go's, as Python's."""

import pytest

from fastdns.config import goregexp


@pytest.mark.parametrize(
    ("pattern", "text", "groups"),
    [
        (r"^(?P<a>x)(?<b>y)\z", "xy", {"a": "x", "b": "y"}),
        (r"[[:alpha:]]+(?P<digits>[[:digit:]]{2,})", "ab123", {"digits": "123"}),
        (r"\Qa.b\E(?P<rest>.)", "a.bc", {"rest": "c"}),
        (r"(?i)(?P<a>ABC)", "xabc", {"a": "abc"}),
        (r"(?:a|b)(?P<c>\x63)", "bc", {"c": "c"}),
    ],
)
def test_matches(pattern: str, text: str, groups: dict[str, str]) -> None:
    found = goregexp.compile(pattern).search(text)
    assert found is not None
    assert found.groupdict() == groups


def test_quoted_dot_is_a_dot() -> None:
    assert goregexp.compile(r"^\Qa.b\E$").search("axb") is None


@pytest.mark.parametrize(
    "pattern", ["(", "(?=a)", "(?<=a)", "(?!a)", r"(a)\1", r"\pL", "[[:foo:]]", "(?U)a", "a**", "(?(1)a|b)"]
)
def test_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        goregexp.compile(pattern)
