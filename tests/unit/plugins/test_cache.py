import dataclasses

import pytest

from fastdns.config import model

DEFAULT = model.Cache((".",))


def changed(**changes: object) -> model.Cache:
    return dataclasses.replace(DEFAULT, **changes)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("cache", DEFAULT),
        ("cache 30", changed(success=model.CacheSide(9984, 30), denial=model.CacheSide(9984, 30))),
        ("cache example.org", changed(zones=("example.org.",))),
        (
            "cache +10 10.0.0.0/8",
            changed(zones=("10.in-addr.arpa.",), success=model.CacheSide(9984, 10), denial=model.CacheSide(9984, 10)),
        ),
        ("cache 10d", changed(zones=("10d.",))),
    ],
)
def test_first_line(read, line: str, expected: model.Cache) -> None:
    assert read(line) == (expected,)


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("success 2000", changed(success=model.CacheSide(2000, 3600))),
        ("success 100 60", changed(success=model.CacheSide(1024, 60))),
        ("success -1 60 0", changed(success=model.CacheSide(1024, 60, 0))),
        ("denial 2000 60 10", changed(denial=model.CacheSide(2000, 60, 10))),
        ("prefetch 0", DEFAULT),
        ("prefetch 10", changed(prefetch=model.Prefetch(10, 60.0, 10))),
        ("prefetch 10 2m 20%", changed(prefetch=model.Prefetch(10, 120.0, 20))),
        ("serve_stale", changed(serve_stale=model.ServeStale())),
        ("serve_stale 2h VERIFY", changed(serve_stale=model.ServeStale(7200.0, "verify"))),
        ("serve_stale 2h verify 1s 30s 5s", changed(serve_stale=model.ServeStale(7200.0, "verify", 1.0, 30, 5.0))),
        ("serve_stale 2h immediate 30s 5s", changed(serve_stale=model.ServeStale(7200.0, "immediate", 0.0, 30, 5.0))),
        (
            "serve_stale_policy prefer_positive\nserve_stale",
            changed(serve_stale=model.ServeStale(prefer_positive=True)),
        ),
        ("servfail 0", changed(servfail=0.0)),
        ("servfail 5m", changed(servfail=300.0)),
        ("disable success", changed(disable_success=(".",))),
        ("disable denial A.example b.example.", changed(disable_denial=("a.example.", "b.example."))),
        ("keepttl", changed(keepttl=True)),
    ],
)
def test_option(read, option: str, expected: model.Cache) -> None:
    assert read(f"cache {{\n{option}\n}}") == (expected,)


def test_option_goes_before_first_line(read) -> None:
    (cache,) = read("cache 30 {\n success 2000 60\n}")
    assert (cache.success, cache.denial) == (model.CacheSide(2000, 60), model.CacheSide(9984, 30))
