"""Log lines have klog's header; the verbosity decides what is logged."""

from __future__ import annotations

import io
import logging
import os
import re
from collections.abc import Iterator

import pytest

from fastdns.cli import klog

LINE = re.compile(r"([IWEF])(\d{4} \d\d:\d\d:\d\d\.\d{6}) ( *\d+) (\S+):(\d+)\] (.*)")


@pytest.fixture(autouse=True)
def root() -> Iterator[None]:
    """Give the root logger back as it was."""
    own = logging.getLogger()
    handlers, level = list(own.handlers), own.level
    yield
    own.handlers[:] = handlers
    own.setLevel(level)


@pytest.mark.parametrize(
    ("level", "letter"),
    [
        (logging.DEBUG, "I"),
        (klog.verbose(2), "I"),
        (logging.INFO, "I"),
        (logging.WARNING, "W"),
        (logging.ERROR, "E"),
        (logging.CRITICAL, "F"),
    ],
)
def test_a_line(level: int, letter: str) -> None:
    stream = io.StringIO()
    klog.start(10, stream=stream)
    logging.getLogger("fastdns.x").log(level, "dnsmasq %s", "started")
    match = LINE.fullmatch(stream.getvalue().rstrip("\n"))
    assert match is not None, stream.getvalue()
    assert match[1] == letter
    assert match[3] == f"{os.getpid():>7}"
    assert match[4] == "test_klog.py"
    assert match[6] == "dnsmasq started"


def test_the_moment_is_local_time_with_microseconds() -> None:
    record = logging.LogRecord("x", logging.INFO, "/a/b/file.py", 12, "text", None, None)
    record.created, record.process = 1764099247.123456, 123
    assert re.fullmatch(
        r"I112[456] \d\d:\d\d:07\.12345[56]     123 file\.py:12\] text", klog.Formatter().format(record)
    )


@pytest.mark.parametrize(
    ("verbosity", "told"),
    [(0, ["info"]), (1, ["info", "one"]), (2, ["info", "one", "two"]), (99, ["info", "one", "two"])],
)
def test_verbosity(verbosity: int, told: list[str]) -> None:
    stream = io.StringIO()
    klog.start(verbosity, stream=stream)
    logger = logging.getLogger("fastdns.x")
    logger.info("info")
    logger.log(klog.verbose(1), "one")
    logger.log(klog.verbose(2), "two")
    assert [line.split("] ")[1] for line in stream.getvalue().splitlines()] == told


def test_an_exception_follows_its_line() -> None:
    stream = io.StringIO()
    klog.start(stream=stream)
    try:
        raise OSError("no such thing")
    except OSError:
        logging.getLogger("fastdns.x").exception("failed")
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("E")
    assert lines[-1] == "OSError: no such thing"
