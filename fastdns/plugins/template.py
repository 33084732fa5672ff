"""template: answers that are made of the name that is asked for."""

from __future__ import annotations

from collections.abc import Sequence

from fastdns.config import corefile, goregexp, gotemplate, lexer, model, templates, values, wording
from fastdns.dns import constants

OPTIONS = ("match", "answer", "additional", "authority", "rcode", "ederror", "fallthrough", "var", "expr")
MAX_CODE = 65535


def parse(directive: corefile.Directive, scope: corefile.Scope) -> templates.Template:
    """Read `template CLASS TYPE [ZONES...] { match RE...; answer|additional|authority RR...; rcode CODE; ... }`."""
    if len(directive.args) < 2:
        raise directive.argument_error(hint="template CLASS TYPE [ZONES...]")
    qclass = _number(directive, directive.args[0], constants.Class, "query class")
    qtype = _number(directive, directive.args[1], constants.Type, "RR class")
    zones = values.zones(directive, directive.args[2:]) or scope.zones
    patterns: list[str] = []
    sections: dict[str, list[str]] = {"answer": [], "additional": [], "authority": []}
    rcode, ederror = 0, None
    fallthrough: tuple[str, ...] = ()
    for option in directive.block:
        match option.word:
            case "match":
                patterns += _patterns(option)
            case "answer" | "additional" | "authority":
                sections[option.word] += _templates(option)
            case "rcode":
                rcode = _rcode(option)
            case "ederror":
                ederror = _ederror(option)
            case "fallthrough":
                fallthrough = values.zones(option, option.args) or (".",)
            case "upstream":
                pass  # CoreDNS passes over it, too
            case "var" | "expr":
                raise values.planned_option(option)
            case _:
                raise option.argument_error(hint=wording.suggest(option.word, OPTIONS))
    made = templates.AnswerTemplate(
        qclass=qclass,
        qtype=qtype,
        zones=zones,
        patterns=tuple(patterns) or (".*",),
        answer=tuple(sections["answer"]),
        additional=tuple(sections["additional"]),
        authority=tuple(sections["authority"]),
        rcode=rcode,
        ederror=ederror,
        fallthrough=fallthrough,
    )
    return templates.Template((made,))


def merge(parts: Sequence[model.Plugin]) -> templates.Template:
    """Put the templates of all lines into one plugin, in their order."""
    return templates.Template(
        tuple(one for part in parts if isinstance(part, templates.Template) for one in part.templates)
    )


def _number(
    directive: corefile.Directive, token: lexer.Token, known: type[constants.Type | constants.Class], what: str
) -> int:
    if token.text not in known.__members__:
        raise directive.error(
            f"invalid {what} {token.text}", at=token, hint=wording.suggest(token.text, known.__members__)
        )
    return int(known[token.text])


def _patterns(option: corefile.Directive) -> list[str]:
    if not option.args:
        raise option.argument_error()
    for token in option.args:
        if len(token.text) > goregexp.MAX_PATTERN:
            raise option.error(f"regex pattern too long: {len(token.text)} > {goregexp.MAX_PATTERN}", at=token)
        try:
            goregexp.compile(token.text)
        except ValueError as error:
            raise option.error(f"could not parse regex: {token.text}, {error}", at=token) from None
    return list(option.words)


def _templates(option: corefile.Directive) -> list[str]:
    if not option.args:
        raise option.argument_error()
    for token in option.args:
        try:
            gotemplate.parse(token.text)
        except gotemplate.TemplateError as error:
            raise option.error(f"could not compile template: {token.text}, {error}", at=token) from None
    return list(option.words)


def _rcode(option: corefile.Directive) -> int:
    if not option.args:
        raise option.argument_error()
    text = option.args[0].text
    if text not in constants.Rcode.__members__:
        hint = wording.suggest(text, constants.Rcode.__members__)
        raise option.error(f"unknown rcode {text}", at=option.args[0], hint=hint)
    return int(constants.Rcode[text])


def _ederror(option: corefile.Directive) -> templates.EdeError:
    if len(option.args) not in (1, 2):
        raise option.argument_error()
    text = option.args[0].text
    if not text.isdecimal() or int(text[:6]) > MAX_CODE:
        raise option.error(f"error parsing extended DNS error code {text}", at=option.args[0])
    return templates.EdeError(int(text), option.args[1].text if len(option.args) > 1 else "")
