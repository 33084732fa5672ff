"""dnsmasq's --log-queries: a line for each query that comes, for where it is forwarded, and for each record of its answer."""

from __future__ import annotations

import logging
import typing

from fastdns import _engine
from fastdns.config import local
from fastdns.dns import constants, names
from fastdns.server import metrics, questions

if typing.TYPE_CHECKING:
    from fastdns.server import compile as compiler

logger = logging.getLogger("fastdns.query")

AA = 0x0400
NAMES = {0: "NODATA", 3: "NXDOMAIN"}
ADDRESSES = (constants.Type.A, constants.Type.AAAA)


class QueryLines:
    def __init__(self, program: compiler.Program) -> None:
        self._program = program
        self._engine = program.engine
        plugins = (plugin for block in program.config.blocks for plugin in block.plugins)
        self._plugin = next((plugin for plugin in plugins if isinstance(plugin, local.QueryLog)), None)
        self._serials: dict[tuple[str, int], int] = {}  # with_serial: of the last query of a client
        self._serial = 0

    @property
    def is_on(self) -> bool:
        return self._plugin is not None

    def tell_query(self, query: _engine.Slow) -> None:
        question = questions.read_question(query.wire)
        self._serial += 1
        if self._plugin is not None and self._plugin.with_serial:
            self._serials[query.remote] = self._serial
        kind = questions.name_type(question.qtype)
        self._tell(query.remote, f"query[{kind}] {spell(question.qname)} from {query.remote[0]}")

    def tell_forwarding(self, query: _engine.Slow) -> None:
        """Where a query that was just resumed has gone; nowhere, if it has its answer."""
        parked = self._engine.parked_at(query.token)
        step = self._program.steps.get((query.block, parked[0])) if parked else None
        if parked is None or step is None or step.group < 0:
            return
        upstreams = dict.fromkeys(self._program.forwards[step.group].upstreams)
        asked = list(upstreams)[:1]
        if step.group in self._spread_groups():
            asked = list(upstreams) if parked[1] < 0 else list(upstreams)[parked[1] : parked[1] + 1]
        name = spell(questions.read_question(query.wire).qname)
        for upstream in asked:
            self._tell(query.remote, f"forwarded {name} to {name_server(upstream.address, upstream.port)}")

    def _spread_groups(self) -> set[int]:
        return {self._program.groups[key] for key in self._program.spreads}

    def tell_answers(self) -> None:
        for block, _, remote, _, _, answer, rcode, flags, *_, step in self._engine.log_records():
            found = self._program.steps.get((block, step))
            origin = "config" if flags & AA else "cached"
            if found is not None and found.group >= 0:
                origin = "reply"
            for line in describe_answer(answer, rcode):
                self._tell(remote, f"{origin} {line}")

    def _tell(self, remote: tuple[str, int], text: str) -> None:
        serial = self._serials.get(remote)
        where = metrics.join_host(*remote).replace(":", "/") if serial is not None else ""
        logger.info("%s", f"{serial} {where} {text}" if serial is not None else text)


def describe_answer(answer: bytes, rcode: int) -> list[str]:
    """`NAME is VALUE` for each record of an answer, or for what it says instead."""
    from fastdns.dns import messages  # its package is loaded when queries are logged

    question = questions.read_question(answer)
    records = messages.read_answer(answer)
    lines = [f"{describe_owner(owner, rtype)} is {describe_data(rtype, data)}" for owner, rtype, data in records]
    if not any(rtype == question.qtype for _, rtype, _ in records):
        suffix = f"-{question_family(question.qtype)}" if rcode == 0 and question.qtype in ADDRESSES else ""
        last = records[-1][2].rstrip(".") if records else spell(question.qname)
        lines.append(f"{last} is {NAMES.get(rcode, constants.Rcode(rcode).name)}{suffix}")
    return lines


def question_family(qtype: int) -> str:
    return "IPv4" if qtype == constants.Type.A else "IPv6"


def describe_owner(owner: str, rtype: int) -> str:
    """A reverse name is told as its address."""
    labels = owner.removesuffix(".in-addr.arpa").split(".")
    if rtype == constants.Type.PTR and owner.endswith(".in-addr.arpa") and len(labels) == 4:
        return ".".join(reversed(labels))
    return owner


def describe_data(rtype: int, data: str) -> str:
    """As dnsmasq: addresses and names as they are, the types of others."""
    if rtype in ADDRESSES:
        return data
    if rtype == constants.Type.TXT:
        return data.replace('"', "")
    return data.rstrip(".") if rtype == constants.Type.PTR else f"<{questions.name_type(rtype)}>"


def spell(qname: bytes) -> str:
    return names.from_wire(qname).rstrip(".") or "root"


def name_server(address: str, port: int) -> str:
    return address if port == 53 else f"{address}#{port}"
