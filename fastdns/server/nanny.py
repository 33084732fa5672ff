"""dnsmasq-nanny around another program: runs it, logs what it says, and runs it anew with another ConfigMap.

What the real nanny leaves to chance is certain here: a program has ended, with all that it started, before the next one
begins; and the nanny doesn't leave before it either, but for SIGKILL, on which the kernel ends the program.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import logging
import os
import signal
from collections.abc import AsyncIterator, Iterable, Sequence

from fastdns import errors
from fastdns.config import configmap, nanny
from fastdns.dns import constants
from fastdns.forward import dial
from fastdns.server import mounted

logger = logging.getLogger(__name__)

FATAL = 255
TOLD, SAID = 18, 19  # levels of logging: what klog says at -v=2, and at -v=1
TERM_GRACE = 5.0  # seconds
KILL_GRACE = 5.0
OUTPUT_GRACE = 2.0  # for reading the last words of a program that has ended
LOOK = 0.01
LINE_MAX = 16 * 1024
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
_libc = ctypes.CDLL(None)


class Program:
    """A running program in a process group of its own, so that what a wrapper started ends with it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        assert process.stdout is not None
        assert process.stderr is not None
        self._outputs = [
            asyncio.create_task(log_output("stderr", process.stderr)),
            asyncio.create_task(log_output("stdout", process.stdout)),
        ]
        self.ended = asyncio.create_task(self._wait())

    @classmethod
    async def start(cls, program: str, arguments: Sequence[str]) -> Program:
        """Raises OSError."""
        logger.info("Starting dnsmasq %s", list(arguments))
        return cls(
            await asyncio.create_subprocess_exec(
                program,
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
                preexec_fn=prepare_child,
            )
        )

    def ask_statistics(self) -> None:
        """Send SIGUSR1, on which dnsmasq logs its figures."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGUSR1)

    async def stop(self) -> None:
        """End it: politely, and then not. Returns when nothing of it is left, or can't be helped."""
        for number, grace in ((signal.SIGTERM, TERM_GRACE), (signal.SIGKILL, KILL_GRACE)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    await asyncio.shield(self.ended)
                    while self._has_left_something():
                        await asyncio.sleep(LOOK)
                    return
        logger.error("process group %d does not end", self._process.pid)

    def _has_left_something(self) -> bool:
        """Tell whether a process of the group lives. The program itself has been reaped; its orphans may be ours to reap."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-self._process.pid, os.WNOHANG)
        try:
            os.killpg(self._process.pid, 0)
        except ProcessLookupError:
            return False
        return True

    async def _wait(self) -> int:
        """Give its exit code, once its last words are logged; the number of a signal, negative."""
        status = await self._process.wait()
        await asyncio.wait(self._outputs, timeout=OUTPUT_GRACE)
        for output in self._outputs:
            output.cancel()
        return status


class Nanny:
    """Keeps one program running, with the arguments that the command line and the ConfigMap make."""

    def __init__(self, options: nanny.Options) -> None:
        self._options = options
        self._mounted = mounted.MountedConfig(options.config_dir)
        self._settings = configmap.DEFAULTS
        self._program: Program | None = None
        self._changing = asyncio.Lock()  # nothing is cancelled between one program and the next

    async def run(self) -> int:
        """Run until the program ends, which is fatal, or SIGTERM or SIGINT tells to; the exit status."""
        _libc.prctl(PR_SET_CHILD_SUBREAPER, 1)  # what a wrapper leaves behind is ours to reap
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        self._settings = self._mounted.read_first()
        try:
            self._program = await self._start()
        except OSError as error:
            logger.critical("Could not start dnsmasq with initial configuration: %s", error)
            return FATAL
        loops = [asyncio.create_task(self._follow())]
        if self._options.log_interval:
            loops.append(asyncio.create_task(self._ask_statistics()))
        stopping = asyncio.create_task(stop.wait())
        try:
            return await self._watch(stopping, loops)
        finally:
            async with self._changing:
                for task in (stopping, *loops):
                    task.cancel()
                await asyncio.gather(stopping, *loops, return_exceptions=True)
                if self._program is not None:
                    await self._program.stop()

    async def _watch(self, stopping: asyncio.Task[bool], loops: Iterable[asyncio.Task[None]]) -> int:
        """Wait for an end: of the nanny by a signal (0), of the program by itself, of a loop by a bug (an exception)."""
        while True:
            program = self._program
            ended = [program.ended] if program is not None else []
            await asyncio.wait([stopping, *loops, *ended], timeout=0.5, return_when=asyncio.FIRST_COMPLETED)
            if stopping.done():
                logger.info("Killing dnsmasq")
                return 0
            for task in loops:
                if task.done():
                    task.result()
            if program is not None and program is self._program and program.ended.done():
                logger.critical("dnsmasq exited: %s", describe_status(program.ended.result()))
                return FATAL

    async def _follow(self) -> None:
        """Look at the folder for ever, and apply what changes; a program that could not be started is tried again."""
        while True:
            await asyncio.sleep(self._options.sync_interval)
            settings = await asyncio.to_thread(self._mounted.read_next)
            if settings is not None:
                self._settings = settings
            if settings is not None and not self._options.restarts:
                logger.log(TOLD, "Not restarting dnsmasq (--restartDnsmasq=false)")
            elif settings is not None or self._program is None:
                await self._restart()

    async def _restart(self) -> None:
        logger.info("Restarting dnsmasq with new configuration")
        arguments = await self._make_arguments()
        async with self._changing:
            program, self._program = self._program, None
            if program is not None:
                logger.info("Killing dnsmasq")
                await program.stop()
            try:
                self._program = await Program.start(self._options.program, arguments)
            except OSError as error:
                logger.error("Could not start dnsmasq with new configuration: %s", error)

    async def _ask_statistics(self) -> None:
        while True:
            await asyncio.sleep(self._options.log_interval)
            if self._program is not None:
                self._program.ask_statistics()

    async def _start(self) -> Program:
        return await Program.start(self._options.program, await self._make_arguments())

    async def _make_arguments(self) -> list[str]:
        names = list(nanny.find_names(self._settings))
        found = await asyncio.gather(*(find_address(name, self._options.kubedns_server) for name in names))
        addresses = {name: address for name, address in zip(names, found, strict=True) if address}
        write = functools.partial(nanny.write_as_nanny, addresses=addresses)
        return nanny.make_arguments(self._options.arguments, self._settings, write)


async def find_address(name: str, kubedns_server: str) -> str:
    """Look up a server that is given by name; empty if it can't be found, which is logged."""
    try:
        if not name.endswith(nanny.CLUSTER_SUFFIX):
            async with asyncio.timeout(dial.TIMEOUT):
                return await dial.look_up(name)
        for qtype in (constants.Type.A, constants.Type.AAAA):
            reply, _latency = await dial.ask(kubedns_server, f"{name}.", qtype)
            if reply.addresses:
                return reply.addresses[0]
    except TimeoutError:
        logger.error('Error looking up IP for name "%s": i/o timeout', name)
    except (OSError, errors.UpstreamError) as error:
        logger.error('Error looking up IP for name "%s": %s', name, error)
    else:
        logger.error('Name "%s" does not resolve to any IPs', name)
    return ""


async def log_output(name: str, stream: asyncio.StreamReader) -> None:
    """Log what a program writes, line by line; a longer one than LINE_MAX in pieces."""
    async for line in read_lines(stream):
        logger.log(SAID, "%s", line.decode("utf-8", "backslashreplace"))
    logger.warning("Got EOF from %s", name)


async def read_lines(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    held = b""
    while octets := await stream.read(LINE_MAX):
        *lines, held = (held + octets).split(b"\n")
        for line in lines:
            yield line
        if len(held) > LINE_MAX:
            yield held
            held = b""
    if held:
        yield held


def describe_status(status: int) -> str:
    """Write an exit code as Go does: `<nil>` for 0."""
    if status < 0:
        return f"signal: {(signal.strsignal(-status) or str(-status)).lower()}"
    return f"exit status {status}" if status else "<nil>"


def prepare_child() -> None:
    """Have the kernel end this process when its parent is gone; SIGUSR1 does nothing until the program handles it."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
