"""node-cache as a whole on loopback, without link and rules: its Corefile is made, served, made anew, and reloaded."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import sys
import urllib.request
from collections.abc import Iterator

import dns.exception
import dns.message
import dns.query
import pytest

from tests.peers.process import Process, free_port, wait_until
from tests.peers.servers import ROOT, Fastdns

BASE = """.:PORT {
    errors
    bind __PILLAR__LOCAL__DNS__
    hosts {
        192.0.2.1 who.example
    }
    RELOAD
}
"""
STUB = ".:{$PORT} {\n    bind 127.0.0.1\n    hosts {\n        192.0.2.9 www.acme.local\n    }\n}\n"


class NodeCache:
    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.port, self.metrics_port = free_port(), free_port()
        self.process: Process | None = None
        (folder / "keys").mkdir()

    def start(self, *options: str, base: str = BASE, reload: str = "") -> Process:
        (self.folder / "Corefile.base").write_text(base.replace("PORT", str(self.port)).replace("RELOAD", reload))
        words = f"-localip 127.0.0.1 -setupinterface=false -setupiptables=false -conf {self.folder / 'Corefile'}"
        words += f" -basecorefile {self.folder / 'Corefile.base'} -kubednscm {self.folder / 'keys'}"
        words += f" -dns.port {self.port} -metrics-listen-address 127.0.0.1:{self.metrics_port}"
        command = [sys.executable, "-m", "fastdns.cli.nodecache", *words.split(), *options]
        self.process = Process(command, log=self.folder / "log", cwd=ROOT, env={**os.environ, "PATH": "/nowhere"})
        return self.process

    def set_stub_domain(self, server: str) -> None:
        """As the kubelet does: the whole file at once."""
        (self.folder / "keys" / ".new").write_text(json.dumps({"acme.local": [server]}))
        (self.folder / "keys" / ".new").rename(self.folder / "keys" / "stubDomains")

    def answer(self, name: str) -> str:
        try:
            reply = dns.query.udp(dns.message.make_query(name, "A"), "127.0.0.1", port=self.port, timeout=1)
        except (dns.exception.Timeout, OSError):
            return ""
        return " ".join(str(rdata) for rrset in reply.answer for rdata in rrset)

    def errors(self, kind: str) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10) as page:
            text = page.read().decode()
        prefix = f'coredns_nodecache_setup_errors_total{{errortype="{kind}"}} '
        (line,) = [line for line in text.splitlines() if line.startswith(prefix)]
        return float(line.removeprefix(prefix))


@pytest.fixture
def node(tmp_path: pathlib.Path) -> Iterator[NodeCache]:
    made = NodeCache(tmp_path)
    yield made
    if made.process is not None:
        made.process.stop()


@pytest.mark.parametrize(("options", "reload"), [([], "reload 2s 1s"), (["-reloadwithsignal"], "")])
def test_configmap_is_followed(node: NodeCache, tmp_path: pathlib.Path, options: list[str], reload: str) -> None:
    process = node.start(*options, reload=reload)
    process.wait_until(lambda: node.answer("who.example") == "192.0.2.1", what="its first answer")
    assert {node.errors(kind) for kind in ("configmap", "iptables", "iptables_lock", "interface_add")} == {0.0}
    with Fastdns(folder=tmp_path / "stub", corefile=STUB, env={}, workers=1) as stub:
        node.set_stub_domain(f"127.0.0.1:{stub.port}")
        process.wait_until(lambda: node.answer("www.acme.local") == "192.0.2.9", what="the stub domain's answer")
        node.set_stub_domain("ns.acme.local")
        process.wait_until(lambda: node.errors("configmap") == 1, what="the count of a name as a server")
        assert node.answer("www.acme.local") == "192.0.2.9"
    assert process.stop() == 0


def test_bad_template_ends_it_with_the_line(node: NodeCache) -> None:
    process = node.start(base=".:PORT {\n    forward . __PILLAR__CLUSTER__DNS__\n}\n")
    assert process.wait(30) == 1
    assert "Corefile:2 - Error during parsing: " in process.log() and "<nil>" in process.log()
    assert "KUBE_DNS_SERVICE_HOST is not set" in process.log()


def test_missing_template_ends_it(node: NodeCache) -> None:
    process = node.start("-basecorefile", "/nowhere/Corefile.base")
    assert process.wait(30) == 1
    assert "Failed to read node-cache coreFile /nowhere/Corefile.base" in process.log()


def test_killed_keeper_is_replaced_and_no_child_outlives_the_supervisor(node: NodeCache) -> None:
    process = node.start()
    process.wait_until(lambda: node.answer("who.example") == "192.0.2.1", what="its first answer")
    children = {pid: read_name(pid) for pid in find_children(process.pid)}
    (keeper,) = [pid for pid, name in children.items() if name == "fastdns-node"]
    os.kill(keeper, signal.SIGKILL)

    def is_replaced() -> bool:
        now = [pid for pid in find_children(process.pid) if read_name(pid) == "fastdns-node"]
        return len(now) == 1 and now != [keeper]

    process.wait_until(is_replaced, what="another keeper")
    assert node.answer("who.example") == "192.0.2.1"
    children = {pid: read_name(pid) for pid in find_children(process.pid)}
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_until(lambda: not any(read_name(pid).startswith("fastdns-") for pid in children), what="the end of all")


def find_children(pid: int) -> list[int]:
    return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def read_name(pid: int) -> str:
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
