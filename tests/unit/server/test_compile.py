import pytest

from fastdns import _counters
from fastdns.config import model
from fastdns.server import compile as compiler
from fastdns.server import configuration, metrics, questions

COREFILE = """a.test b.test {
    bind 127.0.0.1 ::1
    kubernetes cluster.local a.test
    cache 30
    hosts /nowhere {
        192.0.2.1 x.a.test
    }
    loop
    forward . 192.0.2.53 192.0.2.54 {
        policy sequential
        max_concurrent 5
    }
}
c.test {
    kubernetes c.test
}
w.test {
    whoami
}
d.test {
    kubernetes cluster.local a.test
    forward . tls://192.0.2.53
}
"""


@pytest.fixture
def program() -> compiler.Program:
    config = configuration.parse(COREFILE)
    counters = _counters.Counters(bytearray(8 * metrics.lay_out(config).slots))
    return compiler.build(config, counters)


def test_equal_clusters_share_a_table_and_others_follow(program: compiler.Program) -> None:
    assert [plugin.zones for plugin in program.clusters] == [("cluster.local.", "a.test."), ("c.test.",)]
    assert [hosts.table for hosts in program.hosts.values()] == [2]


def test_zones_of_a_block_share_cache_and_group_and_have_slots_of_their_own(program: compiler.Program) -> None:
    assert len(program.caches) == 1
    assert len(program.groups) == 2
    assert [(place.zone, place.listener.address) for place in program.blocks] == [
        ("a.test.", "127.0.0.1"),
        ("a.test.", "::1"),
        ("b.test.", "127.0.0.1"),
        ("b.test.", "::1"),
        ("c.test.", ""),
        ("w.test.", ""),
        ("d.test.", ""),
    ]
    assert len({place.first for place in program.blocks}) == 7


def test_steps_keep_the_order_of_plugins_but_for_tables_behind_the_cache(program: compiler.Program) -> None:
    steps = [type(program.steps[0, number].plugin) for number in range(5)]
    assert steps == [model.Hosts, model.Kubernetes, model.Cache, model.Loop, model.Forward]


def test_tables_pass_no_step_of_another_kind() -> None:
    hosts = model.Hosts("/nowhere", (".",))
    cache, cluster = model.Cache((".",)), model.Kubernetes(("cluster.local.",))
    assert compiler.order_steps([model.Errors(), cache, hosts, model.Loop(), cluster]) == [0, 2, 1, 3, 4]
    assert compiler.order_steps([hosts, cluster, cache]) == [0, 1, 2]


def test_answer_of_a_table_is_no_request_of_the_cache(program: compiler.Program) -> None:
    (cache,) = metrics.lay_out(program.config).caches.values()
    listener = program.listeners[model.Listener("127.0.0.1", 53)]
    program.engine.ask(questions.make_query(b"\1s\3svc\1a\4test\0", 1), listener)
    assert program.engine.counters.get(cache.first + _counters.CacheSlot.CACHE_REQUESTS) == 0
    token = program.engine.ask(questions.make_query(b"\1s\1b\4test\0", 1), listener)
    assert isinstance(token, int)
    assert program.engine.counters.get(cache.first + _counters.CacheSlot.CACHE_REQUESTS) == 1


def test_every_listener_has_its_blocks(program: compiler.Program) -> None:
    assert [listener.address for listener in program.listeners] == ["127.0.0.1", "::1", ""]


def test_name_of_the_cluster_fails_before_its_records_come(program: compiler.Program) -> None:
    listener = program.listeners[model.Listener("127.0.0.1", 53)]
    answer = program.engine.ask(questions.make_query(b"\1s\3svc\1a\4test\0", 1), listener)
    assert isinstance(answer, bytes)
    assert answer[3] & 15 == 2


def test_whoami_leaves_for_python(program: compiler.Program) -> None:
    listener = program.listeners[model.Listener("", 53)]
    token = program.engine.ask(questions.make_query(b"\1x\1w\4test\0", 1), listener)
    assert isinstance(token, int)
    (query,) = program.engine.slow_queries()
    assert query.token == token
    assert program.steps[query.block, query.step].plugin == model.Whoami()
    program.engine.reply_rcode(query.token, 5)
    ((done, answer),) = program.engine.completed()
    assert (done, answer[3] & 15) == (token, 5)


def test_options_become_numbers() -> None:
    assert compiler.encode_side(model.CacheSide(7, 8, 9)) == (7, 8, 9)
    assert compiler.POLICIES["sequential"] == 2
