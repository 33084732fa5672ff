"""Log lines as Kubernetes' klog writes them: `I1125 19:34:07.123456     123 file.py:12] text`, on standard error."""

from __future__ import annotations

import logging
import sys
import time
from typing import TextIO

INFO = logging.INFO
LETTERS = ((logging.CRITICAL, "F"), (logging.ERROR, "E"), (logging.WARNING, "W"))


class Formatter(logging.Formatter):
    """Write a record with klog's header: severity, month and day, local time, process, place."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        moment = time.localtime(record.created)
        microseconds = int(record.created % 1 * 1_000_000)
        return f"{time.strftime('%m%d %H:%M:%S', moment)}.{microseconds:06d}"

    def formatMessage(self, record: logging.LogRecord) -> str:
        severity = next((letter for level, letter in LETTERS if record.levelno >= level), "I")
        where = f"{record.filename}:{record.lineno}"
        return f"{severity}{self.formatTime(record)} {record.process or 0:>7} {where}] {record.message}"


def verbose(verbosity: int) -> int:
    """Give the level of what klog.V(verbosity) logs: `logger.log(klog.verbose(1), ...)`."""
    return INFO - min(max(verbosity, 0), INFO - 1)


def start(verbosity: int = 0, *, stream: TextIO | None = None) -> None:
    """Log everything from here on to standard error, or `stream`, in klog's form: what V(`verbosity`) says and above."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Formatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(verbose(verbosity))
