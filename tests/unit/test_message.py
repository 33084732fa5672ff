import struct

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastdns import _stored
from fastdns._message import ReplyKind, ReplyStatus
from fastdns._stored import StoredReply

NAME = "www.example.org."


def ask(name: str = NAME, rdtype: str = "A", **options: object) -> dns.message.QueryMessage:
    return dns.message.make_query(name, rdtype, **options)  # type: ignore[arg-type]


def reply_to(
    query: dns.message.Message, answer: str = "", authority: str = "", additional: str = "", rcode: int = 0
) -> dns.message.Message:
    """A reply with the records of three zone texts."""
    reply = dns.message.make_response(query, recursion_available=True)
    reply.set_rcode(dns.rcode.Rcode(rcode))
    for section, text in ((reply.answer, answer), (reply.authority, authority), (reply.additional, additional)):
        for line in filter(None, map(str.strip, text.splitlines())):
            owner, ttl, rdclass, rdtype, *rdata = line.split(None, 4)
            section.append(dns.rrset.from_text(owner, int(ttl), rdclass, rdtype, *rdata))
    return reply


def read(message: dns.message.Message | bytes, name: str = NAME, rdtype: int = 1, **options: int) -> StoredReply:
    wire = message if isinstance(message, bytes) else message.to_wire()
    return _stored.normalise(wire, dns.name.from_text(name.lower()).to_wire() or b"", rdtype, 1, **options)


def render(stored: StoredReply, query: dns.message.Message, **options: object) -> dns.message.Message:
    wire = stored.render(query.to_wire(), **options)  # type: ignore[arg-type]
    return dns.message.from_wire(wire)


def records(section: list[dns.rrset.RRset]) -> list[str]:
    return sorted({f"{rrset.name} {rrset.ttl} {rrset.rdtype} {rdata}".lower() for rrset in section for rdata in rrset})


ADDRESSES = "\n".join(f"{NAME} 300 IN A 192.0.2.{last}" for last in range(1, 5))
CHAIN = f"{NAME} 300 IN CNAME web.example.net.\nweb.example.net. 60 IN A 192.0.2.1\nweb.example.net. 60 IN A 192.0.2.2"
SOA = "example.org. 900 IN SOA ns.example.org. root.example.org. 1 2 3 4 5"


def test_addresses_come_back() -> None:
    query = ask()
    reply = reply_to(query, ADDRESSES)
    stored = read(reply)
    assert stored.status is ReplyStatus.REPLY_OK
    assert (stored.kind, stored.counts, stored.min_ttl) == (ReplyKind.REPLY_SUCCESS, (4, 0, 0), 300)
    answer = render(stored, query)
    assert answer.id == query.id and answer.question == query.question
    assert records(answer.answer) == records(reply.answer)
    assert answer.flags & dns.flags.RA and answer.flags & dns.flags.RD


def test_chain_is_kept() -> None:
    stored = read(reply_to(ask(), CHAIN))
    assert (stored.kind, stored.counts, stored.min_ttl) == (ReplyKind.REPLY_SUCCESS, (3, 0, 0), 60)
    assert records(render(stored, ask()).answer) == records(reply_to(ask(), CHAIN).answer)


def test_wire_is_compressed() -> None:
    """At most as large as dnspython's, and the asker's spelling stands in the owners."""
    reply = reply_to(ask(), CHAIN + "\nweb.example.net. 60 IN A 192.0.2.3", SOA, "ns.example.org. 60 IN A 192.0.2.9")
    assert len(read(reply).wire) <= len(reply.to_wire())
    answer = read(reply).render(ask("wWw.eXample.ORG.").to_wire())
    assert b"\3wWw\7eXample\3ORG\0" in answer
    assert str(dns.message.from_wire(answer).answer[0].name) == "wWw.eXample.ORG."


@pytest.mark.parametrize(
    ("answer", "authority", "rcode", "rdtype", "kind"),
    [
        (ADDRESSES, "", 0, "A", ReplyKind.REPLY_SUCCESS),
        (ADDRESSES, SOA, 0, "A", ReplyKind.REPLY_SUCCESS),
        (CHAIN, "", 0, "A", ReplyKind.REPLY_SUCCESS),
        ("", SOA, 0, "A", ReplyKind.REPLY_NODATA),
        ("", SOA, 3, "A", ReplyKind.REPLY_NXDOMAIN),
        ("", "", 3, "A", ReplyKind.REPLY_NXDOMAIN),
        ("", "example.org. 60 IN NS ns.example.org.", 0, "A", ReplyKind.REPLY_DELEGATION),
        ("", "", 0, "A", ReplyKind.REPLY_EMPTY),
        ("", "", 2, "A", ReplyKind.REPLY_SERVER_ERROR),
        ("", "", 4, "A", ReplyKind.REPLY_SERVER_ERROR),
        ("", "", 5, "A", ReplyKind.REPLY_OTHER_ERROR),
        ("", "", 1, "A", ReplyKind.REPLY_OTHER_ERROR),
        (CHAIN, "", 0, "AAAA", ReplyKind.REPLY_UNRESOLVED),
        (CHAIN, "example.net. 60 IN SOA a. b. 1 2 3 4 5", 0, "AAAA", ReplyKind.REPLY_NODATA),
        (f"{NAME} 60 IN CNAME a.example.", SOA, 3, "A", ReplyKind.REPLY_OTHER_ERROR),
        (f"{NAME} 60 IN CNAME a.example.", "", 0, "CNAME", ReplyKind.REPLY_SUCCESS),
        (
            f"{NAME} 60 IN CNAME a.example.\n{NAME} 60 IN CNAME b.example.\na.example. 60 IN A 192.0.2.1",
            "",
            0,
            "A",
            ReplyKind.REPLY_UNRESOLVED,
        ),
        (f"{NAME} 60 IN TXT x", "", 0, "ANY", ReplyKind.REPLY_SUCCESS),
        (
            "web.example.net. 60 IN A 192.0.2.1\n" + f"{NAME} 60 IN CNAME web.example.net.",
            "",
            0,
            "A",
            ReplyKind.REPLY_SUCCESS,
        ),
    ],
)
def test_kind_is_as_coredns_sorts(answer: str, authority: str, rcode: int, rdtype: str, kind: ReplyKind) -> None:
    query = ask(rdtype=rdtype)
    stored = read(reply_to(query, answer, authority, rcode=rcode), rdtype=query.question[0].rdtype)
    assert (stored.status, stored.kind, stored.rcode) == (ReplyStatus.REPLY_OK, kind, rcode)


QUESTION = b"\3www\7example\3org\0\0\1\0\1"
ONE = b"\300\14\0\1\0\1\0\0\0\74\0\4\300\0\2\1"


def wire(
    *,
    flags: int = 0x8180,
    counts: tuple[int, int, int, int] = (1, 1, 0, 0),
    question: bytes = QUESTION,
    rest: bytes = ONE,
) -> bytes:
    return struct.pack("!6H", 7, flags, *counts) + question + rest


def cname(rdata: bytes, owner: bytes = b"\300\14") -> bytes:
    return owner + struct.pack("!HHIH", 5, 1, 60, len(rdata)) + rdata


MISMATCHES = {
    "empty": b"",
    "5 octets": b"\0\0\x81\x80\0",
    "header alone": wire(question=b"", rest=b""),
    "a query": wire(flags=0x0180),
    "opcode STATUS": wire(flags=0x9180),
    "no question": wire(counts=(0, 1, 0, 0), question=b""),
    "two questions": wire(counts=(2, 0, 0, 0), rest=QUESTION),
    "another name": wire(question=QUESTION.replace(b"www", b"wwx")),
    "a longer name": wire(question=b"\1a" + QUESTION),
    "a shorter name": wire(question=QUESTION[4:]),
    "another type": wire(question=QUESTION[:-4] + b"\0\34\0\1"),
    "another class": wire(question=QUESTION[:-1] + b"\3"),
    "question cut": wire(question=QUESTION[:-1], rest=b""),
    "name is a pointer": wire(question=b"\300\14\0\1\0\1"),
    "over 65,535 octets": wire(rest=ONE + bytes(70000)),
}


@pytest.mark.parametrize("message", MISMATCHES.values(), ids=MISMATCHES)
def test_reply_to_something_else_is_a_mismatch(message: bytes) -> None:
    assert read(message).status is ReplyStatus.REPLY_MISMATCH


def rr(rdtype: int, rdata: bytes, owner: bytes = b"\300\14", rdlen: int | None = None, ttl: int = 60) -> bytes:
    return owner + struct.pack("!HHIH", rdtype, 1, ttl, len(rdata) if rdlen is None else rdlen) + rdata


OPT = b"\0" + struct.pack("!HHIH", 41, 1232, 0, 0)
MALFORMED = {
    "count too large": wire(counts=(1, 2, 0, 0)),
    "authority count too large": wire(counts=(1, 1, 1, 0)),
    "record cut": wire(rest=ONE[:-1]),
    "header of the record cut": wire(rest=ONE[:8]),
    "owner cut": wire(rest=b"\3ab"),
    "pointer cut": wire(rest=b"\300"),
    "pointer to itself": wire(rest=b"\300\41" + ONE[2:]),
    "pointer forwards": wire(rest=b"\300\50" + ONE[2:]),
    "pointer into the header": wire(rest=b"\300\4" + ONE[2:]),
    "pointers in a circle": wire(rest=b"\1a\300\41" + ONE[2:]),
    "label type 0x40": wire(rest=b"\100" + ONE[2:]),
    "label type 0x80": wire(rest=b"\200" + ONE[2:]),
    "name of 256 octets": wire(
        rest=b"\77" + b"a" * 63 + (b"\77" + b"a" * 63) * 2 + b"\77" + b"a" * 62 + b"\0" + ONE[2:]
    ),
    "A of 5 octets": wire(rest=rr(1, bytes(5))),
    "A of 3 octets": wire(rest=rr(1, bytes(3))),
    "A of none": wire(rest=rr(1, b"")),
    "AAAA of 4 octets": wire(rest=rr(28, bytes(4))),
    "CNAME longer than its name": wire(rest=cname(b"\1a\0\0")),
    "CNAME shorter than its name": wire(rest=rr(5, b"\3abc\0", rdlen=4)),
    "CNAME empty": wire(rest=cname(b"")),
    "CNAME to itself": wire(rest=cname(b"\300\14")),
    "CNAMEs in a circle": wire(counts=(1, 2, 0, 0), rest=cname(b"\1a\0") + cname(QUESTION[:-4], b"\1a\0")),
    "CNAME chain of 40": wire(
        counts=(1, 40, 0, 0),
        rest=cname(b"\2aa\0")
        + b"".join(
            cname(
                bytes((2, 98 + n // 20, 98 + n % 20, 0)),
                bytes((2, 97, 97, 0)) if n == 0 else bytes((2, 98 + (n - 1) // 20, 98 + (n - 1) % 20, 0)),
            )
            for n in range(39)
        ),
    ),
    "SOA cut": wire(counts=(1, 0, 1, 0), rest=rr(6, b"\0\0" + bytes(19))),
    "SOA too long": wire(counts=(1, 0, 1, 0), rest=rr(6, b"\0\0" + bytes(21))),
    "MX of one octet": wire(counts=(1, 1, 0, 0), rest=rr(15, b"\0")),
    "MX without a name": wire(counts=(1, 1, 0, 0), rest=rr(15, b"\0\1")),
    "SRV without a name": wire(rest=rr(33, bytes(6))),
    "TXT empty": wire(rest=rr(16, b"")),
    "TXT string too long": wire(rest=rr(16, b"\5abc")),
    "NAPTR cut": wire(rest=rr(35, bytes(4) + b"\1a\1b")),
    "SVCB with a pointer": wire(rest=rr(65, b"\0\1\300\14")),
    "RRSIG of 10 octets": wire(rest=rr(46, bytes(10))),
    "DS of 3 octets": wire(rest=rr(43, bytes(3))),
    "two OPT": wire(counts=(1, 1, 0, 2), rest=ONE + OPT + OPT),
    "OPT in the answer": wire(rest=OPT),
    "OPT in the authority": wire(counts=(1, 1, 1, 0), rest=ONE + OPT),
    "OPT below the root": wire(counts=(1, 1, 0, 1), rest=ONE + b"\300\14" + OPT[1:]),
    "OPT with half an option": wire(counts=(1, 1, 0, 1), rest=ONE + OPT[:-1] + b"\3\0\3\0"),
    "OPT's option too long": wire(counts=(1, 1, 0, 1), rest=ONE + OPT[:-1] + b"\5\0\3\0\2x"),
    "answers to something else alone": wire(rest=rr(1, bytes(4), b"\5other\0")),
}


@pytest.mark.parametrize("message", MALFORMED.values(), ids=MALFORMED)
def test_broken_reply_is_malformed(message: bytes) -> None:
    assert read(message).status is ReplyStatus.REPLY_MALFORMED


@pytest.mark.parametrize("name", [n for n in MALFORMED if "cut" in n or "count" in n])
def test_cut_reply_with_tc_is_kept_as_truncated(name: str) -> None:
    message = bytearray(MALFORMED[name])
    message[2] |= 2
    stored = read(bytes(message))
    assert stored.status is ReplyStatus.REPLY_OK
    assert render(stored, ask()).flags & dns.flags.TC


def test_octets_behind_the_message_are_left() -> None:
    assert read(wire(rest=ONE + b"secret")).wire == read(wire()).wire


@pytest.mark.parametrize(
    ("answer", "authority", "additional", "counts"),
    [
        pytest.param(f"{ADDRESSES}\nother.example. 60 IN A 192.0.2.66", "", "", (4, 0, 0), id="answer to another name"),
        pytest.param(f"{CHAIN}\nexample.org. 60 IN A 192.0.2.66", "", "", (3, 0, 0), id="answer above the name"),
        pytest.param(f"{ADDRESSES}\n{NAME} 60 CH A aa. 1", "", "", (4, 0, 0), id="answer of another class"),
        pytest.param(
            f"example.org. 60 IN DNAME a.example.\n{NAME} 60 IN CNAME www.a.example.\nwww.a.example. 60 IN A 192.0.2.1",
            "",
            "",
            (3, 0, 0),
            id="DNAME above the name",
        ),
        pytest.param(f"example.net. 60 IN DNAME example.org.\n{ADDRESSES}", "", "", (4, 0, 0), id="DNAME elsewhere"),
        pytest.param(
            ADDRESSES,
            "example.org. 60 IN NS ns.example.org.",
            "ns.example.org. 60 IN A 192.0.2.9",
            (4, 1, 1),
            id="glue",
        ),
        pytest.param(
            ADDRESSES,
            "example.com. 60 IN NS ns.example.com.",
            "ns.example.com. 60 IN A 192.0.2.66",
            (4, 0, 0),
            id="authority elsewhere",
        ),
        pytest.param(
            ADDRESSES,
            "org. 60 IN NS ns.example.com.\nexample.org. 60 IN A 192.0.2.66",
            "",
            (4, 1, 0),
            id="address in authority",
        ),
        pytest.param(ADDRESSES, "", "bank.example. 60 IN A 192.0.2.66", (4, 0, 0), id="additional elsewhere"),
        pytest.param(ADDRESSES, "", f"_udp.{NAME} 60 IN SRV 0 0 53 .", (4, 0, 1), id="additional below the name"),
        pytest.param("", f"{SOA}\n_h.example.org. 60 IN NSEC a.example.org. A", "", (0, 2, 0), id="NSEC of the zone"),
        pytest.param("", f"{SOA}\n_h.example.com. 60 IN NSEC a.example.com. A", "", (0, 1, 0), id="NSEC elsewhere"),
        pytest.param(
            ADDRESSES,
            ". 60 IN NS a.root-servers.net.",
            "a.root-servers.net. 60 IN AAAA 2001:db8::1",
            (4, 1, 1),
            id="root's servers",
        ),
    ],
)
def test_out_of_place_records_are_stripped(
    answer: str, authority: str, additional: str, counts: tuple[int, ...]
) -> None:
    stored = read(reply_to(ask(), answer, authority, additional))
    assert (stored.status, stored.counts) == (ReplyStatus.REPLY_OK, counts)
    render(stored, ask())


def test_opt_is_removed_and_its_rcode_noted() -> None:
    query = ask(use_edns=0, payload=4096)
    reply = reply_to(query, ADDRESSES)
    reply.use_edns(0, 0, 4096, options=[dns.edns.GenericOption(dns.edns.OptionType.NSID, b"nsid")])
    reply.set_rcode(dns.rcode.BADVERS)
    stored = read(reply)
    assert (stored.rcode, stored.counts) == (16, (4, 0, 0))
    answer = render(stored, query)
    assert answer.edns == 0 and answer.options == () and answer.payload == 1232 and answer.rcode() == 16
    assert render(stored, ask()).edns == -1
    assert render(stored, ask()).rcode() == 2


def test_ttl_over_31_bits_is_capped() -> None:
    assert read(wire(rest=rr(1, bytes(4), ttl=2**32 - 1))).min_ttl == 2**31 - 1


@pytest.mark.parametrize(
    ("options", "ttl"), [({}, 300), ({"age": 100}, 200), ({"age": 300}, 0), ({"age": 999}, 0), ({"ttl": 7}, 7)]
)
def test_ttl_in_the_answer(options: dict[str, int], ttl: int) -> None:
    assert [rrset.ttl for rrset in render(read(reply_to(ask(), ADDRESSES)), ask(), **options).answer] == [ttl]


def flags_of(query_flags: int, reply_flags: int, **options: object) -> int:
    query = ask()
    query.flags = dns.flags.Flag(query_flags)
    reply = reply_to(query, ADDRESSES)
    reply.flags = dns.flags.Flag(reply_flags | 0x8000)
    return int(render(read(reply), query, **options).flags)


@pytest.mark.parametrize(
    ("query_flags", "reply_flags", "clear_aa", "flags"),
    [
        (0x0100, 0x0080, False, 0x8180),
        (0x0000, 0x0180, False, 0x8080),
        (0x0110, 0x0080, False, 0x8190),
        (0x0000, 0x0410, False, 0x8400),
        (0x0000, 0x0400, True, 0x8000),
        (0x0000, 0x0020, False, 0x8000),
        (0x0020, 0x0020, False, 0x8020),
        (0x0000, 0x0200, False, 0x8200),
        (0x0000, 0x0040, False, 0x8000),
    ],
)
def test_flags_in_the_answer(query_flags: int, reply_flags: int, clear_aa: bool, flags: int) -> None:
    assert flags_of(query_flags, reply_flags, clear_aa=clear_aa) == flags


def test_addresses_rotate() -> None:
    stored = read(reply_to(ask(), ADDRESSES))
    assert stored.run[2:] == (4, 4)
    orders = [[str(rdata) for rdata in render(stored, ask(), rotation=turn).answer[0]] for turn in range(5)]
    assert [order[0][-1] for order in orders] == ["1", "2", "3", "4", "1"]
    assert orders[1] == [f"192.0.2.{last}" for last in (2, 3, 4, 1)]


def test_addresses_behind_a_chain_rotate() -> None:
    answer = render(read(reply_to(ask(), CHAIN)), ask(), rotation=1).answer
    assert [str(rdata) for rdata in answer[1]] == ["192.0.2.2", "192.0.2.1"]


def many(owner: str, count: int) -> str:
    return "\n".join(f"{owner} 60 IN A 192.0.2.{last}" for last in range(count))


LONG = reply_to(ask(), CHAIN, "example.net. 60 IN NS ns.example.net.", "ns.example.net. 60 IN A 192.0.2.7")


@pytest.mark.parametrize("edns", [-1, 0])
@pytest.mark.parametrize("limit", range(50, 200))
def test_whole_record_sets_are_left_out(limit: int, edns: int) -> None:
    query = ask(use_edns=edns)
    message = read(LONG).render(query.to_wire(), limit=limit, ede=22)
    answer = dns.message.from_wire(message)
    least = len(query.to_wire()) + (6 if edns == 0 else 0)
    assert len(message) <= max(limit, least)
    assert answer.edns == edns
    sets = [len(rrset) for section in answer.sections[1:] for rrset in section]
    assert sets == [1, 2, 1, 1][: len(sets)]
    assert bool(answer.flags & dns.flags.TC) == (len(sets) < 3)


def test_ede_is_given_with_edns() -> None:
    stored = read(reply_to(ask(), rcode=2))
    assert [option.code for option in render(stored, ask(use_edns=0), ede=22).options] == [22]
    assert render(stored, ask(), ede=22).edns == -1


def test_no_room_for_the_stored_message() -> None:
    message = reply_to(ask(), ADDRESSES).to_wire()
    whole = len(read(message).wire)
    assert read(message, stored_size=whole).status is ReplyStatus.REPLY_OK
    for size in range(whole):
        assert read(message, stored_size=size).status is ReplyStatus.REPLY_TOO_LARGE
    assert read(message, ttl_at_size=3).status is ReplyStatus.REPLY_TOO_LARGE


def test_query_for_something_else_is_refused() -> None:
    stored = read(reply_to(ask(), ADDRESSES))
    for query in (ask("other.example."), ask(rdtype="AAAA"), ask(NAME[1:])):
        with pytest.raises(ValueError, match="something else"):
            stored.render(query.to_wire())


NAMES = st.lists(st.text("aAbc-", min_size=1, max_size=9), min_size=1, max_size=5).map(
    lambda labels: ".".join(labels) + "."
)
RDATA = st.one_of(
    st.tuples(st.just("A"), st.ip_addresses(v=4).map(str)),
    st.tuples(st.just("AAAA"), st.ip_addresses(v=6).map(str)),
    st.tuples(st.sampled_from(["NS", "PTR"]), NAMES),
    st.tuples(st.just("MX"), NAMES.map(lambda name: f"10 {name}")),
    st.tuples(st.just("SRV"), NAMES.map(lambda name: f"1 2 53 {name}")),
    st.tuples(st.just("TXT"), st.text("abc", max_size=20).map(lambda text: f'"{text}" "x"')),
    st.tuples(st.just("SOA"), st.tuples(NAMES, NAMES).map(lambda names: f"{names[0]} {names[1]} 1 2 3 4 5")),
    st.tuples(st.just("NAPTR"), NAMES.map(lambda name: f'1 2 "s" "SIP+D2U" "" {name}')),
    st.tuples(st.just("RP"), st.tuples(NAMES, NAMES).map(" ".join)),
    st.tuples(st.just("CAA"), st.just('0 issue "ca.example"')),
    st.tuples(st.just("HTTPS"), NAMES.map(lambda name: f"1 {name} alpn=h2")),
    st.tuples(st.just("TYPE65400"), st.just(r"\# 3 c00c07")),
)


@settings(deadline=None, max_examples=300)
@given(NAMES, st.lists(NAMES, max_size=4, unique_by=str.lower), st.lists(RDATA, min_size=1, max_size=12))
def test_random_replies_come_back(name: str, chain: list[str], data: list[tuple[str, str]]) -> None:
    """dnspython's reply, read and rendered, is dnspython's reply."""
    chain = [alias for alias in chain if alias.lower() != name.lower()]
    links = [name, *chain]
    lines = [f"{owner} 60 IN CNAME {alias}" for owner, alias in zip(links, chain, strict=False)]
    once = [pair for at, pair in enumerate(data) if pair[0] != "SOA" or "SOA" not in dict(data[:at])]
    lines += [f"{links[-1]} 60 IN {rdtype} {text}" for rdtype, text in once]
    query = ask(name, data[0][0])
    reply = reply_to(query, "\n".join(lines))
    stored = read(reply, name, query.question[0].rdtype)
    assert stored.status is ReplyStatus.REPLY_OK
    assert stored.kind is ReplyKind.REPLY_SUCCESS
    answer = render(stored, query)
    assert records(answer.answer) == records(reply.answer)
    assert len(stored.ttl_offsets) == sum(stored.counts)
    again = read(stored.render(query.to_wire()), name, query.question[0].rdtype)
    assert (again.wire[12:], again.kind) == (stored.wire[12:], stored.kind)


@settings(deadline=None, max_examples=2000)
@given(
    st.binary(max_size=80),
    st.tuples(*[st.integers(0, 4)] * 3),
    st.sampled_from([1, 5, 6, 15, 28, 33, 255]),
    st.integers(0, 15),
)
def test_random_records_never_do_harm(rest: bytes, counts: tuple[int, int, int], rdtype: int, rcode: int) -> None:
    question = QUESTION[:-4] + struct.pack("!HH", rdtype, 1)
    stored = read(wire(flags=0x8180 | rcode, counts=(1, *counts), question=question, rest=rest), rdtype=rdtype)
    if stored.status is ReplyStatus.REPLY_OK:
        query = ask(rdtype=rdtype).to_wire()  # type: ignore[arg-type]
        again = read(stored.render(query), rdtype=rdtype)
        assert (again.status, again.kind, again.counts) == (stored.status, stored.kind, stored.counts)


def test_root_is_a_name_too() -> None:
    query = ask(".", "NS")
    reply = reply_to(query, ". 60 IN NS a.example.\n. 60 IN NS b.example.", "", "a.example. 60 IN A 192.0.2.1")
    stored = read(reply, ".", 2)
    assert (stored.kind, stored.counts) == (ReplyKind.REPLY_SUCCESS, (2, 0, 1))
    assert records(render(stored, query).answer) == records(reply.answer)


def test_longest_name_comes_back() -> None:
    name = "a." * 127
    stored = read(reply_to(ask(name), f"{name} 60 IN A 192.0.2.1"), name)
    assert render(stored, ask(name)).answer[0].name == dns.name.from_text(name)


def test_4000_addresses_come_back() -> None:
    answers = b"".join(rr(1, struct.pack("!I", number)) for number in range(4000))
    stored = read(wire(counts=(1, 4000, 0, 0), rest=answers))
    assert (stored.counts, stored.run[2]) == ((4000, 0, 0), 4000)
    assert len(render(stored, ask(), rotation=1234).answer[0]) == 4000
    cut = stored.render(ask().to_wire(), limit=512)
    assert len(cut) == 33 and dns.message.from_wire(cut).flags & dns.flags.TC


@settings(deadline=None, max_examples=500)
@given(st.data())
def test_reply_cut_anywhere_is_malformed(data: st.DataObject) -> None:
    whole = LONG.to_wire()
    cut = whole[: data.draw(st.integers(33, len(whole) - 1))]
    assert read(cut).status is ReplyStatus.REPLY_MALFORMED
