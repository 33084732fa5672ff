"""What a probe of sidecar tells after good and bad replies, and when it asks again."""

from __future__ import annotations

import asyncio
import json

import pytest

from fastdns import errors
from fastdns.config import sidecar
from fastdns.dns import constants, messages
from fastdns.server import exposition, families, probes

GOOD = messages.Reply(addresses=("192.0.2.1",), texts=(None,))
EMPTY = messages.Reply(addresses=(), texts=())
REFUSED = errors.UpstreamError("read udp 127.0.0.1:9->127.0.0.1:53: read: connection refused")
OPTIONS = sidecar.Probe("p", "127.0.0.1:53", "x.example.com.", 10.0, constants.Type.SRV)


class Ended(Exception):
    """The script of a test is at its end."""


class Script:
    """Answers in order, and the waits between them, without any time."""

    def __init__(self, *outcomes: tuple[messages.Reply, float] | errors.UpstreamError) -> None:
        self.outcomes = list(outcomes)
        self.asked: list[tuple[str, str, constants.Type]] = []
        self.slept: list[float] = []

    async def ask(self, server: str, name: str, qtype: constants.Type) -> tuple[messages.Reply, float]:
        self.asked.append((server, name, qtype))
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, errors.UpstreamError):
            raise outcome
        return outcome

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if not self.outcomes:
            raise Ended

    def run(self) -> probes.Probe:
        probe = probes.Probe(OPTIONS, ask=self.ask, sleep=self.sleep, random_number=lambda: 0.25)

        async def main() -> None:
            with pytest.raises(Ended):
                await probe.run()

        asyncio.run(main())
        return probe


def state(probe: probes.Probe) -> tuple[int, object]:
    answer = asyncio.run(probe.page())
    assert answer.content_type == "application/json"
    return answer.status, json.loads(answer.body)


def test_before_the_first_probe() -> None:
    assert state(probes.Probe(OPTIONS)) == (
        503, {"IsOk": False, "LatencySeconds": 0, "Err": "waiting for first probe"})  # fmt: skip


def test_a_good_reply() -> None:
    script = Script((GOOD, 0.0015))
    probe = script.run()
    assert script.asked == [("127.0.0.1:53", "x.example.com.", constants.Type.SRV)]
    assert state(probe) == (200, {"IsOk": True, "LatencySeconds": 0.0015, "Err": ""})


@pytest.mark.parametrize(
    ("outcome", "text"),
    [((EMPTY, 0.001), 'no RRs for domain "x.example.com."'), (REFUSED, str(REFUSED))],
)
def test_a_failure(outcome: tuple[messages.Reply, float] | errors.UpstreamError, text: str) -> None:
    probe = Script((GOOD, 0.001), outcome).run()
    assert state(probe) == (503, {"IsOk": False, "LatencySeconds": 0, "Err": text})
    assert probe.errors == 1


def test_a_failure_is_forgotten_with_the_next_good_reply() -> None:
    assert state(Script(REFUSED, (GOOD, 0.5)).run()) == (200, {"IsOk": True, "LatencySeconds": 0.5, "Err": ""})


def test_the_body_is_on_one_line_as_go_writes_it() -> None:
    assert asyncio.run(probes.Probe(OPTIONS).page()).body == (
        b'{"IsOk":false,"LatencySeconds":0,"Err":"waiting for first probe"}'
    )


def test_probes_are_staggered_and_then_an_interval_apart() -> None:
    script = Script((GOOD, 0.5), (GOOD, 11.0), (GOOD, 0.0))
    script.run()
    assert script.slept == [2.5, 9.5, 0.0, 10.0]


def test_metrics() -> None:
    probe = Script((GOOD, 0.00025), (GOOD, 0.0006), (GOOD, 9.0), REFUSED).run()
    totals = families.Totals()
    totals.add_foreign([*probe.tell("kubedns_")])
    lines = exposition.render(totals).decode().splitlines()
    assert "# HELP kubedns_probe_p_latency_ms Latency of the DNS probe request p" in lines
    assert "# TYPE kubedns_probe_p_latency_ms histogram" in lines
    assert "# HELP kubedns_probe_p_errors Count of errors in name resolution of p" in lines
    assert "# TYPE kubedns_probe_p_errors counter" in lines
    assert "kubedns_probe_p_errors 1.0" in lines
    buckets = [line.split() for line in lines if line.startswith("kubedns_probe_p_latency_ms_bucket")]
    assert len(buckets) == 17
    assert buckets[0] == ['kubedns_probe_p_latency_ms_bucket{le="0.25"}', "1.0"]
    assert buckets[2] == ['kubedns_probe_p_latency_ms_bucket{le="1.0"}', "2.0"]
    assert buckets[15] == ['kubedns_probe_p_latency_ms_bucket{le="8192.0"}', "2.0"]
    assert buckets[16] == ['kubedns_probe_p_latency_ms_bucket{le="+Inf"}', "3.0"]
    assert "kubedns_probe_p_latency_ms_count 3.0" in lines
    assert any(line.startswith("kubedns_probe_p_latency_ms_sum 9000.8") for line in lines)
