"""Two servers with one Corefile, asked the same questions: what differed, excused or not."""

from __future__ import annotations

import collections
import dataclasses
import os
import pathlib
import time
from collections.abc import Iterator

from tests.differential import differences
from tests.differential.compare import Answer, Mismatch, ask, compare
from tests.differential.questions import Question
from tests.differential.variants import HOSTS, Variant
from tests.differential.world import Change, World
from tests.peers.apiserver import ApiServer
from tests.peers.servers import CoreDns, DnsServer, Fastdns

SETTLE = 0.4  # seconds after which a difference is asked again: both servers learn of a change in their own time
TRIES = 3
PATIENCE = 1.0  # seconds for CoreDNS: its silences are known, and its upstream is next door


@dataclasses.dataclass(slots=True)
class Outcome:
    """`asked` questions; `excused` counts known differences by id; `unexplained` describes the others.

    `kinds` counts what CoreDNS answered, so that a run of nothing but NXDOMAIN is seen as the poor test that it would be.
    """

    asked: int = 0
    kinds: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    excused: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    unexplained: list[str] = dataclasses.field(default_factory=list)


class Pair:
    """CoreDNS and the server under test. FASTDNS_SUBJECT=coredns puts CoreDNS in both places, to test the test."""

    def __init__(self, variant: Variant, *, folder: pathlib.Path, api: ApiServer, upstream: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        hosts = folder / "hosts"
        hosts.write_text(HOSTS)
        env = {"KUBECONFIG": str(api.kubeconfig), "UPSTREAM": str(upstream), "HOSTS": str(hosts)}
        subject = CoreDns if os.environ.get("FASTDNS_SUBJECT") == "coredns" else Fastdns
        self.variant = variant
        self.coredns: DnsServer = CoreDns(folder=folder / "coredns", corefile=variant.corefile, env=env)
        self.fastdns: DnsServer = subject(folder=folder / "fastdns", corefile=variant.corefile, env=env)

    def __enter__(self) -> Pair:
        self.coredns.start()
        try:
            self.fastdns.start()
        except BaseException:
            self.coredns.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.fastdns.stop()
        self.coredns.stop()


def apply_changes(api: ApiServer, changes: Iterator[Change]) -> int:
    count = 0
    for change in changes:
        count += 1
        {"create": api.create, "replace": api.replace, "delete": api.delete}[change.verb](change.object)
    return count


def fill(api: ApiServer, world: World) -> int:
    """Make the first objects; Namespaces that every cluster has are only labelled."""
    count = 0
    api.define_service_imports()
    for change in world.fill():
        count += 1
        if change.object["kind"] == "Namespace" and change.object["metadata"]["name"] == "default":
            api.patch("/api/v1/namespaces/default", {"metadata": {"labels": change.object["metadata"]["labels"]}})
        elif change.verb == "replace":
            api.replace(change.object)
        else:
            api.create(change.object)
    return count


def compare_servers(pair: Pair, questions: list[Question], outcome: Outcome) -> None:
    """Ask all the questions; those that came out differently are asked again, and only what stays different counts."""
    known = differences.load()
    began = time.monotonic()
    left = questions
    for attempt in range(TRIES):
        if attempt:
            time.sleep(SETTLE)
        again = []
        last = attempt == TRIES - 1
        for question in left:
            theirs, ours = ask(pair.coredns.port, question, timeout=PATIENCE), ask(pair.fastdns.port, question)
            if not attempt:
                outcome.kinds[f"{theirs.status}{' with records' if theirs.answer else ''}"] += 1
            slack = 2 + int(time.monotonic() - began) if pair.variant.caches_upstream else 0
            mismatches = list(compare(theirs, ours, ttl_slack=slack))
            if "TC" in theirs.flags or "TC" in ours.flags:
                mismatches += _compare_whole(pair, question, slack)
            unexplained, excused = _sort(mismatches, known, question, theirs, ours, pair.variant.name)
            if unexplained and not last and theirs.status != "silence":
                again.append(question)
                continue
            outcome.excused.update(excused)
            if unexplained:
                outcome.unexplained.append(_describe(pair.variant.name, question, unexplained, theirs, ours))
        left = again
    outcome.asked += len(questions)


def _compare_whole(pair: Pair, question: Question, slack: int) -> list[Mismatch]:
    """What a client does with TC: the same question over TCP."""
    whole = dataclasses.replace(question, over_tcp=True)
    mismatches = compare(ask(pair.coredns.port, whole), ask(pair.fastdns.port, whole), ttl_slack=slack)
    return [dataclasses.replace(mismatch, field=f"{mismatch.field} over TCP") for mismatch in mismatches]


def _sort(
    mismatches: list[Mismatch],
    known: list[differences.Difference],
    question: Question,
    theirs: Answer,
    ours: Answer,
    variant: str,
) -> tuple[list[Mismatch], set[str]]:
    unexplained, excused = [], set()
    for mismatch in mismatches:
        for difference in known:
            if difference.excuses(mismatch, question=question, coredns=theirs, fastdns=ours, variant=variant):
                excused.add(difference.id)
                break
        else:
            unexplained.append(mismatch)
    return unexplained, excused


def _describe(variant: str, question: Question, mismatches: list[Mismatch], theirs: Answer, ours: Answer) -> str:
    lines = [f"[{variant}] {question.name or '.'} {question.qclass} {question.qtype}   {question}"]
    lines += [str(mismatch) for mismatch in mismatches]
    lines.append(f"    (coredns: {theirs.status}, {theirs.size} octets; fastdns: {ours.status}, {ours.size} octets)")
    return "\n".join(lines)
