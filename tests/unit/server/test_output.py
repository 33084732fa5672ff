import contextlib
import json
import logging
import os
import sys
from collections.abc import Iterator

import pytest

from fastdns.server import output
from tests.peers.process import wait_until


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    yield read, write
    for fd in (read, write):
        with contextlib.suppress(OSError):
            os.close(fd)


def make_record(name: str, text: str, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord(name, level, "file", 1, text, (), None)


def test_full_pipe_drops_and_counts_and_never_waits(pipe: tuple[int, int]) -> None:
    read, write = pipe
    out = output.Output(write)
    for _ in range(10_000):
        out.write_line("x" * 99)
        out.flush()
    assert out.dropped > 0
    kept = 0
    while chunk := os.read(read, 65536) if kept < 10_000 - out.dropped else b"":
        assert set(chunk.splitlines()) == {b"x" * 99}
        kept += chunk.count(b"\n")
        out.flush()
    assert kept == 10_000 - out.dropped
    assert os.get_blocking(write), "the output that others share keeps its own mode"


def test_closed_reader_drops(pipe: tuple[int, int]) -> None:
    read, write = pipe
    out = output.Output(write)
    os.close(read)

    def is_dropped() -> bool:
        out.write_line("lost")
        out.flush()
        return out.dropped > 0

    wait_until(is_dropped, what="a line that nobody reads")


def test_full_disk_drops() -> None:
    with open("/dev/full", "wb") as full:
        out = output.Output(full.fileno())
        out.write_line("lost")
        out.flush()
    assert out.dropped == 1


@pytest.mark.parametrize(
    ("logger", "text", "line"),
    [
        ("fastdns.server.control", "Reloading", "[INFO] Reloading"),
        ("fastdns.kubernetes.reflector", "listed", "[INFO] plugin/kubernetes: listed"),
        ("fastdns.plugins.hosts", "read", "[INFO] plugin/hosts: read"),
        ("fastdns.server.control", "plugin/reload: x", "[INFO] plugin/reload: x"),
        ("urllib3.connectionpool", "x", "[INFO] x"),
    ],
)
def test_text_is_coredns_text(logger: str, text: str, line: str) -> None:
    assert output.format_text(make_record(logger, text)) == line


def test_levels_are_named_as_coredns_names_them() -> None:
    names = [output.format_text(make_record("x", "y", level)).split()[0] for level in output.LEVELS]
    assert names == ["[DEBUG]", "[INFO]", "[WARNING]", "[ERROR]", "[FATAL]"]


def test_json_is_one_object_a_line() -> None:
    record = make_record("fastdns.forward.tls", 'quote " and \x00', logging.ERROR)
    fields = json.loads(output.format_json(record))
    assert fields["level"] == "ERROR"
    assert fields["plugin"] == "forward"
    assert fields["msg"] == 'quote " and \x00'


def test_exception_is_told(pipe: tuple[int, int]) -> None:
    read, write = pipe
    handler = output.LineHandler(output.Output(write), as_json=False)
    try:
        raise ValueError("the cause")
    except ValueError:
        record = logging.LogRecord("fastdns", logging.ERROR, "f", 1, "failed", (), sys.exc_info())
    handler.emit(record)
    text = os.read(read, 65536).decode()
    assert text.startswith("[ERROR] failed\n")
    assert "ValueError: the cause" in text
