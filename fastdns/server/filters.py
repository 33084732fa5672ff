"""Plugins local, dns64, acl, any, minimal, header and chaos at work: a query, or its answer, in; what becomes of it out."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import ipaddress
import random
import socket
import struct
from collections.abc import Mapping

from fastdns import _engine
from fastdns.config import filters, templates
from fastdns.dns import constants, names, records
from fastdns.server import questions, template

QR, AA, TC, RD, RA = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080
FLAGS = {"aa": AA, "ra": RA, "rd": RD}
RCODE_MASK = 0x000F
EDE_BLOCKED, EDE_FILTERED = 15, 17
HINFO_TTL = 8482
LOCAL_TTL = 604800
LOCAL_ZONES = ("localhost.", "0.in-addr.arpa.", "127.in-addr.arpa.", "255.in-addr.arpa.")
LOCALHOST, LOCALHOST_NAME, LOCALHOST_WIRE = b"localhost", "localhost.", b"\x09localhost\0"
LOOPBACK: Mapping[int, bytes] = {constants.Type.A: b"\x7f\0\0\1", constants.Type.AAAA: b"\0" * 15 + b"\1"}
NO_SOA_TTL = 600
MAX_TEXT = 255
VERSION_NAMES = ("version.bind.", "version.server.")
HOST_NAMES = ("hostname.bind.", "id.server.")


def answer_local(query: _engine.Slow) -> bytes:
    """What is known of this machine; below its zones nothing else exists."""
    question = questions.read_question(query.wire)
    name, owner = question.name, question.qname
    if question.qtype in LOOPBACK and (
        name == LOCALHOST_NAME or not in_local_zone(name) or name.endswith(".localhost.")
    ):
        return write(
            query, 0, records.Record(owner, question.qtype, constants.Class.IN, LOCAL_TTL, LOOPBACK[question.qtype])
        )
    if not in_local_zone(name) or name.endswith(".localhost."):
        return deny_local(query, owner, 0)
    zone = next(zone for zone in LOCAL_ZONES if names.is_below(name, zone))
    if name == zone:
        if question.qtype == constants.Type.SOA:
            return write(query, 0, make_soa(owner))
        if question.qtype == constants.Type.NS:
            return write(
                query, 0, records.Record(owner, constants.Type.NS, constants.Class.IN, LOCAL_TTL, LOCALHOST_WIRE)
            )
        return deny_local(query, owner, 0)
    apex = owner[-len(names.to_wire(zone)) :]
    if name != "1.0.0.127.in-addr.arpa.":
        return deny_local(query, apex, constants.Rcode.NXDOMAIN)
    if question.qtype == constants.Type.PTR:
        return write(query, 0, records.Record(owner, constants.Type.PTR, constants.Class.IN, LOCAL_TTL, LOCALHOST_WIRE))
    return deny_local(query, apex, 0)


def in_local_zone(name: str) -> bool:
    return any(names.is_below(name, zone) for zone in LOCAL_ZONES)


def is_localhost(name: str) -> bool:
    """Names besides the zones' own, which CoreDNS counts."""
    return name != LOCALHOST_NAME and (name.endswith(".localhost.") or not in_local_zone(name))


def make_soa(owner: bytes) -> records.Record:
    numbers = struct.pack(">IIIII", 1, 0, 0, 0, LOCAL_TTL)
    data = LOCALHOST_WIRE + b"\4root" + LOCALHOST_WIRE + numbers
    return records.Record(owner, constants.Type.SOA, constants.Class.IN, LOCAL_TTL, data)


def deny_local(query: _engine.Slow, apex: bytes, rcode: int) -> bytes:
    message = records.read_message(write(query, rcode))
    return records.write_message(dataclasses.replace(message, authority=(make_soa(apex),)))


def wants_translation(plugin: filters.Dns64, query: _engine.Slow) -> bool:
    """Clients on IPv6 do; look-ups of our own don't."""
    return bool(query.remote[0]) and (plugin.allow_ipv4 or ":" in query.remote[0])


def needs_translation(plugin: filters.Dns64, message: records.Message) -> bool:
    """RFC 6147 sections 5.1.1, 5.1.2."""
    if message.flags & RCODE_MASK == constants.Rcode.NXDOMAIN:
        return False
    return plugin.translate_all or all(record.rtype != constants.Type.AAAA for record in message.answer)


def translate(plugin: filters.Dns64, first: records.Message, found: records.Message) -> records.Message:
    """The answer to the question for A as one to that for AAAA (RFC 6147 sections 5.1.7, 5.3)."""
    ttl = next((record.ttl for record in first.authority if record.rtype == constants.Type.SOA), NO_SOA_TTL)

    def change(record: records.Record) -> records.Record:
        if record.rtype != constants.Type.A:
            return record
        data = embed(plugin.prefix, record.data)
        return dataclasses.replace(record, rtype=constants.Type.AAAA, ttl=min(ttl, record.ttl), data=data)

    flags = QR | found.flags & (TC | RCODE_MASK)
    return dataclasses.replace(
        first,
        flags=flags,
        answer=tuple(map(change, found.answer)),
        authority=found.authority,
        additional=found.additional,
    )


def embed(prefix: str, address: bytes) -> bytes:
    """An IPv4 address behind a prefix; octet 8 stays free (RFC 6052 section 2.2)."""
    network = ipaddress.IPv6Network(prefix)
    octets = network.network_address.packed[: network.prefixlen // 8] + address
    if network.prefixlen < 96:
        octets = octets[:8] + b"\0" + octets[8:]
    return octets.ljust(16, b"\0")


def decide(plugin: filters.Acl, query: _engine.Slow) -> tuple[str, str]:
    """allow, block, filter or drop, and the zone whose rule says so. Look-ups of our own, which have no client, are allowed."""
    if not query.remote[0]:
        return "allow", ""
    question = questions.read_question(query.wire)
    address = ipaddress.ip_address(query.remote[0].partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    for rule in plugin.rules:
        zone = template.find_zone(rule.zones, question.name)
        if not zone:
            continue
        for policy in rule.policies:
            if policy.types and question.qtype not in policy.types:
                continue
            if not policy.networks or any(address in one for one in read_networks(policy.networks)):
                return policy.action, zone
    return "allow", ""


@functools.lru_cache(maxsize=1024)
def read_networks(networks: tuple[str, ...]) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(map(ipaddress.ip_network, networks))


def refuse(action: str, query: _engine.Slow) -> tuple[bytes, bytes]:
    """The answer to what acl keeps away, and the option that says why; empty: none is given."""
    if action == "drop":
        return b"", b""
    rcode, ede = (constants.Rcode.REFUSED, EDE_BLOCKED) if action == "block" else (0, EDE_FILTERED)
    return write(query, int(rcode)), template.encode_ede(templates.EdeError(ede))


def write(query: _engine.Slow, flags: int, *answer: records.Record) -> bytes:
    question = questions.read_question(query.wire)
    asked = query.wire[questions.HEADER_SIZE : question.size]
    return records.write_message(records.Message(question.id, QR | flags, asked, answer))


def answer_any(query: _engine.Slow) -> bytes:
    question = questions.read_question(query.wire)
    data = b"\x0dANY obsoleted\x0cSee RFC 8482"
    record = records.Record(question.qname, constants.Type.HINFO, constants.Class.IN, HINFO_TTL, data)
    return write(query, 0, record)


def shorten(message: records.Message) -> records.Message:
    """An answer with records, and none beside them."""
    if message.flags & RCODE_MASK or not message.answer:
        return message
    return dataclasses.replace(message, authority=(), additional=())


def change_flags(flags: int, rules: tuple[filters.HeaderRule, ...]) -> int:
    for rule in rules:
        flags = flags | FLAGS[rule.flag] if rule.is_set else flags & ~FLAGS[rule.flag]
    return flags


def change_query(wire: bytes, rules: tuple[filters.HeaderRule, ...]) -> bytes:
    ident, flags = struct.unpack_from(">HH", wire)
    return struct.pack(">HH", ident, change_flags(flags, rules)) + wire[4:]


def answer_chaos(plugin: filters.Chaos, query: _engine.Slow) -> bytes | None:
    """None: another question than those that the plugin knows."""
    question = questions.read_question(query.wire)
    if question.qclass != constants.Class.CH or question.qtype != constants.Type.TXT:
        return None
    if question.name in VERSION_NAMES:
        texts = [plugin.version or f"fastdns-{importlib.metadata.version('fastdns')}"]
    elif question.name in HOST_NAMES:
        texts = [socket.gethostname()]
    elif question.name == "authors.bind.":
        texts = random.sample(plugin.authors, len(plugin.authors))
    else:
        return None
    return write(query, 0, *(make_text(question.qname, text) for text in texts))


def make_text(owner: bytes, text: str) -> records.Record:
    octets = text.encode()[:MAX_TEXT]
    return records.Record(owner, constants.Type.TXT, constants.Class.CH, 0, bytes([len(octets)]) + octets)
