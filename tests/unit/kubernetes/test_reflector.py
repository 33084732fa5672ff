"""The reflector against an API server that does as it should, and one that doesn't."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import pytest

from fastdns.kubernetes import client, metrics, objects, reflector
from fastdns.kubernetes.objects import Kind
from fastdns.kubernetes.reflector import Op
from tests.unit.kubernetes.fake_apiserver import LIST, WATCH, FakeApiServer, Fault, event_line
from tests.unit.kubernetes.following import PATH, Follower, following, put, until


def nested(depth: int) -> list[object]:
    made: list[object] = []
    for _ in range(depth):
        made = [made]
    return made


@pytest.fixture
def server() -> Iterator[FakeApiServer]:
    made = FakeApiServer()
    put(made, "a")
    put(made, "b")
    yield made
    made.close()


def caught_up(follower: Follower, server: FakeApiServer, name: str) -> None:
    """Something new arrives: the watch works."""
    put(server, name)
    until(lambda: name in follower.names)


# --- as it should be -------------------------------------------------------------------------------------------------


def test_lists_then_watches_from_there(server: FakeApiServer) -> None:
    with following(server) as follower:
        until(lambda: follower.names == {"a", "b"})
        caught_up(follower, server, "c")
        server.delete(PATH, "ns", "a")
        until(lambda: follower.names == {"b", "c"})
        put(server, "b")
        until(lambda: follower.known["ns", "b"] == str(server.version))
    assert [change.op for change in follower.changes[:4]] == [Op.BEGIN, Op.PUT, Op.PUT, Op.END]
    assert server.count(LIST) == 1


def test_first_list_is_from_the_cache_and_in_pages(server: FakeApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector, "PAGE_SIZE", 2)
    for number in range(5):
        put(server, f"x{number}")
    with following(server) as follower:
        until(lambda: len(follower.names) == 7)
    lists = [request.query for request in server.requests if "watch" not in request.query]
    assert lists[0] == {"limit": "2", "resourceVersion": "0"}
    assert [query.get("continue") for query in lists] == [None, "2", "4", "6"]
    assert "resourceVersion" not in lists[1]


def test_watch_asks_for_bookmarks_and_a_time_limit(server: FakeApiServer) -> None:
    with following(server):
        until(lambda: server.count(WATCH))
    query = next(request.query for request in server.requests if request.verb == WATCH)
    assert query["allowWatchBookmarks"] == "true"
    assert query["resourceVersion"] == "102"
    assert 1 <= int(query["timeoutSeconds"]) <= 600


def test_selectors_are_in_every_request(server: FakeApiServer) -> None:
    resource = reflector.Resource(Kind.SERVICES, PATH, {"labelSelector": "a=b"})
    with following(server, resource=resource):
        until(lambda: server.count(WATCH))
    assert {request.query["labelSelector"] for request in server.requests} == {"a=b"}


def test_resources_are_what_the_options_need() -> None:
    wanted = reflector.resources(pods=False, endpoints=True, imports=False, labels="", namespace_labels="")
    assert [one.kind for one in wanted] == [Kind.NAMESPACES, Kind.SERVICES, Kind.ENDPOINTSLICES]
    wanted = reflector.resources(pods=True, endpoints=False, imports=False, labels="a=b", namespace_labels="c")
    assert {one.kind: dict(one.selector) for one in wanted} == {
        Kind.NAMESPACES: {"labelSelector": "c"},
        Kind.SERVICES: {"labelSelector": "a=b"},
        Kind.PODS: {
            "labelSelector": "a=b",
            "fieldSelector": "status.phase!=Succeeded,status.phase!=Failed,status.phase!=Unknown",
        },
    }


def test_imports_need_their_slices_and_the_selector_of_namespaces() -> None:
    """As in CoreDNS, for which ServiceImports are filtered by `namespace_labels`."""
    wanted = reflector.resources(pods=False, endpoints=False, imports=True, labels="a=b", namespace_labels="c")
    assert {one.kind: dict(one.selector) for one in wanted[2:]} == {
        Kind.ENDPOINTSLICES: {"labelSelector": "a=b,multicluster.kubernetes.io/service-name"},
        Kind.SERVICEIMPORTS: {"labelSelector": "c"},
    }
    wanted = reflector.resources(pods=False, endpoints=True, imports=True, labels="", namespace_labels="")
    assert [one.kind for one in wanted][2:] == [Kind.ENDPOINTSLICES, Kind.SERVICEIMPORTS]
    assert not wanted[2].selector


def test_bookmarks_move_the_version_without_a_list(server: FakeApiServer) -> None:
    with following(server) as follower:
        until(lambda: follower.reflector.is_synced)
        for number in range(20):
            server.say(PATH, "BOOKMARK", {"metadata": {"resourceVersion": str(1000 + number)}})
        until(lambda: follower.reflector.version == "1019")
        assert server.count(LIST) == 1
    assert [change.op for change in follower.changes].count(Op.PUT) == 2


# --- 410 -------------------------------------------------------------------------------------------------------------


def test_410_as_an_event_lists_again_and_sends_the_difference(server: FakeApiServer) -> None:
    with following(server) as follower:
        until(lambda: follower.reflector.is_synced)
        server.compact()
        server.delete(PATH, "ns", "a", seen=False)
        server.compact()
        server.drop_connections()
        until(lambda: follower.names == {"b"})
        caught_up(follower, server, "c")
    assert follower.emptied == 0
    assert follower.counts.value(metrics.ERRORS, "services", "410") == 1


def test_410_as_a_status_lists_again(server: FakeApiServer) -> None:
    server.faults[WATCH].append(Fault(410, "Gone"))
    with following(server) as follower:
        until(lambda: server.count(LIST) == 2)
        caught_up(follower, server, "c")
    assert follower.emptied == 0
    second = [request for request in server.requests if request.verb == LIST][1]
    assert "resourceVersion" not in second.query


def test_410_in_the_middle_of_a_list_begins_it_again(server: FakeApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector, "PAGE_SIZE", 1)
    server.faults[LIST].extend([None, Fault(410, "Expired")])
    with following(server) as follower:
        until(lambda: follower.reflector.is_synced)
        assert follower.names == {"a", "b"}


def test_repeated_410_backs_off(server: FakeApiServer) -> None:
    server.faults[LIST].extend([Fault(410, "Expired")] * 5)
    with following(server) as follower:
        until(lambda: follower.reflector.is_synced)
    assert follower.pauses == [0.0, 1.6, 3.2, 6.4, 12.8]


# --- refusals --------------------------------------------------------------------------------------------------------


def test_401_reads_the_token_again(server: FakeApiServer) -> None:
    tokens = iter(["old", "new"])
    server.tokens = {"old"}

    def access(config: object) -> client.Access:
        return client.Access(server.url, authorization=f"Bearer {next(tokens)}")

    with following(server, access=access) as follower:
        until(lambda: follower.reflector.is_synced and server.count(WATCH))
        server.tokens = {"new"}
        follower.client._loaded_at = float("-inf")  # a second has passed
        server.drop_connections()
        caught_up(follower, server, "c")
    assert server.count(LIST) <= 2


def test_403_is_said_once_with_the_resource_and_counted(server: FakeApiServer) -> None:
    server.faults[LIST].extend([Fault(403, "Forbidden")] * 4)
    with following(server) as follower:
        until(lambda: follower.reflector.is_synced)
    assert len(follower.said) == 1
    assert follower.said[0].startswith("services: GET /api/v1/services: HTTP 403")
    assert "allow `list` and `watch` of services" in follower.said[0]
    assert follower.counts.value(metrics.ERRORS, "services", "403") == 4


def test_429_waits_as_long_as_it_is_told(server: FakeApiServer) -> None:
    server.faults[LIST].append(Fault(429, "TooManyRequests", {"Retry-After": "7"}))
    server.faults[WATCH].append(Fault(429, "TooManyRequests", {"Retry-After": "9"}))
    with following(server) as follower:
        until(lambda: server.count(WATCH) == 2)
        caught_up(follower, server, "c")
    assert follower.pauses == [7.0, 9.0]
    assert server.count(LIST) == 2


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_5xx_backs_off_from_800_ms_to_30_s(server: FakeApiServer, status: int) -> None:
    server.faults[LIST].extend([Fault(status)] * 8)
    with following(server) as follower:
        until(lambda: follower.reflector.is_synced)
    assert follower.pauses == [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]


def test_twenty_replicas_come_back_one_after_the_other(server: FakeApiServer) -> None:
    """An API server that restarts is asked for no list again; one that forgot its history is, at different times."""
    count = 20
    chance = random.Random(1).uniform
    with contextlib.ExitStack() as stack:
        replicas = [stack.enter_context(following(server, chance=chance)) for _ in range(count)]
        until(lambda: all(one.reflector.is_synced for one in replicas) and server.count(WATCH) == count, 20)
        assert [lists_of(server), server.count(LIST)] == [["0"] * count, count], "from the API server's own cache"
        server.drop_connections()
        put(server, "restarted")
        until(lambda: all("restarted" in one.names for one in replicas), 20)
        assert len(lists_of(server)) == count
        for one in replicas:
            one.pauses.clear()
        server.compact()
        server.drop_connections()
        put(server, "forgotten")
        until(lambda: all("forgotten" in one.names for one in replicas), 20)
        assert len(lists_of(server)) == 2 * count
        first = sorted(one.pauses[0] for one in replicas)
        assert first[-1] - first[0] > 0.4, "seconds"
        assert len({round(pause, 2) for pause in first}) > count // 2
    assert [one.emptied for one in replicas] == [0] * count


def lists_of(server: FakeApiServer) -> list[str]:
    """The version that each list of all objects wants; what looks at the version alone is none."""
    asked = [request.query for request in server.requests if request.verb == LIST]
    return [query.get("resourceVersion", "") for query in asked if query["limit"] != "1"]


def test_404_takes_the_older_resource(server: FakeApiServer) -> None:
    older = reflector.Resource(Kind.SERVICES, PATH)
    newer = reflector.Resource(Kind.ENDPOINTSLICES, "/apis/discovery.k8s.io/v1/endpointslices", instead=older)
    server.missing.add(newer.path)
    with following(server, resource=newer) as follower:
        until(lambda: follower.names == {"a", "b"})
    assert follower.pauses == []
    assert follower.said == ["endpointslices: the API server has none, services are used"]


# --- connections -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut_at", [0, 1, 10, 60, 150, 250])
def test_a_list_cut_anywhere_is_asked_for_again(server: FakeApiServer, cut_at: int) -> None:
    server.faults[LIST].append(Fault(cut_at=cut_at))
    with following(server) as follower:
        until(lambda: follower.names == {"a", "b"})
    assert server.count(LIST) == 2


@pytest.mark.parametrize("cut_at", range(0, 260, 13))
def test_a_watch_cut_anywhere_goes_on_from_what_it_knows(server: FakeApiServer, cut_at: int) -> None:
    server.faults[WATCH].append(Fault(cut_at=cut_at))
    with following(server) as follower:
        until(lambda: follower.reflector.is_synced)
        put(server, "c")
        until(lambda: "c" in follower.names)
        caught_up(follower, server, "d")
    assert follower.names == {"a", "b", "c", "d"}
    assert follower.emptied == 0


@pytest.mark.parametrize("split", [1, 2, 7])
def test_answers_in_small_pieces(server: FakeApiServer, split: int) -> None:
    body = {"metadata": {"name": "grüße-日本", "namespace": "ns"}}
    server.faults[WATCH].append(Fault(split=split))
    with following(server) as follower:
        until(lambda: server.count(WATCH))
        server.put(PATH, body)
        until(lambda: "grüße-日本" in follower.names)


def test_a_silent_watch_is_given_up(server: FakeApiServer) -> None:
    server.faults[WATCH].append(Fault(silent=True))
    with following(server, read_timeout=0.2) as follower:
        until(lambda: server.count(WATCH) == 2)
        caught_up(follower, server, "c")
    assert follower.counts.value(metrics.ERRORS, "services", "silent") >= 1
    assert "c" in follower.names


def test_read_timeout_is_below_90_s() -> None:
    assert reflector.READ_TIMEOUT <= 90


def test_watches_that_are_closed_again_and_again_make_no_lists(server: FakeApiServer) -> None:
    server.faults[WATCH].extend([Fault(close=True)] * 8)
    with following(server) as follower:
        until(lambda: server.count(WATCH) == 9)
        caught_up(follower, server, "c")
    assert server.count(LIST) == 1
    assert follower.pauses == [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]


def test_an_api_server_that_is_away_is_waited_for(server: FakeApiServer) -> None:
    url, others = server.url, FakeApiServer()
    server.close()
    with following(others) as follower:
        until(lambda: follower.reflector.is_synced)
        follower.client._load = lambda config: client.Access(url)
        follower.client._access = None
        others.drop_connections()
        until(lambda: follower.counts.value(metrics.ERRORS, "services", "unreachable") >= 3)
        assert follower.emptied == 0
        follower.client._load, follower.client._access = lambda config: client.Access(others.url), None
        caught_up(follower, others, "back")
    others.close()


# --- what a watch says -----------------------------------------------------------------------------------------------


def test_unknown_event_types_are_left_out_and_said_once(server: FakeApiServer) -> None:
    with following(server) as follower:
        until(lambda: follower.reflector.is_synced)
        server.say(PATH, "RENAMED", {"metadata": {"name": "x"}})
        server.say(PATH, "RENAMED", {"metadata": {"name": "x"}})
        caught_up(follower, server, "c")
    assert follower.said == ["services: an event of unknown type 'RENAMED' is left out"]


def test_deleted_with_an_older_object_is_still_gone(server: FakeApiServer) -> None:
    with following(server) as follower:
        until(lambda: follower.reflector.is_synced)
        old = {"metadata": {"name": "a", "namespace": "ns", "uid": "uid-a", "resourceVersion": "50"}}
        server.say(PATH, "DELETED", old)
        until(lambda: follower.names == {"b"})
        assert follower.reflector.version == "102"
    assert [change.uid for change in follower.changes if change.op is Op.GONE] == ["uid-a"]


def test_an_object_that_cannot_be_read_is_said_and_the_rest_comes(server: FakeApiServer) -> None:
    server.put(PATH, {"metadata": {"name": "bad", "namespace": "ns"}, "spec": {"ports": [{"port": "http"}]}})
    with following(server) as follower:
        until(lambda: follower.names >= {"a", "b"})
        server.say(PATH, "MODIFIED", {"metadata": {"name": "a", "namespace": "ns"}, "spec": "none"})
        caught_up(follower, server, "c")
    assert "services ns/bad: Expected `int | null`, got `str` - at `$.spec.ports[0].port`" in follower.said
    assert "services ns/a: Expected `object | null`, got `str` - at `$.spec`" in follower.said
    assert [change.name for change in follower.changes if change.op is Op.KEEP] == ["bad", "a"]


def test_an_object_as_deep_as_the_api_server_lets_it_be(server: FakeApiServer) -> None:
    """One object of one namespace must not end the watching of all: neither as an event nor in a list."""
    with following(server) as follower:
        until(lambda: follower.reflector.is_synced and server.count(WATCH))
        metadata = {"name": "deep", "namespace": "ns", "uid": "uid", "managedFields": nested(objects.NESTING_MAX - 10)}
        server.put(PATH, {"metadata": metadata, "spec": {"clusterIP": "10.0.0.1"}})
        caught_up(follower, server, "c")
        assert "deep" in follower.names
        server.compact()
        server.drop_connections()
        until(lambda: server.count(LIST) == 2)
        caught_up(follower, server, "d")
        assert "deep" in follower.names


def test_a_line_that_is_no_event_ends_the_watch_only(server: FakeApiServer) -> None:
    good = event_line("ADDED", {"metadata": {"name": "c", "namespace": "ns", "resourceVersion": "103"}})
    server.faults[WATCH].append(Fault(lines=(good, b"{nonsense\n")))
    with following(server) as follower:
        until(lambda: follower.reflector.version == "103")
        until(lambda: server.count(WATCH) == 2)
    assert server.count(LIST) == 1
    assert follower.names == {"a", "b", "c"}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"items": 3}', b"\xff\xfe", b'{"items": ["\xc3'])
def test_a_list_that_is_none_is_asked_for_again(server: FakeApiServer, body: bytes) -> None:
    server.faults[LIST].append(Fault(body=body))
    with following(server) as follower:
        until(lambda: follower.names == {"a", "b"})
    assert follower.counts.value(metrics.ERRORS, "services", "malformed") == 1


def test_null_items_are_an_empty_list(server: FakeApiServer) -> None:
    server.faults[LIST].append(Fault(body=b'{"metadata": {"resourceVersion": "102"}, "items": null}'))
    with following(server) as follower:
        until(lambda: follower.reflector.is_synced)
        assert follower.names == set()


# --- what no event tells ---------------------------------------------------------------------------------------------


def test_a_missed_event_is_found_by_the_next_list(server: FakeApiServer) -> None:
    with following(server, consistency=0.3) as follower:
        until(lambda: follower.reflector.is_synced)
        server.delete(PATH, "ns", "a", seen=False)
        put(server, "silent", seen=False)
        until(lambda: follower.names == {"b", "silent"})
    assert follower.emptied == 0


def test_a_cluster_that_went_back_in_time_is_noticed_after_a_broken_connection(server: FakeApiServer) -> None:
    with following(server) as follower:
        until(lambda: follower.reflector.is_synced and server.count(WATCH))
        server.delete(PATH, "ns", "a", seen=False)
        server.restore(50)
        server.drop_connections()
        until(lambda: follower.names == {"b"})
        caught_up(follower, server, "c")


def test_an_event_from_the_past_makes_a_list(server: FakeApiServer) -> None:
    with following(server) as follower:
        until(lambda: follower.reflector.is_synced and server.count(WATCH))
        server.say(PATH, "ADDED", {"metadata": {"name": "x", "namespace": "ns", "resourceVersion": "7"}})
        until(lambda: server.count(LIST) == 2)
        assert follower.names == {"a", "b"}


def test_events_from_the_past_make_no_storm_of_lists(server: FakeApiServer) -> None:
    with following(server) as follower:
        until(lambda: follower.reflector.is_synced and server.count(WATCH))
        for number in range(20):
            server.say(PATH, "MODIFIED", {"metadata": {"name": "x", "namespace": "ns", "resourceVersion": str(number)}})
        caught_up(follower, server, "c")
    assert server.count(LIST) == 2
