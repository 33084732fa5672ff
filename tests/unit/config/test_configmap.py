"""The keys of kube-dns's ConfigMap: what each takes, and what is said of each bad value."""

from __future__ import annotations

import json

import pytest

from fastdns import errors
from fastdns.config import configmap

LABEL_63 = "a" * 63
NAME_253 = ".".join([LABEL_63, LABEL_63, LABEL_63, "b" * 61])


def stub(servers: object, domain: str = "foo.com") -> dict[str, str]:
    return {"stubDomains": json.dumps({domain: servers})}


def upstreams(*servers: object) -> dict[str, str]:
    return {"upstreamNameservers": json.dumps(servers)}


@pytest.mark.parametrize(
    ("text", "federations"),
    [
        ("", {}),
        ("  \n", {}),
        ("abc=d.e.f", {"abc": "d.e.f"}),
        (" abc = d.e.f , x=y.z \n", {"abc": "d.e.f", "x": "y.z"}),
        ("a=b,a=c", {"a": "c"}),
        ("a-1=b-2", {"a-1": "b-2"}),
        (f"{LABEL_63}=x", {LABEL_63: "x"}),
    ],
)
def test_federations(text: str, federations: dict[str, str]) -> None:
    assert configmap.parse({"federations": text}).federations == federations


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abc", 'invalid format, must be key=value: "abc"'),
        ("a=b,", 'invalid format, must be key=value: ""'),
        ('{"a": "b"}', 'invalid format, must be key=value: "{\\"a\\": \\"b\\"}"'),
        ("=d.e", '"" not a valid federation name: a lower-case RFC 1123 label is expected'),
        ("a.b=c", '"a.b" not a valid federation name: a lower-case RFC 1123 label is expected'),
        ("Abc=d", '"Abc" not a valid federation name: a lower-case RFC 1123 label is expected'),
        ("a_b=d", '"a_b" not a valid federation name: a lower-case RFC 1123 label is expected'),
        ("-a=d", '"-a" not a valid federation name: a lower-case RFC 1123 label is expected'),
        ("a-=d", '"a-" not a valid federation name: a lower-case RFC 1123 label is expected'),
        (f"{LABEL_63}a=d", f'"{LABEL_63}a" not a valid federation name: a lower-case RFC 1123 label is expected'),
        ("a=", '"" not a valid domain name: a lower-case RFC 1123 subdomain is expected'),
        ("a=b.", '"b." not a valid domain name: a lower-case RFC 1123 subdomain is expected'),
        ("a=B.c", '"B.c" not a valid domain name: a lower-case RFC 1123 subdomain is expected'),
        ("a=b=c", '"b=c" not a valid domain name: a lower-case RFC 1123 subdomain is expected'),
        ("a=b..c", '"b..c" not a valid domain name: a lower-case RFC 1123 subdomain is expected'),
    ],
)
def test_bad_federations(text: str, message: str) -> None:
    with pytest.raises(errors.SettingError) as raised:
        configmap.parse({"federations": text})
    assert str(raised.value) == f"federations: {message}"
    assert raised.value.key == "federations"


@pytest.mark.parametrize(
    "servers",
    [
        ["1.2.3.4"],
        ["1.2.3.4:32564"],
        ["1.2.3.4:"],
        ["1.2.3.4:0"],
        ["1.2.3.4:65535"],
        ["2001:db8:1:1:1::1", "[2001:db8:2:2:2::2]:10053"],
        ["::ffff:10.0.0.1"],
        ["ns.foo.com", "ns"],
        ["01.2.3.4"],  # no address, but a name
        [],
    ],
)
def test_stub_domains(servers: list[str]) -> None:
    assert configmap.parse(stub(servers)).stub_domains == {"foo.com": tuple(servers)}


def test_stub_domains_keep_their_order_and_may_be_null() -> None:
    text = '{"z.local": null, "a.local": ["::1"], "cluster.local": ["10.0.0.1"]}'
    found = configmap.parse({"stubDomains": text}).stub_domains
    assert list(found.items()) == [("z.local", ()), ("a.local", ("::1",)), ("cluster.local", ("10.0.0.1",))]


@pytest.mark.parametrize(
    "domain", ["com", "1", NAME_253, f"{LABEL_63}.b", "xn--a.b", "10.in-addr.arpa"]
)  # fmt: skip
def test_domains_of_stub_domains(domain: str) -> None:
    assert list(configmap.parse(stub(["1.1.1.1"], domain)).stub_domains) == [domain]


@pytest.mark.parametrize(
    "domain",
    ["", "$$$$", "Foo.com", "*.com", "foo.com.", ".com", "a..b", "a_b.com", "-a.b", f"{LABEL_63}a.b", f"{NAME_253}c", "ä.de"],
)  # fmt: skip
def test_bad_domains_of_stub_domains(domain: str) -> None:
    with pytest.raises(errors.SettingError) as raised:
        configmap.parse(stub(["1.1.1.1"], domain))
    assert str(raised.value) == f'stubDomains: invalid domain name: "{domain}"'


@pytest.mark.parametrize(
    "server",
    [
        "",
        "$$$$",
        "1.2.3.4#53",
        "1.2.3.4:65536",
        "1.2.3.4:-1",
        "1.2.3.4:+1",
        "1.2.3.4:x",
        "ns.foo.com:53",
        "NS.foo.com",
        "ns.foo.com.",
        "[2001:db8::1]",
        "[2001:db8::1",
        "2001:db8::1#53",
        "fe80::1%eth0",
        "1.2.3.4:5:6",
        " 1.2.3.4",
        "1.2.3.4/24",
    ],
)
def test_bad_servers_of_stub_domains(server: str) -> None:
    with pytest.raises(errors.SettingError) as raised:
        configmap.parse(stub(["1.1.1.1", server]))
    assert str(raised.value) == f'stubDomains: invalid nameserver: "{server}"'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'invalid JSON "": Expecting value: line 1 column 1 (char 0)'),
        ("{", 'invalid JSON "{": Expecting property name enclosed in double quotes: line 1 column 2 (char 1)'),
        ('{"a": NaN}', 'invalid JSON "{\\"a\\": NaN}": NaN is no JSON'),
        ('["a"]', "an object from domain to servers is expected, not a list"),
        ("1", "an object from domain to servers is expected, not a number"),
        ("true", "an object from domain to servers is expected, not a truth value"),
        ('{"a": "1.1.1.1"}', 'the servers of "a": a list of texts is expected, not a text'),
        ('{"a": {"b": 1}}', 'the servers of "a": a list of texts is expected, not an object'),
        ('{"a": [1]}', 'the servers of "a": a text is expected, not a number'),
        ('{"a": [null]}', 'the servers of "a": a text is expected, not null'),
    ],
)
def test_stub_domains_that_are_no_object_of_lists(text: str, message: str) -> None:
    with pytest.raises(errors.SettingError) as raised:
        configmap.parse({"stubDomains": text})
    assert str(raised.value) == f"stubDomains: {message}"


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000])
def test_json_that_is_too_deep_is_refused(text: str) -> None:
    with pytest.raises(errors.SettingError, match=r"^stubDomains: invalid JSON "):
        configmap.parse({"stubDomains": text})


@pytest.mark.parametrize(
    "servers",
    [
        [],
        ["127.9.9.1"],
        ["127.9.9.1:53"],
        ["127.9.9.1", "127.9.9.2", "127.9.9.3"],
        ["[::1]:10053", "::1"],
        ["1.1.1.1:65535", "1.1.1.1:1"],
    ],
)
def test_upstreams(servers: list[str]) -> None:
    assert configmap.parse(upstreams(*servers)).upstreams == tuple(servers)


@pytest.mark.parametrize(
    ("server", "message"),
    [
        ("x", "address x: missing port in address"),
        ("", "address : missing port in address"),
        ("dns.google", "address dns.google: missing port in address"),
        ("dns.google:53", 'bad IP address: "dns.google"'),
        ("01.2.3.4", "address 01.2.3.4: missing port in address"),
        ("1.1.1.1#53", "address 1.1.1.1#53: missing port in address"),
        ("1.1.1.1:", 'bad port number: ""'),
        ("1.1.1.1:0", 'bad port number: "0"'),
        ("1.1.1.1:65536", 'bad port number: "65536"'),
        ("1.1.1.1:dns", 'bad port number: "dns"'),
        ("[::1]", "address [::1]: missing port in address"),
        ("[::1]:", 'bad port number: ""'),
        ("2001:db8::1::", "address 2001:db8::1::: too many colons in address"),
        (":53", 'bad IP address: ""'),
    ],
)
def test_bad_upstreams(server: str, message: str) -> None:
    with pytest.raises(errors.SettingError) as raised:
        configmap.parse(upstreams("1.1.1.1", server))
    assert str(raised.value) == f"upstreamNameservers: {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '["1.1.1.1","1.1.1.2","1.1.1.3","1.1.1.4"]',
            "upstreamNameserver cannot have more than three entries, 4 found",
        ),
        ("1.1.1.1", 'invalid JSON "1.1.1.1": Extra data: line 1 column 4 (char 3)'),
        ('{"a": "b"}', "the value: a list of texts is expected, not an object"),
        ('"1.1.1.1"', "the value: a list of texts is expected, not a text"),
        ("[1]", "the value: a text is expected, not a number"),
    ],
)
def test_upstreams_that_are_no_short_list(text: str, message: str) -> None:
    with pytest.raises(errors.SettingError) as raised:
        configmap.parse({"upstreamNameservers": text})
    assert str(raised.value) == f"upstreamNameservers: {message}"


@pytest.mark.parametrize("key", ["upstreamNameservers", "stubDomains"])
def test_a_value_may_be_null(key: str) -> None:
    assert configmap.parse({key: "null\n"}) == configmap.DEFAULTS


def test_other_keys_are_passed_over() -> None:
    assert configmap.parse({"other": "$$$"}) == configmap.DEFAULTS


def test_one_bad_key_makes_all_void() -> None:
    with pytest.raises(errors.SettingError):
        configmap.parse(stub(["1.1.1.1"]) | {"upstreamNameservers": '["x"]'})


def test_a_follower_tells_changes_alone() -> None:
    follower = configmap.Follower()
    first = follower.take("1", upstreams("1.1.1.1"))
    assert first is not None
    assert follower.take("1", upstreams("1.1.1.1")) is None
    assert follower.take("2", {}) == configmap.DEFAULTS


def test_a_follower_remembers_a_void_version() -> None:
    follower = configmap.Follower()
    follower.take("1", upstreams("1.1.1.1"))
    with pytest.raises(errors.SettingError):
        follower.take("2", upstreams("bad"))
    assert follower.take("2", upstreams("bad")) is None
    assert follower.take("1", upstreams("1.1.1.1")) == configmap.Settings(upstreams=("1.1.1.1",))


def test_the_first_version_is_a_change_even_without_a_name() -> None:
    assert configmap.Follower().take("", {}) == configmap.DEFAULTS


@pytest.mark.parametrize(
    ("text", "address"),
    [("1.1.1.1", ("1.1.1.1", 53)), ("1.1.1.1:5", ("1.1.1.1", 5)), ("[::1]:5", ("::1", 5)), ("::1", ("::1", 53))],
)
def test_split_address(text: str, address: tuple[str, int]) -> None:
    assert configmap.split_address(text) == address
