"""Small plugins between a query and its answer, as configured: what is refused, what is answered at once, what is left out."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class AclPolicy:
    """`action` is allow, block, filter or drop; without `types` or `networks` it is for all of them."""

    action: str
    types: tuple[int, ...] = ()
    networks: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class AclRule:
    zones: tuple[str, ...]
    policies: tuple[AclPolicy, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Acl:
    """plugin acl. The first policy that fits decides; without one the next plugin's turn comes."""

    rules: tuple[AclRule, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Any:
    """plugin any: type ANY is answered as RFC 8482 says."""


@dataclasses.dataclass(frozen=True, slots=True)
class Minimal:
    """plugin minimal: answers with records have no others."""


@dataclasses.dataclass(frozen=True, slots=True)
class HeaderRule:
    """`flag` is aa, ra or rd."""

    flag: str
    is_set: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Header:
    """plugin header: flags of queries before the plugins behind see them, and of answers."""

    query: tuple[HeaderRule, ...] = ()
    response: tuple[HeaderRule, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Chaos:
    """plugin chaos: TXT in class CHAOS. `version` empty: the server's own."""

    version: str = ""
    authors: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Multisocket:
    """plugin multisocket. Each worker has sockets of its own anyway; `sockets` 0 is CoreDNS's default."""

    sockets: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Local:
    """plugin local. `prefix`: names that begin with the label localhost are it, too."""

    prefix: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class Dns64:
    """plugin dns64."""

    prefix: str = "64:ff9b::/96"
    translate_all: bool = False
    allow_ipv4: bool = False


Filter = Local | Dns64 | Acl | Any | Minimal | Header | Chaos | Multisocket
