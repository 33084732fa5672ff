import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastdns.dns import names, reverse


@pytest.mark.parametrize(
    ("network", "zones"),
    [
        ("0.0.0.0/0", ("in-addr.arpa.",)),
        ("10.0.0.0/8", ("10.in-addr.arpa.",)),
        ("10.1.0.0/16", ("1.10.in-addr.arpa.",)),
        ("192.0.2.1/32", ("1.2.0.192.in-addr.arpa.",)),
        ("10.96.0.0/12", tuple(f"{octet}.10.in-addr.arpa." for octet in range(96, 112))),
        ("192.0.2.0/23", ("2.0.192.in-addr.arpa.", "3.0.192.in-addr.arpa.")),
        ("128.0.0.0/1", tuple(f"{octet}.in-addr.arpa." for octet in range(128, 256))),
        ("::/0", ("ip6.arpa.",)),
        ("2001:db8::/32", ("8.b.d.0.1.0.0.2.ip6.arpa.",)),
        ("2001:db8::/31", ("8.b.d.0.1.0.0.2.ip6.arpa.", "9.b.d.0.1.0.0.2.ip6.arpa.")),
    ],
)
def test_reverse_zones(network: str, zones: tuple[str, ...]) -> None:
    assert reverse.reverse_zones(ipaddress.ip_network(network, strict=False)) == zones


@given(st.ip_addresses(), st.integers(0, 128))
def test_zones_hold_the_addresses_of_the_network(address: reverse.Address, prefix: int) -> None:
    network = ipaddress.ip_network((address, min(prefix, address.max_prefixlen)), strict=False)
    zones = reverse.reverse_zones(network)
    for inside in (network.network_address, network.broadcast_address, address):
        assert sum(names.is_below(reverse.reverse_name(inside), zone) for zone in zones) == 1


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("10.in-addr.arpa.", True),
        ("8.b.d.ip6.arpa.", True),
        ("in-addr.arpa.", False),
        ("ip6.arpa.", False),
        (".", False),
    ],
)
def test_is_reverse(zone: str, expected: bool) -> None:
    assert reverse.is_reverse(zone) is expected
