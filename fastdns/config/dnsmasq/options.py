"""The words of dnsmasq 2.90: which take a value, which may stand once, which are not served here and why."""

from __future__ import annotations

import dataclasses
import enum


class Kind(enum.Enum):
    FLAG = "flag"
    ONCE = "once"
    MANY = "many"
    OPTIONAL = "optional"  # once, with a value or without
    OPTIONAL_MANY = "optional, many"


@dataclasses.dataclass(frozen=True, slots=True)
class Option:
    name: str
    kind: Kind
    letter: str = ""

    @property
    def takes_value(self) -> bool:
        return self.kind in (Kind.ONCE, Kind.MANY)

    @property
    def may_take_value(self) -> bool:
        return self.kind is not Kind.FLAG

    @property
    def is_single(self) -> bool:
        return self.kind in (Kind.ONCE, Kind.OPTIONAL)


def _options(kind: Kind, words: str) -> dict[str, Option]:
    """`name` or `name,letter`, blanks between."""
    made = (word.partition(",") for word in words.split())
    return {name: Option(name, kind, letter) for name, _, letter in made}


SERVED: dict[str, Option] = {
    **_options(
        Kind.FLAG,
        """
        all-servers bind-dynamic bind-interfaces,z bogus-priv,b clear-on-reload dns-loop-detect domain-needed,D
        expand-hosts,E filter-A filter-AAAA filterwin2k,f keep-in-foreground,k localise-queries,y localmx,L log-debug
        no-daemon,d no-hosts,h no-ident no-negcache,N no-poll,n no-resolv,R no-round-robin proxy-dnssec
        rebind-localhost-ok selfmx,e stop-dns-rebind strict-order,o strip-mac strip-subnet test version,v
        """,
    ),
    **_options(
        Kind.ONCE,
        """
        cache-size,c dns-forward-max,0 edns-packet-max,P local-ttl,T log-facility,8 max-cache-ttl max-port
        max-tcp-connections max-ttl min-cache-ttl min-port mx-target,t neg-ttl port,p port-limit query-port,Q
        servers-file
        """,
    ),
    **_options(
        Kind.MANY,
        """
        addn-hosts,H address,A alias,V bogus-nxdomain,B caa-record cache-rr cname conf-dir,7 dns-rr domain,s
        except-interface,I filter-rr host-record hostsdir ignore-address interface,i interface-name listen-address,a mx-host,m
        naptr-record ptr-record rebind-domain-ok resolv-file,r rev-server server,S srv-host,W txt-record,Y
        """,
    ),
    **_options(Kind.OPTIONAL, "fast-dns-retry group,g help,w log-async pid-file,x use-stale-cache user,u"),
    **_options(Kind.OPTIONAL_MANY, "conf-file,C local local-service log-queries,q"),
}

_NO_DHCP = """
    bootp-dynamic,3 bridge-interface dhcp-alternate-port dhcp-authoritative,K dhcp-boot,M dhcp-broadcast dhcp-circuitid
    dhcp-client-update dhcp-duid dhcp-fqdn dhcp-generate-names dhcp-host,G dhcp-hostsdir dhcp-hostsfile dhcp-ignore,J
    dhcp-ignore-clid dhcp-ignore-names dhcp-leasefile,l dhcp-lease-max,X dhcp-luascript dhcp-mac,4 dhcp-match
    dhcp-name-match dhcp-no-override dhcp-option,O dhcp-option-force dhcp-optsdir dhcp-optsfile dhcp-proxy
    dhcp-pxe-vendor dhcp-range,F dhcp-rapid-commit dhcp-relay dhcp-remoteid dhcp-reply-delay dhcp-script,6
    dhcp-scriptuser dhcp-sequential-ip dhcp-subscrid dhcp-ttl dhcp-userclass,j dhcp-vendorclass,U leasefile-ro,9
    log-dhcp no-dhcp-interface,2 no-dhcpv4-interface no-dhcpv6-interface no-ping,5 pxe-prompt pxe-service quiet-dhcp
    quiet-dhcp6 read-ethers,Z script-arp script-on-renewal shared-network tag-if
    """
_NO_TFTP = """
    enable-tftp quiet-tftp tftp-lowercase tftp-max tftp-mtu tftp-no-blocksize tftp-no-fail tftp-port-range tftp-root
    tftp-secure tftp-single-port tftp-unique-root
    """
_NO_RA = "enable-ra quiet-ra ra-param"
_NOT_YET = """
    add-cpe-id add-mac add-subnet auth-peer auth-sec-servers auth-server auth-soa auth-ttl auth-zone conf-script
    connmark-allowlist connmark-allowlist-enable conntrack dnssec dnssec-check-unsigned dnssec-debug dnssec-limits
    dnssec-no-timecheck dnssec-timestamp dumpfile dumpmask dynamic-host enable-dbus,1 enable-ubus ipset
    nftset synth-domain trust-anchor umbrella
    """

_ONLY_DNS = "fastdns does DNS only: {name} is an option for {what}"
_UNSERVED = "fastdns does not have {name}"

REFUSED: dict[str, tuple[Option, str]] = {
    name: (option, reason.format(name=name, what=what))
    for words, what, reason in (
        (_NO_DHCP, "DHCP", _ONLY_DNS),
        (_NO_TFTP, "TFTP", _ONLY_DNS),
        (_NO_RA, "router advertisement", _ONLY_DNS),
        (_NOT_YET, "", _UNSERVED),
    )
    for name, option in _options(Kind.OPTIONAL_MANY, words).items()
}
"""Options that dnsmasq has and we refuse, with what we say."""

LETTERS: dict[str, Option] = {
    option.letter: option
    for option in (*SERVED.values(), *(refused for refused, _ in REFUSED.values()))
    if option.letter
}


def find(word: str, *, abbreviated: bool = False) -> Option | None:
    """The option of a long word; on a command line also by the beginning of its name, if no other has it (getopt_long(3))."""
    if word in SERVED:
        return SERVED[word]
    if word in REFUSED:
        return REFUSED[word][0]
    if not abbreviated:
        return None
    found = [name for name in (*SERVED, *REFUSED) if name.startswith(word)]
    return find(found[0]) if len(found) == 1 else None
