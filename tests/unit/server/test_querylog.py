import dataclasses

import pytest

from fastdns.config import model
from fastdns.server import querylog, questions

QUERY = questions.make_query(b"\7eXample\3org\0", 1, ident=4711)
ANSWERED = querylog.Answered(
    question=questions.read_question(QUERY),
    remote=("192.0.2.7", 5353),
    local=("::1", 53),
    is_stream=False,
    query_size=len(QUERY),
    rcode=0,
    flags=0x8580,
    size=99,
    seconds=0.000123,
)


def line(text: str, answered: querylog.Answered = ANSWERED, *classes: str) -> str | None:
    return querylog.format_line((model.LogRule(".", text, frozenset(classes or {"all"})),), answered)


def test_common_format_is_coredns_format() -> None:
    assert line("{common}") == (
        '192.0.2.7:5353 - 4711 "A IN example.org. udp 29 false 512" NOERROR qr,aa,rd,ra 99 0.000123s'
    )


def test_combined_format_adds_the_opcode() -> None:
    assert (line("{combined}") or "").endswith('0.000123s "0"')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{local}", "[::1]"),
        ("{ {name} }", "{ example.org. }"),
        ("{unknown} {/kubernetes/pod} }", "{unknown} - }"),
        ("no placeholder", "no placeholder"),
    ],
)
def test_placeholders(text: str, expected: str) -> None:
    assert line(text) == expected


def test_edns_and_tcp_sizes() -> None:
    wire = bytearray(QUERY) + b"\0\0\x29\x10\0\0\0\x80\0\0\0"
    question = questions.read_question(bytes(wire))
    assert line("{>do} {>bufsize}", dataclasses.replace(ANSWERED, question=question)) == "true 4096"
    assert line("{proto} {>bufsize}", dataclasses.replace(ANSWERED, is_stream=True)) == "tcp 65535"


@pytest.mark.parametrize(
    ("rcode", "is_nodata", "expected"),
    [(0, False, "success"), (0, True, "denial"), (3, True, "denial"), (2, True, "error"), (5, True, "error")],
)
def test_classes(rcode: int, is_nodata: bool, expected: str) -> None:
    answered = dataclasses.replace(ANSWERED, rcode=rcode, is_nodata=is_nodata)
    for name in ("success", "denial", "error"):
        assert (line("x", answered, name) is not None) == (name == expected)


def test_first_rule_of_the_name_decides() -> None:
    rules = (
        model.LogRule("org.", "org", frozenset({"error"})),
        model.LogRule(".", "root", frozenset({"all"})),
    )
    assert querylog.format_line(rules, ANSWERED) is None


def test_octets_that_are_no_text_are_escaped() -> None:
    question = questions.read_question(questions.make_query(b"\3a\n\xff\0", 65280, qclass=77))
    assert line("{name} {type} {class}", dataclasses.replace(ANSWERED, question=question)) == (
        "a\\010\\255. TYPE65280 CLASS77"
    )
