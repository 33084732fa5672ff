import pathlib

import pytest

from fastdns import errors
from fastdns.forward import resolvconf

FILE = """\
# nameserver 192.0.2.9
; nameserver 192.0.2.9
domain example.org
search example.org example.net
options ndots:5
nameserver 192.0.2.1
  nameserver\t2001:DB8::1   # the second
nameserver fe80::1%eth0
nameserver 192.0.2.1
nameserver
"""


def test_nameservers(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text(FILE)
    assert resolvconf.read_nameservers(str(path)) == ("192.0.2.1", "2001:db8::1", "fe80::1%eth0")


def test_wrong_address(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("search example.org\nnameserver 192.0.2\n")
    with pytest.raises(errors.ConfigError, match=r"resolv.conf:2 - .*'192.0.2' is not an IP address"):
        resolvconf.read_nameservers(str(path))


def test_no_file(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError):
        resolvconf.read_nameservers(str(tmp_path / "none"))
