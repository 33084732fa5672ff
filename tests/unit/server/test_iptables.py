"""The commands that are run, and what is made of what they say; rules of a real kernel are in the integration tests."""

import ipaddress
import shlex
from collections.abc import Sequence

import pytest

from fastdns import errors
from fastdns.server import iptables

ADDRESS = ipaddress.ip_address("169.254.20.10")
ABSENT = iptables.Done(1, "iptables: Bad rule (does a matching rule exist in that chain?).")
LOCKED = iptables.Done(4, "Another app is currently holding the xtables lock. Perhaps you want to use the -w option?")
RULES = list(iptables.make_rules([ADDRESS], 53, 8080))
SKIP, ALLOW = "'NodeLocal DNS Cache: skip conntrack'", "'NodeLocal DNS Cache: allow DNS traffic'"


class Kernel:
    """Keeps rules as iptables does, by their words; notes the commands."""

    def __init__(self, *, missing: str = "") -> None:
        """`missing` is what lacks `-m socket`: the program, or the kernel, which is asked only when rules are added."""
        self.rules: list[tuple[str, str]] = []  # table, words
        self.commands: list[str] = []
        self.restored: list[str] = []
        self.fault: iptables.Done | None = None
        self.missing = missing

    def run(self, words: Sequence[str], text: str) -> iptables.Done:
        self.commands.append(shlex.join(words))
        if self.fault is not None:
            return self.fault
        if words[0] == "/sbin/iptables-restore":
            return self.restore(text)
        assert list(words[:4]) == ["/sbin/iptables", "-w", "5", "-t"]
        if self.missing == "program" and "socket" in words:
            return iptables.Done(2, "iptables v1.8.9: Couldn't load match `socket': No such file or directory")
        rule = (words[4], shlex.join(words[6:]))
        if rule not in self.rules:
            return ABSENT
        if words[5] == "-D":
            self.rules.remove(rule)
        return iptables.Done(0, "")

    def restore(self, text: str) -> iptables.Done:
        self.restored.append(text)
        if "-m socket" in text and self.missing:
            return iptables.Done(4, "iptables-restore: line 3: RULE_INSERT failed (No such file or directory)")
        table = ""
        for line in text.splitlines():
            if line.startswith("*"):
                table = line[1:]
            elif line != "COMMIT":
                action, *words = shlex.split(line)
                assert action == "-I"
                self.rules.insert(0, (table, shlex.join(words)))
        return iptables.Done(0, "")


def make(kernel: Kernel) -> iptables.Rules:
    return iptables.Rules("/sbin/iptables", RULES, run=kernel.run)


def test_rules_are_node_caches() -> None:
    to, answers = "-d 169.254.20.10 --dport 53", "-s 169.254.20.10 --sport 53"
    assert [f"{rule.table} {shlex.join(rule.words())}" for rule in RULES] == [
        f"raw PREROUTING -p tcp {to} -m comment --comment {SKIP} -j NOTRACK",
        f"raw PREROUTING -p udp {to} -m comment --comment {SKIP} -j NOTRACK",
        f"filter INPUT -p tcp {to} -m comment --comment {ALLOW} -j ACCEPT",
        f"filter INPUT -p udp {to} -m comment --comment {ALLOW} -j ACCEPT",
        f"raw OUTPUT -p tcp {answers} -m comment --comment {SKIP} -j NOTRACK",
        f"raw OUTPUT -p udp {answers} -m comment --comment {SKIP} -j NOTRACK",
        f"filter OUTPUT -p tcp {answers} -m comment --comment {ALLOW} -j ACCEPT",
        f"filter OUTPUT -p udp {answers} -m comment --comment {ALLOW} -j ACCEPT",
        f"raw OUTPUT -p tcp {to} -m comment --comment {SKIP} -j NOTRACK",
        f"raw OUTPUT -p udp {to} -m comment --comment {SKIP} -j NOTRACK",
        f"raw OUTPUT -p tcp -d 169.254.20.10 --dport 8080 -m comment --comment {SKIP} -j NOTRACK",
        f"raw OUTPUT -p tcp -s 169.254.20.10 --sport 8080 -m comment --comment {SKIP} -j NOTRACK",
    ]


def test_all_missing_rules_are_added_by_one_command() -> None:
    kernel = Kernel()
    assert make(kernel).ensure()
    assert [command for command in kernel.commands if "restore" in command] == ["/sbin/iptables-restore --noflush -w 5"]
    (text,) = kernel.restored
    assert text.startswith(
        "*raw\n-I PREROUTING -p tcp -d 169.254.20.10 --dport 53 -m socket --nowildcard -m comment --comment "
        '"NodeLocal DNS Cache: skip conntrack" -j NOTRACK\n'
    )
    assert text.count("\n-I ") == 12 and text.count("COMMIT\n") == 2 and text.count("-m socket") == 2
    assert len(kernel.rules) == 12


def test_many_runs_leave_one_of_each() -> None:
    kernel = Kernel()
    for _ in range(1000):
        make(kernel).ensure()  # as after a SIGKILL: nothing was removed
    assert len(kernel.rules) == len(set(kernel.rules)) == 12
    assert len(kernel.restored) == 1


def test_rule_that_somebody_deleted_is_added_back() -> None:
    kernel = Kernel()
    rules = make(kernel)
    rules.ensure()
    removed = kernel.rules.pop(3)
    assert rules.ensure()
    assert removed in kernel.rules and len(kernel.rules) == 12
    assert not rules.ensure()


def test_rules_of_node_cache_without_a_gate_are_replaced() -> None:
    kernel = Kernel()
    old = [(rule.table, shlex.join(rule.words())) for rule in RULES]
    kernel.rules = old * 3
    make(kernel).ensure()
    arriving = [words for table, words in kernel.rules if words.startswith("PREROUTING")]
    assert len(arriving) == 2 and all("-m socket" in words for words in arriving)


@pytest.mark.parametrize("missing", ["program", "kernel"])
def test_machine_without_socket_matches_gets_plain_rules(missing: str, caplog: pytest.LogCaptureFixture) -> None:
    kernel = Kernel(missing=missing)
    rules = make(kernel)
    assert rules.ensure()
    assert len(kernel.rules) == 12 and not any("-m socket" in words for _, words in kernel.rules)
    assert caplog.text.count("no working -m socket") == 1
    assert not rules.ensure()
    assert rules.remove() and not kernel.rules


def test_removal_takes_every_copy_and_both_kinds() -> None:
    kernel = Kernel()
    rules = make(kernel)
    rules.ensure()
    kernel.rules += [(rule.table, shlex.join(rule.words())) for rule in RULES] * 2
    kernel.rules.append(("raw", "PREROUTING -j somebody-elses"))
    assert rules.remove()
    assert kernel.rules == [("raw", "PREROUTING -j somebody-elses")]
    assert not rules.remove()


@pytest.mark.parametrize("action", ["ensure", "remove"])
def test_held_lock_is_told_apart(action: str) -> None:
    kernel = Kernel()
    kernel.fault = LOCKED
    with pytest.raises(errors.NodeError, match="holding the xtables lock") as caught:
        getattr(make(kernel), action)()
    assert caught.value.kind == "iptables_lock"


def test_lock_is_no_reason_to_do_without_the_gate() -> None:
    kernel = Kernel()
    rules = make(kernel)
    kernel.restore = lambda text: LOCKED  # type: ignore[method-assign]
    with pytest.raises(errors.NodeError) as caught:
        rules.ensure()
    assert caught.value.kind == "iptables_lock"
    del kernel.restore  # type: ignore[attr-defined]
    rules.ensure()
    assert sum("-m socket" in words for _, words in kernel.rules) == 2


@pytest.mark.parametrize(
    "fault", [iptables.Done(3, "iptables: Permission denied (you must be root)."), iptables.Done(-1, "")]
)
def test_other_failures_are_told_with_the_rule(fault: iptables.Done) -> None:
    kernel = Kernel()
    kernel.fault = fault
    with pytest.raises(errors.NodeError, match=r"PREROUTING -p tcp -d 169\.254\.20\.10 --dport 53") as caught:
        make(kernel).ensure()
    assert caught.value.kind == "iptables"


def test_rule_that_cannot_be_removed_is_told() -> None:
    kernel = Kernel()
    kernel.fault = iptables.Done(3, "iptables: Permission denied (you must be root).")
    with pytest.raises(errors.NodeError, match=r"deleting PREROUTING .*Permission denied"):
        make(kernel).remove()


def test_command_that_is_not_there_is_a_failure() -> None:
    done = iptables.run_command(["/nowhere/iptables"], "")
    assert done.status == -1 and "No such file" in done.errors


@pytest.mark.parametrize(("version", "name"), [(4, "iptables"), (6, "ip6tables")])
def test_command_is_found_with_its_restore(version: int, name: str, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert iptables.find_command(version) is None
    for program in (name, f"{name}-restore"):
        (tmp_path / program).write_text("#!/bin/true\n")
        (tmp_path / program).chmod(0o755)
    assert iptables.find_command(version) == str(tmp_path / name)
    (tmp_path / f"{name}-restore").unlink()
    assert iptables.find_command(version) is None
