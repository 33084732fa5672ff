"""The compiled modules as these tests see them: sources, functions, and the C that the build makes of them."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "src").glob("*.pyx"))
# `cdef STATUS name(arguments) noexcept nogil:`, over one line or several
DEFINITION = re.compile(r"^( *)cdef (?:inline )?[\w .*]*?[ *](\w+)\(([^()]*)\)([^:\n]*):", re.MULTILINE)


@dataclasses.dataclass(frozen=True, slots=True)
class Function:
    """A `cdef` function or method: its first and last line, 1 for the first of the file."""

    module: str
    name: str
    first: int
    last: int
    takes_no_gil: bool


def functions(source: pathlib.Path) -> Iterator[Function]:
    text = source.read_text()
    lines = text.splitlines()
    for found in DEFINITION.finditer(text):
        first = text.count("\n", 0, found.start()) + 1
        body = text.count("\n", 0, found.end()) + 1
        last = body
        for number, line in enumerate(lines[body:], start=body + 1):
            if line.strip() and len(line) - len(line.lstrip()) <= len(found[1]):
                break
            last = number if line.strip() else last
        yield Function(source.stem, found[2], first, last, "nogil" in found[4] and "noexcept" in found[4])


def generate(folder: pathlib.Path) -> None:
    """Make the C and the annotation pages of every module in `folder`, as setup.py makes them, and compile nothing."""
    environment = {**os.environ, "FASTDNS_CYTHON_DIR": str(folder), "FASTDNS_ANNOTATE": "1"}
    command = [sys.executable, "setup.py", "-q", "--name"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def scores(page: pathlib.Path) -> dict[int, int]:
    """Annotation score by line: above 0, the line's C touches Python."""
    return {
        int(number): int(score)
        for score, number in re.findall(
            r'class="cython line score-(\d+)"[^>]*>\+?<span class="">0*(\d+)</span>', page.read_text()
        )
    }


def c_functions(generated: pathlib.Path) -> dict[str, str]:
    """Bodies of the C functions that Cython made of ours, by their C name."""
    found = re.findall(
        r"^(?:static |CYTHON_\w+ |inline )[^;{}]*?\b(__pyx_f_\w+)\([^;{}]*\)\s*\{\n(.*?)^\}",
        generated.read_text(),
        re.M | re.S,
    )
    return dict(found)
