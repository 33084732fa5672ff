"""Replies of upstreams: whatever the octets, the reader ends, and what it keeps is a message that it would keep again.

Input: two octets that choose the room and how the answer is given, then the reply. Its own question is the one asked for.
"""

from fastdns import _message, _packet, _stored

SEEDS: list[bytes] = []  # all in corpus/message
EDNS = b"\0\0\51\2\0\0\0\0\0\0\0"


def asked(wire: bytes) -> tuple[bytes, int, int]:
    """The question of a message, or one that it can't be to."""
    try:
        name, end = _packet.expanded_name(wire, 12)
    except ValueError:
        return b"\1x\0", 1, 1
    fixed = (wire[end : end + 4] + b"\0\1\0\1")[:4] if len(wire) < end + 4 else wire[end : end + 4]
    return name.lower(), int.from_bytes(fixed[:2]), int.from_bytes(fixed[2:])


def run(data: bytes) -> object:
    choice, limit, wire = data[:1] or b"\0", data[1:2] or b"\0", data[2:]
    name, qtype, qclass = asked(wire)
    room = 65535 if choice[0] & 1 else 40 + limit[0] * 4
    read = _stored.normalise(
        wire, name, qtype, qclass, stored_size=room, ttl_at_size=4096 if choice[0] & 2 else limit[0]
    )
    if read.status is not _message.ReplyStatus.REPLY_OK:
        return read.status, len(wire) // 64
    end = qtype.to_bytes(2) + qclass.to_bytes(2)
    has_edns = bool(choice[0] & 4)
    query = b"\1\2\1\0\0\1\0\0\0\0\0" + (b"\1" if has_edns else b"\0") + name + end + (EDNS if has_edns else b"")
    if _packet.inspect_query(query)[0] is not _packet.QueryStatus.QUERY_OK:
        return read.status
    whole = read.render(query, rotation=limit[0], age=limit[0], ede=23)
    again = _stored.normalise(whole, name, qtype, qclass)
    assert again.status is _message.ReplyStatus.REPLY_OK, (read.wire, whole)
    assert again.counts == read.counts, (read.wire, whole)
    if not read.rcode > 15:
        assert again.kind is read.kind, (read.wire, whole)
    most = 12 + limit[0] * 8
    cut = read.render(query, limit=most, ede=23, ttl=7)
    assert len(cut) <= max(most, 12 + len(name) + 4 + (17 if has_edns else 0)), (most, cut)
    rest = _stored.normalise(cut, name, qtype, qclass)
    assert rest.status is not _message.ReplyStatus.REPLY_MISMATCH, cut
    if cut[2] & 2 == 0:
        assert rest.status is _message.ReplyStatus.REPLY_OK and rest.counts[:2] == read.counts[:2], (read.wire, cut)
    return read.status, read.kind, read.counts, read.has_soa, read.run[2], rest.status, rest.counts
