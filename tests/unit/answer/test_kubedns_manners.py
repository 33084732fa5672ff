"""How a block of kube-dns's answers where other blocks don't: flags, classes, opcodes, sizes."""

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import pytest

from fastdns._answer import Reason
from fastdns._counters import System, SystemCause, SystemSlot
from fastdns._plan import Manner
from fastdns._rrset import DataFlag, Form
from fastdns._trie import ZoneFlag
from tests.unit import deltas, engines

SYSTEMS = 900
AA_RA = dns.flags.AA | dns.flags.RA
MANNERS = (
    Manner.REFUSE_ANY
    | Manner.REFUSE_UNSYNCED
    | Manner.CHAOS_IN_PYTHON
    | Manner.ANY_CLASS
    | Manner.NOTIFY_AS_QUERY
    | Manner.NO_OPT
)
FLAGS = ZoneFlag.NS_APEX_ONLY | ZoneFlag.STARS | ZoneFlag.PARTIAL | ZoneFlag.OWN_SPELLING | ZoneFlag.SRV_GLUE


def zone() -> bytes:
    made = bytearray(deltas.zone("cluster.local", flags=FLAGS))
    head = 1 + len(deltas.name("cluster.local")) + 2
    made[head : head + 6] = bytes.fromhex("0480 0480 0000")  # AA and RA, but not of NXDOMAIN
    return bytes(made)


def addresses(count: int) -> bytes:
    return deltas.record_set(1, Form.FIXED, 30, count, b"".join(bytes((10, 0, 0, at)) for at in range(count)))


def srv(port: int, target: str) -> bytes:
    octets = deltas.sized(b"\0\x0a\0\x64" + port.to_bytes(2, "big") + deltas.labels(target))
    return deltas.record_set(33, Form.PRIMARY_ZONED, 30, 1, octets)


def make(*operations: bytes, synced: bool = True) -> engines.World:
    world = engines.World()
    table = world.add_table(
        b"".join((zone(), deltas.primary("cluster.local"), *operations)) + (deltas.synced() if synced else b"")
    )
    world.engine.set_manners(world.block, MANNERS, gate=table)
    world.engine.count_system(world.block, System.SYSTEM_AUTH, counters=SYSTEMS)
    return world


def ask_edited(world: engines.World, query: dns.message.Message) -> dns.message.Message:
    answer = world.ask_raw(query.to_wire())
    assert isinstance(answer, bytes)
    return dns.message.from_wire(answer)


@pytest.fixture
def web() -> engines.World:
    return make(deltas.put("web.cluster.local", addresses(1), srv(0, "h.web"), flags=DataFlag.CNAME_NXDOMAIN))


@pytest.mark.parametrize("rdtype", ["A", "ANY", "TXT"])
def test_everything_is_refused_before_the_list_is_complete(rdtype: str) -> None:
    answer = make(synced=False).ask("web.cluster.local", rdtype)
    assert answer.rcode() == dns.rcode.REFUSED
    assert answer.flags & ~0xF == dns.flags.QR
    assert answer.question


def test_what_is_refused_has_no_opt_and_only_cd_of_the_query(web: engines.World) -> None:
    query = dns.message.make_query("web.cluster.local", "ANY", use_edns=0)
    query.flags |= dns.flags.CD
    answer = ask_edited(web, query)
    assert (answer.rcode(), answer.flags & ~0xF) == (dns.rcode.REFUSED, dns.flags.QR | dns.flags.CD)
    assert answer.edns < 0


def test_any_is_refused_without_flags(web: engines.World) -> None:
    answer = web.ask("web.cluster.local", "ANY")
    assert (answer.rcode(), answer.flags & ~0xF) == (dns.rcode.REFUSED, dns.flags.QR)


def test_denial_has_no_flags(web: engines.World) -> None:
    answer = web.ask("none.cluster.local")
    assert answer.flags == dns.flags.QR | dns.flags.RD | dns.rcode.NXDOMAIN
    assert answer.authority[0].rdtype == dns.rdatatype.SOA


def test_nodata_and_addresses_have_both_flags(web: engines.World) -> None:
    assert web.ask("web.cluster.local").flags & AA_RA == AA_RA
    assert web.ask("web.cluster.local", "AAAA").flags & AA_RA == AA_RA


def test_no_answer_has_an_opt(web: engines.World) -> None:
    for name in ("web.cluster.local", "none.cluster.local"):
        assert web.ask(name, use_edns=0, payload=4096).edns == -1


def test_other_class_is_answered_as_internet(web: engines.World) -> None:
    query = dns.message.make_query("web.cluster.local", "A", rdclass=dns.rdataclass.HS)
    answer = ask_edited(web, query)
    assert [str(one) for one in answer.sections[1][0]] == ["10.0.0.0"]


def test_chaos_leaves_for_python(web: engines.World) -> None:
    web.ask_raw(dns.message.make_query("version.bind", "TXT", rdclass=dns.rdataclass.CH).to_wire())
    assert web.slow().reason == Reason.SLOW_CHAOS


def test_notify_is_answered_as_a_query(web: engines.World) -> None:
    query = dns.message.make_query("web.cluster.local", "A")
    query.set_opcode(dns.opcode.NOTIFY)
    answer = ask_edited(web, query)
    assert (answer.opcode(), answer.rcode()) == (dns.opcode.NOTIFY, dns.rcode.NOERROR)
    assert not answer.flags & dns.flags.RD


def test_other_opcodes_are_not_implemented(web: engines.World) -> None:
    query = dns.message.make_query("web.cluster.local", "A")
    query.set_opcode(dns.opcode.STATUS)
    answer = ask_edited(web, query)
    assert answer.rcode() == dns.rcode.NOTIMP
    assert answer.flags & dns.flags.RD


def test_notify_of_an_ordinary_block_is_not_implemented() -> None:
    world = engines.World()
    world.add_table(deltas.example_cluster())
    query = dns.message.make_query("kubernetes.default.svc.cluster.local", "A")
    query.set_opcode(dns.opcode.NOTIFY)
    assert ask_edited(world, query).rcode() == dns.rcode.NOTIMP


def test_srv_brings_addresses_of_its_target() -> None:
    world = make(
        deltas.put("_p._t.web.cluster.local", srv(80, "web"), flags=DataFlag.IN_PYTHON),
        deltas.put("web.cluster.local", addresses(2)),
    )
    answer = world.ask("_P._t.WEB.cluster.local", "SRV")
    assert str(answer.answer[0][0]) == "10 100 80 web.cluster.local."
    assert str(answer.additional[0].name) == "web.cluster.local."
    assert len(answer.additional[0]) == 2


def test_glue_is_found_at_a_hidden_name_which_is_not_there_for_questions() -> None:
    world = make(
        deltas.put("_p._t.web.cluster.local", srv(80, "hid.web")),
        deltas.put("hid.web.cluster.local", addresses(1), flags=DataFlag.HIDDEN),
    )
    assert world.ask("_p._t.web.cluster.local", "SRV").additional
    assert world.ask("hid.web.cluster.local").rcode() == dns.rcode.NXDOMAIN


@pytest.mark.parametrize("name", ["*.cluster.local", "a.*.cluster.local", "*.web.cluster.local"])
def test_stars_leave_for_python(name: str, web: engines.World) -> None:
    web.park(name)
    assert web.slow().reason == Reason.SLOW_RARE


@pytest.mark.parametrize("name", ["a*.cluster.local", "none.cluster.local"])
def test_names_without_a_star_of_their_own_do_not(name: str, web: engines.World) -> None:
    assert web.ask(name).rcode() == dns.rcode.NXDOMAIN


def test_cname_at_a_node_is_nxdomain(web: engines.World) -> None:
    assert web.ask("web.cluster.local", "CNAME").rcode() == dns.rcode.NXDOMAIN


def test_ns_below_the_apex_is_nodata_even_of_no_name(web: engines.World) -> None:
    assert web.ask("none.cluster.local", "NS").rcode() == dns.rcode.NOERROR
    assert web.ask("cluster.local", "NS").rcode() == dns.rcode.NXDOMAIN


def test_soa_is_spelt_in_lower_case(web: engines.World) -> None:
    assert str(web.ask("NONE.Cluster.LOCAL").authority[0].name) == "cluster.local."


def test_name_of_python_leaves_for_its_addresses_alone() -> None:
    world = make(deltas.put("ext.cluster.local", deltas.cname("www.example.org"), flags=DataFlag.IN_PYTHON))
    assert world.ask("ext.cluster.local", "CNAME").answer
    assert world.ask("ext.cluster.local", "TXT").rcode() == dns.rcode.NOERROR
    for rdtype in ("A", "AAAA", "SRV"):
        world.park("ext.cluster.local", rdtype)
        assert world.slow().reason == Reason.SLOW_RARE


def test_pods_leave_two_labels_below_their_node() -> None:
    flags = DataFlag.HIDDEN | DataFlag.IN_PYTHON | DataFlag.POD_ADDRESSES
    world = make(deltas.put("pod.cluster.local", flags=flags))
    assert world.ask("pod.cluster.local").rcode() == dns.rcode.NXDOMAIN
    assert world.ask("ns.pod.cluster.local").rcode() == dns.rcode.NXDOMAIN
    assert world.ask("x.1-2-3-4.ns.pod.cluster.local").rcode() == dns.rcode.NXDOMAIN
    world.park("1-2-3-4.ns.pod.cluster.local")
    assert world.slow().reason == Reason.SLOW_RARE


def test_any_type_is_answered_with_the_first_set() -> None:
    ptr = deltas.record_set(12, Form.PRIMARY_ZONED, 30, 1, deltas.sized(deltas.labels("web")))
    world = make(deltas.put("rev.cluster.local", ptr, flags=DataFlag.ANY_TYPE))
    assert str(world.ask("rev.cluster.local", "TXT").answer[0][0]) == "web.cluster.local."


def test_python_step_takes_names_of_its_zones_alone() -> None:
    world = engines.World()
    world.engine.add_python_step(world.block, zones=[deltas.name("fed.svc")])
    world.add_table(deltas.example_cluster())
    world.park("a.b.fed.svc")
    assert world.slow().reason == Reason.SLOW_STEP
    assert world.ask("kubernetes.default.svc.cluster.local").answer


def test_counts_the_failure_that_it_does_not_send(upstream: engines.Upstream) -> None:
    world = engines.World()
    world.engine.set_manners(world.block, Manner.SILENT)
    world.engine.count_system(world.block, System.SYSTEM_RECURSIVE, counters=SYSTEMS)
    world.add_forward(upstream.port, read_timeout_ms=1, max_connect_attempts=1, max_fails=0, stream_in_python=False)
    world.park("a.test", stream=True)
    found: list[tuple[int, bytes]] = []
    world.turn(lambda: bool(found.extend(world.engine.completed()) or found))
    start = SYSTEMS + System.SYSTEM_RECURSIVE * SystemSlot.SYSTEM_SLOTS
    assert world.count(start + SystemSlot.SYSTEM_REQUESTS) == 1
    assert world.count(start + SystemSlot.SYSTEM_ERRORS + SystemCause.CAUSE_SERVFAIL) == 1


def test_counts_by_system_with_denials_twice() -> None:
    world = make(deltas.put("web.cluster.local", addresses(1)))
    for name in ("web.cluster.local", "none.cluster.local"):
        world.ask(name, stream=True)
    start = SYSTEMS + System.SYSTEM_AUTH * SystemSlot.SYSTEM_SLOTS
    assert world.count(start + SystemSlot.SYSTEM_REQUESTS) == 2
    assert world.count(start + SystemSlot.SYSTEM_MISSES) == 2
    assert world.count(start + SystemSlot.SYSTEM_ERRORS + SystemCause.CAUSE_NXDOMAIN) == 1  # over UDP two
