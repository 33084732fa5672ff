import pytest

from fastdns.config import selectors

LABELS = {"app": "web", "example.org/tier": "front"}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("", True),
        ("app=web", True),
        ("app == web", True),
        ("app=db", False),
        ("app!=db", True),
        ("other!=db", True),
        ("app", True),
        ("!app", False),
        ("!other", True),
        ("app in (web, db)", True),
        ("app notin (web, db)", False),
        ("other notin (web)", True),
        ("app in (web),example.org/tier=front", True),
        ("app=web,other", False),
        ("app=", False),
    ],
)
def test_matches(selector: str, expected: bool) -> None:
    assert selectors.matches(selector, LABELS) is expected


@pytest.mark.parametrize(
    "selector", [",", "a,", "a=b=c", "a in b", "a in (b", "=a", "a b", "-a", "a=-b", "a=" + "b" * 64]
)
def test_parse_refuses(selector: str) -> None:
    with pytest.raises(ValueError, match="couldn't parse the selector string"):
        selectors.parse(selector)
