"""errors: what failed, one line in the log for each query, or for each period where messages are consolidated."""

import re

from fastdns.config import corefile, model, values, wording

OPTIONS = ("stacktrace", "consolidate")
LEVELS = ("warning", "error", "info", "debug")
MAX_PATTERN = 10_000


def parse(directive: corefile.Directive, scope: corefile.Scope) -> model.Errors:
    """Read `errors [stdout] { stacktrace; consolidate DURATION REGEX [LEVEL] [show_first] }`."""
    if directive.args:
        token = values.one_argument(directive)
        if token.text != "stdout":
            raise directive.error(f"invalid log file: {token.text}", at=token, hint="errors go to stdout")
    stacktrace = False
    consolidate: list[model.Consolidate] = []
    for option in directive.block:
        if option.word == "stacktrace":
            stacktrace = True
        elif option.word == "consolidate":
            consolidate.append(_consolidate(option))
        else:
            hint = wording.suggest(option.word, OPTIONS)
            raise option.error(f"Unknown field {option.word}", hint=hint)
    return model.Errors(stacktrace, tuple(consolidate))


def _consolidate(option: corefile.Directive) -> model.Consolidate:
    if not 2 <= len(option.args) <= 4:
        raise option.argument_error(hint="consolidate DURATION REGEX [LEVEL] [show_first]")
    period = values.duration(option, option.args[0])
    token = option.args[1]
    if len(token.text) > MAX_PATTERN:
        raise option.error(f"regex pattern too long: {len(token.text)} > {MAX_PATTERN}", at=token)
    try:
        re.compile(token.text)
    except re.error as error:
        raise option.error(f"error parsing regexp: {error.msg}: `{token.text}`", at=token) from None
    level, show_first = _modifiers(option)
    return model.Consolidate(period, token.text, level or "error", show_first)


def _modifiers(option: corefile.Directive) -> tuple[str, bool]:
    """Read `[LEVEL] [show_first]`, in this order."""
    level, show_first = "", False
    for token in option.args[2:]:
        if token.text == "show_first":
            show_first = True
        elif token.text not in LEVELS:
            hint = wording.suggest(token.text, [*LEVELS, "show_first"])
            raise option.error(f"unknown option in consolidate: {token.text}", at=token, hint=hint)
        elif level:
            raise option.error("multiple log levels specified in consolidate", at=token)
        elif show_first:
            raise option.error("log level must come before show_first in consolidate", at=token)
        else:
            level = token.text
    return level, show_first
