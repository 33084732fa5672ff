"""What the plugins between a query and its answer decide, without a server."""

import ipaddress

import pytest

from fastdns import _engine
from fastdns._answer import Reason
from fastdns.config import filters
from fastdns.server import filters as filtering
from fastdns.server import questions


def query(name: bytes = b"\1x\4test\0", qtype: int = 1, remote: str = "192.0.2.9") -> _engine.Slow:
    wire = questions.make_query(name, qtype, ident=7)
    return _engine.Slow(1, Reason.SLOW_STEP, 0, 0, wire, False, (remote, 53), "")


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [  # RFC 6052 section 2.4
        ("2001:db8::/32", "2001:db8:c000:221::"),
        ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
        ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
        ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
        ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
        ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
    ],
)
def test_embedded_addresses(prefix: str, expected: str) -> None:
    assert ipaddress.IPv6Address(filtering.embed(prefix, b"\xc0\0\2\x21")) == ipaddress.IPv6Address(expected)


@pytest.mark.parametrize(
    ("remote", "allow_ipv4", "wanted"),
    [("192.0.2.1", False, False), ("192.0.2.1", True, True), ("2001:db8::1", False, True), ("", True, False)],
)
def test_who_gets_translations(remote: str, allow_ipv4: bool, wanted: bool) -> None:
    plugin = filters.Dns64(allow_ipv4=allow_ipv4)
    assert filtering.wants_translation(plugin, query(remote=remote)) is wanted


ACL = filters.Acl(
    (
        filters.AclRule(("test.",), (filters.AclPolicy("allow", (), ("10.0.0.0/8", "2001:db8::/32")),)),
        filters.AclRule(("x.test.",), (filters.AclPolicy("drop", (28,)), filters.AclPolicy("block"))),
    )
)


@pytest.mark.parametrize(
    ("name", "qtype", "remote", "action"),
    [
        (b"\1x\4test\0", 1, "10.1.1.1", "allow"),
        (b"\1x\4test\0", 1, "::ffff:10.1.1.1", "allow"),
        (b"\1x\4test\0", 1, "2001:db8::1%eth0", "allow"),
        (b"\1x\4test\0", 1, "192.0.2.1", "block"),
        (b"\1X\4TEST\0", 28, "192.0.2.1", "drop"),
        (b"\1y\4test\0", 28, "192.0.2.1", "allow"),
        (b"\1x\4test\0", 28, "", "allow"),
    ],
)
def test_first_policy_that_fits_decides(name: bytes, qtype: int, remote: str, action: str) -> None:
    assert filtering.decide(ACL, query(name, qtype, remote))[0] == action
