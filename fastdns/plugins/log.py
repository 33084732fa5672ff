"""log: a line for each query, for the names, in the format and of the classes of answer that are asked for."""

from collections.abc import Sequence

from fastdns.config import corefile, lexer, model, values, wording
from fastdns.dns import names

OPTIONS = ("class",)
CLASSES = ("all", "success", "denial", "error")


def parse(directive: corefile.Directive, scope: corefile.Scope) -> model.Log:
    """Read `log [NAMES... [FORMAT]] { class CLASSES... }`; only a last word with a `{` in it is a format."""
    tokens = directive.args
    layout = model.LogRule().format
    if len(tokens) > 1 and "{" in tokens[-1].text:
        layout = tokens[-1].text
        tokens = tokens[:-1]
    classes: set[str] = set()
    for option in directive.block:
        if option.word not in OPTIONS:
            raise values.unknown_property(option, OPTIONS)
        classes |= _classes(option)
    wanted = frozenset(classes or {"all"})
    scopes = tuple(_name(directive, token) for token in tokens) or (".",)
    return model.Log(tuple(model.LogRule(name, layout, wanted) for name in scopes))


def merge(logs: Sequence[model.Plugin]) -> model.Log:
    """Put the rules of several `log` lines into one, in their order: the first that fits a query decides."""
    return model.Log(tuple(rule for log in logs if isinstance(log, model.Log) for rule in log.rules))


def _name(directive: corefile.Directive, token: lexer.Token) -> str:
    if not names.is_name(token.text):
        hint = "a format is the last of two or more words" if "{" in token.text else ""
        raise directive.error(f"not a valid domain name: {token.text}", at=token, hint=hint)
    return names.canonical(token.text)


def _classes(option: corefile.Directive) -> frozenset[str]:
    if not option.args:
        raise option.argument_error()
    for token in option.args:
        if token.text not in CLASSES:
            hint = wording.suggest(token.text, CLASSES) or f"a class is one of {', '.join(CLASSES)}"
            raise option.error(f"invalid Class: {token.text}", at=token, hint=hint)
    return frozenset(option.words)
