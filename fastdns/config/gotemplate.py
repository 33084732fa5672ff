"""Go's text/template as far as plugin template's records need it.

Served are fields (`.Name`, `.Group.x`), variables (`$x := ...`), pipelines, `if`, `with`, `range` with their `else`, comments,
trim markers, and the functions of FUNCTIONS; what else there is (`define`, `template`, `block`, `break`, ...) is refused when a
template is parsed. Values are str, int, bool, list, dict, or objects with attributes that are named as Go's fields.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_ACTION = re.compile(r"\{\{(- )?(.*?)( -)?\}\}", re.DOTALL)
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:\\.|[^"\\])*")|(?P<raw>`[^`]*`)|(?P<number>[+-]?(?:0[xX][0-9a-fA-F]+|[0-9]+)(?![\w.]))
    |(?P<assign>:?=)|(?P<punct>[()|,])|(?P<field>\.[A-Za-z_]\w*(?:\.\w+)*|\.)|(?P<variable>\$\w*(?:\.\w+)*)|(?P<word>[A-Za-z_]\w*))""",
    re.VERBOSE | re.DOTALL,
)
_VERB = re.compile(r"%([-+# 0]*)([0-9]*)(?:\.([0-9]+))?(.)", re.DOTALL)
_COMMENT = re.compile(r"/\*.*\*/", re.DOTALL)
BLOCKS = ("if", "with", "range")


class TemplateError(ValueError):
    """A template that can't be parsed, or not be made a text of."""


Scope = dict[str, Any]  # variables, and the dot under its name
Value = Callable[[Scope], Any]
Node = Callable[[Scope, list[str]], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Template:
    """`text` is the template's source."""

    text: str
    nodes: tuple[Node, ...]

    def execute(self, data: object) -> str:
        """Raises TemplateError for a field that is missing, a function that can't take its arguments."""
        out: list[str] = []
        try:
            _run(self.nodes, {".": data, "$": data}, out)
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            raise TemplateError(str(error)) from error
        return "".join(out)


@functools.lru_cache(maxsize=1024)
def parse(text: str) -> Template:
    """Raises TemplateError."""
    reader = _Reader(_split(text))
    nodes = reader.nodes(ends=())
    return Template(text, nodes)


def _run(nodes: Sequence[Node], scope: Scope, out: list[str]) -> None:
    for node in nodes:
        node(scope, out)


def _split(text: str) -> list[tuple[bool, str]]:
    """(is an action, text) in order; text that a trim marker touches has lost its spaces."""
    parts: list[tuple[bool, str]] = []
    end, trims = 0, False
    for match in _ACTION.finditer(text):
        before = text[end : match.start()]
        before = before.lstrip() if trims else before
        parts.append((False, before.rstrip() if match[1] else before))
        parts.append((True, match[2].strip()))
        end, trims = match.end(), bool(match[3])
    rest = text[end:]
    if "{{" in rest:
        raise TemplateError("unclosed action")
    return [*parts, (False, rest.lstrip() if trims else rest)]


class _Reader:
    """Takes the parts of a template up, block by block."""

    def __init__(self, parts: list[tuple[bool, str]]) -> None:
        self._parts = parts
        self._at = 0
        self.ended_by = ""

    def nodes(self, *, ends: tuple[str, ...]) -> tuple[Node, ...]:
        """Read up to an action that begins with one of `ends`; or to the end of the text, if there are none."""
        found: list[Node] = []
        while self._at < len(self._parts):
            is_action, text = self._parts[self._at]
            self._at += 1
            if not is_action:
                found.append(functools.partial(_write_text, text))
                continue
            word = re.split(r"[\s(]", text, maxsplit=1)[0]
            if word in ends:
                self.ended_by = text
                return tuple(found)
            if word in BLOCKS:
                found.append(self._block(word, text[len(word) :]))
            elif not _COMMENT.fullmatch(text):
                found.append(_action(text))
        if ends:
            raise TemplateError("unexpected EOF")
        return tuple(found)

    def _block(self, word: str, condition: str) -> Node:
        name, value = _Expression(condition).pipeline()
        body = self.nodes(ends=("end", "else"))
        otherwise: tuple[Node, ...] = ()
        ended_by = self.ended_by
        if ended_by != "end":
            rest = ended_by[len("else") :].strip()
            chained = rest.split(maxsplit=1)[0] if rest else ""
            if chained in ("if", "with"):
                otherwise = (self._block(chained, rest[len(chained) :]),)
            elif rest:
                raise TemplateError(f"unexpected {rest} in else")
            else:
                otherwise = self.nodes(ends=("end",))
        elif ended_by != "end":
            raise TemplateError(f"unexpected {ended_by}")
        return functools.partial(_run_block, word, name, value, body, otherwise)


def _write_text(text: str, scope: Scope, out: list[str]) -> None:
    out.append(text)


def _run_block(
    word: str, name: str, value: Value, body: Sequence[Node], otherwise: Sequence[Node], scope: Scope, out: list[str]
) -> None:
    given = value(scope)
    if not _is_true(given):
        _run(otherwise, dict(scope), out)
        return
    values = [given]
    if word == "range":
        values = (
            list(given.values())
            if isinstance(given, Mapping)
            else list(range(given) if isinstance(given, int) else given)
        )
    for one in values:
        inner = dict(scope) if word == "if" else {**scope, ".": one}
        if name:
            inner[name] = one
        _run(body, inner, out)


def _action(text: str) -> Node:
    name, value = _Expression(text).pipeline()

    def run(scope: Scope, out: list[str]) -> None:
        given = value(scope)
        if name:
            scope[name] = given
        else:
            out.append(_format(given))

    return run


class _Expression:
    """Reads `[$NAME :=] COMMAND | COMMAND ...`."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        at, text = 0, text.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None or match.lastgroup is None:
                raise TemplateError(f"unexpected {text[at:].strip()!r} in command")
            self._tokens.append((match.lastgroup, match[match.lastgroup]))
            at = match.end()

    def pipeline(self) -> tuple[str, Value]:
        """The variable that is set, empty for none, and the value."""
        name = ""
        if len(self._tokens) > 1 and self._tokens[0][0] == "variable" and self._tokens[1][0] == "assign":
            name = self._tokens[0][1]
            del self._tokens[:2]
        value = self._commands()
        if self._tokens:
            raise TemplateError(f"unexpected {self._tokens[0][1]!r} in command")
        return name, value

    def _commands(self) -> Value:
        value = self._command(None)
        while self._tokens and self._tokens[0][1] == "|":
            del self._tokens[0]
            value = self._command(value)
        return value

    def _command(self, piped: Value | None) -> Value:
        """A function with its arguments, the piped value last; or one operand."""
        if self._tokens and self._tokens[0][0] == "word" and self._tokens[0][1] not in CONSTANTS:
            name = self._tokens.pop(0)[1]
            if name not in FUNCTIONS:
                raise TemplateError(f'function "{name}" not defined')
            arguments: list[Value] = []
            while self._tokens and self._tokens[0][1] not in ("|", ")"):
                arguments.append(self._operand())
            if piped is not None:
                arguments.append(piped)
            return functools.partial(_call, FUNCTIONS[name], arguments)
        operand = self._operand()
        if self._tokens and self._tokens[0][0] in ("string", "raw", "number") and self._is_method:
            # a method with an argument, as `.Meta "kubernetes/namespace"`
            argument = self._operand()
            return functools.partial(_call, lambda method, given: method(given), [operand, argument])
        if piped is not None:
            raise TemplateError("non executable command in pipeline")
        return operand

    def _operand(self) -> Value:
        if not self._tokens:
            raise TemplateError("missing value for command")
        kind, text = self._tokens.pop(0)
        self._is_method = kind == "field"
        match kind:
            case "string":
                constant: Any = _unquote(text)
            case "raw":
                constant = text[1:-1]
            case "number":
                constant = int(text, 0) if not text.lstrip("+-").startswith("0") or "x" in text.lower() else int(text)
            case "word" if text in CONSTANTS:
                constant = CONSTANTS[text]
            case "field":
                return functools.partial(_follow, ".", tuple(text[1:].split(".")) if text != "." else ())
            case "variable":
                name, *path = text.split(".")
                return functools.partial(_follow, name, tuple(path))
            case "punct" if text == "(":
                value = self._commands()
                if not self._tokens or self._tokens.pop(0)[1] != ")":
                    raise TemplateError("unclosed left paren")
                return value
            case _:
                raise TemplateError(f"unexpected {text!r} in operand")
        return lambda scope: constant

    _is_method = False


def _follow(name: str, path: tuple[str, ...], scope: Scope) -> Any:
    """A field of a field; of a map that has no such key the empty text, as of a map of strings."""
    if name not in scope:
        raise TemplateError(f"undefined variable: {name}")
    value = scope[name]
    for field in path:
        if isinstance(value, Mapping):
            value = value.get(field, "")
        elif not hasattr(value, field) or field.startswith("_"):
            raise TemplateError(f"can't evaluate field {field}")
        else:
            value = getattr(value, field)
    return value


def _call(function: Callable[..., Any], arguments: Sequence[Value], scope: Scope) -> Any:
    return function(*(argument(scope) for argument in arguments))


def _unquote(text: str) -> str:
    try:
        return str(json.loads(text))
    except ValueError:
        raise TemplateError(f"invalid syntax: {text}") from None


def _is_true(value: Any) -> bool:
    return bool(value)


def _format(value: Any) -> str:
    """As Go's fmt.Print."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "<no value>"
    if isinstance(value, list | tuple):
        return "[" + " ".join(map(_format, value)) + "]"
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{key}:{_format(value[key])}" for key in sorted(value)) + "]"
    return str(value)


# --- functions -----------------------------------------------------------------------------------------------------------


def parse_int(text: str, base: int, bits: int) -> int:
    """strconv.ParseUint, by the name that CoreDNS gives it."""
    if not re.fullmatch(r"[0-9A-Za-z]+", text):
        raise TemplateError(f'strconv.ParseUint: parsing "{text}": invalid syntax')
    number = int(text, base)
    if number >= 1 << (bits or 64):
        raise TemplateError(f'strconv.ParseUint: parsing "{text}": value out of range')
    return number


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key, "")
        elif isinstance(key, int) and 0 <= key < len(value):
            value = ord(value[key]) if isinstance(value, str) else value[key]
        else:
            raise TemplateError(f"error calling index: index out of range: {key}")
    return value


def _slice(value: Any, *bounds: int) -> Any:
    start = bounds[0] if bounds else 0
    end = bounds[1] if len(bounds) > 1 else len(value)
    if not 0 <= start <= end <= len(value):
        raise TemplateError(f"error calling slice: index out of range: {end}")
    return value[start:end]


def _print(*values: Any) -> str:
    """Operands that are both no text get a space between them."""
    text = ""
    for index, value in enumerate(values):
        if index and not isinstance(value, str) and not isinstance(values[index - 1], str):
            text += " "
        text += _format(value)
    return text


def _printf(layout: str, *values: Any) -> str:
    left = list(values)

    def write(match: re.Match[str]) -> str:
        flags, width, precision, verb = match.groups()
        if verb == "%":
            return "%"
        if not left:
            return f"%!{verb}(MISSING)"
        value = left.pop(0)
        if verb in "vs":
            text = _format(value)
            return f"%{flags.replace('0', '')}{width}{'.' + precision if precision else ''}s" % text
        if verb in "dxXoc" and isinstance(value, int):
            return f"%{flags}{width}{'.' + precision if precision else ''}{verb}" % value
        if verb in "xX" and isinstance(value, str):
            digits = value.encode().hex()
            return digits.upper() if verb == "X" else digits
        if verb == "b" and isinstance(value, int):
            return format(value, f"{'0' if '0' in flags else ''}{width}b")
        if verb == "q":
            return json.dumps(str(value))
        if verb == "t" and isinstance(value, bool):
            return _format(value)
        return f"%!{verb}({type(value).__name__}={_format(value)})"

    return _VERB.sub(write, layout)


def _and(*values: Any) -> Any:
    return next((value for value in values if not value), values[-1])


def _or(*values: Any) -> Any:
    return next((value for value in values if value), values[-1])


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "parseInt": parse_int,
    "and": _and,
    "eq": lambda first, *others: first in others,
    "ge": lambda one, other: one >= other,
    "gt": lambda one, other: one > other,
    "index": _index,
    "le": lambda one, other: one <= other,
    "len": len,
    "lt": lambda one, other: one < other,
    "ne": lambda one, other: one != other,
    "not": lambda value: not value,
    "or": _or,
    "print": _print,
    "printf": _printf,
    "println": lambda *values: " ".join(map(_format, values)) + "\n",
    "slice": _slice,
}
CONSTANTS = {"true": True, "false": False, "nil": None}
