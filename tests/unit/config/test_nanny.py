"""dnsmasq's arguments out of a command line and a ConfigMap, as the real nanny makes them."""

from __future__ import annotations

import functools

import pytest

from fastdns.config import configmap, nanny

NONE = configmap.DEFAULTS


def make(settings: configmap.Settings, *, plainly: bool = False, **addresses: str) -> list[str]:
    write = nanny.write_plainly if plainly else nanny.write_as_nanny
    found = {name.replace("_", "."): at for name, at in addresses.items()}
    return nanny.make_arguments(["--abc"], settings, functools.partial(write, addresses=found))


@pytest.mark.parametrize(
    ("words", "own", "dnsmasq"),
    [
        ([], [], []),
        (["-v=2"], ["-v=2"], []),
        (["-v=2", "--", "-k", "--cache-size=1"], ["-v=2"], ["-k", "--cache-size=1"]),
        (["--"], [], []),
        (["--", "-k", "--", "x"], [], ["-k", "--", "x"]),
        (["-configDir", "--", "-k"], ["-configDir"], ["-k"]),
    ],
)
def test_the_first_two_dashes_separate(words: list[str], own: list[str], dnsmasq: list[str]) -> None:
    assert nanny.split_arguments(words) == (own, dnsmasq)


@pytest.mark.parametrize(
    ("server", "written"),
    [
        ("1.1.1.1", "1.1.1.1"),
        ("1.1.1.1:53", "1.1.1.1#53"),
        ("1.1.1.1:", "1.1.1.1#"),
        ("2001:db8::1", "2001:db8::1"),
        ("::1", "::1"),
        ("[2001:db8::2]:10053", "[2001:db8::2]#10053"),
        ("ns.foo.com", "ns.foo.com"),
    ],
)
def test_a_port_stands_behind_a_hash(server: str, written: str) -> None:
    assert make(configmap.Settings(upstreams=(server,))) == ["--abc", "--server", written, "--no-resolv"]
    stubs = configmap.Settings(stub_domains={"a.local": (server,)})
    assert make(stubs) == ["--abc", "--server", f"/a.local/{written}"]


def test_stub_domains_come_first_and_no_resolv_last() -> None:
    settings = configmap.Settings(
        federations={"a": "b.c"},
        stub_domains={"b.local": ("1.1.1.1:53", "1.1.1.2"), "a.local": ("::1",), "none.local": ()},
        upstreams=("2.2.2.2", "3.3.3.3:5353"),
    )
    assert make(settings) == [
        "--abc", "--server", "/b.local/1.1.1.1#53", "--server", "/b.local/1.1.1.2", "--server", "/a.local/::1",
        "--server", "2.2.2.2", "--server", "3.3.3.3#5353", "--no-resolv",
    ]  # fmt: skip


def test_nothing_is_added_without_a_configmap() -> None:
    assert make(NONE) == ["--abc"]


def test_names_have_addresses_put_in_their_place() -> None:
    settings = configmap.Settings(stub_domains={"a.local": ("ns.foo.com", "ns.bar.com")})
    assert make(settings, ns_foo_com="10.9.9.9") == [
        "--abc", "--server", "/a.local/10.9.9.9", "--server", "/a.local/ns.bar.com"]  # fmt: skip


@pytest.mark.parametrize(
    ("server", "written"),
    [
        ("1.1.1.1", "1.1.1.1"),
        ("1.1.1.1:53", "1.1.1.1#53"),
        ("1.1.1.1:", "1.1.1.1"),
        ("::1", "::1"),
        ("[::1]:53", "::1#53"),
        ("[::1]:", "::1"),
        ("ns.foo.com", "10.9.9.9"),
        ("ns.bar.com", ""),
    ],
)
def test_servers_as_dnsmasq_understands_them(server: str, written: str) -> None:
    settings = configmap.Settings(stub_domains={"a.local": (server,)})
    expected = ["--abc", "--server", f"/a.local/{written}"] if written else ["--abc"]
    assert make(settings, plainly=True, ns_foo_com="10.9.9.9") == expected


def test_only_names_are_looked_up() -> None:
    servers = ("1.1.1.1", "1.1.1.1:5", "::1", "[::1]:5", "1.1.1.1:", "ns.foo.com", "01.2.3.4", "ns.foo.com")
    settings = configmap.Settings(stub_domains={"a.local": servers, "b.local": ("x", "ns.foo.com")})
    assert list(nanny.find_names(settings)) == ["ns.foo.com", "01.2.3.4", "x"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (nanny.Options(log_interval=-1.0), "-logInterval: -1s is negative"),
        (nanny.Options(sync_interval=0.0), "-syncInterval: 0s is no period"),
        (nanny.Options(sync_interval=-5.0), "-syncInterval: -5s is no period"),
    ],
)
def test_intervals_that_make_no_sense(options: nanny.Options, message: str) -> None:
    with pytest.raises(ValueError) as raised:
        nanny.check(options)
    assert str(raised.value) == message
