import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastdns.config import values


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("5s", 5.0),
        ("+5s", 5.0),
        ("-5s", -5.0),
        ("1m30s", 90.0),
        ("1h", 3600.0),
        ("1.5h", 5400.0),
        (".5s", 0.5),
        ("1.s", 1.0),
        ("500ms", 0.5),
        ("100us", 0.0001),
        ("100µs", 0.0001),
        ("1ns", 1e-9),
        ("1s1s", 2.0),
    ],
)
def test_parse_duration(text: str, seconds: float) -> None:
    assert values.parse_duration(text) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'time: invalid duration ""'),
        ("-", 'time: invalid duration "-"'),
        ("x", 'time: invalid duration "x"'),
        (".", 'time: invalid duration "."'),
        (".s", 'time: invalid duration ".s"'),
        ("5", 'time: missing unit in duration "5"'),
        ("5s5", 'time: missing unit in duration "5s5"'),
        ("5 s", 'time: unknown unit " s" in duration "5 s"'),
        ("1d", 'time: unknown unit "d" in duration "1d"'),
        ("1.5.5s", 'time: missing unit in duration "1.5.5s"'),
        ("9999999h", 'time: invalid duration "9999999h"'),
    ],
)
def test_parse_duration_refuses(text: str, message: str) -> None:
    with pytest.raises(ValueError) as raised:
        values.parse_duration(text)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (1, "1s"),
        (-1, "-1s"),
        (90, "1m30s"),
        (60, "1m0s"),
        (3600, "1h0m0s"),
        (5401.5, "1h30m1.5s"),
        (0.5, "500ms"),
        (0.0015, "1.5ms"),
        (1e-9, "1ns"),
    ],
)
def test_format_duration(seconds: float, text: str) -> None:
    assert values.format_duration(seconds) == text


@given(st.integers(min_value=-(10**15), max_value=10**15))
def test_durations_come_back(nanoseconds: int) -> None:
    written = values.format_duration(nanoseconds / 10**9)
    assert values.parse_duration(written) == pytest.approx(nanoseconds / 10**9, abs=1e-9)


@pytest.mark.parametrize(
    ("text", "zones", "port"),
    [
        (".", (".",), None),
        (".:53", (".",), 53),
        ("Example.ORG", ("example.org.",), None),
        ("example.org.:1053", ("example.org.",), 1053),
        ("10.0.0.0/8", ("10.in-addr.arpa.",), None),
        ("10.0.0.0/8:1053", ("10.in-addr.arpa.",), 1053),
        ("10.1.2.3/16", ("1.10.in-addr.arpa.",), None),
        ("192.0.2.0/23:53", ("2.0.192.in-addr.arpa.", "3.0.192.in-addr.arpa."), 53),
        ("2001:db8::/32", ("8.b.d.0.1.0.0.2.ip6.arpa.",), None),
        ("2001:db8::/32:53", ("8.b.d.0.1.0.0.2.ip6.arpa.",), 53),
        ("0/25.2.0.192.in-addr.arpa", ("0/25.2.0.192.in-addr.arpa.",), None),
    ],
)
def test_split_zone(text: str, zones: tuple[str, ...], port: int | None) -> None:
    assert values.split_zone(text) == (zones, port)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [(":53", "", "53"), ("a:b", "a", "b"), ("[::1]:53", "::1", "53"), ("[fe80::1%eth0]:53", "fe80::1%eth0", "53")],
)
def test_split_host_port(text: str, host: str, port: str) -> None:
    assert values.split_host_port(text) == (host, port)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("53", "address 53: missing port in address"),
        ("[::1]", "address [::1]: missing port in address"),
        ("::1", "address ::1: too many colons in address"),
        ("[::1]53:53", "address [::1]53:53: too many colons in address"),
        ("[::1:53", "address [::1:53: missing ']' in address"),
        ("a]:53", "address a]:53: unexpected ']' in address"),
    ],
)
def test_split_host_port_refuses(text: str, message: str) -> None:
    with pytest.raises(ValueError) as raised:
        values.split_host_port(text)
    assert str(raised.value) == message
