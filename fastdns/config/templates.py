"""Plugin template as configured: answers that are made of a query's name, one template after another."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class EdeError:
    """`code` of RFC 8914."""

    code: int
    text: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class AnswerTemplate:
    """`patterns` are of Go's, `answer` and the others templates of Go's, each for one record. Class and type 255 are any."""

    qclass: int
    qtype: int
    zones: tuple[str, ...]
    patterns: tuple[str, ...] = (".*",)
    answer: tuple[str, ...] = ()
    additional: tuple[str, ...] = ()
    authority: tuple[str, ...] = ()
    rcode: int = 0
    ederror: EdeError | None = None
    fallthrough: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Template:
    """plugin template."""

    templates: tuple[AnswerTemplate, ...] = ()
