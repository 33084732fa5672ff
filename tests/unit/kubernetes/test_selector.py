"""Label selectors as Kubernetes reads them."""

from __future__ import annotations

import pytest

from fastdns import errors
from fastdns.kubernetes import selector

LABELS = {"app": "web", "tier": "front", "example.com/x": "", "n": "1"}


@pytest.mark.parametrize(
    "text",
    [
        "", "app", "app=web", "app==web", "app = web", "app!=db", "other!=x", "!other", "! other", "app in (web, db)",
        "app in (web)", "app notin (db)", "other notin (a,b)", "app=web,tier=front", "app=web, tier in (front,back),!z",
        "example.com/x=", "example.com/x", "n=1",
    ],
)  # fmt: skip
def test_matches(text: str) -> None:
    assert selector.parse(text)(LABELS)


@pytest.mark.parametrize(
    "text",
    ["other", "app=db", "app!=web", "!app", "app in (db,x)", "app notin (web)", "app=web,tier=back", "other in (a)"],
)
def test_does_not_match(text: str) -> None:
    assert not selector.parse(text)(LABELS)


@pytest.mark.parametrize(
    "text", ["=", "a=b=c", "a,,b", "a,", "a in b", "a in (b", "a b", "-a", "a=b c", "!", ",", "a=!"]
)
def test_is_no_selector(text: str) -> None:
    with pytest.raises(errors.ManifestError, match="label selector"):
        selector.parse(text)
