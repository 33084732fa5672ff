"""Odd and hostile queries, each with the rcode or the silence that it is owed."""

import struct

import dns.flags
import dns.message
import dns.rcode
import pytest

from fastdns import _packet
from tests.unit import deltas, engines
from tests.unit.packets import NAME, header, labels, opt, option, query, question, record, with_additional

SILENCE, OK = -1, 0
FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, NOTAUTH, BADVERS = 1, 2, 3, 4, 5, 9, 16
LONGEST = labels([63, 63, 63, 61])
MANY = labels([1] * 127)
HEADER = {
    "nothing": (b"", SILENCE),
    "one octet": (b"\0", SILENCE),
    "11 octets": (header()[:11], SILENCE),
    "eleven 0xff": (b"\xff" * 11, SILENCE),
    "a response": (query(flags=0x8000), SILENCE),
    "a response with an error": (query(flags=0x8403), SILENCE),
    "a response without a question": (header(0x8000, 0), SILENCE),
    "no question, none counted": (header(0, 0), FORMERR),
    "no question, OPT alone": (header(0, 0, 0, 0, 1) + opt(), FORMERR),
    "two questions": (header(0, 2) + question() + question(), FORMERR),
    "two questions counted, one there": (header(0, 2) + question(), FORMERR),
    "65535 questions": (header(0, 65535) + question(), FORMERR),
    "a question counted, none there": (header(), FORMERR),
    "12 octets of 0": (bytes(12), FORMERR),
    "inverse query": (query(flags=0x0800), NOTIMP),
    "STATUS": (query(flags=0x1000), NOTIMP),
    "opcode 3": (query(flags=0x1800), NOTIMP),
    "NOTIFY": (query(flags=0x2000), NOTIMP),
    "UPDATE": (query(flags=0x2800), NOTIMP),
    "DSO": (query(flags=0x3000), NOTIMP),
    "opcode 7": (query(flags=0x3800), NOTIMP),
    "opcode 15": (query(flags=0x7800), NOTIMP),
    "NOTIFY without a question": (header(0x2000, 0), NOTIMP),
    "Z": (query(flags=0x0040), OK),
    "AA": (query(flags=0x0400), OK),
    "TC": (query(flags=0x0200), OK),
    "RA": (query(flags=0x0080), OK),
    "AD and CD": (query(flags=0x0030), OK),
    "rcode 15": (query(flags=0x000F), OK),
    "all flags but QR and the opcode": (query(flags=0x07FF), OK),
}
SECTIONS = {
    "a record in the answer": (header(0, 1, 1) + question() + record(), FORMERR),
    "a record in the authority": (header(0, 1, 0, 1) + question() + record(), FORMERR),
    "an answer counted, none there": (header(0, 1, 1) + question(), FORMERR),
    "65535 answers counted": (header(0, 1, 65535) + question(), FORMERR),
    "an authority counted, none there": (header(0, 1, 0, 1) + question(), FORMERR),
    "an additional counted, none there": (with_additional(count=1), FORMERR),
    "65535 additional counted": (with_additional(opt(), count=65535), FORMERR),
    "one other additional": (with_additional(record()), OK),
    "two other additional": (with_additional(record(), record()), OK),
    "three other additional": (with_additional(record(), record(), record()), FORMERR),
    "two other additional and OPT": (with_additional(record(), opt(), record()), OK),
    "an additional cut": (with_additional(record()[:-1], count=1), FORMERR),
    "an additional longer than the rest": (with_additional(record(rdlen=5)), FORMERR),
    "an additional with a broken owner": (with_additional(record(owner=b"\x40")), FORMERR),
    "one octet behind": (query() + b"\0", OK),
    "100 octets behind": (query() + b"\xff" * 100, OK),
    "octets behind OPT": (with_additional(opt()) + b"\1" * 30, OK),
    "signed with TSIG": (with_additional(record(250, b"\0" * 16)), NOTAUTH),
    "signed, behind OPT": (with_additional(opt(), record(250, b"\0" * 16)), NOTAUTH),
    "TSIG that is not last": (with_additional(record(250, b"\0" * 16), opt()), FORMERR),
    "TSIG cut": (with_additional(record(250, b"\0" * 16)[:-1], count=1), FORMERR),
}
NAMES = {
    "without type and class": (header() + NAME, FORMERR),
    "without class": (header() + NAME + b"\0\1", FORMERR),
    "half a class": (query()[:-1], FORMERR),
    "without root": (header() + NAME[:-1], FORMERR),
    "a label that ends early": (header() + b"\x3fabc", FORMERR),
    "a pointer to itself": (query(b"\xc0\x0c"), FORMERR),
    "a pointer forwards": (query(b"\xc0\x20"), FORMERR),
    "a pointer into the header": (query(b"\xc0\x00"), FORMERR),
    "half a pointer": (header() + b"\xc0", FORMERR),
    "two pointers in a circle": (query(b"\xc0\x0e\xc0\x0c"), FORMERR),
    "a label, then a pointer to it": (query(b"\1a\xc0\x0c"), FORMERR),
    "label type 0x40": (query(b"\x41" + b"a" * 65 + b"\0"), FORMERR),
    "label type 0x80": (query(b"\x80a\0"), FORMERR),
    "a label of 64 octets": (query(b"\x40" + b"a" * 64 + b"\0"), FORMERR),
    "a label of 63 octets": (query(labels([63])), NXDOMAIN),
    "a name of 255 octets": (query(LONGEST), NXDOMAIN),
    "a name of 256 octets": (query(labels([63, 63, 63, 62])), FORMERR),
    "a name of 300 octets": (query(labels([63, 63, 63, 63, 44])), FORMERR),
    "127 labels": (query(MANY), NXDOMAIN),
    "128 labels": (query(labels([1] * 128)), FORMERR),
    "an octet 0 in a label": (query(b"\3a\0b\5local\0"), NXDOMAIN),
    "a space": (query(b"\3a b\5local\0"), NXDOMAIN),
    "0xff": (query(b"\3a\xffb\5local\0"), NXDOMAIN),
    "a quote and a backslash": (query(b'\3"\\b\5local\0'), NXDOMAIN),
    "a dot in a label": (query(b"\x09a.cluster\5local\0"), NXDOMAIN),
    "the zone with a dot in its label": (query(b"\x0dcluster.local\0"), NXDOMAIN),
    "upper case": (query(NAME.upper()), OK),
    "the root": (query(b"\0"), NXDOMAIN),
}
TYPES = {
    f"class {qclass}": (query(qclass=qclass), REFUSED) for qclass in (0, 2, 3, 4, 254, 255, 256, 65535)
} | {
    "AXFR": (query(qtype=252), REFUSED),
    "IXFR": (query(qtype=251), REFUSED),
    "IXFR with its SOA": (header(0, 1, 0, 1) + question(qtype=251) + record(6, b"\0" * 22), REFUSED),
    "IXFR with two SOAs": (header(0, 1, 0, 2) + question(qtype=251) + record(6, b"\0" * 22) * 2, FORMERR),
    "type 0": (query(qtype=0), FORMERR),
    "type OPT": (query(qtype=41), FORMERR),
    "type TSIG": (query(qtype=250), NOTIMP),
    "type TKEY": (query(qtype=249), NOTIMP),
    "type MAILA": (query(qtype=254), NOTIMP),
    "type MAILB": (query(qtype=253), NOTIMP),
    "type NULL": (query(qtype=10), OK),
    "type ANY": (query(qtype=255), OK),
    "type HTTPS": (query(qtype=65), OK),
    "type 65535": (query(qtype=65535), OK),
}  # fmt: skip
EDNS = {
    "version 1": (with_additional(opt(version=1)), BADVERS),
    "version 255": (with_additional(opt(version=255)), BADVERS),
    "version 1 with an option": (with_additional(opt(option(10, b"12345678"), version=1)), BADVERS),
    "unknown flags": (with_additional(opt(flags=0x7FFF)), OK),
    "DO": (with_additional(opt(flags=0x8000)), OK),
    "size 0": (with_additional(opt(size=0)), OK),
    "size 511": (with_additional(opt(size=511)), OK),
    "size 65535": (with_additional(opt(size=65535)), OK),
    "an unknown option": (with_additional(opt(option(65001, b"abc"))), OK),
    "NSID": (with_additional(opt(option(3))), OK),
    "a cookie": (with_additional(opt(option(10, b"12345678"))), OK),
    "a cookie of 5 octets": (with_additional(opt(option(10, b"12345"))), OK),
    "a cookie of 41 octets": (with_additional(opt(option(10, b"1" * 41))), OK),
    "a subnet of family 9": (with_additional(opt(option(8, b"\0\x09\x20\0\1\2\3\4"))), OK),
    "a subnet of 33 bits": (with_additional(opt(option(8, b"\0\1\x21\0\1\2\3\4\5"))), OK),
    "padding of 900 octets": (with_additional(opt(option(12, bytes(900)))), OK),
    "200 empty options": (with_additional(opt(*[option(65001)] * 200)), OK),
    "two OPT": (with_additional(opt(), opt()), FORMERR),
    "OPT in the answer": (header(0, 1, 1) + question() + opt(), FORMERR),
    "OPT in the authority": (header(0, 1, 0, 1) + question() + opt(), FORMERR),
    "an owner that is not root": (with_additional(opt(owner=b"\1a\0")), FORMERR),
    "an owner that is a pointer": (with_additional(opt(owner=b"\xc0\x0c")), FORMERR),
    "an option longer than OPT": (with_additional(opt(option(10, b"1234", size=5))), FORMERR),
    "an option of 65535 octets": (with_additional(opt(option(10, b"1234", size=65535))), FORMERR),
    "half an option": (with_additional(opt(b"\0\x0a\0")), FORMERR),
    "OPT longer than the message": (with_additional(opt(rdlen=1)), FORMERR),
    "OPT of 65535 octets": (with_additional(opt(rdlen=65535)), FORMERR),
    "OPT cut in its header": (with_additional(opt()[:-3], count=1), FORMERR),
}
TABLE = [
    pytest.param(wire, owed, id=f"{area}: {what}")
    for area, cases in (("header", HEADER), ("sections", SECTIONS), ("names", NAMES), ("types", TYPES), ("EDNS", EDNS))
    for what, (wire, owed) in cases.items()
]


def world() -> engines.World:
    """The example cluster; other names fall to a root zone that is empty."""
    made = engines.cluster()
    made.add_table(deltas.zone(".") + deltas.synced())
    return made


WORLD = world()


def test_table_is_large() -> None:
    assert len(TABLE) >= 90


@pytest.mark.parametrize("is_stream", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize(("wire", "owed"), TABLE)
def test_outcome(wire: bytes, owed: int, is_stream: bool) -> None:
    raw = WORLD.ask_raw(wire, is_stream=is_stream)
    assert isinstance(raw, bytes)
    if owed == SILENCE:
        assert raw == b""
        return
    answer = dns.message.from_wire(raw)
    assert answer.rcode() == owed
    assert raw[:2] == wire[:2]
    assert answer.opcode() == (wire[2] >> 3) & 15
    assert not answer.flags & 0x0040, "Z is echoed"
    assert answer.flags & 0x0110 == struct.unpack_from(">H", wire, 2)[0] & 0x0110
    assert not answer.options, "an option is echoed"
    assert answer.ednsflags & 0x7FFF == 0, "unknown flags are echoed"
    assert answer.edns <= 0


@pytest.mark.parametrize(("wire", "owed"), TABLE)
def test_no_answer_is_answered(wire: bytes, owed: int) -> None:
    """With a forged sender, ourselves or another server, nothing goes to and fro."""
    answer = WORLD.ask_raw(wire, is_stream=False)
    assert isinstance(answer, bytes)
    assert WORLD.ask_raw(answer, is_stream=False) == b""


@pytest.mark.parametrize(("wire", "owed"), TABLE)
def test_every_prefix_is_read_within_its_bounds(wire: bytes, owed: int) -> None:
    for size in range(min(len(wire), 80)):
        status, *_ = _packet.inspect_query(wire[:size])
        if size < 12:
            assert status == _packet.QueryStatus.QUERY_DROP


@pytest.mark.parametrize("wire", [query(NAME.swapcase()), query(NAME.title(), 33), query(b"\1X" + NAME.upper())])
def test_question_is_echoed_as_spelt(wire: bytes) -> None:
    raw = WORLD.ask_raw(wire)
    assert isinstance(raw, bytes) and raw[12 : len(wire)] == wire[12:]


@pytest.mark.parametrize(
    ("size", "told"), [(0, 512), (511, 512), (512, 512), (1000, 1000), (1232, 1232), (4096, 1232), (65535, 1232)]
)
def test_opt_tells_our_size_up_to_the_client_s(size: int, told: int) -> None:
    raw = WORLD.ask_raw(with_additional(opt(size=size)))
    assert isinstance(raw, bytes) and dns.message.from_wire(raw).payload == told


@pytest.mark.parametrize("flags", [0, 0x8000, 0xFFFF])
def test_do_alone_is_echoed(flags: int) -> None:
    raw = WORLD.ask_raw(with_additional(opt(flags=flags)))
    assert isinstance(raw, bytes) and dns.message.from_wire(raw).ednsflags == flags & 0x8000


def test_no_opt_without_opt() -> None:
    raw = WORLD.ask_raw(query())
    assert isinstance(raw, bytes) and dns.message.from_wire(raw).edns == -1


def test_badvers_has_opt_of_version_0_and_no_records() -> None:
    raw = WORLD.ask_raw(with_additional(opt(version=3, flags=0x8000)))
    assert isinstance(raw, bytes)
    answer = dns.message.from_wire(raw)
    assert (answer.rcode(), answer.edns, answer.payload, answer.ednsflags & 0x8000) == (16, 0, 1232, 0x8000)
    assert not answer.answer and not answer.authority


def test_trailing_octets_are_not_copied() -> None:
    assert b"\xfe" * 8 not in (WORLD.ask_raw(query() + b"\xfe" * 64) or b"")  # type: ignore[operator]


def test_broken_question_is_not_echoed() -> None:
    raw = WORLD.ask_raw(query(b"\xc0\x0c"))
    assert isinstance(raw, bytes) and len(raw) == 12 and raw[4:6] == b"\0\0"


def test_query_of_64_kib() -> None:
    raw = WORLD.ask_raw(query() + bytes(65000))
    assert isinstance(raw, bytes) and dns.message.from_wire(raw).rcode() == OK


@pytest.mark.parametrize(("wire", "pos"), [(b"\0", 1), (b"\0", 2), (b"", 0), (b"\xc0", 0), (b"\1a", 0), (b"\x40\0", 0)])
def test_broken_names_are_not_expanded(wire: bytes, pos: int) -> None:
    with pytest.raises(ValueError, match="no name"):
        _packet.expanded_name(wire, pos)


def test_name_is_expanded_over_pointers() -> None:
    wire = bytes(12) + b"\5local\0" + b"\7cluster\xc0\x0c" + b"\3svc\xc0\x13"
    assert _packet.expanded_name(wire, 29) == (b"\3svc\7cluster\5local\0", 35)


def test_pointers_only_lead_backwards() -> None:
    wire = bytes(12) + b"\1a\xc0\x0c"
    with pytest.raises(ValueError, match="no name"):
        _packet.expanded_name(wire, 12)
