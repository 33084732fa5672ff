"""Plugins acl, any, minimal, header and chaos at work: a query, or its answer, in; what becomes of it out."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import ipaddress
import random
import socket
import struct

from fastdns import _engine
from fastdns.config import filters, templates
from fastdns.dns import constants, names, records
from fastdns.server import questions, template

QR, AA, RD, RA = 0x8000, 0x0400, 0x0100, 0x0080
FLAGS = {"aa": AA, "ra": RA, "rd": RD}
RCODE_MASK = 0x000F
EDE_BLOCKED, EDE_FILTERED = 15, 17
HINFO_TTL = 8482
MAX_TEXT = 255
VERSION_NAMES = ("version.bind.", "version.server.")
HOST_NAMES = ("hostname.bind.", "id.server.")


def decide(plugin: filters.Acl, query: _engine.Slow) -> str:
    """allow, block, filter or drop. Look-ups of our own, which have no client, are allowed."""
    if not query.remote[0]:
        return "allow"
    question = questions.read_question(query.wire)
    address = ipaddress.ip_address(query.remote[0].partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    for rule in plugin.rules:
        if not any(names.is_below(question.name, zone) for zone in rule.zones):
            continue
        for policy in rule.policies:
            if policy.types and question.qtype not in policy.types:
                continue
            if not policy.networks or any(address in one for one in read_networks(policy.networks)):
                return policy.action
    return "allow"


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
