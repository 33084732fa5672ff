"""Plugins of the configuration that no Corefile has: names that the server itself holds, and rules for replies.

dnsmasq's options become these. Names are canonical text, addresses the text of `ipaddress`, TTLs seconds.
"""

from __future__ import annotations

import dataclasses

ITSELF = "@"


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """`data` is a record's data on the wire, names in it whole. Not `makes_known`: upstreams may still deny the name."""

    owner: str
    rtype: int
    data: bytes
    ttl: int | None = None  # None: the plugin's
    makes_known: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class Host:
    """Names of one line of a hosts file, or of one --host-record; the first is what its addresses lead back to."""

    names: tuple[str, ...]
    addresses: tuple[str, ...]
    ttl: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class LocalNames:
    """Names with exactly these records. What they don't have goes to the next plugin.

    `files` are read at the start and when told to, those in `folders` whenever they change. Names without a dot in them
    are also known with `suffix` behind, if there is one: those of files only. `mail_target`, if not empty, is the MX of hosts
    that have none of their own.
    """

    records: tuple[Record, ...] = ()
    hosts: tuple[Host, ...] = ()
    files: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    suffix: str = ""
    ttl: int = 0
    mail_target: str = ""  # ITSELF: each host's is its own name


@dataclasses.dataclass(frozen=True, slots=True)
class Domain:
    """A name and all below it; `*END.REST`: each name whose label before REST ends so, and all below it.

    `is_denied`: nothing of it exists; `is_passed`: nothing of it is answered here.
    """

    name: str
    addresses: tuple[str, ...] = ()
    is_denied: bool = False
    is_passed: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class LocalDomains:
    """Whole domains with one answer; the longest that a name is in decides. Other types go to the next plugin.

    `private_reverse` are zones of reverse names in which no PTR exists.
    """

    domains: tuple[Domain, ...] = ()
    private_reverse: tuple[str, ...] = ()
    ttl: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Undotted:
    """Addresses of names without a dot are denied."""


@dataclasses.dataclass(frozen=True, slots=True)
class NoWindows:
    """SOA, SRV, and ANY of names with an underscore are answered with nothing."""


@dataclasses.dataclass(frozen=True, slots=True)
class Network:
    """Addresses of one family between `first` and `last`, both included, packed."""

    first: bytes
    last: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Alias:
    """IPv4 addresses of `network` get the bits of `mask` from `address`, packed all of them."""

    network: Network
    address: bytes
    mask: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class ReplyRules:
    """What is made of replies from upstreams before they are kept and given.

    `private` addresses empty a reply, but for names in `private_zones`; `bogus` ones make it NXDOMAIN; for `ignored`
    ones it is no reply at all. `hidden_types` are left out. `keeps_ad`: what upstreams have validated is passed on.
    NXDOMAIN of a name that is known here becomes NODATA.
    """

    max_ttl: int = 0  # 0: as it comes
    hidden_types: tuple[int, ...] = ()
    private: tuple[Network, ...] = ()
    private_zones: tuple[str, ...] = ()
    bogus: tuple[Network, ...] = ()
    ignored: tuple[Network, ...] = ()
    aliases: tuple[Alias, ...] = ()
    keeps_ad: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Statistics:
    """Counts in class CHAOS, and in the log when asked for by a signal. `is_told`: the class is answered at all."""

    cache_size: int
    is_told: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class LoopDetect:
    """A question of our own to each upstream, at the start; one that sends it back to us is not asked any more."""


@dataclasses.dataclass(frozen=True, slots=True)
class QueryLog:
    """Each query, and what came of it, in dnsmasq's lines. `with_serial`: `--log-queries=extra`."""

    with_serial: bool = False


LocalPlugin = LocalNames | LocalDomains | Undotted | NoWindows | ReplyRules | Statistics | LoopDetect | QueryLog
