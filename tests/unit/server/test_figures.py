"""dnsmasq's figures: asked in sidecar's order, added up over restarts, none of them when one is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from fastdns import errors
from fastdns.dns import constants, messages
from fastdns.server import exposition, families, figures

FIRST = {"hits": b"12", "misses": b"5", "evictions": b"2", "insertions": b"7", "cachesize": b"1000"}


def text(*strings: bytes) -> messages.Reply:
    return messages.Reply(addresses=(), texts=(strings,))


class Dnsmasq:
    """Answers as the test says."""

    def __init__(self, **told: messages.Reply | errors.UpstreamError | bytes) -> None:
        self.figures: Mapping[str, messages.Reply | errors.UpstreamError | bytes] = FIRST | told
        self.asked: list[str] = []
        self.kept = figures.Figures("127.0.0.1:53", 5.0, ask=self.ask)

    async def ask(
        self, server: str, name: str, qtype: constants.Type, *, qclass: constants.Class
    ) -> tuple[messages.Reply, float]:
        assert (server, qtype, qclass) == ("127.0.0.1:53", constants.Type.TXT, constants.Class.CH)
        self.asked.append(name)
        figure = self.figures[name.removesuffix(".bind.")]
        if isinstance(figure, errors.UpstreamError):
            raise figure
        return (text(figure) if isinstance(figure, bytes) else figure), 0.001

    def poll(self, **told: bytes) -> dict[str, int]:
        self.figures = {**self.figures, **told}
        asyncio.run(self.kept.poll())
        return self.kept.counts


def test_figures_are_asked_in_order() -> None:
    dnsmasq = Dnsmasq()
    assert dnsmasq.poll() == {"hits": 12, "misses": 5, "evictions": 2, "insertions": 7, "max_size": 1000}
    assert dnsmasq.asked == ["hits.bind.", "misses.bind.", "evictions.bind.", "insertions.bind.", "cachesize.bind."]
    assert dnsmasq.kept.errors == 0


def test_a_figure_that_falls_is_a_restart() -> None:
    dnsmasq = Dnsmasq()
    assert [dnsmasq.poll(hits=hits)["hits"] for hits in (b"12", b"20", b"5", b"7")] == [12, 20, 20, 22]


def test_a_figure_below_nothing_counts_as_nothing() -> None:
    dnsmasq = Dnsmasq()
    assert [dnsmasq.poll(hits=hits)["hits"] for hits in (b"-4", b"3")] == [0, 3]


@pytest.mark.parametrize(
    ("cachesize", "message"),
    [
        (messages.Reply((), ()), "invalid number of Answer records for cachesize.bind.: 0"),
        (messages.Reply((), ((b"1",), (b"2",))), "invalid number of Answer records for cachesize.bind.: 2"),
        (messages.Reply(("1.1.1.1",), (None,)), "missing TXT record for cachesize.bind."),
        (text(), "invalid number of TXT records for cachesize.bind.: 0"),
        (text(b"1", b"2"), "invalid number of TXT records for cachesize.bind.: 2"),
        (text(b"x"), 'strconv.ParseInt: parsing "x": invalid syntax'),
        (text(b""), 'strconv.ParseInt: parsing "": invalid syntax'),
        (text(b"\xff"), 'strconv.ParseInt: parsing "\\\\xff": invalid syntax'),
        (errors.UpstreamError("i/o timeout"), "i/o timeout"),
    ],
)
def test_one_bad_figure_is_an_error_and_nothing_counts(
    cachesize: messages.Reply | errors.UpstreamError, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    dnsmasq = Dnsmasq(cachesize=cachesize)
    assert set(dnsmasq.poll().values()) == {0}
    assert dnsmasq.kept.errors == 1
    assert caplog.messages == [f"Error getting metrics from dnsmasq: {message}"]


def test_it_is_asked_every_interval() -> None:
    dnsmasq = Dnsmasq()
    slept = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            raise asyncio.CancelledError

    kept = figures.Figures("127.0.0.1:53", 5.0, ask=dnsmasq.ask, sleep=sleep)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(kept.run())
    assert slept == [5.0, 5.0]
    assert len(dnsmasq.asked) == 10


@pytest.mark.parametrize("namespace", ["kubedns_", ""])
def test_metrics_are_counters_under_their_real_names(namespace: str) -> None:
    dnsmasq = Dnsmasq()
    dnsmasq.poll()
    totals = families.Totals()
    totals.add_foreign([*dnsmasq.kept.tell(namespace)])
    page = exposition.render(totals).decode()
    for name, value in (
        ("hits", 12),
        ("misses", 5),
        ("evictions", 2),
        ("insertions", 7),
        ("max_size", 1000),
        ("errors", 0),
    ):
        assert f"# TYPE {namespace}dnsmasq_{name} counter\n{namespace}dnsmasq_{name} {value}.0\n" in page
    assert f"# HELP {namespace}dnsmasq_max_size Maximum size of the DNS cache\n" in page
    assert "_total" not in page
