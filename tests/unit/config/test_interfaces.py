import ipaddress

from fastdns.config import interfaces


def test_loopback_has_its_address() -> None:
    assert "127.0.0.1" in interfaces.addresses()["lo"]


def test_only_link_local_addresses_have_zones() -> None:
    for name, addresses in interfaces.addresses().items():
        for address in map(ipaddress.ip_address, addresses):
            zone = getattr(address, "scope_id", None)
            assert zone == (name if address.version == 6 and address.is_link_local else None)
