"""Each bad value of dnsmasq's options, and what is said of it: the words of dnsmasq 2.90."""

from __future__ import annotations

import pathlib

import pytest

from fastdns import errors
from fastdns.config import dnsmasq
from fastdns.config.dnsmasq import options

BASE = ("--conf-file=/dev/null", "--no-resolv")
HELP = "bad command line options: try --help"


def message_of(*arguments: str) -> str:
    with pytest.raises(errors.DnsmasqError) as caught:
        dnsmasq.parse([*BASE, *arguments])
    assert isinstance(caught.value, errors.ConfigError)
    assert caught.value.status == 1
    return str(caught.value)


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("--nonsense", HELP),
        ("--serv=192.0.2.1", HELP),  # --server and --servers-file
        ("--no-resolv=1", HELP),
        ("-k=1", HELP),
        ("--port", HELP),
        ("--port=x", HELP),
        ("--port=70000", HELP),
        ("--port=-1", HELP),
        ("--cache-size=x", HELP),
        ("--cache-size=-1", HELP),
        ("--local-ttl=x", HELP),
        ("--neg-ttl=x", HELP),
        ("--max-ttl=x", HELP),
        ("--min-cache-ttl=x", HELP),
        ("--max-cache-ttl=-1", HELP),
        ("--dns-forward-max=x", HELP),
        ("--dns-forward-max=-1", HELP),
        ("--edns-packet-max=x", HELP),
        ("--use-stale-cache=x", HELP),
        ("--use-stale-cache=-1", HELP),
        ("--port-limit=0", HELP),
        ("--min-port=x", HELP),
        ("--max-port=99999", HELP),
        ("--query-port=x", HELP),
        ("--max-tcp-connections=x", HELP),
        ("--max-tcp-connections=0", HELP),
        ("--local-ttl= 5", HELP),
        ("--local-ttl=+5", HELP),
        ("--local-service=x", HELP),
        ("--interface-name=a.test,lo/5", HELP),
        ("--log-async=x", HELP),
        ("--fast-dns-retry=x", HELP),
        ("--fast-dns-retry=49", HELP),
        ("--fast-dns-retry=500,x", HELP),
        ("--listen-address=x", HELP),
        ("--listen-address=192.0.2.1#5", HELP),
        ("--bogus-nxdomain=x", HELP),
        ("--bogus-nxdomain=192.0.2.1/99", HELP),
        ("--ignore-address=x", HELP),
        ("--local", HELP),
        ("--rev-server=x/8,192.0.2.1", HELP),
        ("--server=192.0.2.1.5", "bad command line options: Name or service not known"),
        ("--server=/a.test/[2001:db8::1]#53", "bad command line options: Name or service not known"),
        ("--server=/a", "bad command line options: Name or service not known"),
        ("--server=/a.test/192.0.2.1#99999", "bad command line options: bad port"),
        ("--server=192.0.2.1#x", "bad command line options: bad port"),
        ("--server=192.0.2.1@192.0.2.2#99999", "bad command line options: bad port"),
        ("--server=192.0.2.1@nonesuch", "bad command line options: interface binding not supported"),
        ("--address=/a.test/300.1.1.1", "bad command line options: Bad address in --address"),
        ("--address=/a.test/fe80::1%lo", "bad command line options: Bad address in --address"),
        ("--address=/a.test/192.0.2.1#5", "bad command line options: Bad address in --address"),
        ("--address=/a.test", "bad command line options: Bad address in --address"),
        ("--address=a.test", "bad command line options: Bad address in --address"),
        ("--server=192.0.2.1@::1", "bad command line options: cannot use IPv4 server address with IPv6 source address"),
        ("--server=::1@127.0.0.1", "bad command line options: cannot use IPv6 server address with IPv4 source address"),
        ("--rev-server=10.0.0.0/0,192.0.2.1", "bad command line options: bad IPv4 prefix length"),
        ("--rev-server=10.0.0.0/,192.0.2.1", "bad command line options: bad IPv4 prefix length"),
        ("--rev-server=10.0.0.0/40,192.0.2.1", "bad command line options: bad IPv4 prefix length"),
        ("--rev-server=2001:db8::/200,192.0.2.1", "bad command line options: bad IPv6 prefix length"),
        ("--rev-server=10.0.0.0/8,", "bad command line options: Name or service not known"),
        ("--host-record=x", "bad command line options: Bad host-record"),
        ("--cname=x", "bad command line options: bad CNAME"),
        ("--cname=a.test,a.test", "CNAME loop involving a.test"),
        ("--mx-host=a.test,b.test,x", "bad command line options: bad MX preference"),
        ("--srv-host=_a._tcp,b.test,x", "bad command line options: invalid port number"),
        ("--srv-host=_a._tcp,b.test,1,x", "bad command line options: invalid priority"),
        ("--srv-host=_a._tcp,b.test,1,2,x", "bad command line options: invalid weight"),
        ("--naptr-record=a.test", "bad command line options: bad NAPTR record"),
        ("--naptr-record=a.test,x,2,u,x,y", "bad command line options: bad NAPTR record"),
        ("--caa-record=a.test", "bad command line options: bad CAA record"),
        ("--dns-rr=a.test", "bad command line options: bad RR record"),
        ("--interface-name=a.test", "bad command line options: bad interface name"),
        ("--dns-rr=a.test,TXT,01", "bad command line options: bad RR record"),
        ("--dns-rr=a.test,x", "bad command line options: bad RR record"),
        ("--cache-rr=FOO", "bad command line options: bad RR type"),
        ("--filter-rr=A,FOO", "bad command line options: bad RR type"),
        ("--alias=x", "bad command line options: missing address in alias"),
        ("--alias=192.0.2.1", "bad command line options: missing address in alias"),
        ("--alias=192.0.2.4-x,198.51.100.1", "bad command line options: invalid alias range"),
        ("--alias=192.0.2.4-192.0.2.9,198.51.100.1", "bad command line options: invalid alias range"),
        ("--log-facility=", "bad command line options: bad log facility"),
        ("--log-facility=nonsense", "bad command line options: bad log facility"),
        ("--domain=#", "must have exactly one resolv.conf to read domain from."),
        ("extra", "junk found in command line"),
    ],
)
def test_mistake_on_the_command_line(argument: str, said: str) -> None:
    assert message_of(argument) == f"dnsmasq: {said}"


def test_octets_that_are_none() -> None:
    with pytest.raises(errors.DnsmasqError) as caught:
        dnsmasq.parse([*BASE, "--dns-rr=a.test,65280,xx"])
    assert (str(caught.value), caught.value.status) == ("dnsmasq: could not get memory", 4)


def test_resolv_conf_without_a_search_domain(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("nameserver 192.0.2.1\n")
    with pytest.raises(errors.DnsmasqError) as caught:
        dnsmasq.parse(["--conf-file=/dev/null", f"--resolv-file={file}", "--domain=#"])
    assert (str(caught.value), caught.value.status) == (f"dnsmasq: no search directive found in {file}", 5)


def test_queries_of_networks_are_not_left_unwatched() -> None:
    """--local-service=net decides where no option says where to listen; there it would have to look at who asks."""
    assert "local-service=net" in message_of("--local-service")
    dnsmasq.parse([*BASE, "--local-service", "--listen-address=127.0.0.1"])


@pytest.mark.parametrize(
    "argument",
    [
        *(
            "--local-ttl=",
            "--port=",
            "--cache-size=",
            "--neg-ttl=99999999999",
            "--cache-rr=TXT,,MX",
            "--filter-rr=TXT,",
        ),
        *(
            "--server=192.0.2.1#",
            "--server=127.1",
            "--server=010.0.0.1",
            "--server=/*a.test/192.0.2.1",
            "--address=192.0.2.1",
        ),
        *(
            "--mx-host=a.test,b.test,",
            "--fast-dns-retry=500,",
            "--log-facility=LOCAL0",
            "--conf-dir=",
            "--servers-file=",
        ),
        *(
            "--local-service=host",
            "--interface-name=a.test,lo",
            "--rev-server=10.0.0.0/8,#",
            "--bogus-nxdomain=192.0.2.0/24",
        ),
    ],
)
def test_what_looks_like_a_mistake_and_is_none(argument: str) -> None:
    dnsmasq.parse([*BASE, argument])


def test_single_options_stand_once() -> None:
    assert message_of("-c5", "--cache-size=6") == "dnsmasq: bad command line options: illegal repeated flag"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense=1\n", "bad option at line 1 of FILE"),
        ("port=53\nport=54\n", "illegal repeated keyword at line 2 of FILE"),
        ("server=192.0.2.1.5\n", "Name or service not known at line 1 of FILE"),
        ("no-resolv=1\n", "extraneous parameter at line 1 of FILE"),
        ("server\n", "missing parameter at line 1 of FILE"),
        ("# why\n\nno-hosts\ncache-size=x # why\n", "error at line 4 of FILE"),
        ("port=70000\n", "error at line 1 of FILE"),
        ('txt-record=a,"b c\n', 'missing " at line 1 of FILE'),
        ("address=/a.test/300.1.1.1\n", "Bad address in --address at line 1 of FILE"),
        ("no-hosts junk\n", "bad option at line 1 of FILE"),
        ("k\n", "bad option at line 1 of FILE"),
        ("por=1\n", "bad option at line 1 of FILE"),
        ("enable-tftp\n", "fastdns does DNS only: enable-tftp is an option for TFTP at line 1 of FILE"),
    ],
)
def test_mistake_in_a_file(text: str, said: str, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "dnsmasq.conf"
    file.write_text(text)
    with pytest.raises(errors.DnsmasqError) as caught:
        dnsmasq.parse(["--no-resolv", f"--conf-file={file}"])
    assert str(caught.value) == f"dnsmasq: {said.replace('FILE', str(file))}"


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("--conf-file=/nonexistent", "cannot read /nonexistent: No such file or directory"),
        ("--conf-dir=/nonexistent", "cannot access directory /nonexistent: No such file or directory"),
    ],
)
def test_file_that_is_not_there(argument: str, said: str) -> None:
    with pytest.raises(errors.DnsmasqError) as caught:
        dnsmasq.parse([argument])
    assert (str(caught.value), caught.value.status) == (f"dnsmasq: {said}", 3)


def test_interface_that_is_not_there() -> None:
    with pytest.raises(errors.DnsmasqError) as caught:
        dnsmasq.parse([*BASE, "--interface=nonesuch"])
    assert (str(caught.value), caught.value.status) == ("dnsmasq: unknown interface nonesuch", 2)


@pytest.mark.parametrize("name", sorted(options.REFUSED))
def test_what_is_not_served_is_named(name: str) -> None:
    assert name in message_of(f"--{name}=x")


def test_what_other_services_need_is_refused_as_such() -> None:
    said = "fastdns does DNS only: dhcp-range is an option for DHCP"
    assert message_of("--dhcp-range=10.0.0.1,10.0.0.9") == f"dnsmasq: bad command line options: {said}"
    assert message_of("-F", "10.0.0.1") == f"dnsmasq: bad command line options: {said}"


def test_servers_file_holds_servers_only(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "servers"
    file.write_text("server=192.0.2.1\ncache-size=5\n")
    assert message_of(f"--servers-file={file}") == f"dnsmasq: bad option at line 2 of {file}"
