"""The nanny's own dnsmasq: which configuration comes of arguments and ConfigMap, and when it is another one."""

from __future__ import annotations

import json
import pathlib

import pytest

from fastdns import errors
from fastdns.config import model, nanny
from fastdns.server import builtin

BASE = ("-k", "--conf-file=/dev/null", "--no-hosts", "--no-resolv", "--server=/cluster.local/127.0.0.1#10053")


class Setup:
    """A Source, its folder and its look-ups."""

    def __init__(self, folder: pathlib.Path, *, restarts: bool = True, arguments: tuple[str, ...] = BASE) -> None:
        self.folder = folder
        self.known: dict[str, str] = {}
        self.asked: list[str] = []
        options = nanny.Options(restarts=restarts, config_dir=str(folder), sync_interval=7.0, arguments=arguments)
        self.source = builtin.Source(options, look_up=self.look_up)

    def look_up(self, name: str) -> str:
        self.asked.append(name)
        if name not in self.known:
            raise OSError("no such host")
        return self.known[name]

    def write(self, **keys: object) -> None:
        for key, value in keys.items():
            (self.folder / key).write_text(json.dumps(value))

    def servers(self) -> dict[str, list[tuple[str, int]]]:
        return servers_of(self.source.load())


def servers_of(config: model.Config) -> dict[str, list[tuple[str, int]]]:
    forwards = [plugin for block in config.blocks for plugin in block.plugins if isinstance(plugin, model.Forward)]
    return {one.zone: list(dict.fromkeys((to.address, to.port) for to in one.upstreams)) for one in forwards}


@pytest.fixture
def setup(tmp_path: pathlib.Path) -> Setup:
    return Setup(tmp_path)


def test_the_arguments_alone(setup: Setup) -> None:
    assert setup.servers() == {"cluster.local.": [("127.0.0.1", 10053)], ".": []}


def test_stub_domains_and_upstreams_are_servers(setup: Setup) -> None:
    setup.write(stubDomains={"a.local": ["1.1.1.1:54", "[::1]:55"]}, upstreamNameservers=["2.2.2.2"])
    assert setup.servers() == {
        "cluster.local.": [("127.0.0.1", 10053)],
        "a.local.": [("1.1.1.1", 54), ("::1", 55)],
        ".": [("2.2.2.2", 53)],
    }


def test_what_does_not_change_has_the_same_digest(setup: Setup) -> None:
    setup.write(upstreamNameservers=["2.2.2.2"])
    first, second = setup.source.load(), setup.source.load()
    assert (first.digest, first.blocks) == (second.digest, second.blocks)


def test_a_change_has_another_digest(setup: Setup) -> None:
    first = setup.source.load()
    setup.write(upstreamNameservers=["2.2.2.2"])
    second = setup.source.load()
    assert first.digest != second.digest
    assert servers_of(second)["."] == [("2.2.2.2", 53)]


def test_a_bad_change_leaves_the_configuration(setup: Setup) -> None:
    setup.write(upstreamNameservers=["2.2.2.2"])
    first = setup.source.load()
    setup.write(upstreamNameservers=["x"])
    assert setup.source.load().digest == first.digest


def test_without_restart_a_change_is_only_logged(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    setup = Setup(tmp_path, restarts=False)
    first = setup.source.load()
    setup.write(upstreamNameservers=["2.2.2.2"])
    with caplog.at_level(builtin.TOLD, logger=builtin.logger.name):
        assert setup.source.load().digest == first.digest
    assert caplog.messages == ["Not restarting dnsmasq (--restartDnsmasq=false)"]


def test_it_is_looked_at_again_after_the_interval(setup: Setup) -> None:
    reloads = [one for block in setup.source.load().blocks for one in block.plugins if isinstance(one, model.Reload)]
    assert reloads == [model.Reload(interval=7.0, jitter=0.0)]


def test_a_name_is_looked_up_once(setup: Setup) -> None:
    setup.known["ns.foo.com"] = "9.9.9.9"
    setup.write(stubDomains={"a.local": ["ns.foo.com"]})
    assert setup.servers()["a.local."] == [("9.9.9.9", 53)]
    setup.known["ns.foo.com"] = "8.8.8.8"
    assert setup.servers()["a.local."] == [("9.9.9.9", 53)]
    assert setup.asked == ["ns.foo.com"]


def test_a_name_without_address_is_left_out_until_it_has_one(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    setup.write(stubDomains={"a.local": ["ns.foo.com", "1.1.1.1"]})
    assert setup.servers()["a.local."] == [("1.1.1.1", 53)]
    assert setup.servers()["a.local."] == [("1.1.1.1", 53)]
    assert caplog.messages == [
        'Error looking up IP for name "ns.foo.com": no such host; it is left out until it is found'
    ]
    setup.known["ns.foo.com"] = "9.9.9.9"
    assert setup.servers()["a.local."] == [("9.9.9.9", 53), ("1.1.1.1", 53)]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--no-such-option", "dnsmasq: bad command line options: try --help"),
        ("--version", "dnsmasq: --version serves nothing"),
        ("--test", "dnsmasq: --test serves nothing"),
    ],
)
def test_arguments_with_which_dnsmasq_would_not_run(argument: str, message: str, tmp_path: pathlib.Path) -> None:
    setup = Setup(tmp_path, arguments=(*BASE, argument))
    with pytest.raises(errors.DnsmasqError) as raised:
        setup.source.load()
    assert str(raised.value) == message


@pytest.mark.parametrize("server", ["127.0.0.1:1", "localhost:1"])
def test_a_kube_dns_that_can_t_be_asked(server: str) -> None:
    with pytest.raises((OSError, ValueError)):
        builtin.find_address("ns.svc.cluster.local", kubedns_server=server)


def test_other_names_are_for_the_machine_s_resolver() -> None:
    assert builtin.find_address("localhost", kubedns_server="127.0.0.1:1") in ("127.0.0.1", "::1")
