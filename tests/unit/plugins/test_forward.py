import dataclasses
import pathlib

import pytest

from fastdns import errors
from fastdns.config import model

UPSTREAM = model.Upstream("192.0.2.1", 53)
DEFAULT = model.Forward(".", (UPSTREAM,), max_connect_attempts=2)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("forward . 192.0.2.1", DEFAULT),
        ("forward Example.org 192.0.2.1", dataclasses.replace(DEFAULT, zone="example.org.")),
        ("forward 10.0.0.0/8 192.0.2.1", dataclasses.replace(DEFAULT, zone="10.in-addr.arpa.")),
        (
            "forward . 192.0.2.1 192.0.2.2:1053 192.0.2.1:53",
            model.Forward(".", (UPSTREAM, model.Upstream("192.0.2.2", 1053)), max_connect_attempts=4),
        ),
    ],
)
def test_first_line(read, line: str, expected: model.Forward) -> None:
    assert read(line) == (expected,)


@pytest.mark.parametrize(
    ("option", "changes"),
    [
        ("except a b\nexcept 10.0.0.0/8", {"excluded": ("a.", "b.", "10.in-addr.arpa.")}),
        ("force_tcp", {"force_tcp": True}),
        ("prefer_udp", {"prefer_udp": True}),
        ("expire 20s", {"expire": 20.0}),
        ("max_age 1m", {"max_age": 60.0}),
        ("max_idle_conns 5", {"max_idle_conns": 5}),
        ("read_timeout 1s", {"read_timeout": 1.0}),
        ("max_fails 0", {"max_fails": 0}),
        ("max_connect_attempts 3", {"max_connect_attempts": 3}),
        ("doh_method GET", {"doh_method": "GET"}),
        ("doh_method POST", {"doh_method": "POST"}),
        ("tls", {"tls": model.Tls()}),
        ("tls_servername dns.example", {"tls": model.Tls(server_name="dns.example")}),
        ("policy round_robin", {"policy": "round_robin"}),
        ("policy sequential", {"policy": "sequential"}),
        ("health_check 1s", {"health_check": model.HealthCheck(1.0)}),
        ("health_check 1s no_rec domain Example.org", {"health_check": model.HealthCheck(1.0, False, "example.org.")}),
        ("max_concurrent 1000", {"max_concurrent": 1000}),
        ("next NXDOMAIN servfail\nnext REFUSED", {"next": (3, 2, 5)}),
        ("next_on_nodata", {"next_on_nodata": True}),
        ("failover SERVFAIL", {"failover": (2,)}),
        ("failfast_all_unhealthy_upstreams", {"failfast_all_unhealthy_upstreams": True}),
        ("resolver 192.0.2.53 [2001:db8::53]:1053", {}),
        ("source_address 192.0.2.9", {"source_address": "192.0.2.9"}),
    ],
)
def test_option(read, option: str, changes: dict[str, object]) -> None:
    assert read(f"forward . 192.0.2.1 {{\n{option}\n}}") == (dataclasses.replace(DEFAULT, **changes),)


def test_several(read) -> None:
    lines = "forward a.example 192.0.2.1\nforward . 192.0.2.1"
    assert [plugin.zone for plugin in read(lines)] == ["a.example.", "."]


def test_wide_network_is_a_warning(read, caplog: pytest.LogCaptureFixture) -> None:
    (forward,) = read("forward 10.0.0.0/15 192.0.2.1")
    assert forward.zone == "0.10.in-addr.arpa."
    assert "Using only '0.10.in-addr.arpa.'" in caplog.text


def test_wrong_line_of_a_file(read, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 192.0.2.1\nnameserver dns.example\n")
    with pytest.raises(errors.ConfigError) as raised:
        read(f"forward . {path}")
    assert str(raised.value) == (
        f"{path}:2 - Error during parsing: 'dns.example' is not an IP address; named in Corefile:2 (plugin/forward)"
    )
