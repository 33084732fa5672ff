"""Queries of strangers: read, and refused where that is owed."""

from __future__ import annotations

import contextlib

from fastdns import _packet
from tests.differential.questions import Question

SEEDS = [
    Question("web.shop.svc.cluster.local", "A").wire(),
    Question("", "NS", size=1232, dnssec_ok=True).wire(),
    Question("_sql._tcp.db.shop.svc.cluster.local", "SRV", size=4096, option=(10, b"12345678")).wire(),
    Question("20.0.96.10.in-addr.arpa", "PTR", qclass="CH", size=512, version=1).wire(),
    Question(".".join(["x" * 63] * 3 + ["y" * 61]), "TXT").wire(),
    Question("a.b", "A").wire()[:-3],
    bytes.fromhex("0000 2800 0001 0000 0000 0000 00 0006 0001"),
    bytes.fromhex("0001 0100 0001 0000 0000 0001 00 0001 0001 00 00fa 00ff 00000000 0000"),
    b"\0" * 12,
    b"",
]


def run(data: bytes) -> object:
    status, _, flags, name, qtype, _, size, has_edns, wants_dnssec = _packet.inspect_query(data)
    assert len(name) <= 255
    for rcode in (2, 16):
        refused = _packet.refusal(data, rcode)
        assert len(refused) <= 512
        assert (not refused) == (status == _packet.QueryStatus.QUERY_DROP)
        assert not refused or refused[:2] == data[:2]
    for pos in (0, 12, len(data) // 2, len(data)):
        with contextlib.suppress(ValueError):
            expanded, after = _packet.expanded_name(data, pos)
            assert len(expanded) <= 255 and pos < after <= len(data)
    return status, flags >> 11 & 15, len(name) // 16, qtype > 256, size > 512, has_edns, wants_dnssec
