import pathlib
from collections.abc import Sequence

import pytest

from fastdns.config import model
from fastdns.forward import lookup, upstreams

TLS, HTTPS = model.Protocol.TLS, model.Protocol.HTTPS


@pytest.mark.parametrize(
    ("text", "upstream"),
    [
        ("192.0.2.1", model.Upstream("192.0.2.1", 53)),
        ("192.0.2.1:1053", model.Upstream("192.0.2.1", 1053)),
        ("dns://192.0.2.1", model.Upstream("192.0.2.1", 53)),
        ("2001:DB8::1", model.Upstream("2001:db8::1", 53)),
        ("[2001:db8::1]", model.Upstream("2001:db8::1", 53)),
        ("[2001:db8::1]:1053", model.Upstream("2001:db8::1", 1053)),
        ("fe80::1%eth0", model.Upstream("fe80::1%eth0", 53)),
        ("[fe80::1%eth0]:1053", model.Upstream("fe80::1%eth0", 1053)),
        ("tls://192.0.2.1", model.Upstream("192.0.2.1", 853, TLS)),
        ("tls://192.0.2.1:8853", model.Upstream("192.0.2.1", 8853, TLS)),
        ("tls://192.0.2.1%dns.example", model.Upstream("192.0.2.1", 853, TLS, "dns.example")),
        ("tls://192.0.2.1%dns.example:8853", model.Upstream("192.0.2.1", 8853, TLS, "dns.example")),
        ("tls://[2001:db8::1%dns.example]:8853", model.Upstream("2001:db8::1", 8853, TLS, "dns.example")),
        ("https://192.0.2.1", model.Upstream("192.0.2.1", 443, HTTPS)),
        ("https://[2001:db8::1]:8443", model.Upstream("2001:db8::1", 8443, HTTPS)),
        ("https://192.0.2.1%dns.example", model.Upstream("192.0.2.1", 443, HTTPS, "dns.example")),
    ],
)
def test_address(text: str, upstream: model.Upstream) -> None:
    assert upstreams.read(text) == (upstream,)


def test_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 192.0.2.1\nnameserver fe80::1%eth0\n")
    assert upstreams.read(str(path)) == (model.Upstream("192.0.2.1", 53), model.Upstream("fe80::1%eth0", 53))


def test_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, Sequence[tuple[str, int]]]] = []

    def addresses(host: str, resolvers: Sequence[tuple[str, int]]) -> tuple[str, ...]:
        asked.append((host, resolvers))
        return ("192.0.2.1", "2001:db8::1")

    monkeypatch.setattr(lookup, "addresses", addresses)
    found = upstreams.read("tls://dns.example%other.example:8853", resolvers=[("192.0.2.53", 53)])
    assert asked == [("dns.example", [("192.0.2.53", 53)])]
    assert found == tuple(
        model.Upstream(address, 8853, TLS, "other.example") for address in ("192.0.2.1", "2001:db8::1")
    )


def test_name_without_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def addresses(host: str, resolvers: Sequence[tuple[str, int]]) -> tuple[str, ...]:
        raise OSError("no such host")

    monkeypatch.setattr(lookup, "addresses", addresses)
    with pytest.raises(upstreams.TargetError, match=r'failed to resolve "dns\.example": no such host'):
        upstreams.read("dns.example")


@pytest.mark.parametrize(
    "text", ["", "192.0.2.1:0", "192.0.2.1:x", "unix:///run/dns", "a..b", "/no/such/file", "./x", "[]"]
)
def test_refused(text: str) -> None:
    with pytest.raises(upstreams.TargetError):
        upstreams.read(text)
