"""dnsmasq's options in, plugins of the one configuration out."""

from __future__ import annotations

import pathlib
from typing import TypeVar

import pytest

from fastdns.config import dnsmasq, local, model

BASE = ("--conf-file=/dev/null", "--no-resolv", "--no-hosts")
STOCK = (
    "-k --cache-size=1000 --no-negcache --dns-loop-detect --log-facility=- --server=/cluster.local/127.0.0.1#10053 "
    "--server=/in-addr.arpa/127.0.0.1#10053 --server=/ip6.arpa/127.0.0.1#10053"
)
Plugin = TypeVar("Plugin")


def plugins(*arguments: str, kind: type[Plugin]) -> list[Plugin]:
    (block,) = dnsmasq.parse([*BASE, *arguments]).blocks
    return [plugin for plugin in block.plugins if isinstance(plugin, kind)]


def plugin(*arguments: str, kind: type[Plugin]) -> Plugin:
    (found,) = plugins(*arguments, kind=kind)
    return found


def forwards(*arguments: str) -> list[tuple[list[str], list[str]]]:
    """(zones, servers, each once) in the order of asking."""
    return [
        ([one.zone, *one.more_zones], list(dict.fromkeys(f"{up.address}#{up.port}" for up in one.upstreams)))
        for one in plugins(*arguments, kind=model.Forward)
    ]


def test_stock_arguments_of_a_kube_dns_pod() -> None:
    settings = dnsmasq.read([*STOCK.split(), *BASE])
    assert settings.stays_in_foreground
    assert settings.log_facility == "-"
    assert plugin(*STOCK.split(), kind=model.Cache).success.capacity == 1000
    assert plugin(*STOCK.split(), kind=model.Cache).denial.capacity == 0
    assert plugins(*STOCK.split(), kind=local.LoopDetect)
    zones = [zone for names, _ in forwards(*STOCK.split()) for zone in names]
    assert sorted(zones) == [".", "cluster.local.", "in-addr.arpa.", "ip6.arpa."]


def test_longer_domains_are_asked_first() -> None:
    arguments = "--server=192.0.2.1 --server=/b.test/192.0.2.2 --server=/a.b.test/192.0.2.3#54"
    assert forwards(*arguments.split()) == [
        (["a.b.test."], ["192.0.2.3#54"]),
        (["b.test."], ["192.0.2.2#53"]),
        (["."], ["192.0.2.1#53"]),
    ]


def test_domains_of_the_same_servers_are_one() -> None:
    assert forwards("--server=/a.test/b.test/192.0.2.2")[0] == (["a.test.", "b.test."], ["192.0.2.2#53"])


def test_ordinary_servers_for_a_domain() -> None:
    arguments = ("--server=192.0.2.1", "--server=/test/192.0.2.2", "--server=/a.test/#")
    assert forwards(*arguments)[0] == (["a.test."], ["192.0.2.1#53"])


def test_names_without_a_dot() -> None:
    first, second = plugins("--server=192.0.2.1", "--server=//192.0.2.2", kind=model.Forward)
    assert (first.is_undotted, second.is_undotted) == (True, False)


def test_source_of_questions() -> None:
    assert plugin("--server=192.0.2.1@127.0.0.1", kind=model.Forward).source_address == "127.0.0.1"


@pytest.mark.parametrize(
    ("arguments", "policy"),
    [((), "fastest"), (("--strict-order",), "sequential"), (("--all-servers",), "all")],
)
def test_order_of_servers(arguments: tuple[str, ...], policy: str) -> None:
    (found,) = plugins("--server=192.0.2.1", "--server=192.0.2.2", *arguments, kind=model.Forward)
    assert found.policy == policy


def test_reverse_servers_off_the_label() -> None:
    zones, _ = forwards("--rev-server=192.168.4.0/22,192.0.2.1")[0]
    assert zones == [f"{number}.168.192.in-addr.arpa." for number in (4, 5, 6, 7)]


def test_questions_on_their_way_are_a_thousand_by_default() -> None:
    assert plugin("--server=192.0.2.1", kind=model.Forward).max_concurrent == 1000
    assert plugin("--server=192.0.2.1", "--dns-forward-max=7", kind=model.Forward).max_concurrent == 7


def test_domains_with_an_answer() -> None:
    arguments = (
        "--address=/a.test/192.0.2.1 --address=/a.test/::1 --address=/n.test/ --address=/z.test/# --local=/l.test/"
    )
    found = {domain.name: domain for domain in plugin(*arguments.split(), kind=local.LocalDomains).domains}
    assert found["a.test."].addresses == ("192.0.2.1", "::1")
    assert found["n.test."].is_denied
    assert found["z.test."].addresses == ("0.0.0.0", "::")
    assert found["l.test."].is_denied


def test_a_server_of_an_address_domain_is_passed() -> None:
    arguments = ("--address=/a.test/192.0.2.1", "--server=/s.a.test/192.0.2.2")
    found = {domain.name: domain for domain in plugin(*arguments, kind=local.LocalDomains).domains}
    assert found["s.a.test."].is_passed


def test_limits_of_the_cache() -> None:
    found = plugin("--min-cache-ttl=99999", "--max-cache-ttl=50", "--neg-ttl=9", "--cache-rr=TXT", kind=model.Cache)
    assert (found.success.min_ttl, found.success.max_ttl) == (3600, 3600)  # an hour at most, and the least goes first
    assert plugin("--max-cache-ttl=50", kind=model.Cache).success.max_ttl == 50
    assert found.records is not None
    assert found.records.negative_ttl == 9
    assert 16 in found.records.types


def test_every_type_is_cached() -> None:
    found = plugin("--cache-rr=ANY", kind=model.Cache)
    assert found.records == model.RecordCache()


def test_stale_answers() -> None:
    stale = plugin("--use-stale-cache=60", kind=model.Cache).serve_stale
    assert stale is not None
    assert stale.duration == 60


def test_rebind_protection() -> None:
    rules = plugin("--stop-dns-rebind", "--rebind-domain-ok=/a.test/b.test/", kind=local.ReplyRules)
    assert rules.private_zones == ("a.test.", "b.test.")
    loopback = local.Network(bytes([127, 0, 0, 0]), bytes([127, 255, 255, 255]))
    assert loopback in rules.private
    rules = plugin("--stop-dns-rebind", "--rebind-localhost-ok", kind=local.ReplyRules)
    assert loopback not in rules.private


def test_aliases_of_networks() -> None:
    (alias,) = plugin("--alias=192.0.2.0,198.51.100.0,255.255.255.0", kind=local.ReplyRules).aliases
    assert alias.network == local.Network(bytes([192, 0, 2, 0]), bytes([192, 0, 2, 255]))


def test_host_records() -> None:
    found = plugin("--host-record=a.test,b.test,192.0.2.1,::1,60", kind=local.LocalNames).hosts
    assert found == (local.Host(("a.test.", "b.test."), ("192.0.2.1", "::1"), 60),)


def test_listeners() -> None:
    (block,) = dnsmasq.parse([*BASE, "--listen-address=127.0.0.1,::1", "--port=5353"]).blocks
    assert block.listeners == (model.Listener("127.0.0.1", 5353), model.Listener("::1", 5353))


def test_loopback_comes_with_every_interface() -> None:
    (block,) = dnsmasq.parse([*BASE, "--interface=lo"]).blocks
    assert model.Listener("127.0.0.1", 53) in block.listeners


def test_letters_take_their_values_in_every_way() -> None:
    for arguments in (["-kc5"], ["-k", "-c", "5"], ["-c5", "-k"]):
        settings = dnsmasq.read([*BASE, *arguments])
        assert settings.stays_in_foreground
        (found,) = (one for one in settings.config.blocks[0].plugins if isinstance(one, local.Statistics))
        assert found.cache_size == 5


def test_long_words_may_be_shortened() -> None:
    assert dnsmasq.read([*BASE, "--keep-in"]).stays_in_foreground


@pytest.mark.parametrize("word", ["version", "help", "test"])
def test_what_is_shown(word: str) -> None:
    assert dnsmasq.read([*BASE, f"--{word}"]).shows == word


# --- files ------------------------------------------------------------------------------------------------------------


def test_files_name_files(tmp_path: pathlib.Path) -> None:
    (tmp_path / "more").write_text("address=/b.test/192.0.2.2\n")
    (tmp_path / "first").write_text(f"# why\naddress = /a.test/192.0.2.1 # why\nconf-file={tmp_path}/more\n")
    config = dnsmasq.parse(["--no-resolv", "--no-hosts", f"-C{tmp_path}/first"])
    (found,) = (one for one in config.blocks[0].plugins if isinstance(one, local.LocalDomains))
    assert [domain.name for domain in found.domains] == ["a.test.", "b.test."]
    assert config.files == (f"{tmp_path}/first", f"{tmp_path}/more")


def test_folders_of_files(tmp_path: pathlib.Path) -> None:
    for name in ("a.conf", "b.txt", ".hidden", "c.conf~", "#d.conf#"):
        (tmp_path / name).write_text(f"address=/{name.strip('.~#')}.test/192.0.2.1\n")
    for suffixes, expected in (
        ("", ["a.conf.test.", "b.txt.test."]),
        (",*.conf", ["a.conf.test."]),
        (",.txt", ["a.conf.test."]),
    ):
        config = dnsmasq.parse([*BASE, f"--conf-dir={tmp_path}{suffixes}"])
        (found,) = (one for one in config.blocks[0].plugins if isinstance(one, local.LocalDomains))
        assert [domain.name for domain in found.domains] == expected


def test_command_line_goes_before_a_file(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("cache-size=9\n")
    config = dnsmasq.parse(["--no-resolv", "--no-hosts", "-c5", f"-C{tmp_path}/file"])
    (found,) = (one for one in config.blocks[0].plugins if isinstance(one, local.Statistics))
    assert found.cache_size == 5


def test_quotes_hide_commas(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text('txt-record=a.test,"one,two","th\\"ree"\n')
    config = dnsmasq.parse(["--no-resolv", "--no-hosts", f"-C{tmp_path}/file"])
    (found,) = (one for one in config.blocks[0].plugins if isinstance(one, local.LocalNames))
    assert found.records[0].data == b'\7one,two\6th"ree'


def test_digest_follows_every_file(tmp_path: pathlib.Path) -> None:
    servers = tmp_path / "servers"
    servers.write_text("server=192.0.2.1\n")
    resolv = tmp_path / "resolv"
    resolv.write_text("nameserver 192.0.2.1\n")
    arguments = ["--conf-file=/dev/null", f"--servers-file={servers}", f"--resolv-file={resolv}"]
    first = dnsmasq.parse(arguments).digest
    servers.write_text("server=192.0.2.2\n")
    second = dnsmasq.parse(arguments).digest
    resolv.write_text("nameserver 192.0.2.2\n")
    assert len({first, second, dnsmasq.parse(arguments).digest}) == 3


def test_resolv_file_gives_servers(tmp_path: pathlib.Path) -> None:
    (tmp_path / "resolv").write_text(
        "# why\nnameserver 192.0.2.1\nnameserver nonsense\nsearch a.test\nnameserver ::1\n"
    )
    config = dnsmasq.parse(["--conf-file=/dev/null", f"--resolv-file={tmp_path}/resolv"])
    (found,) = (one for one in config.blocks[0].plugins if isinstance(one, model.Forward))
    assert [upstream.address for upstream in found.upstreams] == ["192.0.2.1", "::1"]
