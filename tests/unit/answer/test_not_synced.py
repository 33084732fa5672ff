"""While the first list is not complete, nobody is told that a name does not exist."""

import dns.edns
import dns.rcode
import pytest

from tests.unit import deltas, engines

Z = "cluster.local"


@pytest.fixture
def world() -> engines.World:
    made = engines.cluster()
    made.engine.apply(0, deltas.synced(False))
    return made


def test_missing_name_is_servfail_with_soa_and_ede(world: engines.World) -> None:
    answer = world.ask(f"none.{Z}", use_edns=0)
    assert (answer.rcode(), len(answer.authority)) == (dns.rcode.SERVFAIL, 1)
    (option,) = answer.options
    assert isinstance(option, dns.edns.EDEOption) and option.code == dns.edns.EDECode.NOT_READY


def test_no_ede_without_edns(world: engines.World) -> None:
    answer = world.ask(f"none.{Z}")
    assert (answer.rcode(), answer.edns) == (dns.rcode.SERVFAIL, -1)


@pytest.mark.parametrize("rdtype", ["A", "AAAA", "SRV"])
def test_known_name_is_answered(world: engines.World, rdtype: str) -> None:
    assert world.ask(f"kubernetes.default.svc.{Z}", rdtype).answer


def test_nodata_stays(world: engines.World) -> None:
    assert world.ask(Z, "A").rcode() == dns.rcode.NOERROR


def test_missing_endpoint_is_servfail(world: engines.World) -> None:
    assert world.ask(f"x.hl.default.svc.{Z}").rcode() == dns.rcode.SERVFAIL


def test_falls_through(world: engines.World) -> None:
    world.add_table(deltas.zone("in-addr.arpa") + deltas.put("9.in-addr.arpa", deltas.cname("x.org")) + deltas.synced())
    assert world.ask("9.in-addr.arpa", "CNAME").answer


def test_synced_again(world: engines.World) -> None:
    world.engine.apply(0, deltas.synced())
    answer = world.ask(f"none.{Z}", use_edns=0)
    assert (answer.rcode(), answer.options) == (dns.rcode.NXDOMAIN, ())


def test_new_table_is_not_synced() -> None:
    made = engines.World()
    made.add_table(deltas.zone(Z))
    assert made.ask(f"a.{Z}").rcode() == dns.rcode.SERVFAIL
