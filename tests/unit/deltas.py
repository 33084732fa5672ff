"""Deltas of a name table written by hand: independent of fastdns.kubernetes, which makes real ones."""

import ipaddress
import struct

from fastdns._names import Operation
from fastdns._rrset import Form

COREDNS_FLAGS = 0x0400  # AA


def name(text: str) -> bytes:
    """A canonical wire name."""
    return labels(text) + b"\0"


def labels(text: str) -> bytes:
    """The labels of a name, without root."""
    return b"".join(bytes([len(label)]) + label.encode() for label in text.rstrip(".").split(".") if label)


def put(owner: str, *sets: bytes, flags: int = 0) -> bytes:
    data = struct.pack(">HB", flags, len(sets)) + b"".join(sets)
    return bytes([Operation.PUT]) + name(owner) + struct.pack(">I", len(data)) + data


def remove(owner: str) -> bytes:
    return bytes([Operation.REMOVE]) + name(owner)


def zone(owner: str, *, flags: int = 2, ttl: int = 30) -> bytes:
    mname, rname = labels("ns.dns"), labels("hostmaster")
    soa = bytes([len(mname)]) + mname + bytes([len(rname)]) + rname + struct.pack(">IIII", 7200, 1800, 86400, ttl)
    header = struct.pack(">HHHHIH", flags, COREDNS_FLAGS, COREDNS_FLAGS, COREDNS_FLAGS, min(ttl, 300), len(soa))
    return bytes([Operation.ZONE]) + name(owner) + header + soa


def synced(is_synced: bool = True) -> bytes:
    return bytes([Operation.SYNCED, is_synced])


def serial(value: int) -> bytes:
    return bytes([Operation.SERIAL]) + struct.pack(">I", value)


def primary(owner: str) -> bytes:
    return bytes([Operation.PRIMARY]) + name(owner)


def record_set(rtype: int, form: Form, ttl: int, count: int, octets: bytes) -> bytes:
    return struct.pack(">HBIHI", rtype, form, ttl, count, len(octets)) + octets


def sized(*rdata: bytes) -> bytes:
    return b"".join(struct.pack(">H", len(one)) + one for one in rdata)


def cname(target: str, ttl: int = 30) -> bytes:
    return record_set(5, Form.WHOLE, ttl, 1, sized(name(target)))


def port(number: int, port_name: str, protocol: str) -> bytes:
    encoded = struct.pack(">HB", number, len(port_name)) + port_name.encode()
    return encoded + bytes([len(protocol)]) + protocol.encode()


def address(text: str, label: str = "") -> bytes:
    parsed = ipaddress.ip_address(text)
    return bytes([parsed.version]) + parsed.packed + bytes([len(label)]) + label.encode()


def group(ports: list[bytes], addresses: list[bytes]) -> bytes:
    return bytes([len(ports)]) + b"".join(ports) + struct.pack(">I", len(addresses)) + b"".join(addresses)


def place(text: str) -> bytes:
    """What a group begins with: its zone or cluster."""
    return bytes([len(labels(text))]) + labels(text)


def service(relative: str, own: list[bytes], endpoints: list[bytes], *, flags: int = 0, ttl: int = 30) -> bytes:
    octets = bytes([len(labels(relative))]) + labels(relative) + bytes([flags])
    octets += struct.pack(">H", len(own)) + b"".join(own) + struct.pack(">H", len(endpoints)) + b"".join(endpoints)
    return record_set(33, Form.SERVICE, ttl, 0, octets)


def example_cluster() -> bytes:
    """A small cluster: a dual-stack Service, a headless one, ExternalNames, pods by address, a reverse zone."""
    https = port(443, "https", "tcp")
    api = service(
        "kubernetes.default.svc",
        [group([https], [address("10.96.0.1"), address("fd00::1")])],
        [group([port(6443, "https", "tcp")], [address("192.0.2.1"), address("192.0.2.2", "h")])],
    )
    headless = service(
        "hl.default.svc",
        [],
        [group([port(80, "http", "tcp"), port(81, "x", "udp")], [address("10.0.0.1", "a"), address("10.0.0.3")])],
        flags=1,
    )
    return b"".join(
        (
            zone("cluster.local"),
            zone("in-addr.arpa"),
            primary("cluster.local"),
            put("cluster.local", flags=1),
            put("svc.cluster.local", flags=1),
            put("pod.cluster.local"),
            put("default.svc.cluster.local", flags=1),
            put("default.pod.cluster.local", flags=4),
            put("kubernetes.default.svc.cluster.local", api),
            put("hl.default.svc.cluster.local", headless),
            put("in.default.svc.cluster.local", cname("kubernetes.default.svc.cluster.local")),
            put("out.default.svc.cluster.local", cname("www.example.com")),
            put("gone.default.svc.cluster.local", cname("none.default.svc.cluster.local")),
            put("dns-version.cluster.local", record_set(16, Form.WHOLE, 28800, 1, sized(b"\0051.1.0")), flags=2),
            put("in-addr.arpa"),
            put(
                "1.0.96.10.in-addr.arpa",
                record_set(12, Form.PRIMARY_ZONED, 30, 1, sized(labels("kubernetes.default.svc"))),
                flags=2,
            ),
            serial(1700000000),
            synced(),
        )
    )
