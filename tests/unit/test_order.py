"""The order of addresses in an answer: preferred networks, and weights."""

import collections

import dns.message
import dns.rrset
import pytest

from fastdns._order import AddressOrder

WWW = b"\3www\7example\3com\0"


def answer(*addresses: str, cname: bool = False, rtype: str = "A") -> bytes:
    message = dns.message.make_response(dns.message.make_query("www.example.com", rtype))
    owner = "www.example.com."
    if cname:
        message.answer.append(dns.rrset.from_text(owner, 30, "IN", "CNAME", "real.example.com."))
        owner = "real.example.com."
    message.answer.append(dns.rrset.from_text(owner, 30, "IN", rtype, *addresses))
    return message.to_wire()


def addresses_of(wire: bytes) -> list[str]:
    return [record.to_text() for rrset in dns.message.from_wire(wire).answer[-1:] for record in rrset]


@pytest.mark.parametrize("cname", [False, True])
def test_preferred_networks_come_first(cname: bool) -> None:
    order = AddressOrder(["10.0.0.0/8", "192.0.2.128/25"])
    wire = answer("192.0.2.1", "192.0.2.200", "203.0.113.1", "10.9.9.9", cname=cname)
    before, after = addresses_of(wire), addresses_of(order.order(wire))
    preferred = {"192.0.2.200", "10.9.9.9"}
    assert after[:2] == [address for address in before if address in preferred]
    assert set(after[2:]) == set(before) - preferred


def test_preferred_networks_of_ipv6() -> None:
    order = AddressOrder(["2001:db8:8000::/33"])
    wire = answer("2001:db8::1", "2001:db8:8000::1", rtype="AAAA")
    assert addresses_of(order.order(wire)) == ["2001:db8:8000::1", "2001:db8::1"]


def test_nothing_else_moves() -> None:
    wire = answer("192.0.2.1", "10.0.0.1")
    ordered = AddressOrder(["10.0.0.0/8"]).order(wire)
    assert len(ordered) == len(wire)
    assert sorted(addresses_of(ordered)) == sorted(addresses_of(wire))


def test_weights_are_shares_of_the_first_place() -> None:
    order = AddressOrder()
    order.set_weights([(WWW, "192.0.2.1", 6), (WWW, "192.0.2.2", 3)])
    wire = answer("192.0.2.3", "192.0.2.2", "192.0.2.1")  # the first one has no weight: it counts 1
    first = collections.Counter(addresses_of(order.order(wire))[0] for _ in range(4000))
    assert first["192.0.2.1"] / 4000 == pytest.approx(0.6, abs=0.05)
    assert first["192.0.2.2"] / 4000 == pytest.approx(0.3, abs=0.05)


def test_weights_of_another_name_do_not_count() -> None:
    order = AddressOrder()
    order.set_weights([(b"\5other\0", "192.0.2.1", 255)])
    first = collections.Counter(addresses_of(order.order(answer("192.0.2.2", "192.0.2.1")))[0] for _ in range(1000))
    assert first["192.0.2.1"] < 700


@pytest.mark.parametrize("size", range(0, 60, 3))
def test_broken_message_stays(size: int) -> None:
    wire = answer("192.0.2.1", "10.0.0.1")[:size]
    assert len(AddressOrder(["10.0.0.0/8"]).order(wire)) == size


def test_bad_weights_are_refused() -> None:
    order = AddressOrder()
    with pytest.raises(ValueError, match="weight 0"):
        order.set_weights([(WWW, "192.0.2.1", 0)])
    with pytest.raises(ValueError, match="not a canonical name"):
        order.set_weights([(b"www", "192.0.2.1", 1)])
