"""SkyDNS's rare answers, made in Python: names with `*`, pods, ExternalName, federations, class CHAOS.

A query that the compiled path hands over comes in, a whole answer goes out. What names hold is read from the worker's
table (Engine.entries); names outside the cluster are asked of the upstreams, by our own listener. Work is bounded: by
the names that a wildcard looks at, and by the CNAMEs in a row.
"""

from __future__ import annotations

import dataclasses
import math
import re
import socket
import struct
import typing
from collections.abc import Callable, Iterable, Sequence

from fastdns import _engine
from fastdns._answer import Reason
from fastdns._rrset import DataFlag
from fastdns.config import model
from fastdns.dns import constants, names, records
from fastdns.server import chase, questions
from fastdns.server.skymessage import AAAA, CHAOS, CNAME, SOA, SRV, TXT, A, Message, Record, encode

AA, RA = 0x0400, 0x0080
SERVFAIL, NXDOMAIN = 2, 3
ENTRIES_MAX = 4096
"""Names that one wildcard looks at: as many addresses as fit into a message."""
CHAIN_MAX = 7
FOLLOWS_MAX, LOOKUPS_MAX = 1024, 32
"""CNAMEs that one query follows, and questions that it asks upstream: Services may be made to lead to one another."""
MEMO_MAX = 64
LOOKUP_TTL = 60
"""Of every record that an upstream gives for a name of ours."""
SOA_TTL, APEX_SOA_TTL = 60, 3600
STREAM_MAX, UDP_MAX = 65535, 4096
DEFAULT_WEIGHT = 100
IP_MAX = 15  # octets of an IPv4 address as text
VERSION = b"2.5.3a"
AUTHORS = (b"Erik St. Martin", b"Brian Ketelsen", b"Miek Gieben", b"Michael Crosby")
SERVICE_LABEL = re.compile(rb"[a-z]([-a-z0-9]*[a-z0-9])?")  # RFC 1035
LABEL = re.compile(rb"[a-z0-9]([-a-z0-9]*[a-z0-9])?")  # RFC 1123

Sets = Sequence[tuple[int, int, int, int, bytes]]


class BackendError(Exception):
    """The name can't be read or can't be decided: SRV is SERVFAIL, other types are NODATA."""


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the tree: `name` is its own name; it has an address, or the name of a host."""

    name: bytes
    address: bytes = b""
    host: bytes = b""
    port: int = 0
    priority: int = 10
    weight: int = 10
    ttl: int = 30


class Table(typing.Protocol):
    """What is asked of an Engine."""

    def entries(
        self, table: int, name: bytes, limit: int
    ) -> list[tuple[bytes, list[tuple[int, int, int, int, bytes]]]]: ...
    def holds(self, table: int, name: bytes) -> tuple[int, list[tuple[int, int, int, int, bytes]]] | None: ...


@dataclasses.dataclass(slots=True)
class _Work:
    """What one query may still do."""

    look_up: questions.LookUp
    follows: int = FOLLOWS_MAX
    lookups: int = LOOKUPS_MAX

    def may_follow(self) -> bool:
        self.follows -= 1
        return self.follows >= 0

    async def ask(self, name: bytes, qtype: int) -> list[Record] | None:
        """Ask the upstreams; None: it failed, or it is enough."""
        self.lookups -= 1
        return read_reply(await self.look_up(name, qtype)) if self.lookups >= 0 else None


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """A question as SkyDNS sees it: `owner` is the name as it was spelt, `key` in lower case."""

    owner: bytes
    key: bytes
    qtype: int


class SkyDns:
    """The answers of one worker's kube-dns. `table` is the number of the cluster's name table.

    `version` changes with the table: what a wildcard was answered with holds as long as it stays.
    """

    def __init__(
        self,
        plugin: model.SkyDns,
        engine: Table,
        table: int,
        *,
        serial: Callable[[], int],
        version: Callable[[], object],
    ) -> None:
        self.domain = names.to_canonical_wire(plugin.domain)
        self._federations = {name.encode(): names.to_canonical_wire(domain) for name, domain in plugin.federations}
        self._engine = engine
        self._table = table
        self._serial = serial
        self._version = version
        self._memo: dict[tuple[bytes, int], Message] = {}
        self._memo_version: object = None

    async def answer(self, query: _engine.Slow, look_up: questions.LookUp) -> bytes | None:
        """The answer; None: the query is not for here after all, and goes on at the next step."""
        asked = questions.read_question(query.wire)
        question = Question(asked.qname, asked.qname.lower(), asked.qtype)
        if query.reason == Reason.SLOW_STEP and not self._is_federated(question):
            return None
        if query.reason == Reason.SLOW_CHAOS:
            message = self._answer_chaos(question)
        else:
            message = await self._answer_remembered(question, look_up)
        limit = STREAM_MAX if query.is_stream else min(asked.udp_size, UDP_MAX)
        return encode(query.wire[: asked.size], message, limit=limit)

    # --- by type -----------------------------------------------------------------------------------------------------

    async def _answer_remembered(self, question: Question, look_up: questions.LookUp) -> Message:
        """As `_answer_question`; a wildcard's answer without look-ups is made once while the table stays as it is."""
        if b"\1*" not in question.key:
            return await self._answer_question(question, _Work(look_up))
        if self._memo_version != self._version() or len(self._memo) >= MEMO_MAX:
            self._memo.clear()
            self._memo_version = self._version()
        key = (question.owner, question.qtype)
        if key not in self._memo:
            work = _Work(look_up)
            message = await self._answer_question(question, work)
            if work.lookups < LOOKUPS_MAX:
                return message
            self._memo[key] = message
        return self._memo[key]

    async def _answer_question(self, question: Question, work: _Work) -> Message:
        extra: list[Record] = []
        try:
            entries = self.find(question)
            if not entries:
                return Message(NXDOMAIN, authority=[self._soa()])
            if question.qtype in (A, AAAA):
                answer = await self._find_addresses(question, entries, work, (question.qtype,), ())
            elif question.qtype == SRV:
                answer, extra = await self._find_services(question, entries, work)
            else:
                answer = []
        except BackendError:
            if question.qtype == SRV:
                return Message(SERVFAIL)
            answer = []
        if not answer:
            return Message(AA | RA, authority=[self._soa()])
        return Message(AA | RA, level_ttls(drop_duplicates(answer)), additional=drop_duplicates(extra))

    def _answer_chaos(self, question: Question) -> Message:
        texts: Sequence[bytes] = ()
        if question.qtype == TXT:
            if question.key in (names.to_wire("version.bind."), names.to_wire("version.server.")):
                texts = (VERSION,)
            elif question.key in (names.to_wire("hostname.bind."), names.to_wire("id.server.")):
                texts = (b"localhost",)
            elif question.key in (names.to_wire("authors.bind."), self.domain):
                texts = AUTHORS
        elif (question.qtype, question.key) == (SOA, self.domain):
            return Message(AA | RA, [self._soa(APEX_SOA_TTL)])
        if not texts:
            return Message(AA | RA | SERVFAIL)
        data = [bytes([len(text)]) + text for text in texts]
        return Message(AA | RA, [Record(question.owner, TXT, 0, one, CHAOS) for one in data])

    def _soa(self, ttl: int = SOA_TTL) -> Record:
        numbers = struct.pack(">IIIII", self._serial(), 28800, 7200, 604800, SOA_TTL)
        data = b"\2ns\3dns" + self.domain + b"\x0ahostmaster" + self.domain + numbers
        return Record(self.domain, SOA, ttl, data)

    # --- entries -----------------------------------------------------------------------------------------------------

    def find(self, question: Question) -> list[Entry]:
        """The entries that a name means. Raises BackendError."""
        labels = self._labels_below(question.key)
        if labels is None:
            return []
        if self._is_federated(question):
            return [self._find_federated(labels)]
        if len(labels) == 3 and labels[2] == b"pod" and b"*" not in labels:
            return [Entry(question.key, address=read_pod(labels[0]))]
        if question.qtype == CNAME:
            return []  # an exact name that has one is the table's to answer
        return [read_entry(name, sets) for name, sets in self._engine.entries(self._table, question.key, ENTRIES_MAX)]

    def _labels_below(self, key: bytes) -> list[bytes] | None:
        """The labels of a name left of the domain; None: it isn't below it."""
        found, at = [], 0
        while len(key) - at > len(self.domain):
            found.append(key[at + 1 : at + 1 + key[at]])
            at += 1 + key[at]
        return found if key[at:] == self.domain else None

    def _is_federated(self, question: Question) -> bool:
        """Whether it is `SVC.NS.FED.svc` of a federation that is configured."""
        if question.qtype == CNAME or not self._federations:
            return False
        labels = self._labels_below(question.key) or []
        return (
            len(labels) == 4
            and labels[3] == b"svc"
            and labels[2] in self._federations
            and SERVICE_LABEL.fullmatch(labels[0]) is not None
            and LABEL.fullmatch(labels[1]) is not None
        )

    def _find_federated(self, labels: Sequence[bytes]) -> Entry:
        """The Service of this cluster if it has endpoints, else its name in the federation."""
        service, namespace, federation, _ = labels
        local = join_labels((service, namespace, b"svc")) + self.domain
        held = self._engine.holds(self._table, local)
        if held is not None and held[0] & (DataFlag.ALIVE | DataFlag.ENTRY):
            return Entry(local, host=local, priority=0, weight=0, ttl=0)
        place = self._engine.holds(self._table, constants.NODE_PLACE + self.domain)
        text = place[1][0][4][3:] if place else b""  # of a TXT set: two sizes, then the text
        if not text:
            raise BackendError("no node tells its zone and region")
        away = join_labels((*labels, *text.split(b"."))) + self._federations[federation]
        return Entry(away, host=away, priority=0, weight=0, ttl=0)

    # --- addresses ---------------------------------------------------------------------------------------------------

    async def _find_addresses(
        self,
        question: Question,
        entries: Iterable[Entry],
        work: _Work,
        qtypes: Sequence[int],
        before: Sequence[bytes],
    ) -> list[Record]:
        """Address records of entries, CNAMEs followed; `before` are the targets of those on the way."""
        found: list[Record] = []
        for entry in entries:
            rtype = A if len(entry.address) == 4 else AAAA
            if not entry.address:
                found += await self._follow(question, entry, work, qtypes, before)
            elif rtype in qtypes:
                found.append(Record(question.owner, rtype, entry.ttl, entry.address))
        return found

    async def _follow(
        self,
        question: Question,
        entry: Entry,
        work: _Work,
        qtypes: Sequence[int],
        before: Sequence[bytes],
    ) -> list[Record]:
        target = Question(entry.host, entry.host.lower(), question.qtype)
        if target.key == question.key or len(before) > CHAIN_MAX or target.key in before or not work.may_follow():
            return []
        cname = Record(question.owner, CNAME, entry.ttl, entry.host)
        if self._labels_below(target.key) is not None:
            try:
                entries = self.find(target)
            except BackendError:
                entries = []
            found = await self._find_addresses(target, entries, work, qtypes, (*before, target.key))
            return [cname, *found] if found else []
        looked_up = await work.ask(entry.host, question.qtype)
        return [] if looked_up is None else [cname, *looked_up]

    # --- SRV ---------------------------------------------------------------------------------------------------------

    async def _find_services(
        self, question: Question, entries: Sequence[Entry], work: _Work
    ) -> tuple[list[Record], list[Record]]:
        """SRV records, and the addresses of their targets."""
        total: dict[int, int] = {}
        for entry in entries:
            total[entry.priority] = total.get(entry.priority, 0) + (entry.weight or DEFAULT_WEIGHT)
        answer, extra = [], list[Record]()
        seen: set[bytes] = set()
        for entry in entries:
            weight = math.floor(100.0 / total[entry.priority] * (entry.weight or DEFAULT_WEIGHT))
            target = entry.host or entry.name
            data = struct.pack(">HHH", entry.priority, weight, entry.port) + target
            answer.append(Record(question.owner, SRV, entry.ttl, data))
            if entry.address:
                extra.append(Record(target, A if len(entry.address) == 4 else AAAA, entry.ttl, entry.address))
            elif target not in seen:
                seen.add(target)
                extra += await self._find_target(target, work)
        return answer, extra

    async def _find_target(self, target: bytes, work: _Work) -> list[Record]:
        asked = Question(target, target.lower(), A)
        if self._labels_below(asked.key) is not None:
            if not work.may_follow():
                return []
            try:
                return await self._find_addresses(asked, self.find(asked), work, (A, AAAA), ())
            except BackendError:
                return []
        found = await work.ask(target, A) or []
        return found + [record for record in await work.ask(target, AAAA) or [] if record.rtype != CNAME]


# --- helpers ---------------------------------------------------------------------------------------------------------


def read_entry(name: bytes, sets: Sets) -> Entry:
    """Read what an entry's name holds: an address or a CNAME, and the port that its SRV record has."""
    address, host, port = b"", b"", 0
    for rtype, _, _, _, octets in sets:
        if rtype in (A, AAAA):
            address = octets[12:]  # of a whole record: owner, type, class, TTL and size stand before
        elif rtype == CNAME:
            host = octets[2:]
        elif rtype == SRV:
            (port,) = struct.unpack_from(">H", octets, 6)  # size, priority, weight
    return Entry(name, address, host, port)


def read_pod(label: bytes) -> bytes:
    """The address that a pod's label spells with dashes. Raises BackendError."""
    text = label.replace(b"-", b".").decode("latin-1")
    try:
        if len(text) <= IP_MAX and text.isascii():
            return socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError):
        pass
    raise BackendError(f"{text!r} is no IP address")


def read_reply(wire: bytes) -> list[Record] | None:
    """The answers of an upstream's reply, with the TTL that SkyDNS gives them; None: it failed."""
    if not wire or wire[3] & 0x0F:
        return None
    found = []
    try:
        for octets in chase.read_answers(wire):
            owner = records.read_name(octets, 0)
            rtype, rclass, _, _ = struct.unpack_from(">HHIH", octets, len(owner))
            found.append(Record(owner, rtype, LOOKUP_TTL, octets[len(owner) + 10 :], rclass))
    except (ValueError, IndexError, struct.error):
        return None
    return found


def drop_duplicates(records: Iterable[Record]) -> list[Record]:
    """Each record once, and one CNAME for an owner."""
    return list(
        {(one.owner.lower(), one.rtype, b"" if one.rtype == CNAME else one.data): one for one in records}.values()
    )


def level_ttls(records: Sequence[Record]) -> list[Record]:
    """All with the smallest TTL among them."""
    ttl = min(record.ttl for record in records)
    return [dataclasses.replace(record, ttl=ttl) for record in records]


def join_labels(labels: Iterable[bytes]) -> bytes:
    return b"".join(bytes([len(label)]) + label for label in labels)
