"""What is sent to the kernel; that it does what it says is in the integration tests."""

import ipaddress
import struct

import pytest

from fastdns.server import netlink, nftables

ADDRESS4, ADDRESS6 = ipaddress.ip_address("169.254.20.10"), ipaddress.ip_address("fd00::10")


def test_queries_answers_and_health_probes_are_not_tracked() -> None:
    rules = set(nftables.make_rules([ADDRESS4], 53, 8080))
    queries = {("prerouting", "d", 53), ("output", "s", 53), ("output", "d", 53)}
    expected = {
        nftables.Rule(hook, protocol, side, ADDRESS4, port)
        for protocol in ("tcp", "udp")
        for hook, side, port in queries
    } | {nftables.Rule("output", "tcp", side, ADDRESS4, 8080) for side in "ds"}
    assert rules == expected


def read_expressions(rule: nftables.Rule) -> list[tuple[str, dict[int, bytes]]]:
    found = []
    for element in nftables.expressions(rule):
        fields = netlink.attributes(netlink.attributes(element)[1])
        found.append((fields[1].rstrip(b"\0").decode(), netlink.attributes(fields[2])))
    return found


@pytest.mark.parametrize(
    ("rule", "address_at", "port_at"),
    [
        (nftables.Rule("prerouting", "udp", "d", ADDRESS4, 53), (16, 4), 2),
        (nftables.Rule("output", "tcp", "s", ADDRESS4, 8080), (12, 4), 0),
        (nftables.Rule("prerouting", "tcp", "d", ADDRESS6, 53), (24, 16), 2),
        (nftables.Rule("output", "udp", "s", ADDRESS6, 53), (8, 16), 0),
    ],
)
def test_rule_compares_protocol_address_and_port(
    rule: nftables.Rule, address_at: tuple[int, int], port_at: int
) -> None:
    meta, protocol, load_address, address, load_port, port, notrack = read_expressions(rule)
    assert [meta[0], load_address[0], load_port[0], notrack[0]] == ["meta", "payload", "payload", "notrack"]
    assert [protocol[0], address[0], port[0]] == ["cmp"] * 3
    base, offset, length = (struct.unpack(">I", load_address[1][kind])[0] for kind in (2, 3, 4))
    assert (base, (offset, length)) == (1, address_at)
    base, offset, length = (struct.unpack(">I", load_port[1][kind])[0] for kind in (2, 3, 4))
    assert (base, offset, length) == (2, port_at, 2)
    compared = [netlink.attributes(data[3])[1] for _, data in (protocol, address, port)]
    assert compared == [bytes([6 if rule.protocol == "tcp" else 17]), rule.address.packed, struct.pack(">H", rule.port)]
