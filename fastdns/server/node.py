"""node-cache's keeper: a process beside the server that makes its Corefile and holds the node's link and rules.

A query to a Service's address comes to us only while it is not tracked, so the rules are there while the server answers and
no longer: the keeper asks it once a second. When the supervisor ends, in order or by SIGKILL, the channel to it closes and
the keeper takes down what it has set up. What is left when everything is killed at once is told in iptables and nftables.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import enum
import errno
import logging
import os
import signal
import socket
import time

from fastdns import errors
from fastdns.config import nodecache
from fastdns.server import basefile, families, frames, network, output, pages
from fastdns.server.frames import Kind

logger = logging.getLogger(__name__)

ERROR_TYPES = ("iptables", "iptables_lock", "interface_add", "interface_check", "configmap")
METRIC = "coredns_nodecache_setup_errors_total"
LOOK = 10.0  # seconds between looks at the template and the ConfigMap
PROBE = 1.0  # seconds between probes of the server, and for its answer
MISSES = 3  # in a row: then it does not answer
TURN_TIMEOUT = 15.0  # for another keeper to leave
PATIENCE = 30.0  # seconds after which a server that has never answered is told of
QUESTION = b"fd\x10\0\0\0\0\0\0\0\0\0"  # opcode STATUS: answered with NOTIMP, and neither logged nor passed on


@dataclasses.dataclass(frozen=True, slots=True)
class Setup:
    settings: nodecache.Settings
    cluster_dns: str
    as_json: bool = False


def main(setup: Setup, channel: frames.Channel) -> int:
    output.start_logging(as_json=setup.as_json)
    counts = collections.Counter(dict.fromkeys(ERROR_TYPES, 0))
    rules = network.choose_rules(setup.settings) if setup.settings.sets_up_rules else None
    held = network.Network(setup.settings, rules=rules, count=lambda kind: counts.update([kind]))
    asyncio.run(Keeper(setup, channel, network=held, counts=counts).run())
    return 0


class Keeper:
    def __init__(
        self,
        setup: Setup,
        channel: frames.Channel,
        *,
        network: network.Network,
        counts: collections.Counter[str],
    ) -> None:
        self._settings = setup.settings
        self._channel = channel
        self._network = network
        self._counts = counts
        self._basefile = basefile.Basefile(
            setup.settings, cluster_dns=setup.cluster_dns, count=lambda kind: counts.update([kind])
        )
        self._supervisor = os.getppid()
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Set up, tell the supervisor, keep everything as it is until told to end, and take it down."""
        with contextlib.ExitStack() as held:
            if self._settings.sets_up_interface or self._settings.sets_up_rules:
                held.enter_context(await take_turn(self._settings))
            server = self._open_page()
            if server is not None:
                held.callback(server.close)
                await server.start()
            self._basefile.start()
            self._network.ensure_link()
            asyncio.get_running_loop().add_reader(self._channel.fileno(), self._on_message)
            self._channel.send(Kind.SERVING)
            # None of them is cancelled: a command that is under way would undo what is taken down after it.
            await asyncio.gather(self._keep_corefile(), self._keep_link(), self._keep_rules())
            if not self._settings.skips_teardown:
                await asyncio.to_thread(self._network.tear_down)

    def _on_message(self) -> None:
        messages = self._channel.receive()
        if messages is None or any(message.kind is Kind.STOP for message in messages):
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._ended.set()

    async def _pause(self, seconds: float) -> bool:
        """False when it is time to end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        return not self._ended.is_set()

    # --- what is kept -------------------------------------------------------------------------------------------------

    async def _keep_corefile(self) -> None:
        while await self._pause(LOOK):
            is_new = await asyncio.to_thread(self._basefile.look)
            if is_new and self._settings.reloads_by_signal and os.getppid() == self._supervisor:
                os.kill(self._supervisor, signal.SIGUSR1)

    async def _keep_link(self) -> None:
        while await self._pause(self._settings.sync_interval):
            await asyncio.to_thread(self._network.ensure_link)

    async def _keep_rules(self) -> None:
        """Rules of a run before this one are no good until the server answers."""
        if not self._settings.sets_up_rules:
            return
        await asyncio.to_thread(self._network.remove_rules)
        gate = Gate(interval=self._settings.sync_interval)
        address = str(self._settings.local_ips[0])
        started, has_answered = time.monotonic(), False
        while not self._ended.is_set():
            asked = time.monotonic()
            is_answering = await probe(address, self._settings.port)
            match gate.observe(is_answering, now=time.monotonic()):
                case Step.ENSURE:
                    await asyncio.to_thread(self._network.ensure_rules)
                case Step.REMOVE:
                    logger.error("%s port %d does not answer: queries are left to others", address, self._settings.port)
                    await asyncio.to_thread(self._network.remove_rules)
            has_answered |= is_answering
            if not has_answered and time.monotonic() - started > PATIENCE:
                logger.warning("nothing has answered at %s port %d: no rules are set up", address, self._settings.port)
                has_answered = True  # told once
            await self._pause(asked + PROBE - time.monotonic())

    # --- what is told -------------------------------------------------------------------------------------------------

    def _open_page(self) -> pages.PageServer | None:
        place = pages.Place(self._settings.metrics_host, self._settings.metrics_port)
        try:
            return pages.PageServer(pages.bind_place(place), {"/metrics": self._show_metrics})
        except errors.ListenError as error:
            logger.error("Failed to start metrics handler: %s", error)
            return None

    async def _show_metrics(self) -> pages.Answer:
        from fastdns.server import exposition  # its packages are loaded when first asked for

        totals = families.Totals()
        for kind, count in self._counts.items():
            totals.add(METRIC, count, (kind,))
        exposition.describe_build(totals)
        exposition.describe_processes([("node", os.getpid())], totals)
        return pages.Answer(200, exposition.render(totals), exposition.CONTENT_TYPE)


async def take_turn(settings: nodecache.Settings) -> socket.socket:
    """Wait until no other keeper of this link is on the node; open for as long as it is ours.

    One whose supervisor was killed takes down what it has set up, which must not be what the next has set up since. The
    abstract name is known within the network namespace only, and free as soon as its holder is gone.
    """
    turn = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    deadline = time.monotonic() + TURN_TIMEOUT
    while True:
        try:
            turn.bind(f"\0fastdns-node-{settings.interface}")
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return turn
        if time.monotonic() > deadline:
            logger.warning("another node-cache of interface %s is still there", settings.interface)
            return turn
        await asyncio.sleep(0.05)


class Step(enum.Enum):
    """What is to be done with the rules."""

    NOTHING = enum.auto()
    ENSURE = enum.auto()
    REMOVE = enum.auto()


class Gate:
    """When rules are put in place, looked at again, and removed, as the server answers or does not."""

    def __init__(self, *, interval: float) -> None:
        self._interval = interval
        self._is_open = False
        self._misses = 0
        self._due = 0.0

    def observe(self, is_answering: bool, *, now: float) -> Step:
        """The Step after a probe."""
        if is_answering:
            self._misses = 0
            if self._is_open and now < self._due:
                return Step.NOTHING
            self._is_open, self._due = True, now + self._interval
            return Step.ENSURE
        self._misses += 1
        if not self._is_open or self._misses < MISSES:
            return Step.NOTHING
        self._is_open = False
        return Step.REMOVE


async def probe(address: str, port: int, *, timeout: float = PROBE) -> bool:
    """Ask the server something that it answers by itself."""
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        try:
            async with asyncio.timeout(timeout):
                await loop.sock_connect(client, (address, port))
                await loop.sock_sendall(client, QUESTION)
                answer = await loop.sock_recv(client, 512)
        except OSError:  # TimeoutError is one
            return False
    return answer[:2] == QUESTION[:2]
