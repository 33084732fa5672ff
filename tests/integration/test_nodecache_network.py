"""node-cache on a node of network namespaces: a pod asks a Service's address, with a stand-in for kube-proxy behind it.

    pod 10.1.0.2 --- node 10.1.0.1, 10.2.0.1 --- cluster's DNS 10.2.0.2
                     node-cache on 169.254.20.10 and on the Service's 10.96.0.10, which kube-proxy's rule
                     translates to 10.2.0.2 for packets that are tracked

Both servers say who they are. The link is a dummy where the kernel has such links; else one is made before, for node-cache
to find.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import sys
from collections.abc import Callable, Iterator

import pytest

from fastdns.server import links
from tests.peers import build
from tests.peers.namespaces import Namespace, ask
from tests.peers.process import Process, wait_until
from tests.peers.servers import ROOT

pytestmark = pytest.mark.peers("dig", "ip", "iptables", "nft", "nsenter", "unshare")

SERVICE, LOCAL = "10.96.0.10", "169.254.20.10"
CLUSTER, NODE = "192.0.2.1", "192.0.2.2"  # what each says of who.example
KUBE_PROXY = """
table ip kube-proxy {
    chain services {
        ip daddr 10.96.0.10 udp dport 53 dnat to 10.2.0.2
        ip daddr 10.96.0.10 tcp dport 53 dnat to 10.2.0.2
    }
    chain prerouting { type nat hook prerouting priority dstnat; jump services; }
    chain output { type nat hook output priority -100; jump services; }
    chain postrouting { type nat hook postrouting priority srcnat; ip daddr 10.2.0.2 masquerade; }
}
"""
BASE = f""".:53 {{
    errors
    bind __PILLAR__LOCAL__DNS__
    hosts {{
        {NODE} who.example
    }}
}}
"""
WITHIN = 20.0  # seconds; it takes less than 5 where nothing else is done, and mostly less than 1


class Node:
    """The three namespaces; node-cache runs in one of them when it is started."""

    def __init__(self, folder: pathlib.Path, *, backend: str) -> None:
        self.folder = folder
        self.backend = backend
        self.rule_count = {"iptables": 12, "nftables": 8}[backend]  # of one address; nftables has none to accept
        self.process: Process | None = None
        self._undo = contextlib.ExitStack()
        self.here = self._enter(Namespace("node", folder=folder))
        self.pod = self._enter(Namespace("pod", folder=folder, within=self.here))
        self.dns = self._enter(Namespace("dns", folder=folder, within=self.here))

    def _enter(self, namespace: Namespace) -> Namespace:
        return self._undo.enter_context(namespace)

    def set_up(self) -> None:
        self.here.connect(self.pod, here="10.1.0.1/24", there="10.1.0.2/24")
        self.here.connect(self.dns, here="10.2.0.1/24", there="10.2.0.2/24")
        self.pod.run("ip", "route", "add", "default", "via", "10.1.0.1")
        self.here.run("ip", "route", "add", "default", "via", "10.2.0.2")
        self.here.write("/proc/sys/net/ipv4/ip_forward", "1")
        (self.folder / "kube-proxy.nft").write_text(KUBE_PROXY)
        self.here.run("nft", "-f", str(self.folder / "kube-proxy.nft"))
        corefile = self.folder / "cluster"
        corefile.write_text(BASE.replace("__PILLAR__LOCAL__DNS__", "10.2.0.2").replace(NODE, CLUSTER))
        command = [*self.dns.enter(), sys.executable, "-m", "fastdns.cli.fastdns", "-conf", str(corefile)]
        cluster = Process([*command, "--workers", "1"], log=self.folder / "cluster.log", cwd=ROOT)
        self._undo.callback(cluster.stop)
        cluster.wait_until(lambda: self.answer() == CLUSTER, what="the cluster's DNS")

    def start(self, *options: str) -> Process:
        """Without iptables on PATH the rules are nftables'. Whatever was started before has been killed."""
        if self.process is not None:
            self.process.wait()
        if not self.here.has_link_kind(links.DUMMY) and not self.addresses():
            self.here.run("ip", "link", "add", "nodelocaldns", "type", "bridge", check=False)
        (self.folder / "Corefile.base").write_text(BASE)
        path = os.environ["PATH"] if self.backend == "iptables" else str(self.folder)
        words = f"-localip {LOCAL},{SERVICE} -metrics-listen-address 127.0.0.1:9353 -kubednscm {self.folder / 'none'}"
        words += f" -conf {self.folder / 'Corefile'} -basecorefile {self.folder / 'Corefile.base'}"
        command = [*self.here.enter(), sys.executable, "-m", "fastdns.cli.nodecache", *words.split(), *options]
        self.process = Process(command, log=self.folder / "log", cwd=ROOT, env={**os.environ, "PATH": path})
        return self.process

    def start_and_wait(self, *options: str) -> Process:
        process = self.start(*options)
        process.wait_until(lambda: self.answer() == NODE, what="node-cache's answer to the pod")
        return process

    def answer(self, *options: str, server: str = SERVICE) -> str:
        return ask(self.pod, server, "who.example", *options)

    def rules(self) -> list[str]:
        """What is said of node-cache's address, by whichever made it."""
        said = self.here.run("nft", "list", "ruleset").splitlines()
        return [line.strip() for line in said if LOCAL in line and ("notrack" in line or "accept" in line)]

    def addresses(self) -> str:
        return self.here.run("ip", "-o", "addr", "show", "dev", "nodelocaldns", check=False)

    def close(self) -> None:
        if self.process is not None:
            self.process.stop()
        self._undo.close()


@pytest.fixture(params=["iptables", "nftables"])
def node(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Node]:
    made = Node(tmp_path, backend=request.param)
    try:
        made.set_up()
        yield made
    finally:
        made.close()


def family(pid: int) -> list[int]:
    """A process and its children."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def is_running(pid: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def named(process: Process, name: str) -> int:
    (found,) = [pid for pid in family(process.pid) if name in pathlib.Path(f"/proc/{pid}/comm").read_text()]
    return found


def test_pod_is_answered_by_the_node_and_by_the_cluster_after_an_end(node: Node) -> None:
    process = node.start_and_wait()
    assert node.answer("+tcp") == node.answer(server=LOCAL) == NODE
    assert ask(node.here, SERVICE, "who.example") == NODE, "a process of the node"
    assert LOCAL in node.addresses() and SERVICE in node.addresses()
    assert len(node.rules()) == node.rule_count
    assert process.stop() == 0
    assert node.answer() == node.answer("+tcp") == CLUSTER
    assert not node.rules()
    assert not node.addresses()


def kill_main(process: Process) -> None:
    os.kill(process.pid, signal.SIGKILL)


def kill_everything(process: Process) -> None:
    """As the end of a container: nobody is left to clean up."""
    for pid in [*family(process.pid)[::-1]]:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("kill", [kill_main, kill_everything])
def test_pod_is_answered_by_the_cluster_after_a_kill(node: Node, kill: Callable[[Process], None]) -> None:
    process = node.start_and_wait()
    pids = family(process.pid)
    kill(process)
    wait_until(lambda: node.answer() == CLUSTER, timeout=WITHIN, what="the cluster's answer")
    assert node.answer("+tcp") == CLUSTER
    wait_until(lambda: not any(map(is_running, pids[1:])), what="the end of all that was left")
    process = node.start_and_wait()
    process.wait_until(lambda: len(node.rules()) == node.rule_count, what="each rule once")


def test_processes_of_the_node_are_answered_after_a_kill(node: Node) -> None:
    """Not those of iptables after a kill of everything: its rules for them cannot be gated."""
    kill_main(node.start_and_wait())
    wait_until(lambda: ask(node.here, SERVICE, "who.example") == CLUSTER, timeout=WITHIN, what="the cluster's answer")


def test_pod_is_answered_by_the_cluster_while_the_server_hangs(node: Node) -> None:
    process = node.start_and_wait()
    keeper = named(process, "node")
    hung = [pid for pid in family(process.pid) if pid != keeper]
    for pid in hung:
        os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: node.answer() == CLUSTER, timeout=30, what="the cluster's answer")
    assert not node.rules()
    for pid in hung[::-1]:
        os.kill(pid, signal.SIGCONT)
    process.wait_until(lambda: node.answer() == NODE, what="node-cache's answer again")


@pytest.mark.parametrize("node", ["iptables"], indirect=True)
def test_filter_that_drops_by_default_lets_queries_in(node: Node) -> None:
    """What is not tracked is no part of an established connection: without rules of its own it would be dropped."""
    for chain, side in (("INPUT", "-i"), ("OUTPUT", "-o")):
        node.here.run("iptables", "-w", "-A", chain, side, "lo", "-j", "ACCEPT")
        node.here.run("iptables", "-w", "-A", chain, "-m", "state", "--state", "ESTABLISHED", "-j", "ACCEPT")
        node.here.run("iptables", "-w", "-P", chain, "DROP")
    node.start_and_wait()
    assert node.answer("+tcp") == NODE


def test_killed_keeper_is_replaced(node: Node) -> None:
    process = node.start_and_wait()
    before = named(process, "node")
    os.kill(before, signal.SIGKILL)
    process.wait_until(
        lambda: before not in family(process.pid) and len(family(process.pid)) > 2, what="another keeper"
    )
    process.wait_until(lambda: len(node.rules()) == node.rule_count and node.answer() == NODE, what="rules as before")


def test_rules_are_put_back_and_never_pile_up(node: Node) -> None:
    process = node.start_and_wait("-syncinterval=1ns")
    delete = {
        "iptables": ["iptables", "-w", "-t", "raw", "-F"],
        "nftables": ["nft", "flush", "ruleset"],  # which leaves a table that has an owner
    }[node.backend]
    node.here.run(*delete)
    process.wait_until(lambda: len(node.rules()) == node.rule_count, what="the rules again")
    for _ in range(3):
        kill_everything(process)
        process.wait()
        process = node.start_and_wait()
        process.wait_until(lambda: len(node.rules()) == node.rule_count, what="each rule once")


def test_rules_and_link_stay_where_that_is_asked_for(node: Node) -> None:
    assert node.start_and_wait("-skipteardown").stop() == 0
    assert node.rules()
    assert LOCAL in node.addresses()
    assert node.start_and_wait().stop() == 0
    assert not node.rules()


def test_nothing_is_set_up_where_that_is_not_wanted(node: Node) -> None:
    for address in (LOCAL, SERVICE):
        node.here.run("ip", "addr", "add", f"{address}/32", "dev", "lo")
    process = node.start("-setupinterface=false", "-setupiptables=false")
    process.wait_until(lambda: node.answer(server=LOCAL) == NODE, what="an answer at the link-local address")
    assert not node.rules()
    assert node.answer() == CLUSTER


def test_failure_to_set_up_is_counted(node: Node) -> None:
    """A link that can't be had for its name. The addresses are there otherwise."""
    for address in (LOCAL, SERVICE):
        node.here.run("ip", "addr", "add", f"{address}/32", "dev", "lo")
    process = node.start_and_wait("-interfacename=a/b")
    get = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:9353/metrics').read().decode())"
    page = node.here.run(sys.executable, "-c", get)
    assert 'coredns_nodecache_setup_errors_total{errortype="interface_add"} 1.0' in page
    assert 'coredns_nodecache_setup_errors_total{errortype="iptables"} 0.0' in page
    assert "Failed to add non-existent interface a/b" in process.log()


def test_kernel_takes_links_and_tables_as_they_are_made(node: Node) -> None:
    """Both families, by calls of the modules themselves: what `ip` and `nft` say afterwards is what was meant."""
    script = """
import ipaddress, subprocess, sys
from fastdns.server import iptables, links, nftables
for text in ("169.254.20.10", "fd00::10"):
    address = ipaddress.ip_address(text)
    made = [links.ensure_link("one0", [address], kind="bridge") for _ in range(2)]
    print(made, subprocess.run(["ip", "-o", "addr", "show", "dev", "one0"], capture_output=True, text=True).stdout)
    table = nftables.Table("fastdns-one", list(nftables.make_rules([address], 53, 8080)))
    print([table.ensure(), table.ensure()])
    print(subprocess.run(["nft", "list", "table", "ip6" if ":" in text else "ip", "fastdns-one"],
        capture_output=True, text=True).stdout)
    print([table.remove(), table.remove(), links.remove_link("one0"), links.remove_link("one0")])
    rules = iptables.Rules(iptables.find_command(address.version), iptables.make_rules([address], 53, 8080))
    print([rules.ensure(), rules.ensure(), rules.remove(), rules.remove()])
"""
    said = node.here.run(sys.executable, "-c", script)
    assert said.count("[True, False]") == 4 and said.count("[True, False, True, False]") == 4, said
    for text in ("169.254.20.10/32", "fd00::10/128", "flags owner"):
        assert text in said
    for family, address in (("ip", "169.254.20.10"), ("ip6", "fd00::10")):
        for rule in (
            f"{family} daddr {address} tcp dport 53 notrack",
            f"{family} daddr {address} udp dport 53 notrack",
            f"{family} saddr {address} udp sport 53 notrack",
            f"{family} saddr {address} tcp sport 8080 notrack",
        ):
            assert rule in said
    assert build.find("nft")
