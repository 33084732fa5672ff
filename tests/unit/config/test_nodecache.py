import ipaddress

import pytest

from fastdns import errors
from fastdns.config import configmap, nodecache
from fastdns.server import configuration

SETTINGS = nodecache.Settings(
    local_ips=(ipaddress.ip_address("169.254.20.10"), ipaddress.ip_address("10.96.0.10")),
    corefile="Corefile",
    port=5353,
)
TEMPLATE = """cluster.local:5353 {
    bind __PILLAR__LOCAL__DNS__ __PILLAR__DNS__SERVER__
    forward . __PILLAR__CLUSTER__DNS__ {
            force_tcp
    }
}
.:5353 {
    cache 30
    bind __PILLAR__LOCAL__DNS__
    forward . __PILLAR__UPSTREAM__SERVERS__ {
            force_tcp
    }
}
"""


def render(template: str = TEMPLATE, **keys: object) -> str:
    return nodecache.render(
        template,
        SETTINGS,
        keys=configmap.Settings(**keys),  # type: ignore[arg-type]
        cluster_dns="10.96.0.11",
    )


def test_every_pillar_is_put_in() -> None:
    assert (
        render()
        == """cluster.local:5353 {
    bind 169.254.20.10 10.96.0.10 \n    forward . 10.96.0.11 {
            force_tcp
    }
}
.:5353 {
    cache 30
    bind 169.254.20.10 10.96.0.10
    forward . /etc/resolv.conf {
            force_tcp
    }
}
"""
    )


def test_upstreams_of_the_configmap_are_asked_over_udp() -> None:
    text = render(upstreams=("192.0.2.1", "192.0.2.2:5300"))
    assert "    forward . 192.0.2.1 192.0.2.2:5300\n}\n" in text
    assert text.count("force_tcp") == 1, "the cluster's DNS is asked over TCP as before"


@pytest.mark.parametrize("indent", ["  ", "    ", "\t"])
def test_block_of_another_layout_keeps_its_options(indent: str) -> None:
    template = f".:53 {{\n{indent}forward . __PILLAR__UPSTREAM__SERVERS__ {{\n{indent}force_tcp\n{indent}}}\n}}\n"
    assert render(template, upstreams=("192.0.2.1",)) == template.replace(nodecache.UPSTREAMS, "192.0.2.1")


def test_stub_domain_gets_a_block_of_its_own() -> None:
    text = render("", stub_domains={"acme.local": ("192.0.2.3", "192.0.2.4:5300"), "other.local": ("192.0.2.5",)})
    assert text == (
        "\nacme.local:5353 {\n    errors\n    cache 30\n    bind 169.254.20.10 10.96.0.10\n"
        "    forward . 192.0.2.3 192.0.2.4:5300\n}\n"
        "\nother.local:5353 {\n    errors\n    cache 30\n    bind 169.254.20.10 10.96.0.10\n    forward . 192.0.2.5\n}\n"
    )


def test_what_is_made_is_served() -> None:
    text = render(stub_domains={"acme.local": ("192.0.2.3",), "empty.local": ()}, upstreams=("192.0.2.1",))
    zones = [block.zone for block in configuration.parse(text).blocks]
    assert zones == ["cluster.local.", ".", "acme.local."], "a stub domain without servers has no block"


def stock_block(zone: str, upstream: str, more: str = "") -> str:
    """As the add-on's manifest has them once its installer has put in the domain and the addresses."""
    return f"""{zone}:53 {{
        errors
        cache 30
        reload
        loop
        bind 169.254.20.10 10.96.0.10
        forward . {upstream}
        prometheus :9253{more}
        }}
"""


def test_stock_template_is_served() -> None:
    cluster = "__PILLAR__CLUSTER__DNS__ {\n                force_tcp\n        }"
    health = "\n        health 169.254.20.10:8080"
    template = stock_block("cluster.local", cluster, health)
    template += "".join(stock_block(zone, cluster) for zone in ("in-addr.arpa", "ip6.arpa"))
    template += stock_block(".", "__PILLAR__UPSTREAM__SERVERS__")
    blocks = configuration.parse(render(template, stub_domains={"acme.local": ("192.0.2.3",)})).blocks
    assert [block.zone for block in blocks] == ["cluster.local.", "in-addr.arpa.", "ip6.arpa.", ".", "acme.local."]


@pytest.mark.parametrize("text", ["169.254.20.10", "169.254.20.10,10.96.0.10", "fd00::10,::1"])
def test_local_ips_are_read(text: str) -> None:
    assert ",".join(map(str, nodecache.read_local_ips(text))) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'invalid localip specified - ""'),
        ("10.0.0.1,", 'invalid localip specified - ""'),
        ("10.0.0.1, 10.0.0.2", 'invalid localip specified - " 10.0.0.2"'),
        ("10.0.0.300", 'invalid localip specified - "10.0.0.300"'),
        ("10.0.0.1/32", 'invalid localip specified - "10.0.0.1/32"'),
        ("localhost", 'invalid localip specified - "localhost"'),
        ("10.0.0.1,fd00::1", 'unexpected IP Family for localIP - "fd00::1", want IPv6=false'),
        ("fd00::1,10.0.0.1", 'unexpected IP Family for localIP - "10.0.0.1", want IPv6=true'),
    ],
)
def test_wrong_local_ip_is_told(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        nodecache.read_local_ips(text)
    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["", "0", "x", "65536", "-1", "53 "])
def test_wrong_port_is_told(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        nodecache.read_port(text, "healthcheck ")
    assert str(caught.value) == f'invalid healthcheck port specified - "{text}"'


@pytest.mark.parametrize(("seconds", "interval"), [(60e-9, 60), (5e-9, 5), (1e-3, 1e6), (1.0, 1), (60.0, 60)])
def test_nanoseconds_of_the_interval_are_seconds(seconds: float, interval: float) -> None:
    assert nodecache.read_interval(seconds) == interval


@pytest.mark.parametrize("seconds", [0.0, -1.0, -60e-9])
def test_interval_that_never_passes_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="non-positive syncinterval"):
        nodecache.read_interval(seconds)


@pytest.mark.parametrize(
    ("name", "variable"),
    [("kube-dns", "KUBE_DNS_SERVICE_HOST"), ("dns", "DNS_SERVICE_HOST"), ("a-b-c", "A_B_C_SERVICE_HOST")],
)
def test_service_is_found_in_the_environment(name: str, variable: str) -> None:
    assert nodecache.find_service(name, {variable: "10.96.0.10"}) == "10.96.0.10"
    assert nodecache.find_service(name, {variable: "FD00::00A"}) == "fd00::a"


@pytest.mark.parametrize("environment", [{}, {"KUBE_DNS_SERVICE_HOST": ""}, {"KUBE_DNS_SERVICE_HOST": "kube-dns"}])
def test_service_without_an_address_is_written_as_nil(environment: dict[str, str]) -> None:
    assert nodecache.find_service("kube-dns", environment) == "<nil>"


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        ("ns.acme.local", "address ns.acme.local: missing port in address"),
        ("192.0.2.1:", 'bad port number: ""'),
        ("192.0.2.1:0", 'bad port number: "0"'),
        ("192.0.2.1:65536", 'bad port number: "65536"'),
    ],
)
def test_server_that_forward_cannot_ask_voids_the_update(server: str, reason: str) -> None:
    with pytest.raises(errors.SettingError) as caught:
        nodecache.check_keys(configmap.Settings(stub_domains={"acme.local": ("192.0.2.1", server)}))
    assert f'"acme.local": invalid nameserver "{server}": {reason}' in str(caught.value)


def test_addresses_with_ports_pass() -> None:
    nodecache.check_keys(
        configmap.Settings(stub_domains={"a": ("192.0.2.1", "192.0.2.1:53", "fd00::1", "[fd00::1]:5300")})
    )
