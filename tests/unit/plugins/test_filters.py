"""template, acl, any, minimal, header, chaos and multisocket: their words, and what is wrong with others."""

import pytest

from fastdns import errors
from fastdns.config import filters, model, templates
from fastdns.config.filters import AclPolicy, AclRule, HeaderRule


@pytest.mark.parametrize(
    ("lines", "plugin"),
    [
        ("any", filters.Any()),
        ("minimal", filters.Minimal()),
        ("local", filters.Local()),
        ("local {\n localhost_prefix off\n}", filters.Local(prefix=False)),
        ("dns64", filters.Dns64()),
        ("dns64 64:1337::/64", filters.Dns64("64:1337::/64")),
        ("dns64 64:1337::/64 {\n allow_ipv4\n}", filters.Dns64("64:1337::/64")),
        (
            "dns64 {\n prefix 64:1337::/32\n translate_all\n allow_ipv4\n}",
            filters.Dns64("64:1337::/32", translate_all=True, allow_ipv4=True),
        ),
        ("chaos", filters.Chaos()),
        ("chaos v b a b", filters.Chaos("v", ("a", "b"))),
        ("multisocket", filters.Multisocket()),
        ("multisocket 4", filters.Multisocket(4)),
        (
            "header {\n response set RA aa\n query clear rd\n}",
            filters.Header((HeaderRule("rd", False),), (HeaderRule("ra", True), HeaderRule("aa", True))),
        ),
        (
            "acl a.test {\n allow net 10.0.0.1/8 ::1\n BLOCK type A net *\n}\nacl {\n drop\n}",
            filters.Acl(
                (
                    AclRule(
                        ("a.test.",),
                        (AclPolicy("allow", (), ("10.0.0.0/8", "::1/128")), AclPolicy("block", (1,))),
                    ),
                    AclRule((".",), (AclPolicy("drop"),)),
                )
            ),
        ),
        (
            "template IN A a.test {\n answer x\n rcode NXDOMAIN\n ederror 15 why\n fallthrough\n}\ntemplate ANY ANY",
            templates.Template(
                (
                    templates.AnswerTemplate(
                        1,
                        1,
                        ("a.test.",),
                        answer=("x",),
                        rcode=3,
                        ederror=templates.EdeError(15, "why"),
                        fallthrough=(".",),
                    ),
                    templates.AnswerTemplate(255, 255, (".",)),
                )
            ),
        ),
    ],
)
def test_words(read, lines: str, plugin: model.Plugin) -> None:
    assert read(lines) == (plugin,)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("any foo", "2 - Error during parsing: Wrong argument count or unexpected line ending after 'foo'"),
        ("any {\n foo\n}", "3 - Error during parsing: unknown property 'foo'"),
        ("local x", "2 - Error during parsing: Wrong argument count or unexpected line ending after 'x'"),
        ("local {\n foo\n}", "3 - Error during parsing: unknown property 'foo'"),
        (
            "local {\n localhost_prefix x\n}",
            "3 - Error during parsing: localhost_prefix expects 'on' or 'off', got \"x\"",
        ),
        ("dns64 64::/65", '2 - Error during parsing: invalid prefix length "64::/65"'),
        ("dns64 10.0.0.0/8", "2 - Error during parsing: invalid netmask 32 IPv6 address"),
        ("dns64 64::", "2 - Error during parsing: invalid CIDR address: 64::"),
        ("dns64 {\n foo\n}", "3 - Error during parsing: unknown property 'foo'"),
        ("chaos {\n foo\n}", "3 - Error during parsing: unknown property 'foo'"),
        ("multisocket 0", "2 - Error during parsing: num sockets can not be zero or negative: 0"),
        ("multisocket 1025", "2 - Error during parsing: num sockets exceeds maximum (1024): 1025"),
        ("multisocket x", '2 - Error during parsing: invalid num sockets: strconv.Atoi: parsing "x": invalid syntax'),
        ("header", "2 - Error during parsing: Wrong argument count or unexpected line ending after 'header'"),
        ("header {\n answer set ra\n}", "3 - Error during parsing: setting up rule: invalid selector=answer should be"),
        ("header {\n query set\n}", "3 - Error during parsing: setting up rule: invalid length for flags"),
        ("header {\n query unset rd\n}", "3 - Error during parsing: setting up rule: unknown flag action=unset"),
        ("header {\n query set cd\n}", "3 - Error during parsing: setting up rule: unknown/unsupported flag=cd"),
        (
            "acl {\n deny\n}",
            "3 - Error during parsing: unexpected token \"deny\"; expect 'allow', 'block', 'filter' or",
        ),
        ("acl {\n block A\n}", "3 - Error during parsing: unexpected token \"A\"; expect 'type | net'"),
        ("acl {\n block type net *\n}", '3 - Error during parsing: no token specified in "type" section'),
        ("acl {\n block type A net\n}", '3 - Error during parsing: no token specified in "net" section'),
        ("acl {\n block type FOO\n}", '3 - Error during parsing: unexpected token "FOO"; expect legal QTYPE'),
        ("acl {\n block net 10.0.0\n}", '3 - Error during parsing: illegal CIDR notation "10.0.0/32"'),
        ("template IN", "2 - Error during parsing: Wrong argument count or unexpected line ending after 'IN'"),
        ("template XX A", "2 - Error during parsing: invalid query class XX"),
        ("template IN XX", "2 - Error during parsing: invalid RR class XX"),
        ("template IN A {\n match (\n}", "3 - Error during parsing: could not parse regex: (, "),
        ('template IN A {\n answer "{{ .Name"\n}', "3 - Error during parsing: could not compile template: {{ .Name, "),
        ("template IN A {\n answer\n}", "3 - Error during parsing: Wrong argument count"),
        ("template IN A {\n rcode FOO\n}", "3 - Error during parsing: unknown rcode FOO"),
        ("template IN A {\n ederror 70000\n}", "3 - Error during parsing: error parsing extended DNS error code 70000"),
        ("template IN A {\n expr true\n}", "3 - Error during parsing: unknown property 'expr'"),
        ("template IN A {\n foo\n}", "3 - Error during parsing: Wrong argument count or unexpected line ending after"),
    ],
)
def test_wrong_words(read, lines: str, message: str) -> None:
    with pytest.raises(errors.ConfigError) as raised:
        read(lines)
    assert str(raised.value).startswith(f"Corefile:{message}")
