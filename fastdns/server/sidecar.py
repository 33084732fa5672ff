"""sidecar: probes, dnsmasq's figures and their pages, in one process of one loop. No worker, no supervisor, no upstream."""

from __future__ import annotations

import asyncio
import datetime
import logging
import os
import signal
import time

from fastdns.config import sidecar
from fastdns.server import figures, pages, probes

logger = logging.getLogger(__name__)


class Sidecar:
    """Binds its pages' socket at once, so that a port that is taken is told before anything runs (ListenError)."""

    def __init__(self, options: sidecar.Options) -> None:
        self._options = options
        self._started = time.monotonic()
        self._probes = [probes.Probe(probe) for probe in options.probes]
        server = f"{bracket(options.dnsmasq_address)}:{options.dnsmasq_port}"
        self._figures = figures.Figures(server, options.poll_interval)
        self._sockets = pages.bind_place(pages.Place(options.address.strip("[]"), options.port))

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        server = pages.PageServer(self._sockets, self._find_pages())
        await server.start()
        loops = [asyncio.create_task(self._figures.run())]
        loops += [asyncio.create_task(probe.run()) for probe in self._probes]
        stopped = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait([stopped, *loops], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # a loop ends by a bug alone, which ends the program
        finally:
            server.close()
            for task in (stopped, *loops):
                task.cancel()
            await asyncio.gather(stopped, *loops, return_exceptions=True)

    def _find_pages(self) -> dict[str, pages.Page]:
        found: dict[str, pages.Page] = {f"/healthcheck/{probe.options.label}": probe.page for probe in self._probes}
        return found | {"/healthz": self._tell_health, self._options.path: self._tell_metrics}

    async def _tell_health(self) -> pages.Answer:
        """Say the time as Go prints it, with what passed since the start."""
        moment = datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S.%f %z %Z")
        return pages.Answer(200, f"ok ({moment} m=+{time.monotonic() - self._started:.9f})\n".encode())

    async def _tell_metrics(self) -> pages.Answer:
        from fastdns.server import exposition, families  # here: prometheus_client is large, and few ask

        namespace = f"{self._options.namespace}_" if self._options.namespace else ""
        totals = families.Totals()
        totals.add_foreign([*self._figures.tell(namespace)])
        for probe in self._probes:
            totals.add_foreign([*probe.tell(namespace)])
        exposition.describe_processes([("sidecar", os.getpid())], totals)
        return pages.Answer(200, exposition.render(totals), exposition.CONTENT_TYPE)


def bracket(host: str) -> str:
    """Write a host as it stands before a port."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
