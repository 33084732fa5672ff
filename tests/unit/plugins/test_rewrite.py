"""rewrite: its rules, and what is wrong with others in CoreDNS's words."""

import pytest

from fastdns import errors
from fastdns.config import rewriting
from fastdns.config.rewriting import AnswerRule, CnameRule, Match, NameRule, RcodeRule, TtlRule, TypeRule
from fastdns.server import rewrite

ONLY = " rule supports only exact, prefix, suffix, substring, and regex name matching"


@pytest.mark.parametrize(
    ("lines", "rules"),
    [
        ("rewrite name A.test b.Test", [NameRule(Match("exact", "a.test."), "b.test.", True)]),
        ("rewrite stop name suffix .a b answer auto", [NameRule(Match("suffix", ".a."), "b.", True)]),
        ("rewrite continue type MX A\nrewrite type a aaaa", [TypeRule(15, 1, True), TypeRule(1, 28)]),
        ("rewrite ttl a 5-", [TtlRule(Match("exact", "a."), 5, 2**31 - 1)]),
        ("rewrite ttl prefix a -5", [TtlRule(Match("prefix", "a."), 0, 5)]),
        ("rewrite rcode regex ^a 3 NOERROR", [RcodeRule(Match("regex", "^a"), 3, 0)]),
        ("rewrite cname suffix .A .B", [CnameRule(Match("suffix", ".a"), ".b")]),
        (
            "rewrite {\n name regex (a)b {1}\n answer value c d\n}",
            [NameRule(Match("regex", "(a)b"), "{1}.", False, (AnswerRule("c", "d.", values=True),))],
        ),
    ],
)
def test_rules(read, lines: str, rules: list[rewriting.Rule]) -> None:
    assert read(lines) == (rewriting.Rewrite(tuple(rules)),)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("rewrite", "no rule type specified for rewrite"),
        ("rewrite stop", "continue rule must begin with a rule type"),
        ("rewrite answer name a b", "response rewrites must begin with a name rule"),
        ("rewrite foo a b", 'invalid rule type "foo"'),
        ("rewrite name a", "too few arguments for a name rule"),
        ("rewrite name foo a b", f"name{ONLY}, received: foo"),
        ("rewrite name regex (a b", "invalid regex matching pattern: (a"),
        ("rewrite name regex a {1}", "the rewrite regex pattern ({1}.) uses more subexpressions than"),
        ("rewrite name exact a b c d", "exceeded the number of arguments for a non-answer rule argument for exact rule"),
        ("rewrite name exact a b answer", "invalid arguments for exact rule"),
        ("rewrite name exact a b answer foo", 'invalid type "foo" for answer rule for exact rule'),
        ("rewrite name exact a b answer name c", "name answer rule for exact rule: 2 arguments required"),
        ("rewrite name suffix a b answer auto answer name c d", "auto name answer rule cannot be combined with"),
        ("rewrite type MX", "type rules must have exactly two arguments"),
        ("rewrite type MX FOO", 'invalid type "FOO"'),
        ("rewrite class IN FOO", 'invalid class "FOO"'),
        ("rewrite ttl a", "too few (1) arguments for a ttl rule"),
        ("rewrite ttl a 5-3", "invalid TTL '5-3' for a ttl rule"),
        ("rewrite ttl a -", "invalid TTL '-' for a ttl rule"),
        ("rewrite ttl foo a 5", f"ttl{ONLY}"),
        ("rewrite rcode a 3", "too few (2) arguments for a rcode rule"),
        ("rewrite rcode a 77 3", "invalid matching RCODE '77' for a rcode rule"),
        ("rewrite cname foo a b", "unknown cname rewrite type: foo"),
        ("rewrite cname a", "too few (1) arguments for a cname rule"),
        ("rewrite edns0 local set 0xffee abc", "edns0 rules are not served"),
    ],
)  # fmt: skip
def test_wrong_rules(read, line: str, message: str) -> None:
    with pytest.raises(errors.ConfigError) as raised:
        read(line)
    assert str(raised.value).startswith(f"Corefile:2 - Error during parsing: {message}")


@pytest.mark.parametrize(
    ("lines", "zones"),
    [
        ("rewrite name a.test b.test\nrewrite ttl suffix .c.test 5", ("a.test.", "c.test.")),
        ("rewrite name suffix svc.test b.test", ("test.",)),
        ("rewrite name a.test b.test\nrewrite name prefix a b", ()),
        ("rewrite type MX A", ()),
        ("rewrite cname a.test b.test", ()),
    ],
)
def test_only_names_that_may_match_leave_the_compiled_path(read, lines: str, zones: tuple[str, ...]) -> None:
    (plugin,) = read(lines)
    assert rewrite.zones_of(plugin) == zones
