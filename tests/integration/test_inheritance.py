"""A reload that keeps the cache: real processes, with the Corefile as their configuration."""

from __future__ import annotations

import pathlib
import signal
import sys
import threading

import dns.message
import dns.query

from tests.integration.test_options import Upstream
from tests.peers.process import Process, free_port
from tests.peers.servers import ROOT, is_answering

SERVER = """
import sys
from fastdns.server import output, sources, supervisor
source = sources.Corefile(sys.argv[1])
output.start_logging(as_json=False)
sys.exit(supervisor.Supervisor(source.load(), supervisor.Options(source=source, keeps_cache=True)).run())
"""
COREFILE = """.:{port} {{
    bind 127.0.0.1
    cache 300
    forward changed.test 127.0.0.1:{changed}
    forward . 127.0.0.1:{upstream}
}}
"""


def ask(port: int, name: str) -> str:
    reply = dns.query.udp(dns.message.make_query(name, "A"), "127.0.0.1", port=port, timeout=5)
    return str(reply.answer[0][0].to_text())


def test_answers_stay_but_for_names_with_other_upstreams(tmp_path: pathlib.Path) -> None:
    upstream, first, second = Upstream(), Upstream(number=101), Upstream(number=102)
    port = free_port()
    corefile = tmp_path / "Corefile"
    corefile.write_text(COREFILE.format(port=port, changed=first.port, upstream=upstream.port))
    server = Process([sys.executable, "-c", SERVER, str(corefile)], log=tmp_path / "log", cwd=ROOT)
    lost: list[str] = []
    is_over = threading.Event()

    def keep_asking() -> None:
        while not is_over.is_set():
            try:
                ask(port, "x-300.example.org")
            except Exception as error:
                lost.append(repr(error))

    try:
        server.wait_until(lambda: is_answering(port), what="its first answer")
        assert ask(port, "x-300.example.org") == "192.0.2.1"
        assert ask(port, "x-300.changed.test") == "192.0.2.101"
        asking = threading.Thread(target=keep_asking)
        asking.start()
        corefile.write_text(COREFILE.format(port=port, changed=second.port, upstream=upstream.port))
        server.send_signal(signal.SIGUSR1)
        server.wait_until(lambda: " cached answers are kept" in server.log(), what="the cache")
        is_over.set()
        asking.join()
        assert ask(port, "x-300.changed.test") == "192.0.2.102"
        assert second.asked["x-300.changed.test."] == 1
        assert upstream.asked["x-300.example.org."] <= 2  # the new worker may be asked before it has the cache
        assert lost == []
        assert server.stop() == 0
    finally:
        is_over.set()
        server.stop()
        for one in (upstream, first, second):
            one.close()
