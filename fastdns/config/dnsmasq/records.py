"""Options of dnsmasq that give names records of their own: each value in, its records out."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Mapping, Sequence

from fastdns import errors
from fastdns.config import local
from fastdns.config.dnsmasq import values
from fastdns.config.dnsmasq.reading import Given, reveal
from fastdns.dns import constants, names

Type = constants.Type
STRING_MAX = 255
MX_PREFERENCE = 1
NO_MEMORY = 4  # exit status: EC_NOMEM, which is what dnsmasq makes of octets that are none


def host(given: Given) -> local.Host:
    """Read `NAME[,NAME...][,ADDRESS...][,TTL]`."""
    known: list[str] = []
    addresses: list[str] = []
    ttl: int | None = None
    for field in values.fields(given):
        one = values.address(field)
        if one is not None:
            addresses.append(str(one))
        elif field.isascii() and field.isdigit():
            ttl = int(field)
        elif field:
            known.append(values.name(given, field, "Bad host-record"))
    if not known or (not addresses and ttl is None and len(known) == 1):
        raise given.place.error("Bad host-record")
    return local.Host(tuple(known), tuple(addresses), ttl)


def interface(given: Given, held: Mapping[str, Sequence[str]]) -> local.Host:
    """Read `NAME,INTERFACE[/4|/6]`: the addresses that the interface has, those of its link left out."""
    bad = "bad interface name"
    owner, _, place = given.value.partition(",")
    name, has_family, family = place.partition("/")
    if has_family and family not in ("4", "6"):
        raise given.place.error()
    if "," not in given.value or values.address(name.partition(",")[0]):
        raise given.place.error(bad)
    found = [ipaddress.ip_address(text) for text in held.get(name, ())]
    kept = [str(one) for one in found if not one.is_link_local or one.version == 4]
    return local.Host(
        (values.name(given, owner or ".", bad),),
        tuple(text for text in kept if not family or (":" in text) == (family == "6")),
    )


def aliases(given: Given) -> list[local.Record]:
    """Read `ALIAS[,ALIAS...],TARGET[,TTL]`."""
    parts = [field for field in values.fields(given) if field]
    ttl: int | None = None
    if len(parts) > 2 and parts[-1].isascii() and parts[-1].isdigit():
        ttl = int(parts.pop())
    if len(parts) < 2:
        raise given.place.error("bad CNAME")
    *found, target = [values.name(given, part, "bad CNAME") for part in parts]
    data = names.to_wire(target)
    return [local.Record(alias, Type.CNAME, data, ttl) for alias in found]


def check_loops(records: list[local.Record]) -> str:
    """The first alias whose chain comes back to it; empty: none does."""
    targets = {one.owner: names.canonical(names.from_wire(one.data)) for one in records if one.rtype == Type.CNAME}
    for alias in targets:
        at = targets[alias]
        for _ in range(len(targets)):
            if at == alias:
                return alias
            at = targets.get(at, "")
    return ""


def text(given: Given) -> local.Record:
    """Read `NAME[,STRING...]`: a string longer than one can be becomes several."""
    owner, *strings = [reveal(part) for part in given.value.split(",")]
    data = b"".join(_string(part.strip()) for part in strings or [""])
    return local.Record(values.name(given, owner or "."), Type.TXT, data)


def _string(part: str) -> bytes:
    octets = part.encode(errors="surrogateescape")
    pieces = [octets[at : at + STRING_MAX] for at in range(0, len(octets), STRING_MAX)] or [b""]
    return b"".join(bytes([len(piece)]) + piece for piece in pieces)


def pointer(given: Given) -> local.Record:
    """Read `NAME[,TARGET]`."""
    owner, *rest = values.fields(given)
    target = values.name(given, rest[0] if rest and rest[0] else ".")
    return local.Record(values.name(given, owner or "."), Type.PTR, names.to_wire(target))


def mail(given: Given, default_target: str) -> local.Record:
    """Read `NAME[,TARGET[,PREFERENCE]]`."""
    owner, *rest = values.fields(given)
    preference = MX_PREFERENCE
    if len(rest) > 1:
        preference = values.field_number(given, rest[1], "bad MX preference")
    target = rest[0] or "." if rest else default_target
    canonical = values.name(given, owner or ".", "bad MX name")
    wire = names.to_wire(values.name(given, target, "bad MX target"))
    return local.Record(canonical, Type.MX, struct.pack(">H", preference) + wire)


def service(given: Given, suffix: str) -> local.Record:
    """Read `_SERVICE._PROTOCOL[.DOMAIN][,TARGET[,PORT[,PRIORITY[,WEIGHT]]]]`; no target: the service isn't there."""
    owner, *rest = values.fields(given)
    numbers = [1, 0, 0]
    told = ("invalid port number", "invalid priority", "invalid weight")
    for at, message in enumerate(told):
        if len(rest) > at + 1:
            numbers[at] = values.field_number(given, rest[at + 1], message)
    port, priority, weight = numbers
    target = rest[0] if rest and rest[0] else ""
    canonical = values.name(given, owner or ".", "bad SRV record")
    if suffix and canonical.count(".") == 2:
        canonical += suffix
    wire = names.to_wire(values.name(given, target or ".", "bad SRV target"))
    return local.Record(canonical, Type.SRV, struct.pack(">HHH", priority, weight, port) + wire)


def naptr(given: Given) -> local.Record:
    """Read `NAME,ORDER,PREFERENCE,FLAGS,SERVICE,REGEXP[,REPLACEMENT]`."""
    bad = "bad NAPTR record"
    parts = values.fields(given)
    if len(parts) < 6:
        raise given.place.error(bad)
    owner, order, preference, flags, served, regexp, *rest = parts
    head = struct.pack(">HH", values.field_number(given, order, bad), values.field_number(given, preference, bad))
    texts = b"".join(_string(part)[: STRING_MAX + 1] for part in (flags, served, regexp))
    replacement = names.to_wire(values.name(given, rest[0] if rest and rest[0] else ".", bad))
    return local.Record(values.name(given, owner, bad), Type.NAPTR, head + texts + replacement)


def authority(given: Given) -> local.Record:
    """Read `NAME,FLAGS,TAG,VALUE` of a CAA record (RFC 8659 section 4.1)."""
    bad = "bad CAA record"
    parts = given.value.split(",", 3)
    if len(parts) < 4:
        raise given.place.error(bad)
    owner, flags, tag, value = (reveal(part).strip() for part in parts)
    octets = tag.encode()
    data = bytes([values.field_number(given, flags, bad) & 0xFF, len(octets) & 0xFF]) + octets + value.encode()
    return local.Record(values.name(given, owner, bad), Type.CAA, data, makes_known=False)


def generic(given: Given) -> local.Record:
    """Read `NAME,TYPE[,HEX]`."""
    bad = "bad RR record"
    owner, *rest = values.fields(given)
    if not rest:
        raise given.place.error(bad)
    kind = values.field_number(given, rest[0], bad)
    digits = ",".join(rest[1:]).replace(":", "").replace(" ", "")
    try:
        data = bytes.fromhex(digits if len(digits) % 2 == 0 else "0" + digits)
    except ValueError:
        raise errors.DnsmasqError("could not get memory", status=NO_MEMORY) from None
    return local.Record(values.name(given, owner, bad), kind, data, makes_known=False)
