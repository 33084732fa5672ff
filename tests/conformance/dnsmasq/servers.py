"""The real dnsmasq, and fastdns in its place, with the same arguments; and what they answer, as text that can be compared."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import signal
import sys
import time
from collections.abc import Sequence
from typing import Self

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode

from tests.conformance.dnsmasq import upstream
from tests.peers import build
from tests.peers.process import Process, free_port

ROOT = pathlib.Path(__file__).resolve().parents[3]
STARTED = "started, version"
PATIENCE = 15.0  # seconds for an answer, on a machine that is busy
SILENCE = 2.0  # seconds after which an answer that must not come has not come
TTL_SLACK = 20  # seconds that a TTL may have counted down meanwhile
ZONES = {
    "{u1}": upstream.ZONE,
    "{u2}": upstream.SECOND,
    "{refusing}": upstream.REFUSING,
    "{silent}": upstream.SILENT,
}


class Upstreams:
    """The upstreams that arguments name, running."""

    def __init__(self, arguments: Sequence[str]) -> None:
        text = " ".join(arguments)
        self.running = {word: upstream.Upstream(zone) for word, zone in ZONES.items() if word in text}

    def __enter__(self) -> Self:
        for one in self.running.values():
            one.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        for one in self.running.values():
            one.__exit__()

    def fill_in(self, argument: str) -> str:
        for word, one in self.running.items():
            argument = argument.replace(word, f"127.0.0.1#{one.port}")
        return argument

    def take(self) -> list[str]:
        """`NAME: TYPE...` of each upstream that was asked since the last call."""
        asked = {word: one.take() for word, one in self.running.items()}
        return [f"{word.strip('{}')}: {' '.join(types)}" for word, types in asked.items() if types]


class Server:
    def __init__(
        self,
        command: Sequence[str],
        arguments: Sequence[str],
        *,
        folder: pathlib.Path,
        upstreams: Upstreams,
        user: str = "root",
        log: pathlib.Path | str = "-",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.folder = folder
        self._command = [
            *command,
            *("-k", "--conf-file=/dev/null", f"--user={user}", f"--pid-file={folder}/pid", f"--log-facility={log}"),
            *("--listen-address=127.0.0.1", "--bind-interfaces", f"--port={self.port}"),
            *(upstreams.fill_in(argument).replace("{folder}", str(folder)) for argument in arguments),
        ]
        self._log = folder / "log" if log == "-" else pathlib.Path(log)
        self.process: Process | None = None

    def __enter__(self) -> Self:
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = Process(self._command, log=self.folder / "log", env=env, cwd=self.folder)
        self.process.wait_until(lambda: self._log.exists() and STARTED in self.log(), what="its start", timeout=120)
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process is not None
        self.process.stop()

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def send_signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)


def real(arguments: Sequence[str], *, folder: pathlib.Path, upstreams: Upstreams) -> Server:
    return Server([build.find("dnsmasq")], arguments, folder=folder, upstreams=upstreams)


def ours(
    arguments: Sequence[str],
    *,
    folder: pathlib.Path,
    upstreams: Upstreams,
    user: str = "root",
    log: pathlib.Path | str = "-",
) -> Server:
    command = [sys.executable, "-m", "fastdns.cli.dnsmasq"]
    return Server(command, arguments, folder=folder, upstreams=upstreams, user=user, log=log)


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What came: `lines` as text, TTLs apart."""

    lines: tuple[str, ...]
    ttls: tuple[int, ...] = ()

    def is_like(self, other: Answer) -> bool:
        """True if only TTLs differ, by what time takes off."""
        pairs = list(zip(self.ttls, other.ttls, strict=False))
        return self.lines == other.lines and all(
            abs(one - another) <= TTL_SLACK and (one == 0) == (another == 0) for one, another in pairs
        )


def ask(server: Server, question: str, upstreams: Upstreams, *, is_silent: bool = False) -> Answer:
    """Ask `NAME TYPE [OPTION...]` (tcp, edns, do, ad, cd, nord, ch); what comes, and what upstreams were asked meanwhile.

    `unseen`: whether they were in this time is not told.
    """
    name, rdtype, *options = question.split()
    query = dns.message.make_query(name, rdtype, rdclass="CH" if "ch" in options else "IN")
    if {"edns", "do"} & set(options):
        query.use_edns(0, payload=4096, ednsflags=dns.flags.DO if "do" in options else 0)
    query.flags |= dns.flags.AD * ("ad" in options) | dns.flags.CD * ("cd" in options)
    if "nord" in options:
        query.flags &= ~dns.flags.RD
    upstreams.take()
    exchange = dns.query.tcp if "tcp" in options else dns.query.udp
    try:
        answer = exchange(query, "127.0.0.1", port=server.port, timeout=SILENCE if is_silent else PATIENCE)
    except dns.exception.Timeout:
        return Answer(("no answer", *upstreams.take()))
    return describe(answer, [] if "unseen" in options else upstreams.take())


def describe(answer: dns.message.Message, asked: list[str]) -> Answer:
    found: list[tuple[str, int]] = []
    for section, records in (("answer", answer.answer), ("authority", answer.authority), ("extra", answer.additional)):
        for rrset in records:
            found += [
                (f"{section}: {rrset.name} {one.rdclass.name} {one.rdtype.name} {one}", rrset.ttl) for one in rrset
            ]
    found.sort()
    flags = dns.flags.to_text(answer.flags).replace("QR", "").split()
    edns = [f"edns: {answer.payload} {' '.join(map(str, answer.options))}".strip()] if answer.edns >= 0 else []
    head = f"{dns.rcode.to_text(answer.rcode())} {' '.join(flags)}".strip()
    return Answer((head, *(line for line, _ in found), *edns, *asked), tuple(ttl for _, ttl in found))


def pause(seconds: float) -> None:
    """Let TTLs run down: time is what such a case is about."""
    time.sleep(seconds)
