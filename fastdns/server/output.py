"""Log lines on standard output, which never make anybody wait: what it can't take is dropped and counted.

As CoreDNS, `[INFO] text` without a time stamp, `plugin/NAME: ` before what a plugin says; or one JSON object a line.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import socket
import stat
import time
from collections.abc import Callable

HELD_MAX = 256 * 1024  # octets that wait for an output that is full
CHUNK = 4096  # PIPE_BUF: a pipe takes this much whole or not at all, so that lines of two processes are not mixed
LEVELS = {
    logging.DEBUG: "DEBUG",
    logging.INFO: "INFO",
    logging.WARNING: "WARNING",
    logging.ERROR: "ERROR",
    logging.CRITICAL: "FATAL",
}


class Output:
    """Where lines go. `dropped` counts those that had no room."""

    def __init__(self, fd: int) -> None:
        self.dropped = 0
        self._fd = fd
        self._own, self._write = open_writer(fd)
        self._held = bytearray()

    def reopen(self, fd: int) -> None:
        """Write to what `fd`, which is closed, stands for from now on."""
        self.flush()
        os.dup2(fd, self._fd)
        os.close(fd)
        if self._own >= 0:
            os.close(self._own)
        self._own, self._write = open_writer(self._fd)

    def write_line(self, line: str) -> None:
        octets = line.encode("utf-8", "backslashreplace") + b"\n"
        if len(self._held) + len(octets) > HELD_MAX:
            self.flush()
        if len(self._held) + len(octets) > HELD_MAX:
            self.dropped += 1
            return
        self._held += octets

    def flush(self) -> None:
        """Write what the output takes now."""
        while self._held:
            chunk = cut_at_line(self._held)
            try:
                written = self._write(chunk)
            except BlockingIOError:
                return
            except OSError:
                # ENOSPC, EPIPE, EIO: these lines are lost, later ones may find room again.
                self.dropped += chunk.count(b"\n")
                written = len(chunk)
            del self._held[:written]


def cut_at_line(held: bytearray) -> bytes:
    """The first octets of `held`, whole lines if one ends within CHUNK."""
    if len(held) <= CHUNK:
        return bytes(held)
    end = held.rfind(b"\n", 0, CHUNK)
    return bytes(held[: end + 1 if end >= 0 else CHUNK])


def open_writer(fd: int) -> tuple[int, Callable[[bytes], int]]:
    """A function that writes to what `fd` stands for without ever waiting, and the descriptor of its own, if not -1.

    O_NONBLOCK belongs to the open file, which others share; so the file is opened once more. A socket is asked not to
    wait with each send. Where neither can be had, writing may wait.
    """
    try:
        if stat.S_ISSOCK(os.fstat(fd).st_mode):
            end = socket.socket(fileno=os.dup(fd))
            return -1, lambda octets: end.send(octets, socket.MSG_DONTWAIT)
        own = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_APPEND | os.O_NOCTTY)
    except OSError:
        return -1, lambda octets: os.write(fd, octets)
    return own, lambda octets: os.write(own, octets)


class LineHandler(logging.Handler):
    """Hands records to an Output as lines of text or JSON."""

    def __init__(self, output: Output, *, as_json: bool, formatter: logging.Formatter | None = None) -> None:
        super().__init__()
        self.output = output
        self.as_json = as_json
        self._format = formatter.format if formatter else format_json if as_json else format_text

    def emit(self, record: logging.LogRecord) -> None:
        try:
            for line in self._format(record).splitlines():
                self.output.write_line(line)
            self.output.flush()
        except Exception:
            self.output.dropped += 1


def format_text(record: logging.LogRecord) -> str:
    level = LEVELS.get(record.levelno, "INFO")
    return f"[{level}] {message_of(record)}"


def format_json(record: logging.LogRecord) -> str:
    """The fields that CoreDNS's JSON log has."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    level = LEVELS.get(record.levelno, "INFO")
    fields: dict[str, object] = {
        "time": f"{moment}.{int(record.msecs):03d}Z",
        "level": "WARN" if level == "WARNING" else level,
        "msg": message_of(record),
    }
    if plugin := plugin_of(record.name):
        fields |= {"msg": str(fields["msg"]).removeprefix(f"plugin/{plugin}: "), "plugin": plugin}
    return json.dumps(fields | getattr(record, "fields", {}), ensure_ascii=False)


def message_of(record: logging.LogRecord) -> str:
    text = record.getMessage()
    if record.exc_info and record.exc_info[1] is not None:
        text += "\n" + logging.Formatter().formatException(record.exc_info)
    plugin = plugin_of(record.name)
    return f"plugin/{plugin}: {text}" if plugin and not text.startswith("plugin/") else text


def plugin_of(logger: str) -> str:
    """The Corefile's word that a logger speaks for, as fastdns.plugins.hosts or fastdns.kubernetes.reflector."""
    parts = logger.split(".")
    if len(parts) > 2 and parts[1] == "plugins":
        return parts[2]
    if len(parts) > 1 and parts[1] in ("kubernetes", "forward"):
        return parts[1]
    return ""


@dataclasses.dataclass(frozen=True, slots=True)
class Style:
    """How and where processes speak; `formatter`, if there is one, makes the lines of what is `level` and above."""

    as_json: bool = False
    formatter: logging.Formatter | None = None
    level: int = logging.INFO
    fd: int = 1


def start_logging(*, as_json: bool, debug: bool = False, fd: int = 1) -> Output:
    """Send the package's log to standard output, instead of where it went before."""
    return start_style(Style(as_json=as_json, level=logging.DEBUG if debug else logging.INFO, fd=fd))


def start_style(style: Style) -> Output:
    """Send the package's log to where `style` says, instead of where it went before."""
    output = Output(style.fd)
    root = logging.getLogger()
    root.handlers[:] = [LineHandler(output, as_json=style.as_json, formatter=style.formatter)]
    root.setLevel(logging.WARNING)  # other packages
    logging.getLogger("fastdns").setLevel(style.level)
    logging.logThreads = logging.logMultiprocessing = False
    logging.logProcesses = style.formatter is not None
    return output


def open_file(path: str) -> int:
    """A log file as a descriptor to add lines to. Raises OSError."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)


def reopen(fd: int) -> None:
    """Send the log to another file: `fd`, which is closed."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LineHandler):
            handler.output.reopen(fd)


def write_plain(output: Output, text: str) -> None:
    """Write lines that are no log: what is served, on the start. In JSON they are log lines, as CoreDNS's."""
    for line in text.splitlines():
        if any(isinstance(handler, LineHandler) and handler.as_json for handler in logging.getLogger().handlers):
            logging.getLogger("fastdns").info("%s", line)
        else:
            output.write_line(line)
    output.flush()
