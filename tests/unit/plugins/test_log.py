import pytest

from fastdns.config import model

ALL = frozenset({"all"})


@pytest.mark.parametrize(
    ("line", "rules"),
    [
        ("log", [model.LogRule(".", "{common}", ALL)]),
        ("log Example.org", [model.LogRule("example.org.", "{common}", ALL)]),
        ("log . {combined}", [model.LogRule(".", "{combined}", ALL)]),
        ('log a b "{type} {name}"', [model.LogRule(name, "{type} {name}", ALL) for name in ("a.", "b.")]),
        ("log a b", [model.LogRule(name, "{common}", ALL) for name in ("a.", "b.")]),
        ("log {\n class denial\n class error\n}", [model.LogRule(".", "{common}", frozenset({"denial", "error"}))]),
        ("log {\n class denial error\n}", [model.LogRule(".", "{common}", frozenset({"denial", "error"}))]),
        ("log a\nlog b", [model.LogRule("a."), model.LogRule("b.")]),
    ],
)
def test_rules(read, line: str, rules: list[model.LogRule]) -> None:
    assert read(line) == (model.Log(tuple(rules)),)
