"""The cluster of the bench, its API server and its upstream: what they say is right."""

from __future__ import annotations

import asyncio
import json
import pathlib
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("bench_built")


def test_world_is_the_same_each_time() -> None:
    from bench.world import SRV, A, World

    world = World(services=50)
    assert world.questions((A, SRV)) == World(services=50).questions((A, SRV))
    assert len(world.questions((A, SRV))) == 80
    assert world.service(0) == World(services=50).service(0)
    assert world.service(9)["spec"]["clusterIPs"] == ["None"]


def test_pods_try_their_search_path_first() -> None:
    from bench.world import NXDOMAIN, World, message, pod_mix

    asked = pod_mix(World(services=20), "out.example", "node.example", limit=24)
    assert [question.rcode for question in asked[:12]] == [0, 0, *[NXDOMAIN] * 8, 0, 0]
    i = int(asked[0].wire[21:26])
    tried = [f"host-{i:05}.out.example.{domain}" for domain in ("team-000.svc.cluster.local.", "svc.cluster.local.")]
    assert [question.wire for question in asked[2:6:2]] == [message(name, 1) for name in tried]


def test_zipf_asks_the_first_one_most() -> None:
    from bench.world import A, World, zipf

    questions = World(services=50).questions((A,))[:10]
    asked = zipf(questions, 2000)
    assert len(asked) == 2000
    assert asked == zipf(questions, 2000)
    counts = [asked.count(question) for question in questions]
    assert counts[0] > 1.5 * counts[1] > 1.5 * counts[9] > 0


def test_large_services_have_slices_of_a_hundred() -> None:
    from bench.world import World

    world = World(services=20, large=(250, 100))
    slices = world.large_slices(250)
    assert [len(one["endpoints"]) for one in slices] == [100, 100, 50]
    addresses = {endpoint["addresses"][0] for one in slices for endpoint in one["endpoints"]}
    assert len(addresses) == 250
    assert addresses.isdisjoint(endpoint["addresses"][0] for endpoint in world.large_slice(100, 0)["endpoints"])
    assert world.large_slice(250, 1, "10.1.1.1")["endpoints"][0]["addresses"] == ["10.1.1.1"]


def test_churn_leaves_probed_services_alone() -> None:
    from bench.world import World

    for services in (20, 300):
        world = World(services=services)
        assert world.probed()
        assert set(world.probed()).isdisjoint(world.churned())
        assert all(world.is_headless(i) for i in [*world.probed(), *world.churned()])


def test_only_the_expected_answer_is_right() -> None:
    from bench.world import A, World, is_right

    question = World(services=10).question(3, A)
    head = question.wire[:2] + b"\x84\0\0\1\0\1"
    rest = question.wire[8:]
    assert is_right(question, head + rest + question.expected)
    assert not is_right(question, head + rest + b"\x0a\x01\x01\x01")
    assert not is_right(question, head[:3] + b"\x02" + head[4:] + rest + question.expected)
    assert not is_right(question, head[:7] + b"\0" + rest + question.expected)


@pytest.fixture
def api(tmp_path: pathlib.Path) -> Iterator[str]:
    from bench import ports, process, servers, surroundings

    port = ports.free_port()
    command = servers.python("-m", "bench.fake_api", "--port", str(port), "--services", "20")
    running = process.start("api", command, core=process.cores()[0], folder=tmp_path)
    try:
        surroundings.wait_for_line(running, b"services on port")
        yield f"http://127.0.0.1:{port}"
    finally:
        running.stop()


SLICES = "/apis/discovery.k8s.io/v1/endpointslices"


def fetch(url: str, data: bytes | None = None) -> dict[str, Any]:
    with urllib.request.urlopen(url, data=data, timeout=10) as response:
        found = json.load(response)
        assert isinstance(found, dict)
        return found


def test_api_lists_in_pages(api: Any) -> None:
    names: list[str] = []
    query = "limit=7"
    for _ in range(3):
        page = fetch(f"{api}/api/v1/services?{query}")
        names.extend(item["metadata"]["name"] for item in page["items"])
        query = f"limit=7&continue={page['metadata'].get('continue')}"
    assert names == [f"service-{i:05}" for i in range(20)]
    assert "continue" not in page["metadata"]
    assert len(fetch(f"{api}/api/v1/services?limit=7&resourceVersion=0")["items"]) == 20


def test_api_has_endpoints_for_kube_dns(api: Any) -> None:
    slices = fetch(f"{api}{SLICES}?resourceVersion=0")["items"]
    for one, item in zip(slices, fetch(f"{api}/api/v1/endpoints?resourceVersion=0")["items"], strict=True):
        (subset,) = item["subsets"]
        assert item["metadata"]["name"] == one["metadata"]["labels"]["kubernetes.io/service-name"]
        assert [address["ip"] for address in subset["addresses"]] == [end["addresses"][0] for end in one["endpoints"]]
        assert subset["ports"] == one["ports"]


def events(url: str, count: int) -> list[Any]:
    with urllib.request.urlopen(url, timeout=10) as response:
        return [json.loads(response.readline()) for _ in range(count)]


def test_api_watch_goes_on_from_the_version_given(api: Any) -> None:
    for address in ("10.64.0.1", "10.64.0.2"):
        fetch(f"{api}/bench/update?service=9&address={address}", b"")
    first, second = events(f"{api}{SLICES}?watch=true&resourceVersion=1000", 2)
    assert first["object"]["metadata"]["resourceVersion"] == "1001"
    assert second["object"]["endpoints"][0]["addresses"] == ["10.64.0.2"]
    (only,) = events(f"{api}{SLICES}?watch=true&resourceVersion=1001", 1)
    assert only == second


def test_api_refuses_a_version_that_it_has_forgotten(api: Any) -> None:
    with (
        pytest.raises(urllib.error.HTTPError) as refused,
        urllib.request.urlopen(f"{api}{SLICES}?watch=1&resourceVersion=5"),
    ):
        pass
    assert refused.value.code == 410
    refused.value.close()


def test_api_streams_a_list(api: Any) -> None:
    *added, bookmark = events(
        f"{api}/api/v1/services?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan", 21
    )
    assert {event["type"] for event in added} == {"ADDED"}
    assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_api_changes_slices_at_a_rate() -> None:
    from bench.fake_api import Api
    from bench.world import World

    api = Api(World(services=20))
    asyncio.run(api.churn(1000.0, 0.03))
    assert [number for number, _ in api.slices.history] == list(range(1001, 1031))


def test_api_changes_slices_of_a_large_service() -> None:
    from bench.fake_api import Api
    from bench.world import World

    api = Api(World(services=20, large=(250,)))
    api.change_large(250, 2, "10.1.1.1")
    changed = [json.loads(event)["object"] for _, event in api.slices.history]
    assert [one["metadata"]["name"] for one in changed] == ["large-250-00000", "large-250-00001"]
    assert [one["endpoints"][0]["addresses"][0] for one in changed] == ["10.1.1.1", "10.1.1.2"]
    assert [json.loads(one)["metadata"]["name"] for one in api.slices.objects[20:22]] == [
        "large-250-00000",
        "large-250-00001",
    ]


# --- its upstream ---
def test_upstream_knows_one_zone() -> None:
    from bench.upstream import answer
    from bench.world import NXDOMAIN, Question, is_right, message

    for name, qtype, expected, rcode in (
        ("x.miss.example.", 1, bytes([192, 0, 2, 1]), 0),
        ("X.MISS.example.", 1, bytes([192, 0, 2, 1]), 0),
        ("x.miss.example.", 28, b"", 0),
        ("x.nowhere.example.", 1, b"", NXDOMAIN),
    ):
        question = message(name, qtype)
        assert is_right(Question(question, expected, rcode), answer(question)), name


def test_upstream_keeps_questions_until_all_are_there() -> None:
    from bench.upstream import Upstream
    from bench.world import message

    async def hold() -> list[bytes]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, socket.socket(*server_kind) as client:
            server.bind(("127.0.0.1", 0))
            client.bind(("127.0.0.1", 0))
            client.settimeout(10)
            upstream = Upstream(server, 2, 60.0)
            for name in ("a.held.miss.example.", "a.held.miss.example.", "now.miss.example.", "b.held.miss.example."):
                upstream.take(message(name, 1), client.getsockname())
            heard = [client.recv(512)]
            assert upstream.release is not None
            await upstream.release
            return [*heard, *(client.recv(512) for _ in range(3))]

    server_kind = (socket.AF_INET, socket.SOCK_DGRAM)
    now, *held = asyncio.run(hold())
    assert b"\x03now" in now
    assert sorted(answer[12:14] for answer in held) == [b"\x01a", b"\x01a", b"\x01b"]
