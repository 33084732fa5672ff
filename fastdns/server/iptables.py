"""NOTRACK and ACCEPT rules in the chains of iptables, by its own commands: node-cache's rules, which may be there already.

A query that isn't tracked isn't translated either: what would go to the cluster's DNS through kube-proxy comes to us. So
the rules for arriving queries match only while a socket is bound to their address (`-m socket`): when the server is gone,
whatever ended it, the next query is tracked and translated again. Rules of a node-cache without that are replaced.
"""

from __future__ import annotations

import ipaddress
import logging
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from fastdns import errors

logger = logging.getLogger(__name__)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

GATE = ("-m", "socket", "--nowildcard")
SKIP = "NodeLocal DNS Cache: skip conntrack"
ALLOW = "NodeLocal DNS Cache: allow DNS traffic"
LOCK_PATIENCE = "5"  # seconds that a command waits for another's
TIMEOUT = 30.0
COPIES_MAX = 10_000  # of one rule that are taken away: other versions of node-cache have piled them up
_ABSENT = 1
_LOCKED = 4


class Rule(NamedTuple):
    table: str
    chain: str
    match: tuple[str, ...]
    target: str
    comment: str

    def words(self, *, gate: Sequence[str] = ()) -> list[str]:
        return [self.chain, *self.match, *gate, "-m", "comment", "--comment", self.comment, "-j", self.target]

    @property
    def can_be_gated(self) -> bool:
        return self.chain == "PREROUTING"  # in OUTPUT, -m socket would see the sender's own


class Done(NamedTuple):
    status: int
    errors: str


Run = Callable[[Sequence[str], str], Done]


def make_rules(addresses: Iterable[Address], port: int, health_port: int) -> Iterator[Rule]:
    """node-cache's twelve for each address, in its order."""
    for address in addresses:
        to, answers = ("-d", str(address), "--dport", str(port)), ("-s", str(address), "--sport", str(port))
        for table, chain, match, target, comment in (
            ("raw", "PREROUTING", to, "NOTRACK", SKIP),
            ("filter", "INPUT", to, "ACCEPT", ALLOW),
            ("raw", "OUTPUT", answers, "NOTRACK", SKIP),
            ("filter", "OUTPUT", answers, "ACCEPT", ALLOW),
            ("raw", "OUTPUT", to, "NOTRACK", SKIP),
        ):
            for protocol in ("tcp", "udp"):
                yield Rule(table, chain, ("-p", protocol, *match), target, comment)
        for side in ("d", "s"):
            probe = ("-p", "tcp", f"-{side}", str(address), f"--{side}port", str(health_port))
            yield Rule("raw", "OUTPUT", probe, "NOTRACK", SKIP)


def find_command(version: int) -> str | None:
    """The program for addresses of IP `version`, if this machine has it and its -restore."""
    name = "ip6tables" if version == 6 else "iptables"
    return shutil.which(name) if shutil.which(f"{name}-restore") else None


def run_command(words: Sequence[str], text: str) -> Done:
    try:
        done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Done(-1, str(error))
    return Done(done.returncode, done.stderr.strip())


class Rules:
    """The rules in the kernel."""

    def __init__(self, command: str, rules: Iterable[Rule], *, run: Run = run_command) -> None:
        self._command = command
        self._rules = list(rules)
        self._run = run
        self._gate: tuple[str, ...] = GATE

    def ensure(self) -> bool:
        """Have each rule there once; True if one was missing. Raises NodeError."""
        missing = [rule for rule in self._rules if not self._exists(rule)]
        if missing:
            self._insert(missing)
        if self._gate:
            for rule in self._rules:
                if rule.can_be_gated:
                    self._delete(rule, ())
        return bool(missing)

    def remove(self) -> bool:
        """Take away every copy of each rule, with the gate and without; True if there was one. Raises NodeError."""
        gates = [(rule, gate) for rule in self._rules for gate in ((GATE, ()) if rule.can_be_gated else ((),))]
        return sum(self._delete(rule, gate) for rule, gate in gates) > 0

    def _gate_of(self, rule: Rule) -> tuple[str, ...]:
        return self._gate if rule.can_be_gated else ()

    def _exists(self, rule: Rule) -> bool:
        gate = self._gate_of(rule)
        done = self._call("-C", rule, gate)
        if done.status not in (0, _ABSENT):
            if gate and self._do_without_gate(done):
                return self._exists(rule)
            raise describe_failure(f"checking {shlex.join(rule.words(gate=gate))}", done)
        return done.status == 0

    def _do_without_gate(self, done: Done) -> bool:
        """True if there was one, which what failed may be due to."""
        if is_locked(done) or not self._gate:
            return False
        logger.warning(
            "iptables has no working -m socket (%s): rules stay in force when the server is gone", done.errors
        )
        self._gate = ()
        return True

    def _insert(self, rules: Sequence[Rule]) -> None:
        done = self._restore(rules)
        if done.status and self._do_without_gate(done):
            done = self._restore(rules)
        if done.status:
            raise describe_failure("adding rules", done)
        for rule in rules:
            logger.info(
                "Added back nodelocaldns rule - %s %s", rule.table, shlex.join(rule.words(gate=self._gate_of(rule)))
            )

    def _restore(self, rules: Sequence[Rule]) -> Done:
        """Insert all at once: each table's rules or none of them."""
        lines = []
        for table in dict.fromkeys(rule.table for rule in rules):
            lines.append(f"*{table}")
            lines += ["-I " + join(rule.words(gate=self._gate_of(rule))) for rule in rules if rule.table == table]
            lines.append("COMMIT")
        return self._run([f"{self._command}-restore", "--noflush", "-w", LOCK_PATIENCE], "\n".join(lines) + "\n")

    def _delete(self, rule: Rule, gate: Sequence[str]) -> bool:
        for copies in range(COPIES_MAX):
            done = self._call("-D", rule, gate)
            if is_locked(done) or (done.status not in (0, _ABSENT) and not gate):  # a gate may be unknown to it
                raise describe_failure(f"deleting {shlex.join(rule.words(gate=gate))}", done)
            if done.status:
                return copies > 0
        return True

    def _call(self, action: str, rule: Rule, gate: Sequence[str]) -> Done:
        chain, *words = rule.words(gate=gate)
        return self._run([self._command, "-w", LOCK_PATIENCE, "-t", rule.table, action, chain, *words], "")


def join(words: Iterable[str]) -> str:
    """As a line of iptables-restore, which knows double quotes only."""
    return " ".join(f'"{word}"' if " " in word else word for word in words)


def is_locked(done: Done) -> bool:
    return done.status == _LOCKED and "xtables lock" in done.errors


def describe_failure(what: str, done: Done) -> errors.NodeError:
    kind = "iptables_lock" if is_locked(done) else "iptables"
    return errors.NodeError(kind, f"iptables: {what}: {done.errors or f'status {done.status}'}")
